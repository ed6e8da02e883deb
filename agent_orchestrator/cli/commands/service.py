"""`persevere serve` and `persevere worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent_orchestrator.cli.commands import OK, run_command, settings_of


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on (PERSEVERE_HOST).")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on (PERSEVERE_PORT).")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave the runs to `persevere worker`.")] = False,
) -> None:
    """The API, with a worker inside."""

    async def work() -> int:
        from agent_orchestrator.cli.repository import enclosing
        from agent_orchestrator.cli.server import run_server

        return await run_server(settings_of(host=host, port=port), worker=not no_worker, default_repo=enclosing(Path.cwd()))

    run_command(work)


def worker() -> None:
    """Serve runs until stopped; any number may work on one database."""

    async def work() -> int:
        import asyncio

        from agent_orchestrator.resources import open_resources

        async with open_resources(settings_of(), worker=True):
            typer.echo("Working. Ctrl-C hands over and ends.")
            await asyncio.Event().wait()
        return OK

    run_command(work)

"""`persevere serve` and `persevere worker`."""

from __future__ import annotations

import json
import signal
from types import FrameType
from typing import Annotated

import typer

from agent_orchestrator.cli.commands import OK, JsonFlag, run_command, settings_of


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on (PERSEVERE_HOST).")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on (PERSEVERE_PORT).")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Leave the runs to `persevere worker`.")] = False,
) -> None:
    """The API, with a worker inside."""
    ready = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        """While it serves the server ends itself and raises the signal again, which then means nothing more."""
        if not ready:
            raise KeyboardInterrupt

    def on_ready(url: str, sign_in: str) -> None:
        nonlocal ready
        ready = True
        typer.echo(f"Persevere listens on {url}\nSign in once within the hour: {sign_in}\nCtrl-C ends it; tasks go on at the next start.")

    async def work() -> int:
        from agent_orchestrator.server import serve as serve_until_stopped

        await serve_until_stopped(settings_of(host=host, port=port), worker=not no_worker, on_ready=on_ready)
        return OK

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, on_signal)
    run_command(work, own_signals=True)


def worker(
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Runs at once (PERSEVERE_WORKER_CONCURRENCY).")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve runs until stopped; any number may work on one database. SIGTERM or Ctrl-C hands over and ends; twice: at once."""

    async def work() -> int:
        from agent_orchestrator.cli.working import work_until_stopped

        await work_until_stopped(settings_of(worker_concurrency=concurrency), tell)
        return OK

    def tell(sentence: str, **facts: object) -> None:
        typer.echo(json.dumps(facts) if as_json else sentence)

    run_command(work, own_signals=True, as_json=as_json)

"""`persevere doctor`, `graph`, `version`, `audit` and `db`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agent_orchestrator.cli.commands import FAILED, OK, JsonFlag, run_command, settings_of

audit_app = typer.Typer(help="The record of who did and decided what.", no_args_is_help=True, rich_markup_mode=None)
db_app = typer.Typer(help="The database.", no_args_is_help=True, rich_markup_mode=None)


def doctor(as_json: JsonFlag = False) -> None:
    """Check everything that is needed, and say what to do about what is wrong."""

    async def work() -> int:
        from agent_orchestrator.cli.checks import all_checks

        bad = 0
        async for check in all_checks():
            bad += check.needed and not check.ok
            if as_json:
                typer.echo(json.dumps(check.as_json()))
            else:
                typer.echo(check.line())
        return FAILED if bad else OK

    run_command(work, as_json=as_json)


def graph(
    which: Annotated[str, typer.Argument(help="supervisor, conversation, or all.")] = "all",
    as_json: JsonFlag = False,
) -> None:
    """The graphs as Mermaid."""
    from agent_orchestrator.conversation.graph import build_conversation_graph
    from agent_orchestrator.supervisor.graph import draw_supervisor

    def draw_conversation() -> str:
        return build_conversation_graph().get_graph().draw_mermaid()

    known = {"supervisor": draw_supervisor, "conversation": draw_conversation}
    if which not in (*known, "all"):
        raise typer.BadParameter("choose supervisor, conversation or all")
    drawn = {name: draw() for name, draw in known.items() if which in (name, "all")}
    if as_json:
        typer.echo(json.dumps(drawn))
        return
    for name, text in drawn.items():
        typer.echo(f"%% {name}\n{text}" if len(drawn) > 1 else text)


def version(as_json: JsonFlag = False) -> None:
    """The version of Persevere."""
    from importlib.metadata import version as installed

    found = installed("persevere")
    typer.echo(json.dumps({"version": found}) if as_json else f"persevere {found}")


@audit_app.callback()
def _audit() -> None:
    """The record of who did and decided what."""


@audit_app.command()
def verify(as_json: JsonFlag = False) -> None:
    """Compute the hash chain of the audit log again."""

    async def work() -> int:
        from agent_orchestrator.resources import open_resources
        from shared.store import audit

        async with open_resources(settings_of(), worker=False) as resources, resources.database.connection() as connection:
            report = await audit.verify(connection)
        if as_json:
            typer.echo(json.dumps({"ok": report.ok, "entries": report.entries, "first_bad_seq": report.first_bad_seq}))
        elif report.ok:
            typer.echo(f"The audit log is whole: {report.entries} entries.")
        else:
            typer.echo(f"The audit log was changed: entry {report.first_bad_seq} does not follow from the one before it.", err=True)
        return OK if report.ok else FAILED

    run_command(work, as_json=as_json)


@db_app.callback()
def _db() -> None:
    """The database."""


@db_app.command()
def upgrade() -> None:
    """Bring the tables to this version (every start does it too)."""

    async def work() -> int:
        from agent_orchestrator.resources import open_resources

        async with open_resources(settings_of(), worker=False):
            typer.echo("The database is up to date.")
        return OK

    run_command(work)

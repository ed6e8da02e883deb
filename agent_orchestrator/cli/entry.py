"""All commands in one place. Nothing heavy is imported here: `persevere --help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from agent_orchestrator.cli import commands
from agent_orchestrator.cli.commands import approvals, chat, keys, operate, service, tasks


def build_cli() -> typer.Typer:
    cli = typer.Typer(
        name="persevere",
        help="From a chat message to a tested pull request, with a person deciding.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    cli.command("chat")(chat.chat)
    cli.command("resume")(chat.resume)
    cli.add_typer(tasks.app, name="tasks")
    cli.add_typer(approvals.app, name="approvals")
    cli.add_typer(keys.app, name="keys")
    cli.command("serve")(service.serve)
    cli.command("worker")(service.worker)
    cli.command("doctor")(operate.doctor)
    cli.command("graph")(operate.graph)
    cli.command("version")(operate.version)
    cli.add_typer(operate.audit_app, name="audit")
    cli.add_typer(operate.db_app, name="db")
    from agent_orchestrator.cli.intent import app as intent_app

    cli.add_typer(intent_app, name="intent")
    return cli


def run(argv: Sequence[str]) -> int:
    """Run one command; its exit code."""
    try:
        build_cli()(args=commands.spell_out_yes(argv), prog_name="persevere")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0

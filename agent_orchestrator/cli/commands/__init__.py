"""The commands, one file a noun. Shared here: options, running a coroutine, and how errors become exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from config.settings import Settings

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
UrlOption = Annotated[str, typer.Option("--url", envvar="PERSEVERE_URL", help="Talk to this server instead of working in this process.")]
YesOption = Annotated[str, typer.Option("--yes", metavar="[=all]", help="Approve gates up to medium risk; --yes=all approves every gate.")]
LogFlag = Annotated[bool, typer.Option("--log", help="Show every log line.")]


def spell_out_yes(argv: Sequence[str]) -> list[str]:
    """`--yes` without a value means up to medium risk."""
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    return ["--yes=medium" if word in ("--yes", "-y") and place < end else word for place, word in enumerate(words)]


def settings_of(**overrides: object) -> Settings:
    from config.settings import load_settings

    return load_settings(None, **overrides)


def run_command(
    work: Callable[[], Coroutine[Any, Any, int]], *, as_json: bool = False, resumable: bool = False, own_signals: bool = False
) -> None:
    """Run a coroutine to its exit code and end the command with it. `own_signals`: the work handles SIGTERM itself."""
    import asyncio

    from shared.errors import PersevereError, SettingsError

    try:
        code = asyncio.run(work() if own_signals else _until_signal(work))
    except KeyboardInterrupt:
        if resumable:
            typer.echo("\nInterrupted. `persevere resume` goes on where it stopped.", err=True)
        code = INTERRUPTED
    except PersevereError as error:
        show_error(error, as_json=as_json)
        code = USAGE if isinstance(error, SettingsError) else FAILED
    raise typer.Exit(code)


async def _until_signal(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """A polite end (SIGTERM, SIGHUP) is treated like Ctrl-C."""
    import asyncio
    import signal

    task = asyncio.ensure_future(work())
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGHUP"):
        try:
            loop.add_signal_handler(getattr(signal, name), stop)
        except (NotImplementedError, AttributeError):
            continue
    try:
        return await task
    except asyncio.CancelledError:
        if stopped:
            raise KeyboardInterrupt from None
        raise


def show_error(error: Any, *, as_json: bool = False) -> None:
    from agent_orchestrator.cli.render.text import clean

    if as_json:
        told = {"code": error.code, "message": error.message, "next_step": error.next_step}
        typer.echo(json.dumps({"type": "result", "task_id": None, "status": None, "branch": None, "pr_url": None, "error": told}))
        return
    typer.echo(f"error: {clean(error.message)}", err=True)
    if error.next_step:
        typer.echo(f"next:  {clean(error.next_step)}", err=True)

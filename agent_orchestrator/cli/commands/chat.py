"""`persevere chat` and `persevere resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_orchestrator.cli.commands import (
    OK,
    USAGE,
    JsonFlag,
    LogFlag,
    UrlOption,
    YesOption,
    run_command,
    settings_of,
)

if TYPE_CHECKING:
    from agent_orchestrator.cli.client import Client

RepoOption = Annotated[str | None, typer.Option("--repo", help="Folder of a git repository, or owner/name. Default: the one you are in.")]
SessionOption = Annotated[str | None, typer.Option("--session", help="Go on with this conversation.")]
BranchOption = Annotated[str | None, typer.Option("--branch", help="Start from this branch instead of the current one.")]


def chat(
    message: Annotated[str | None, typer.Argument(help="What should be done; without it a conversation starts.")] = None,
    repo: RepoOption = None,
    branch: BranchOption = None,
    session: SessionOption = None,
    yes: YesOption = "",
    as_json: JsonFlag = False,
    log: LogFlag = False,
    url: UrlOption = "",
) -> None:
    """Say what should be done; decide about the plan and the change; get a pull request."""
    _check_yes(yes)
    if message is not None and not message.strip():
        typer.echo("error: the message is empty; say what should be done.", err=True)
        raise typer.Exit(USAGE)

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.conversation import Talk
        from agent_orchestrator.cli.deciders import decider_for
        from agent_orchestrator.cli.prompt import is_interactive
        from agent_orchestrator.cli.repository import enclosing, named
        from agent_orchestrator.cli.views import view_for

        settings = settings_of()
        where = named(repo) or (None if session else enclosing(Path.cwd()))
        context = {key: value for key, value in (("repo", where), ("branch", branch)) if value}
        view = view_for(as_json=as_json, log=log)
        async with open_client(settings, url, worker=True) as client:
            if not as_json:
                await _mention_unfinished(client)
            talk = Talk(client, view, decider_for(yes, as_json=as_json), context, session, is_interactive() and not as_json)
            return await (talk.loop() if message is None else talk.once(message))

    run_command(work, as_json=as_json, resumable=True)


def resume(
    task: Annotated[str | None, typer.Argument(help="Only this task; default: all that have not ended.")] = None,
    yes: YesOption = "",
    as_json: JsonFlag = False,
    log: LogFlag = False,
    url: UrlOption = "",
) -> None:
    """Attach to what was interrupted or waits for a decision and bring it to its end."""
    _check_yes(yes)

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.conversation import last_seq, unfinished
        from agent_orchestrator.cli.deciders import decider_for
        from agent_orchestrator.cli.follow import follow_task
        from agent_orchestrator.cli.views import view_for

        view = view_for(as_json=as_json, log=log)
        code = OK
        async with open_client(settings_of(), url, worker=True) as client:
            found = [await client.get(f"/tasks/{task}")] if task else list(reversed(await unfinished(client)))
            if not found and not as_json:
                view.note("There is nothing to resume.")
            for one in found:
                if not as_json:
                    view.note(f"{one['task_id']}: {one['title']} ({one['status']})")
                seen = await last_seq(client, one["task_id"])
                code = max(code, await follow_task(client, view, decider_for(yes, as_json=as_json), one["task_id"], quiet_until=seen))
        return code

    run_command(work, as_json=as_json, resumable=True)


async def _mention_unfinished(client: Client) -> None:
    from agent_orchestrator.cli.conversation import unfinished

    waiting = await unfinished(client)
    if waiting:
        what = "1 task has" if len(waiting) == 1 else f"{len(waiting)} tasks have"
        typer.echo(f"{what} not ended: `persevere resume` goes on, `persevere tasks list` shows.", err=True)


def _check_yes(yes: str) -> None:
    if yes not in ("", "medium", "all"):
        typer.echo("error: --yes is given alone, or as --yes=all.", err=True)
        raise typer.Exit(USAGE)

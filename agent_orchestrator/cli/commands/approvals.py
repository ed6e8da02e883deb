"""`persevere approvals …`: decide from a shell what waits for a person."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agent_orchestrator.cli.commands import OK, JsonFlag, UrlOption, run_command, settings_of

app = typer.Typer(help="Look at and decide what waits for a person.", no_args_is_help=True, rich_markup_mode=None)
ApprovalArgument = Annotated[str, typer.Argument(help="The approval's id.")]
CommentOption = Annotated[str | None, typer.Option("--comment", help="Why; kept in the audit log.")]


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option("--status", help="Only approvals with this status.")] = "pending",
    as_json: JsonFlag = False,
    url: UrlOption = "",
) -> None:
    """What waits for a decision; `--status ''` lists all."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.console import open_console
        from agent_orchestrator.cli.render.tables import approval_table

        async with open_client(settings_of(), url) as client:
            page = await client.get("/approvals", status=status or None)
        for approval in page["items"] if as_json else []:
            typer.echo(json.dumps(approval, default=str))
        if not as_json:
            open_console().print(approval_table(page["items"]) if page["items"] else "Nothing waits for a decision.")
        return OK

    run_command(work, as_json=as_json)


@app.command()
def show(approval: ApprovalArgument, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """The whole question: the plan, or the change with its test evidence."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.approval import approval_panel
        from agent_orchestrator.cli.render.console import open_console

        async with open_client(settings_of(), url) as client:
            found = await client.get(f"/approvals/{approval}")
        if as_json:
            typer.echo(json.dumps(found, default=str))
        else:
            console = open_console()
            console.print(approval_panel(found))
            console.print(f"status: {found['status']}, revision {found['revision']}, sha256 {found['content_sha256']}", soft_wrap=True)
        return OK

    run_command(work, as_json=as_json)


@app.command()
def approve(approval: ApprovalArgument, comment: CommentOption = None, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """Go ahead."""
    _decide(approval, "approve", comment, as_json, url)


@app.command()
def reject(approval: ApprovalArgument, comment: CommentOption = None, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """Drop it: the task is cancelled."""
    _decide(approval, "reject", comment, as_json, url)


@app.command()
def respond(
    approval: ApprovalArgument,
    comment: Annotated[str, typer.Option("--comment", help="What should be different: a hint to try again with.")],
    as_json: JsonFlag = False,
    url: UrlOption = "",
) -> None:
    """Send a plan or a change back with what should be different."""
    _decide(approval, "respond", comment, as_json, url)


@app.command("take-over")
def take_over(approval: ApprovalArgument, comment: CommentOption = None, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """Go on with the change yourself: it is pushed to a branch, without a pull request."""
    _decide(approval, "take_over", comment, as_json, url)


def _decide(approval: str, decision: str, comment: str | None, as_json: bool, url: str) -> None:
    async def work() -> int:
        from agent_orchestrator.cli.client import open_client

        async with open_client(settings_of(), url) as client:
            found = await client.get(f"/approvals/{approval}")
            body = {"decision": decision, "revision": found["revision"], "comment": comment}
            decided = await client.post(f"/approvals/{approval}/decision", body)
        if as_json:
            typer.echo(json.dumps(decided, default=str))
        else:
            typer.echo(f"{decided['status']}. A running server or worker goes on; else: persevere resume {decided['task_id']}")
        return OK

    run_command(work, as_json=as_json)

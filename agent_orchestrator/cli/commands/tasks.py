"""`persevere tasks …`: the tasks of the service from a shell."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from agent_orchestrator.cli.commands import FAILED, OK, JsonFlag, UrlOption, run_command, settings_of

app = typer.Typer(help="List, look at, stop and retry tasks.", no_args_is_help=True, rich_markup_mode=None)
TaskArgument = Annotated[str, typer.Argument(help="The task's id.")]


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, default=str))


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option("--status", help="Only tasks with this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 20,
    as_json: JsonFlag = False,
    url: UrlOption = "",
) -> None:
    """The newest tasks."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.console import open_console
        from agent_orchestrator.cli.render.tables import task_table

        async with open_client(settings_of(), url) as client:
            page = await client.get("/tasks", limit=limit, status=status)
        for task in page["items"] if as_json else []:
            _print(task)
        if not as_json:
            open_console().print(task_table(page["items"]) if page["items"] else "There are no tasks.")
        return OK

    run_command(work, as_json=as_json)


@app.command()
def show(task: TaskArgument, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """One task: status, tests, pull request, and what it waits for."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.console import open_console
        from agent_orchestrator.cli.render.report import report_panel, waiting_lines

        async with open_client(settings_of(), url) as client:
            found = await client.get(f"/tasks/{task}")
            waits = found.get("approval_id")
            pending = [await client.get(f"/approvals/{waits}")] if waits else []
        if as_json:
            _print(found)
            return OK
        console = open_console()
        console.print(report_panel(found))
        for approval in pending:
            for line in waiting_lines(approval):
                console.print(line, soft_wrap=True)
        return OK

    run_command(work, as_json=as_json)


@app.command()
def events(
    task: TaskArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with live events until the task ends.")] = False,
    as_json: JsonFlag = False,
    url: UrlOption = "",
) -> None:
    """What happened, in order."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.cost import cost_words
        from agent_orchestrator.cli.render.text import shorten

        def line(event: dict[str, Any]) -> None:
            if as_json:
                return _print(event)
            told = event.get("message") or event.get("details") or event.get("pr_url") or event.get("final_status")
            told = told or (f"so far {cost_words(event.get('total'))}" if event["type"] == "usage" else "")
            return typer.echo(f"{event['seq']:>4} {event['timestamp'][11:19]} {event['stage']:<12} {event['type']:<18} {shorten(told, 90)}")

        async with open_client(settings_of(), url) as client:
            after = 0
            while page := (await client.get(f"/tasks/{task}/events", after=after))["items"]:
                for event in page:
                    line(event)
                after = page[-1]["seq"]
            if follow:
                async for event in client.follow(task, after):
                    line(event)
        return OK

    run_command(work, as_json=as_json)


@app.command()
def diff(task: TaskArgument, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """The whole change, in colour on a terminal."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.approval import print_diff
        from agent_orchestrator.cli.render.console import open_console

        async with open_client(settings_of(), url) as client:
            found = await client.get(f"/tasks/{task}/diff")
        if as_json:
            _print(found)
        else:
            print_diff(open_console(), str(found["diff_text"]))
        return OK

    run_command(work, as_json=as_json)


@app.command()
def cancel(task: TaskArgument, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """Stop a task. Nothing of it reaches the repository."""
    _change(task, "cancel", {}, "is being stopped", as_json, url)


@app.command()
def retry(
    task: TaskArgument,
    hint: Annotated[str | None, typer.Option("--hint", help="What should be different this time.")] = None,
    cost: Annotated[float | None, typer.Option("--cost-budget", metavar="USD", help="What it may cost in all from now on.")] = None,
    time: Annotated[float | None, typer.Option("--time-budget", metavar="SECONDS", help="How long it may work in all from now on.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="PROVIDER:NAME", help="Another model.")] = None,
    as_json: JsonFlag = False,
    url: UrlOption = "",
) -> None:
    """Try a failed task again from the stage that failed."""
    given = {"hint": hint or None, "cost_budget_usd": cost, "time_budget_s": time, "model": model or None}
    body = {name: value for name, value in given.items() if value is not None}
    _change(task, "retry", body, f"is queued again; `persevere resume {task}` follows it", as_json, url)


def _change(task: str, action: str, body: dict[str, Any], told: str, as_json: bool, url: str) -> None:
    async def work() -> int:
        from agent_orchestrator.cli.client import open_client

        async with open_client(settings_of(), url) as client:
            found = await client.post(f"/tasks/{task}/{action}", body)
        if as_json:
            _print(found)
        else:
            typer.echo(f"{task} {told} (status: {found['status']})")
        return OK if found["status"] != "failed" else FAILED

    run_command(work, as_json=as_json)

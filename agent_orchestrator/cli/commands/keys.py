"""`persevere keys …`: your own keys of models. A key is typed or piped in, never an argument: others see arguments."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from agent_orchestrator.cli.commands import OK, USAGE, JsonFlag, UrlOption, run_command, settings_of

app = typer.Typer(
    help="Your own keys of models; tasks of yours use them in place of the server's.", no_args_is_help=True, rich_markup_mode=None
)
ProviderArgument = Annotated[str, typer.Argument(help="openai, anthropic, google_genai or openai-compatible.")]


@app.command("list")
def list_(as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """The keys you have stored, by their last four characters."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client
        from agent_orchestrator.cli.render.console import open_console
        from agent_orchestrator.cli.render.tables import key_table

        async with open_client(settings_of(), url) as client:
            page = await client.get("/model-keys")
        for key in page["items"] if as_json else []:
            typer.echo(json.dumps(key, default=str))
        if not as_json:
            open_console().print(key_table(page["items"]) if page["items"] else "You have stored no keys.")
        return OK

    run_command(work, as_json=as_json)


@app.command("set")
def set_(
    provider: ProviderArgument,
    name: Annotated[str, typer.Option("--name", help="A name for people.")] = "",
    as_json: JsonFlag = False,
    url: UrlOption = "",
) -> None:
    """Store or replace your key; it is asked for without being shown, or read from the standard input."""
    key = typer.prompt(f"key for {provider}", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline(5000)
    if not key.strip():
        typer.echo("error: No key was given.\nnext:  Type it at the prompt, or pipe it in.", err=True)
        raise typer.Exit(USAGE)

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client

        async with open_client(settings_of(), url) as client:
            stored = await client.put(f"/model-keys/{_part(provider)}", {"key": key.strip(), "name": name})
        if as_json:
            typer.echo(json.dumps(stored, default=str))
        else:
            typer.echo(f"Your key for {stored['provider']} that ends with {stored['last_four']} is stored.")
        return OK

    run_command(work, as_json=as_json)


@app.command()
def remove(provider: ProviderArgument, as_json: JsonFlag = False, url: UrlOption = "") -> None:
    """Remove your key. A running task that uses it fails at its next call."""

    async def work() -> int:
        from agent_orchestrator.cli.client import open_client

        async with open_client(settings_of(), url) as client:
            await client.delete(f"/model-keys/{_part(provider)}")
        typer.echo(json.dumps({"removed": provider}) if as_json else f"Your key for {provider} is removed.")
        return OK

    run_command(work, as_json=as_json)


def _part(text: str) -> str:
    """As one part of an address."""
    from urllib.parse import quote

    return quote(text, safe="") or "-"

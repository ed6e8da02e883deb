"""`persevere intent`: how well messages are understood."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.errors import PersevereError

app = typer.Typer(help="How well messages are understood.", no_args_is_help=True)


@app.callback()
def intent() -> None:
    """How well messages are understood."""


@app.command("eval")
def evaluate(
    file: Annotated[Path, typer.Argument(help="Labelled messages as JSON lines.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="Also one row a message.")] = False,
) -> None:
    """Measure the recogniser on a file of labelled messages."""
    import asyncio

    from shared.intent.evaluate import load_rows, measure, row_report, run

    start = time.perf_counter()
    from shared.intent.rules import RulesRecogniser

    recogniser = RulesRecogniser()
    load_ms = (time.perf_counter() - start) * 1000
    try:
        outcomes = asyncio.run(run(recogniser, load_rows(file)))
    except PersevereError as error:
        typer.echo(f"{error.message}. {error.next_step}".strip(), err=True)
        raise typer.Exit(2) from None
    figures = measure(outcomes, load_ms)
    reports = [row_report(outcome) for outcome in outcomes] if rows else None
    if as_json:
        typer.echo(json.dumps(figures | ({"rows": reports} if reports is not None else {}), ensure_ascii=False))
        return
    _show(figures, len(outcomes))
    for report in reports or ():
        typer.echo(json.dumps(report, ensure_ascii=False))


def _show(figures: dict[str, Any], count: int) -> None:
    typer.echo(f"{'messages':<20} {count}")
    for name in ("intent_accuracy", "intent_macro_f1", "task_type_accuracy", "clarification_f1", "false_approvals"):
        value = figures[name]
        typer.echo(f"{name:<20} {'no labels' if value is None else value}")
    typer.echo(
        f"{'time a message':<20} p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms, loaded in {figures['load_ms']:.0f} ms"
    )
    for name, scores in figures["per_class"].items():
        typer.echo(f"  {name:<18} precision {scores['precision']:.2f}  recall {scores['recall']:.2f}  of {scores['support']}")

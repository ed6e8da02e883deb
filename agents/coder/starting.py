"""Where a piece of work begins, and what its maker is told about that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.coder.state import CoderState
from agents.context import TaskContext
from agents.loop.patch import DRAFT, load_patch
from agents.loop.prompts import load_prompt
from agents.loop.secrets import blocking_secrets
from agents.loop.text import cut
from shared.errors import NotFoundError
from shared.types import Json, Plan, PlanStep, TestResults, sha256_hex

HERE = Path(__file__).parent
OUTPUT = "test-output.txt"
_OUTPUT_LIMIT = 8_000
_FAILURES = 20


@dataclass(frozen=True)
class Start:
    """`patch`: what the workspace begins with, besides the base commit."""

    why: Literal["afresh", "answer", "wider", "red", "review", "secret", "comment"]
    patch: bytes = b""


def planned(state: CoderState) -> Plan:
    """The approved plan. Where a model goes on with a recipe's change, the files of that belong to it."""
    plan = Plan.model_validate(state["plan"])
    if plan.recipe is None:
        return plan
    named = {path for step in plan.steps for path in step.files}
    touched = sorted(set(state.get("diff_stats", {}).get("paths", [])) - named)
    more = [PlanStep(id=str(len(plan.steps) + 1), title="What the recipe changed besides", files=touched)] if touched else []
    return plan.model_copy(update={"recipe": None, "steps": [*plan.steps, *more]})


async def find_start(context: TaskContext, state: CoderState, plan: Plan) -> Start:
    files = {path for step in plan.steps for path in step.files}
    if not files:
        return Start("answer")
    if state.get("draft_sha256") is not None:
        return Start("wider", await load_patch(context, state["base_commit"], state["draft_sha256"], DRAFT))
    if state.get("patch_sha256") is None:
        return Start("afresh")
    patch = await load_patch(context, state["base_commit"], state["patch_sha256"])
    if state.get("feedback"):
        return Start("comment", patch)
    if blocking_secrets(state):
        return Start("secret", patch)
    if _blockers(state) and not state.get("revised"):
        return Start("review", patch)
    return Start("red" if state.get("test_results") else "comment", patch)


def _blockers(state: CoderState) -> list[Json]:
    """What the review of the change as it is now found."""
    review = state.get("review") or {}
    of_this = review.get("of") == state.get("patch_sha256")
    return [comment for comment in review.get("comments", []) if comment["severity"] == "blocker"] if of_this else []


def begins_with(context: TaskContext, state: CoderState, start: Start) -> Json:
    """What tells this piece of work from others of the task."""
    about: Json = {"agent": "coder", "why": start.why, "start": sha256_hex(start.patch), "isolated": context.isolated}
    return about | {name: state.get(name) for name in ("base_commit", "plan", "feedback", "repairs", "test_results", "review")}


async def why(context: TaskContext, state: CoderState, start: Start) -> str:
    """What the maker must know about the state of the checkout."""
    match start.why:
        case "wider":
            return "A person approved the wider plan. What you did so far is in the checkout: go on."
        case "comment":
            said = "Your change so far is in the checkout. The person did not accept it as it is: do what they say, and keep what is right."
            return "\n\n".join(part for part in (said, _secret(state), await _red(context, state)) if part)
        case "secret":
            return _secret(state)
        case "red":
            recipe = (state["plan"].get("recipe") or {}).get("name")
            lead = f"The change was begun by the recipe {recipe}; you go on with it.\n\n" if recipe else ""
            return lead + await _red(context, state)
        case "review":
            return load_prompt(HERE, "review", comments="\n".join(_worded(comment) for comment in _blockers(state)[:20]))
        case _:
            return ""


def _secret(state: CoderState) -> str:
    found = blocking_secrets(state)
    return load_prompt(HERE, "secret", places="\n".join(f"- {finding}" for finding in found[:20])) if found else ""


def _worded(comment: Json) -> str:
    suggested = f"\n  Suggested:\n{cut(comment['suggestion'], 1500)}" if comment.get("suggestion") else ""
    return f"- {comment['file']}:{comment['line']}: {cut(comment['comment'], 1500)}{suggested}"


async def _red(context: TaskContext, state: CoderState) -> str:
    results = _results(state)
    if results is None or not (results.newly_failing or results.verdict == "failed"):
        return ""
    return load_prompt(HERE, "red", failures=_failures(results), output=await _output(context, results))


def _results(state: CoderState) -> TestResults | None:
    raw = state.get("test_results")
    return TestResults.model_validate(raw) if raw else None


def _failures(results: TestResults) -> str:
    messages = {failure.name: failure.message for failure in results.failures}
    names = results.newly_failing or list(messages)
    lines = [f"- {name}: {cut(messages.get(name, ''), 600)}" for name in names[:_FAILURES]]
    return "\n".join(lines) or results.reason or "the test run failed"


async def _output(context: TaskContext, results: TestResults) -> str:
    """Around the first mention of each failing test, else the end."""
    try:
        text = (await context.journal.load_artifact(OUTPUT)).decode("utf-8", "replace")
    except NotFoundError:
        return "(none was kept)"
    if len(text) <= _OUTPUT_LIMIT:
        return text
    parts, each = [], _OUTPUT_LIMIT // 2 // max(1, min(len(results.newly_failing), 4))
    for name in results.newly_failing[:4]:
        short = re.split(r"[:./\s]+", name.strip())[-1]
        at = text.find(short)
        if at >= 0:
            parts.append(text[max(0, at - each // 4) : at + each * 3 // 4])
    return "\n[...]\n".join([*parts, text[-_OUTPUT_LIMIT // 2 :]])

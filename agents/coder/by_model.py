"""Lets a model make the change of an approved plan, or answer the question of a plan without files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from langchain_core.messages import AnyMessage, HumanMessage

from agents.coder.commands import Commands, find_links, left_the_plan
from agents.coder.editor import Editor
from agents.coder.scope import PlanScope
from agents.coder.starting import Start, begins_with, find_start, planned, why
from agents.coder.state import CoderState
from agents.context import Equipment, OpenWorkspace, TaskContext
from agents.loop.agent import LoopEnd, LoopLimits, run_loop
from agents.loop.briefing import contributors_notes
from agents.loop.changes import left_by
from agents.loop.listening import heard
from agents.loop.patch import DRAFT, keep_patch, patch_digest
from agents.loop.prompts import load_prompt
from agents.loop.reading import Reader
from agents.loop.steps import Steps, Stopping, never, open_steps
from agents.loop.text import cut, one_line
from shared.errors import TaskFailedError
from shared.forge.port import Diff
from shared.types import Json, Plan, PlanStep, Stage, TaskStatus

HERE = Path(__file__).parent
REQUEST_LIMIT = 20_000
LIMITS = LoopLimits(model_calls=80, tool_calls=200)
_AFRESH: CoderState = {"feedback": None, "widened": None, "draft_sha256": None}
_DETAILS = {
    "red": "repairing what the tests found",
    "review": "looking at what the review found",
    "secret": "taking out what looks like a secret",
    "answer": "answering",
}
_REPAIRS = ("red", "review", "secret")
_GIVEN_UP = frozenset({"model_refused", "model_loops", "model_unusable", "model_steps", "model_changed_nothing"})
"""How a repair may end that leaves the change as it was: a person is asked about it."""
_SAID = "What the model says about its change: "


async def work(context: TaskContext, state: CoderState, stopping: Stopping = never) -> CoderState:
    """One piece of work: from the base commit, from what was kept when the plan was too narrow, or from a change that was not good.

    After an interruption it goes on behind the last step that was kept. `stopping`: whether to let go between two steps.
    """
    assert context.models is not None
    start = await find_start(context, state, planned(state))
    details = _DETAILS.get(start.why, "working")
    await context.journal.update(Stage.CODING, TaskStatus.CODING, details=f"{details} with {context.models.name}")
    try:
        async with open_steps(context, begins_with(context, state, start), stopping) as steps:
            return await _work(context, state, start, steps)
    except TaskFailedError as error:
        if start.why not in _REPAIRS or error.code not in _GIVEN_UP:
            raise
        return _gave_up(state, start, error)


async def _work(context: TaskContext, state: CoderState, start: Start, steps: Steps) -> CoderState:
    plan = planned(state)
    patch, files = left_by(steps.kept, start.patch)
    equipment = await _equip(context, plan)
    async with context.workspaces.open("code", patch, readable=equipment.readable) as workspace:
        piece = await _open(context, workspace, plan, steps, equipment)
        if not steps.kept and start.patch and (theirs := piece.scope.outside((before := await workspace.diff()).stats.get("paths", []))):
            # A person edited the change and put these files in: what follows needs a plan that has them.
            return await _widened(context, state, plan, {"files": theirs, "reason": "the change has them already"}, before)
        await piece.editor.restore(files)
        end = await _run(context, state, piece, start)
        await piece.commands.check_dependencies()
        diff = await workspace.diff()
        ignored = await _ignored(workspace, piece.scope, diff)
    if not piece.scope.files:
        return await _answered(context, end, diff)
    if outside := piece.scope.outside(diff.stats.get("paths", [])):
        raise left_the_plan(outside)
    if wanted := piece.editor.wanted:
        return await _widened(context, state, plan, wanted, diff)
    return await _changed(context, state, start, end, diff, ignored)


@dataclass(frozen=True)
class _Piece:
    reader: Reader
    editor: Editor
    commands: Commands
    scope: PlanScope
    steps: Steps
    tests: str
    """How the tests are run, in a sentence; empty when nobody looked."""


async def _equip(context: TaskContext, plan: Plan) -> Equipment:
    """The test environment, for work that may run commands."""
    changes = any(step.files for step in plan.steps)
    return await context.equip(context) if context.equip is not None and context.isolated and changes else Equipment()


async def _open(context: TaskContext, workspace: OpenWorkspace, plan: Plan, steps: Steps, equipment: Equipment) -> _Piece:
    scope = PlanScope(plan, tuple(context.config.never_touch), await find_links(workspace))
    reader = Reader(workspace)
    reader.made |= {path for path in scope.files if path not in scope.links and await workspace.exists(path)}
    editor = Editor(workspace, reader, scope, steps.changes)
    commands = Commands(context, workspace, scope, steps.changes, equipment.variables(str(workspace.sandbox.root)))
    return _Piece(reader, editor, commands, scope, steps, equipment.said)


async def _run(context: TaskContext, state: CoderState, piece: _Piece, start: Start) -> LoopEnd:
    shown = _shown(piece.scope.plan)
    tools = piece.reader.tools()
    if piece.scope.files:
        tools += piece.editor.tools() + (piece.commands.tools() if context.isolated else [])
        runs = "run_command runs commands, also the tests; it has no network, and what it changes outside the plan is undone."
        runs = f"{runs} {piece.tests}".strip()
        none = "You cannot run commands here; the tests are run when you are done."
        files = ", ".join(sorted(piece.scope.files))
        system = load_prompt(HERE, "system", plan=shown, files=files, commands=runs if context.isolated else none)
    else:
        system = load_prompt(HERE, "answer", plan=shown)
    messages = piece.steps.opening or await _begin(context, state, piece, start)
    return await run_loop(context, steps=piece.steps, tools=tools, system=system, messages=messages, limits=LIMITS)


async def _begin(context: TaskContext, state: CoderState, piece: _Piece, start: Start) -> list[AnyMessage]:
    remarks = await context.remarks.all() if context.remarks is not None else []
    request = load_prompt(
        HERE,
        "work",
        request=cut(context.task.prompt, REQUEST_LIMIT),
        comments="\n".join(f"The person says: {text}" for text in _comments(context, state, remarks)),
        state=await why(context, state, start),
        notes=await contributors_notes(piece.reader),
    )
    return piece.steps.begin([HumanMessage(request)], heard(context, remarks))


def _comments(context: TaskContext, state: CoderState, remarks: list[str]) -> list[str]:
    words = (context.task.request.get("hint"), *remarks, state.get("feedback"))
    return list(dict.fromkeys(text for text in words if text))


def _shown(plan: Plan) -> str:
    lines = [plan.summary]
    for step in plan.steps:
        files = f" [{', '.join(step.files)}]" if step.files else ""
        lines.append(f"{step.id}. {step.title}{files}" + (f"\n   {step.detail}" if step.detail else ""))
    for name, items in (("Done when", plan.acceptance_criteria), ("Tests", plan.tests), ("Risks", plan.risks)):
        lines += [f"{name}: {item}" for item in items]
    return "\n".join(lines)


async def _answered(context: TaskContext, end: LoopEnd, diff: Diff) -> CoderState:
    if not diff.is_empty:
        raise left_the_plan(list(diff.stats.get("paths", [])))
    if not end.text:
        raise TaskFailedError("The model gave no answer.", "Retry the task, or set another model.", code="model_unusable")
    await context.journal.save_artifact("report.md", end.text.encode(), "text/markdown")
    return {**_AFRESH, "patch_sha256": None, "answer": end.text, "notes": []}


async def _widened(context: TaskContext, state: CoderState, plan: Plan, wanted: Json, diff: Diff) -> CoderState:
    """The plan with what the model asks for besides, and the work so far; a person decides before it goes on."""
    step = PlanStep(id=str(len(plan.steps) + 1), title=one_line(wanted["reason"], 300), files=wanted["files"])
    wider = plan.model_copy(update={"steps": [*plan.steps, step]})
    return {
        **_AFRESH,
        # Nothing was done about the comment yet, or not all.
        "feedback": state.get("feedback"),
        "plan": wider.model_dump(mode="json"),
        "widened": wanted,
        "draft_sha256": await keep_patch(context, diff.base_commit, diff.patch, DRAFT),
        "patch_sha256": None,
        "test_results": None,
    }


async def _ignored(workspace: OpenWorkspace, scope: PlanScope, diff: Diff) -> str:
    """A sentence about files of the plan that were made but are no part of the change; empty when there are none."""
    known = {*await workspace.files(), *diff.stats.get("paths", [])}
    made = [path for path in sorted(scope.files - known) if path not in scope.links and await workspace.exists(path)]
    return f"Made, but no part of the change, because the repository's git ignores it: {', '.join(made)}." if made else ""


async def _changed(context: TaskContext, state: CoderState, start: Start, end: LoopEnd, diff: Diff, ignored: str) -> CoderState:
    if diff.is_empty:
        said = (f" {ignored}" if ignored else "") + (f" It says: {one_line(end.text, 400)}" if end.text else "")
        raise TaskFailedError(
            f"The model changed nothing.{said}",
            "Retry with a hint (`persevere tasks retry TASK --hint ...`).",
            code="model_changed_nothing",
        )
    digest = patch_digest(diff.base_commit, diff.patch)
    if digest in state.get("rejected", []):
        # Here, not where it would be asked about again: a retry with a hint comes back to this work.
        raise _turned_down(end)
    await keep_patch(context, diff.base_commit, diff.patch)
    update: CoderState = {**_AFRESH, **_counted(state, start), "patch_sha256": digest, "diff_stats": diff.stats, "answer": None}
    told = f"{_SAID}{one_line(end.text, 1500)}" if end.text else ""
    update["notes"] = [*_kept_notes(state, start), *filter(None, (ignored, told))]
    if start.why not in _REPAIRS or digest != state.get("patch_sha256"):
        # A repair that changed nothing leaves the results: they are what a person is asked about next.
        update["test_results"] = None
    return update


def _turned_down(end: LoopEnd) -> TaskFailedError:
    said = f" It says: {one_line(end.text, 400)}" if end.text else ""
    return TaskFailedError(
        f"The same change came out again although it was turned down, so there is nothing new to decide.{said}",
        "Retry with a hint that says what should be different (`persevere tasks retry TASK --hint ...`), or go on by hand: "
        "`persevere tasks diff TASK` prints the change.",
        code="same_content_again",
    )


def _gave_up(state: CoderState, start: Start, error: TaskFailedError) -> CoderState:
    """The change stays as it was before the repair, and what the tests said of it."""
    return {
        **_AFRESH,
        **_counted(state, start),
        "notes": [*_kept_notes(state, start), f"The repair ended without a result: {error.message}"],
    }


def _counted(state: CoderState, start: Start) -> CoderState:
    repairs = state.get("repairs", 0) + 1 if start.why in _REPAIRS else 0
    revised = start.why == "review" or (start.why in ("red", "wider", "secret") and state.get("revised", False))
    rounds = state.get("secret_rounds", 0) + 1 if start.why == "secret" else 0
    return {"repairs": repairs, "revised": revised, "secret_rounds": rounds}


def _kept_notes(state: CoderState, start: Start) -> list[str]:
    """What is still true of a change that is only repaired."""
    return [note for note in state.get("notes") or [] if not note.startswith(_SAID)] if start.why in _REPAIRS else []

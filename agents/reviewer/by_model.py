"""Asks a model for a review: it reads with read-only tools and answers typed comments, each checked for its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.messages import AnyMessage, HumanMessage

from agents.context import OpenWorkspace, TaskContext
from agents.loop.agent import LoopEnd, LoopLimits, run_loop, said
from agents.loop.briefing import contributors_notes, quoted
from agents.loop.listening import heard
from agents.loop.prompts import load_prompt
from agents.loop.reading import Reader
from agents.loop.steps import Steps, Stopping, never, open_steps
from agents.loop.text import cut
from agents.reviewer.changes import FileChange, read_changes, shown
from agents.reviewer.draft import DraftReview, Places, sort_out, to_review
from agents.reviewer.state import ReviewerState
from agents.reviewer.subject import Subject, find_subject, open_subject
from shared.errors import InvalidRequestError, TaskFailedError
from shared.types import Json, Plan, Stage, TestResults, sha256_hex

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

HERE = Path(__file__).parent
REQUEST_LIMIT = 8_000
REPAIRS = 1
LIMITS = LoopLimits(model_calls=40, tool_calls=100)


async def ask_for_review(context: TaskContext, state: ReviewerState, stopping: Stopping = never) -> Json:
    """The review. TaskFailedError `review_invalid` when it is still malformed after one repair."""
    assert context.models is not None
    await context.journal.update(Stage.REVIEW, details=f"reviewing with {context.models.name}")
    subject = await find_subject(context, state)
    changes = read_changes(subject.patch)
    about: Json = {"agent": "reviewer", "of": subject.of, "subject": subject.title, "patch": sha256_hex(subject.patch)}
    about |= {name: state.get(name) for name in ("plan", "test_results", "answer")}
    async with open_steps(context, about, stopping) as steps, open_subject(context, subject) as workspace:
        reader = await _reader(workspace, changes)
        messages = steps.opening or await _begin(context, state, _Seen(subject, changes, reader), steps)
        review = await _Asking(context, reader, changes, steps).ask(messages)
    return {"of": subject.of, "subject": subject.title, "by": context.models.name, **review}


async def _begin(context: TaskContext, state: ReviewerState, seen: _Seen, steps: Steps) -> list[AnyMessage]:
    remarks = await context.remarks.all() if context.remarks is not None else []
    return steps.begin([HumanMessage(await _request(context, state, seen, remarks))], heard(context, remarks))


async def _reader(workspace: OpenWorkspace, changes: dict[str, FileChange]) -> Reader:
    reader = Reader(workspace)
    for path, change in changes.items():
        if change.kind != "removed" and await _is_there(workspace, path):
            reader.made.add(path)
    return reader


async def _is_there(workspace: OpenWorkspace, path: str) -> bool:
    try:
        return await workspace.exists(path)
    except InvalidRequestError:
        return False


@dataclass
class _Asking:
    """Ask, and let what is wrong be repaired once; after that a comment without a place is left out, and anything else fails."""

    context: TaskContext
    reader: Reader
    changes: dict[str, FileChange]
    steps: Steps
    left: int = field(default=REPAIRS)

    async def ask(self, messages: list[AnyMessage]) -> Json:
        from langchain.agents.structured_output import ToolStrategy

        places = Places(self.reader, self.changes)
        while True:
            end: LoopEnd = await run_loop(
                self.context,
                steps=self.steps,
                tools=self._tools(),
                system=load_prompt(HERE, "system"),
                messages=messages,
                tell=_tell,
                answer=ToolStrategy(DraftReview, handle_errors=self._malformed),
                limits=LIMITS,
            )
            if end.structured is None:
                problem = self._repair("the answer was no review: it did not use the tool for one.")
            else:
                kept, wrong = await sort_out(end.structured, places)
                if not wrong or self.left <= 0:
                    return to_review(end.structured, kept, left_out=len(wrong))
                problem = self._repair(" ".join(dict.fromkeys(wrong))[:1500])
            messages = [*end.messages, HumanMessage(problem)]

    def _malformed(self, error: Exception) -> str:
        return self._repair(" ".join(str(error).split())[:1000])

    def _repair(self, problem: str) -> str:
        if self.left <= 0:
            raise TaskFailedError(
                f"The model's review is still not usable after a second try: {cut(problem, 400)}",
                "Retry the task, or set another model.",
                code="review_invalid",
            )
        self.left -= 1
        return load_prompt(HERE, "repair", problem=problem)

    async def show_change(self, path: str) -> str:
        """Show what the change does to one file, with line numbers."""
        change = self.changes.get(path.strip().removeprefix("./"))
        if change is None:
            raise InvalidRequestError(f"{path} is not part of the change.", f"Its files: {', '.join(list(self.changes)[:100]) or 'none'}.")
        return change.shown()

    def _tools(self) -> list[BaseTool]:
        from langchain_core.tools import StructuredTool

        more = [StructuredTool.from_function(coroutine=self.show_change)] if self.changes else []
        return [*self.reader.tools(), *more]


def _tell(calls: list[Json]) -> str:
    return said([call for call in calls if call["name"] != DraftReview.__name__])


@dataclass(frozen=True)
class _Seen:
    subject: Subject
    changes: dict[str, FileChange]
    reader: Reader


async def _request(context: TaskContext, state: ReviewerState, seen: _Seen, remarks: list[str]) -> str:
    words = (context.task.request.get("hint"), *remarks)
    own = state.get("patch_sha256") is not None
    change = quoted("the change, each line with its number", shown(seen.changes)) if seen.changes else "There is no diff: read the files."
    return load_prompt(
        HERE,
        "request",
        request=cut(context.task.prompt, REQUEST_LIMIT),
        comments="\n".join(f"The person says: {text}" for text in dict.fromkeys(word for word in words if word)),
        subject=seen.subject.title,
        plan=quoted("the plan", _plan(Plan.model_validate(state["plan"]))) if own and state.get("plan") else "",
        evidence=_evidence(state),
        change=change,
        notes=await contributors_notes(seen.reader),
    )


def _plan(plan: Plan) -> str:
    lines = [plan.summary, *(f"{step.id}. {step.title} {step.detail}".rstrip() for step in plan.steps)]
    return "\n".join([*lines, *(f"Done when: {line}" for line in plan.acceptance_criteria)])


def _evidence(state: ReviewerState) -> str:
    """What is known already, as information: the tests, or static analysis."""
    if state.get("patch_sha256") is None:
        return quoted("findings of static analysis", cut(str(state["answer"]), 12_000)) if state.get("answer") else ""
    if not (raw := state.get("test_results")):
        return "The tests have not run yet."
    results = TestResults.model_validate(raw)
    counted = f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped"
    return f"The repository's tests: {results.verdict} ({counted}). {results.reason}".strip()

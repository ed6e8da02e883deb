"""Makes a review and tells it. It decides nothing: where it accompanies a change, the work goes on without it too."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agents.context import TaskContext
from agents.reviewer.state import ReviewerState
from agents.reviewer.wording import counted, report
from shared.errors import TaskFailedError
from shared.models.port import BudgetReached
from shared.types import Json, Stage, canonical_json


async def make_review(state: ReviewerState, runtime: Runtime[TaskContext]) -> ReviewerState:
    from agents.reviewer.by_model import ask_for_review

    context = runtime.context
    try:
        return {"review": await ask_for_review(context, state, lambda: runtime.drain_requested)}
    except BudgetReached:
        raise
    except TaskFailedError as error:
        if (digest := state.get("patch_sha256")) is None or error.code == "patch_mismatch":
            raise
        return {"review": _none(digest, context, error)}


async def tell_review(state: ReviewerState, runtime: Runtime[TaskContext]) -> ReviewerState:
    """A step of its own: however often the review was gone on with, it is told once."""
    context, review = runtime.context, state["review"]
    assert review is not None
    text = report(review, state.get("answer"))
    await context.journal.save_artifact("review.json", canonical_json(review), "application/json")
    is_result = state.get("patch_sha256") is None
    await context.journal.save_artifact("report.md" if is_result else "review.md", text.encode(), "text/markdown")
    if review["verdict"] == "none":
        await context.journal.log(Stage.REVIEW, review["summary"], "warning")
    await context.journal.update(Stage.REVIEW, details=f"review: {counted(review)}", events=[("review_ready", {"review": review})])
    if context.steps is not None:
        await context.steps.forget()
    return {"answer": text} if is_result else {}


def _none(of: str, context: TaskContext, error: TaskFailedError) -> Json:
    """What stands in the place of a review that could not be made."""
    assert context.models is not None
    summary = f"The change was not reviewed by a model: {error.message}"
    about = {"of": of, "subject": "the change made for this request", "by": context.models.name}
    return {**about, "verdict": "none", "summary": summary, "comments": [], "left_out": 0}

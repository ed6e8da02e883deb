"""The tester's steps: detect, prepare the environment, run the change, run the base commit if needed, judge."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agents.context import TaskContext
from agents.loop.patch import load_patch
from agents.tester.compare import compare
from agents.tester.evidence import inspect_patch
from agents.tester.session import Prepared, TestSession
from agents.tester.state import TesterState
from agents.tester.values import RunReport, TestSetup
from shared.types import Stage, TaskStatus, TestResults

OUTPUT = "test-output.txt"
_OUTPUT_LIMIT = 2_000_000


async def detect_tests(state: TesterState, runtime: Runtime[TaskContext]) -> TesterState:
    """How the change is tested, read from the changed files."""
    context = runtime.context
    await context.journal.update(Stage.TESTING, TaskStatus.TESTING, details="finding out how the repository is tested")
    patch = await _load_patch(state, context)
    setup = await TestSession(context).detect("test", patch)
    if setup is not None:
        await context.journal.log(Stage.TESTING, "tests: " + ", ".join(command.text for command in setup.commands)[:500])
    return {
        "test_setup": setup.model_dump(mode="json") if setup is not None else None,
        "test_notes": inspect_patch(patch),
        "change_run": None,
        "base_run": None,
    }


async def prepare_environment(state: TesterState, runtime: Runtime[TaskContext]) -> TesterState:
    """Install what the tests need, once for all tasks with the same needs."""
    prepared = await TestSession(runtime.context).prepare(TestSetup.model_validate(state["test_setup"]))
    return {"test_environment": prepared.model_dump(mode="json")}


async def run_change(state: TesterState, runtime: Runtime[TaskContext]) -> TesterState:
    context = runtime.context
    prepared = Prepared.model_validate(state["test_environment"])
    report, output = await TestSession(context).run("test", await _load_patch(state, context), prepared)
    await _save_output(context, OUTPUT, output)
    return {"change_run": report.model_dump(mode="json")}


def needs_base(state: TesterState) -> bool:
    """Whether old failures must be told from new ones: only for a change, and only when it is not green or not wholly run."""
    run = RunReport.model_validate(state["change_run"])
    return state.get("patch_sha256") is not None and not run.error and (run.outcome in ("red", "broken") or bool(run.not_run))


async def run_base(state: TesterState, runtime: Runtime[TaskContext]) -> TesterState:
    """The same on the base commit, by the base commit's own settings."""
    context, change = runtime.context, RunReport.model_validate(state["change_run"])
    session = TestSession(context)
    setup = await session.detect("base", b"")
    if setup is None:
        return {"base_run": RunReport().model_dump(mode="json")}
    if change.outcome not in ("red", "broken") and _same_needs(setup, TestSetup.model_validate(state["test_setup"])):
        return {"base_run": None}
    await context.journal.log(Stage.TESTING, "tests failed; comparing with the base commit")
    report, output = await session.run("base", b"", await session.prepare(setup))
    await _save_output(context, "test-output-base.txt", output)
    return {"base_run": report.model_dump(mode="json")}


def _same_needs(one: TestSetup, other: TestSetup) -> bool:
    """What could not be installed for the one cannot be installed for the other."""
    return (one.python, one.node, one.setup) == (other.python, other.node, other.setup)


async def judge(state: TesterState, runtime: Runtime[TaskContext]) -> TesterState:
    """Compare, and put the results on the task."""
    change, base = state.get("change_run"), state.get("base_run")
    results = compare(
        RunReport.model_validate(change) if change is not None else None,
        RunReport.model_validate(base) if base is not None else None,
        state.get("test_notes", []),
    )
    if state.get("patch_sha256") is None and results.verdict == "failed":
        results = results.model_copy(update={"failing_before": results.newly_failing, "newly_failing": [], "reason": ""})
    dumped = results.model_dump(mode="json")
    await runtime.context.journal.update(
        Stage.TESTING, test_results=dumped, details=_details(results), events=[("test_results", {"results": dumped})]
    )
    return {"test_results": dumped}


def _details(results: TestResults) -> str:
    counts = f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped in {results.duration_s:.1f} s"
    return f"tests {results.verdict}: {counts}" + (f". {results.reason}" if results.reason else "")


async def _load_patch(state: TesterState, context: TaskContext) -> bytes:
    """The saved patch, checked against the hash that the coder left."""
    expected = state.get("patch_sha256")
    if expected is None:
        return b""
    return await load_patch(context, state["base_commit"], expected)


async def _save_output(context: TaskContext, name: str, output: str) -> None:
    await context.journal.save_artifact(name, output[-_OUTPUT_LIMIT:].encode("utf-8", "replace"))

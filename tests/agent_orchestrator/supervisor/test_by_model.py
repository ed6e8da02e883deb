"""A task that no recipe can do, from its words to its pull request, with a scripted model on a real repository."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

from langchain_core.messages import AIMessage

from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskService
from shared.events import store as events_store
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agents.scripted_model import Free, call, plan, say, script

PROMPT = "Make load_conf strip white space"


async def test_plan_work_repair_and_pull_request(working: Resources, repository: Path) -> None:
    working.models = model = script(
        call("search", pattern="def load_conf"),
        plan("Strip white space in load_conf", "app.py", tests=["python -m unittest"]),
        call("read_file", path="app.py"),
        call("edit_file", path="app.py", old="    return path.upper()\n", new="    return path.strip()\n"),
        say("load_conf strips now."),
        call("edit_file", path="app.py", old="path.strip()", new="path.strip().upper()"),
        say("It keeps the upper case again."),
    )
    task = await submit(working, repository, PROMPT, "refactor")
    done, asked = await approve_all(working, task.id)
    assert (done.status, done.outcome, done.error) == (TaskStatus.COMPLETED, "pull_request", None)
    assert [approval.gate.value for approval in asked] == ["plan", "diff"]
    assert "path.strip().upper()" in git(repository, "show", f"{done.branch}:app.py")
    assert done.test_results is not None
    assert done.test_results.verdict == "passed"
    told = await _told(working, task.id)
    assert told.count("plan_ready") == 1
    assert told.count("diff_ready") == 2
    assert told.count("test_results") == 2
    repair = str(model.seen[5][-1].content)
    assert "test_load" in repair
    assert "'a' != 'A'" in repair


async def _told(resources: Resources, task_id: str) -> list[str]:
    async with resources.database.connection() as connection:
        return [event.type for event in await events_store.read(connection, task_id)]


READ = call("read_file", path="app.py")
PLAN = plan("Strip white space in load_conf", "app.py")


def edit(new: str, old: str = "path.upper()") -> AIMessage:
    return call("edit_file", path="app.py", old=old, new=new)


async def test_without_a_model_it_says_so_and_a_retry_after_setting_one_carries_on(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, PROMPT, "refactor")
    failed = await ended(working, task.id)
    assert failed.error is not None
    assert failed.error.code == "model_required"
    working.models = script(PLAN, edit("path.strip().upper()"), say("Done."))
    await TaskService(working).retry(task.id, "local")
    done, _ = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request"), done.error


async def test_a_plan_goes_back_with_the_comment(working: Resources, repository: Path) -> None:
    working.models = model = script(PLAN, plan("Strip and test it", "app.py", "test_app.py"), edit("path.strip().upper()"), say("Done."))
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "respond", comment="add a test too")
    second = await waiting(working, task.id)
    assert (second.revision, second.subject["steps"][0]["files"]) == (2, ["app.py", "test_app.py"])
    assert "add a test too" in str(model.seen[1][-1].content)
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request"


async def test_the_same_rejected_plan_again_ends_with_an_explanation(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, PLAN)
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "respond", comment="no")
    failed = await ended(working, task.id)
    assert failed.error is not None
    assert failed.error.code == "same_content_again"


async def test_a_diff_goes_back_with_the_comment_and_the_same_diff_again_ends_it(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN, edit("path.strip().upper()"), say("Done."), edit("path.upper().strip()", "path.strip().upper()"), say("So?"),
        edit("path.strip().upper()", "path.upper().strip()"), say("Or so?"),
        edit("path.strip().upper().strip()", "path.upper().strip()"), say("Both."),
    )  # fmt: skip
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    first = await waiting(working, task.id)
    await decide(working, first, "respond", comment="upper first")
    second = await waiting(working, task.id)
    assert second.gate == "diff"
    assert second.content_sha256 != first.content_sha256
    assert "upper().strip()" in second.subject["diff_text"]
    asked = str(model.seen[3][-1].content)
    assert "upper first" in asked
    await decide(working, second, "respond", comment="hm")
    failed = await ended(working, task.id)
    assert failed.error is not None
    assert failed.error.code == "same_content_again"
    assert "It says: Or so?" in failed.error.message
    await TaskService(working).retry(task.id, "local", "strip on both sides")
    third = await waiting(working, task.id)
    assert "strip().upper().strip()" in third.subject["diff_text"]
    assert "strip on both sides" in str(model.seen[7][-1].content)


async def test_after_the_repair_limit_a_person_is_asked(working: Resources, repository: Path) -> None:
    wrong = [f"path.strip({number})" for number in range(4)]
    steps = [edit(wrong[0]), say("Done.")]
    for before, after in pairwise(wrong[:3]):
        steps += [edit(after, before), say("Now.")]
    working.models = script(PLAN, *steps, edit("path.strip().upper()", wrong[2]), say("Now it is right."))
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    red = await waiting(working, task.id)
    assert "fail" in red.title
    assert len([type_ for type_ in await _told(working, task.id) if type_ == "test_results"]) == 3
    await decide(working, red, "respond", comment="keep the upper case")
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request"


async def test_a_repair_that_changes_nothing_asks_a_person_at_once(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, edit("path.strip()"), say("Done."), say("The test is wrong."))
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    red = await waiting(working, task.id)
    assert "fail" in red.title
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "draft_pull_request"


async def test_leaving_the_plan_asks_before_it_happens(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN,
        edit("path.strip().upper()"),
        call("edit_file", path="test_app.py", old='"A")', new='"A")  # more'),
        call("widen_plan", files=["test_app.py"], reason="the test must say more"),
        call("edit_file", path="test_app.py", old='"A")', new='"A")  # more'),
        say("Done."),
    )
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    wider = await waiting(working, task.id)
    assert (wider.gate, wider.revision) == ("plan", 2)
    assert "test_app.py" in wider.title
    assert wider.subject["steps"][-1]["files"] == ["test_app.py"]
    shown = (await TaskService(working).get(task.id, "local")).plan
    assert shown is not None
    assert shown.steps[-1].files == ["test_app.py"]
    assert "not in the approved plan" in str(model.seen[3][-1].content)
    done, asked = await approve_all(working, task.id)
    assert [approval.gate.value for approval in asked] == ["plan", "diff"]
    assert done.diff_summary is not None
    assert done.diff_summary["paths"] == ["app.py", "test_app.py"]


async def test_a_message_reaches_the_running_agent_at_its_next_step(working: Resources, repository: Path) -> None:
    going: asyncio.Queue[str] = asyncio.Queue()
    told = asyncio.Event()

    class Slow(Free):
        async def before(self) -> None:
            if len(model.seen) == 2:
                await going.put("working")
                await told.wait()

    answers = [PLAN, READ, edit("path.strip().upper()"), say("Done.")]
    model = script(*answers)
    model.spend = Slow()
    working.models = model
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    async with asyncio.timeout(30):
        await going.get()
    await TaskService(working).message(task.id, "local", "mind the tabs")
    told.set()
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request"
    assert "mind the tabs" in str(model.seen[3][-1].content)


async def test_a_question_is_answered_with_a_report(working: Resources, repository: Path) -> None:
    working.models = script(plan("Explain load_conf"), READ, say("# load_conf\n\nIt makes upper case (app.py:3)."))
    task = await submit(working, repository, "Why does load_conf make upper case?", "investigation")
    done = await ended(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "answered"), done.error


async def test_a_model_that_changes_nothing_is_a_clear_failure(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, say("It is fine as it is."))
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    failed = await ended(working, task.id)
    assert failed.error is not None
    assert failed.error.code == "model_changed_nothing"
    assert "fine as it is" in failed.error.message

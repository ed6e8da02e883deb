"""A model's change is read by a reviewer before a person is asked about it."""

from __future__ import annotations

from pathlib import Path

from agent_orchestrator.resources import Resources
from shared.store import pull_requests
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agent_orchestrator.supervisor.telling import PLAN, artifact, comment, edit, told
from tests.agents.scripted_model import review, say, script


async def test_blockers_go_back_once_and_the_last_review_is_with_the_question(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN,
        edit("path.upper().strip()"),
        say("It strips."),
        review("needs_changes", comment(3, comment="Strip first, then upper."), comment(3, "note", comment="Say why.")),
        edit("path.strip().upper()", "path.upper().strip()"),
        say("Turned round."),
        review("looks_good", comment(3, "note", comment="Say why."), summary="It strips the path."),
    )
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    back = str(model.seen[4][-1].content)
    assert "app.py:3: Strip first, then upper." in back
    assert "Say why." not in back
    assert (asked.gate, asked.title, asked.risk.level) == ("diff", "Open a pull request with this change?", "medium")
    assert asked.subject["review"]["summary"] == "It strips the path."
    assert "+    return path.strip().upper()" in asked.subject["diff_text"]
    assert asked.subject["test_results"]["verdict"] == "passed"
    await decide(working, asked, "approve")
    done = await ended(working, task.id)
    assert done.outcome == "pull_request", done.error
    async with working.database.connection() as connection:
        made = await pull_requests.by_task(connection, task.id)
    assert made is not None
    assert (
        "## Review\n\nIt strips the path.\n\n- **note** `app.py:3` Say why.\n\nBy `scripted:model`, a model; a person decided." in made.body
    )
    assert [event["review"]["verdict"] for event in await told(working, task.id, "review_ready")] == ["needs_changes", "looks_good"]
    assert "**note** line 3: Say why." in await artifact(working, task.id, "review.md")


async def test_what_still_blocks_is_for_a_person_to_decide(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN,
        edit("path.upper().strip()"),
        say("It strips."),
        review("looks_good", comment(3)),
        say("The reviewer is wrong: it comes once."),
    )
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    assert len(model.seen) == 5
    assert asked.title == "Open a pull request with this change? The review found 1 blocker."
    assert (asked.risk.level, asked.risk.reasons[0]) == ("high", "the review found 1 blocker")
    assert asked.subject["notes"] == ["What the model says about its change: The reviewer is wrong: it comes once."]
    assert len(await told(working, task.id, "test_results")) == 1
    done, more = await approve_all(working, task.id)
    assert (done.outcome, [approval.gate.value for approval in more]) == ("pull_request", ["diff", "pr"])


async def test_a_review_that_cannot_be_made_holds_nothing_up(working: Resources, repository: Path) -> None:
    refuses = say("", additional_kwargs={"refusal": "I do not review."})
    working.models = script(PLAN, edit("path.strip().upper()"), say("It strips."), refuses)
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    assert asked.subject["review"]["verdict"] == "none"
    assert "I do not review." in asked.subject["review"]["summary"]
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error


async def test_a_comment_of_a_person_is_reviewed_again(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN, edit("path.strip().upper()"), say("It strips."), review("looks_good"),
        edit('path.strip().upper() or ""', "path.strip().upper()"), say("Never empty."), review("looks_good"),
    )  # fmt: skip
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    await decide(working, await waiting(working, task.id), "respond", comment="never None")
    second = await waiting(working, task.id)
    assert second.revision == 2
    assert 'or ""' in str(model.seen[6][-1].content)
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error

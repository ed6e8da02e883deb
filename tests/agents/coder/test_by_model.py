"""A model's work on an approved plan: where it begins, what it is told, what it leaves."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agents.coder.by_model import work
from agents.coder.state import CoderState
from agents.loop.patch import DRAFT, PATCH, load_patch
from shared.errors import TaskFailedError
from shared.types import Json, Plan, PlanStep, sha256_hex
from tests.agents.conftest import MakeScene, Scene
from tests.agents.scripted_model import call, say, script

FILES = {"app.py": "def load(path):\n    return path.upper()\n", "other.py": "x = 1\n", "AGENTS.md": "Be nice.\n"}
EDIT = {"path": "app.py", "old": "path.upper()", "new": "path.strip()"}


def planned(*files: str) -> Json:
    return Plan(summary="Strip it", steps=[PlanStep(id="1", title="Strip", files=list(files))]).model_dump(mode="json")


@pytest.fixture
async def scene(make_scene: MakeScene) -> Scene:
    return await make_scene(FILES)


def state_of(scene: Scene, **more: Any) -> CoderState:
    return cast(CoderState, {"base_commit": scene.base, "plan": planned("app.py"), **more})


def joined(before: CoderState, after: CoderState) -> CoderState:
    """As the graph joins what a step answers."""
    return cast(CoderState, {**before, **after})


async def first_change(scene: Scene) -> CoderState:
    model = script(call("edit_file", **EDIT), say("It strips."))
    return joined(state_of(scene), await work(scene.with_model(model), state_of(scene)))


async def test_the_change_is_kept_with_what_the_model_says(scene: Scene) -> None:
    after = await first_change(scene)
    patch = await load_patch(scene.context, scene.base, after["patch_sha256"])
    assert after["patch_sha256"] == sha256_hex(scene.base.encode() + b"\n" + patch)
    assert b"path.strip()" in patch
    assert after["diff_stats"]["paths"] == ["app.py"]
    assert after["notes"] == ["What the model says about its change: It strips."]
    assert scene.journal.lines == ["edit file app.py"]


async def test_a_file_that_git_ignores_is_told_as_no_part_of_the_change(make_scene: MakeScene) -> None:
    scene = await make_scene({**FILES, ".gitignore": "*.env\n"})
    made = call("create_file", path="local.env", content="A=1\n")
    state = joined(state_of(scene), cast(CoderState, {"plan": planned("app.py", "local.env")}))
    after = await work(scene.with_model(script(made, call("edit_file", **EDIT), say("Done."))), state)
    assert after["diff_stats"]["paths"] == ["app.py"]
    assert after["notes"][0] == "Made, but no part of the change, because the repository's git ignores it: local.env."
    with pytest.raises(TaskFailedError, match=r"changed nothing. Made, but no part of the change.*local\.env"):
        await work(scene.with_model(script(made, say("Done."))), state)


async def test_what_it_is_told(scene: Scene) -> None:
    model = script(call("edit_file", **EDIT), say("Done."))
    await work(scene.with_model(model, "strip it", hint="briefly", messages=[]), state_of(scene))
    system, request = (str(message.content) for message in model.seen[0])
    assert "only these files: app.py" in system
    assert "1. Strip [app.py]" in system
    assert all(part in request for part in ("strip it", "The person says: briefly", "Be nice."))


async def test_red_tests_go_back_with_the_relevant_output(scene: Scene) -> None:
    before = await first_change(scene)
    scene.journal.artifacts["test-output.txt"] = b"noise\n" * 20_000 + b"test_load FAILED: 'a' != 'A'\n" + b"noise\n" * 20_000
    results = {
        "verdict": "failed",
        "failed": 1,
        "newly_failing": ["tests.LoadTest.test_load"],
        "failures": [{"name": "tests.LoadTest.test_load", "message": "'a' != 'A'"}],
    }
    model = script(call("edit_file", path="app.py", old="path.strip()", new="path.strip().upper()"), say("Better."))
    after = await work(scene.with_model(model), {**before, "test_results": results})
    asked = str(model.seen[0][-1].content)
    assert "- tests.LoadTest.test_load: 'a' != 'A'" in asked
    assert "test_load FAILED" in asked
    assert len(asked) < 14_000
    assert (after["repairs"], after["test_results"]) == (1, None)
    assert b"path.strip().upper()" in await load_patch(scene.context, scene.base, after["patch_sha256"])


async def test_a_repair_that_changes_nothing_keeps_the_red_results(scene: Scene) -> None:
    before = await first_change(scene)
    red: Json = {"verdict": "failed", "newly_failing": ["t"]}
    scene.journal.artifacts["test-output.txt"] = b"t failed"
    after = await work(scene.with_model(script(say("It is right."))), {**before, "test_results": red})
    assert "test_results" not in after
    assert after["patch_sha256"] == before["patch_sha256"]


async def test_what_is_done_is_kept_while_a_wider_plan_is_decided_on(scene: Scene) -> None:
    model = script(call("edit_file", **EDIT), call("widen_plan", files=["other.py"], reason="it is used there"))
    asked = await work(scene.with_model(model), state_of(scene))
    assert asked["widened"] == {"files": ["other.py"], "reason": "it is used there"}
    assert Plan.model_validate(asked["plan"]).steps[-1].files == ["other.py"]
    assert b"path.strip()" in await load_patch(scene.context, scene.base, asked["draft_sha256"], DRAFT)
    model = script(call("edit_file", path="other.py", old="x = 1", new="x = 2"), say("Done."))
    after = await work(scene.with_model(model), joined(state_of(scene), asked))
    assert after["diff_stats"]["paths"] == ["app.py", "other.py"]
    assert after["draft_sha256"] is None


async def test_files_that_a_person_put_in_need_a_wider_plan_before_a_model_goes_on(scene: Scene) -> None:
    patch = b"diff --git a/other.py b/other.py\n--- a/other.py\n+++ b/other.py\n@@ -1 +1 @@\n-x = 1\n+x = 3\n"
    scene.journal.artifacts[PATCH] = patch
    edited = state_of(scene, patch_sha256=sha256_hex(scene.base.encode() + b"\n" + patch), feedback="now the app")
    after = await work(scene.with_model(script()), edited)
    assert after["widened"] is not None
    assert after["widened"]["files"] == ["other.py"]
    assert after["feedback"] == "now the app"


async def test_a_patch_that_is_not_the_one_that_was_made_is_refused(scene: Scene) -> None:
    before = await first_change(scene)
    scene.journal.artifacts = {name: data + b"\n" for name, data in scene.journal.artifacts.items()}
    with pytest.raises(TaskFailedError) as caught:
        await work(scene.with_model(script()), before)
    assert caught.value.code == "patch_mismatch"


RED: Json = {"verdict": "failed", "newly_failing": ["t"]}


@pytest.mark.parametrize("more", [{"test_results": RED}, {"feedback": "upper case too"}])
async def test_work_that_ended_before_its_checkpoint_begins_from_the_change_before(scene: Scene, more: Json) -> None:
    before = joined(await first_change(scene), cast(CoderState, more))
    again = {"path": "app.py", "old": "path.strip()", "new": "path.strip().upper()"}
    lost = await work(scene.with_model(script(call("edit_file", **again), say("Better."))), before)
    after = await work(scene.with_model(script(call("edit_file", **again), say("Better."))), before)
    assert after["patch_sha256"] == lost["patch_sha256"] != before["patch_sha256"]
    assert PATCH not in scene.journal.artifacts


async def test_a_second_widening_that_ended_before_its_checkpoint_begins_from_the_draft_before(scene: Scene) -> None:
    model = script(call("edit_file", **EDIT), call("widen_plan", files=["other.py"], reason="it is used there"))
    before = joined(state_of(scene), await work(scene.with_model(model), state_of(scene)))
    for _ in range(2):
        more = call("edit_file", path="other.py", old="x = 1", new="x = 2")
        model = script(more, call("widen_plan", files=["third.py"], reason="and there"))
        after = await work(scene.with_model(model), before)
        assert after["draft_sha256"] != before["draft_sha256"]


async def test_a_person_s_comment_outlives_the_question_for_a_wider_plan(scene: Scene) -> None:
    before = joined(await first_change(scene), {"feedback": "also handle None"})
    model = script(call("widen_plan", files=["other.py"], reason="it is used there"))
    asked = joined(before, await work(scene.with_model(model), before))
    model = script(call("edit_file", path="other.py", old="x = 1", new="x = None"), say("Done."))
    after = await work(scene.with_model(model), asked)
    assert "The person says: also handle None" in str(model.seen[0][-1].content)
    assert after["feedback"] is None


async def test_a_question_is_answered_and_changes_nothing(scene: Scene) -> None:
    state = CoderState(base_commit=scene.base, plan=planned())
    model = script(call("read_file", path="app.py"), say("# It makes upper case"))
    after = await work(scene.with_model(model), state)
    assert (after["answer"], after["patch_sha256"]) == ("# It makes upper case", None)
    assert scene.journal.artifacts["report.md"] == b"# It makes upper case"
    offered = script(call("edit_file", **EDIT), say("There is no such tool."))
    await work(scene.with_model(offered), state)
    assert "not a valid tool" in str(offered.seen[1][-1].content)

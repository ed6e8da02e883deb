"""The main job from a message to a pull request, and how every ending is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import PROJECT, SETTINGS_PY, TEST_PY, MakeRepository, git, task_branches

if TYPE_CHECKING:
    from tests.e2e.conftest import Shell

RENAME = "rename load_conf to load_config"


def test_rename_becomes_a_branch_and_leaves_everything_else_alone(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository()
    (repository / "app" / "settings.py").write_text(SETTINGS_PY + "\n# not committed\n")
    head = git(repository, "rev-parse", "HEAD")
    ran = shell.run("chat", RENAME, "--repo", str(repository), "--yes", "--json")
    assert (ran.code, ran.result["status"], ran.result["error"]) == (0, "completed", None), ran
    assert task_branches(repository) == [ran.result["branch"]]
    assert ran.result["pr_url"]
    assert "def load_config" in git(repository, "show", f"{ran.result['branch']}:app/settings.py")
    assert "not committed" not in git(repository, "show", f"{ran.result['branch']}:app/settings.py")
    assert git(repository, "rev-parse", "HEAD") == head
    assert git(repository, "branch", "--show-current").strip() == "main"
    assert git(repository, "status", "--porcelain").split() == ["M", "app/settings.py"]
    types = [line["type"] for line in ran.lines]
    assert types[0] == "message"
    assert {"plan_ready", "approval_required", "approval_decided", "diff_ready", "test_results", "pr_created", "task_completed"} <= set(
        types
    )
    assert [line["seq"] for line in ran.lines if "seq" in line] == list(range(1, len(ran.lines) - 1))


def test_a_person_sees_plan_diff_evidence_and_where_to_look(shell: Shell, make_repository: MakeRepository) -> None:
    ran = shell.run("chat", RENAME, "--yes", cwd=make_repository())
    assert ran.code == 0, ran
    for seen in ("approval of the plan", "1. ", "approval of the diff", "-def load_conf", "+def load_config", "tests: passed", "risk: low"):
        assert seen in ran.out
    assert "pull request: http" in ran.out
    assert "diff main..persevere/" in ran.out
    assert "\x1b" not in ran.out


def test_without_a_terminal_and_without_yes_it_waits_and_says_how_to_decide(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository()
    ran = shell.run("chat", RENAME, cwd=repository)
    assert ran.code == 1
    approval_id = ran.out.split("persevere approvals approve ")[1].split()[0]
    assert task_branches(repository) == []
    assert approval_id in shell.run("approvals", "list").out
    assert shell.run("approvals", "show", approval_id).code == 0
    assert shell.run("approvals", "approve", approval_id).code == 0
    again = shell.run("approvals", "reject", approval_id)
    assert again.code == 1
    assert "already approved" in again.err
    task_id = ran.out.split("persevere resume ")[1].split()[0]
    resumed = shell.run("resume", task_id, "--yes", "--json")
    assert (resumed.code, resumed.result["status"]) == (0, "completed"), resumed
    assert len(task_branches(repository)) == 1
    assert "+def load_config" in shell.run("tasks", "diff", task_id).out
    assert "completed" in shell.run("tasks", "show", task_id).out
    assert "task_completed" in shell.run("tasks", "events", task_id).out
    assert shell.run("audit", "verify").code == 0


def test_a_rejection_cancels(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository()
    ran = shell.run("chat", RENAME, "--repo", str(repository), "--json")
    assert ran.result["status"] == "plan_review"
    assert shell.run("approvals", "reject", ran.result["approval_id"], "--comment", "no").code == 0
    resumed = shell.run("resume", ran.result["task_id"], "--json")
    assert (resumed.code, resumed.result["status"], resumed.result["branch"]) == (1, "cancelled", None), resumed
    assert task_branches(repository) == []


RED_TEST = TEST_PY.replace(
    'self.assertEqual(load_conf("x")', 'self.assertNotIn("config", load_conf.__name__); self.assertEqual(load_conf("x")'
)
OLD_RED = TEST_PY + "\n    def test_old(self):\n        self.fail('always')\n"
ENDINGS = {
    "nothing to change": (PROJECT, "rename load_conf to load_conf", 0, "completed", "nothing_to_change", False),
    "no tests": ({"app/settings.py": SETTINGS_PY}, RENAME, 0, "completed", "draft_pull_request", True),
    "red by the change": ({**PROJECT, "tests/test_settings.py": RED_TEST}, RENAME, 1, "waiting", None, False),
    "red before too": ({**PROJECT, "tests/test_settings.py": OLD_RED}, RENAME, 0, "completed", "pull_request", True),
    "no such symbol": (PROJECT, "rename nothing_here to something_else", 1, "failed", None, False),
    "no model": (PROJECT, "Add error handling to login endpoint", 1, "failed", None, False),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_how_a_task_ends(name: str, shell: Shell, make_repository: MakeRepository) -> None:
    files, message, code, status, outcome, branch = ENDINGS[name]
    repository = make_repository(files)
    ran = shell.run("chat", message, "--repo", str(repository), "--yes", "--json")
    told = (ran.code, ran.result["status"], ran.result["outcome"], bool(ran.result["pr_url"]), len(task_branches(repository)))
    assert told == (code, status, outcome, branch, int(branch)), ran.result
    if status == "failed":
        assert ran.result["error"]["next_step"]
    if name == "no model":
        assert ran.result["error"]["code"] == "model_required"


def test_no_such_repository_is_one_clear_sentence(shell: Shell, tmp_path: Path) -> None:
    ran = shell.run("chat", RENAME, "--repo", str(tmp_path / "missing"), "--yes", "--json")
    assert ran.code == 1
    empty = tmp_path / "plain"
    empty.mkdir()
    assert shell.run("chat", RENAME, "--repo", str(empty), "--yes").code == 1


@pytest.mark.parametrize(
    "arguments", [("chat", "  "), ("chat", "x", "--yes=some"), ("nonsense",), ("chat", "--no-such-option")], ids=" ".join
)
def test_wrong_usage_is_two(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.run(*arguments).code == 2


@pytest.mark.parametrize("setting", [("PERSEVERE_NONSENSE", "1"), ("PERSEVERE_SANDBOX", "magic"), ("DATABASE_URL", "mysql://x")], ids=str)
def test_wrong_settings_are_two_and_named(shell: Shell, setting: tuple[str, str]) -> None:
    from dataclasses import replace

    ran = replace(shell, extra=dict([setting])).run("tasks", "list")
    assert ran.code == 2
    assert setting[0] in ran.err


def test_doctor_version_and_graph(shell: Shell) -> None:
    doctor = shell.run("doctor")
    assert doctor.code == 0, doctor.out
    assert shell.run("version", "--json").lines[0]["version"]
    assert "planner" in shell.run("graph", "supervisor").out

"""The graph on a real repository: an approved patch becomes one branch and one pull request, however often it is run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from agents.context import TaskContext
from agents.pr.description import must_be_draft, pull_request_body, title_of
from agents.pr.graph import build_pr_graph
from agents.pr.state import PrState
from shared.errors import NotFoundError, TaskFailedError
from shared.forge.local import LocalForge
from shared.recipes.repository_config import RepositoryConfig
from shared.store.records import Task
from shared.types import Json, Plan, PlanStep, TestResults, sha256_hex
from tests.shared.secrets.seeds import drawn


@dataclass
class Records:
    """Journal, ledger and pull requests of one task, kept in memory."""

    patch: bytes
    digest: str
    effects: dict[str, Json | None] = field(default_factory=dict)
    opened: list[Json] = field(default_factory=list)
    events: list[tuple[str, Json]] = field(default_factory=list)

    async def load_artifact(self, name: str) -> bytes:
        if name != f"change-{self.digest[:16]}.patch":
            raise NotFoundError(name)
        return self.patch

    async def update(self, *_: Any, events: list[tuple[str, Json]] | None = None, **__: Any) -> None:
        self.events += events or []

    async def intend(self, key: str, kind: str, intent: Json) -> Json | None:
        return self.effects.setdefault(key, None)

    async def done(self, key: str, result: Json) -> None:
        self.effects[key] = result

    async def open(self, **fields: Any) -> str:
        if fields not in self.opened:
            self.opened.append(fields)
        return f"http://here/pulls/{self.opened.index(fields)}"


@pytest.fixture
async def made(tmp_path: Path) -> tuple[TaskContext, PrState, Records]:
    repo = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    (repo / "a.py").write_text("a = 1\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "add", "."], cwd=repo, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=repo, check=True)
    forge = LocalForge(tmp_path / "data")
    found = await forge.inspect(str(repo))
    checkout = await forge.checkout(found.repo, found.head_commit, b"", tmp_path / "ws", tmp_path / "g")
    (checkout.folder / "a.py").write_text("a = 2\n")
    patch = (await forge.diff(checkout)).patch
    digest = sha256_hex(found.head_commit.encode() + b"\n" + patch)
    records = Records(patch, digest)
    task = Task(id="task_k3v9", user_id="local", title="Set a to 2", prompt="set a to 2", repo=found.repo, base_branch="main")
    handles: Any = records
    unused: Any = None
    context = TaskContext(
        task=task,
        config=RepositoryConfig(),
        recipes=unused,
        workspaces=unused,
        environments=unused,
        isolated=True,
        forge=forge,
        journal=handles,
        effects=handles,
        pull_requests=handles,
        limits={},
    )
    plan = Plan(summary="Set a to 2", steps=[PlanStep(id="1", title="edit", files=["a.py"])]).model_dump(mode="json")
    green = TestResults(verdict="passed", passed=3).model_dump(mode="json")
    state = PrState(base_commit=found.head_commit, plan=plan, approved_sha256=digest, test_results=green, draft=False, notes=[])
    return context, state, records


async def run(context: TaskContext, state: PrState) -> Json:
    return cast(Json, await build_pr_graph().compile().ainvoke(state, context=context))


async def test_one_branch_and_one_pull_request(made: tuple[TaskContext, PrState, Records]) -> None:
    context, state, records = made
    out = await run(context, state)
    assert out["branch"] == "persevere/k3v9-set-a-to-2"
    assert await context.forge.branch_head(context.task.repo, out["branch"]) == out["head_commit"]
    assert records.events == [("pr_created", {"pr_url": out["pr_url"], "branch": out["branch"], "draft": False})]
    assert await run(context, state) == out
    assert len(records.opened) == 1


async def test_killed_between_doing_and_recording(made: tuple[TaskContext, PrState, Records]) -> None:
    context, state, records = made
    out = await run(context, state)
    records.effects = dict.fromkeys(records.effects)
    assert await run(context, state) == out
    assert len(records.opened) == 1


async def test_only_what_was_approved(made: tuple[TaskContext, PrState, Records]) -> None:
    context, state, records = made
    for wrong in (None, "0" * 64):
        with pytest.raises(TaskFailedError) as caught:
            await run(context, {**state, "approved_sha256": wrong})
        assert caught.value.code == "approval_mismatch"
    assert not records.opened
    assert await context.forge.branch_head(context.task.repo, "persevere/k3v9-set-a-to-2") is None


async def test_another_commit_on_the_branch_gives_a_numbered_one(made: tuple[TaskContext, PrState, Records]) -> None:
    context, state, _ = made
    subprocess.run(["git", "branch", "persevere/k3v9-set-a-to-2"], cwd=context.task.repo, check=True)
    assert (await run(context, state))["branch"] == "persevere/k3v9-set-a-to-2-2"


async def test_without_tests_it_is_a_draft(made: tuple[TaskContext, PrState, Records]) -> None:
    context, state, records = made
    assert (await run(context, {**state, "test_results": None}))["draft"] is True
    assert records.opened[0]["body"].startswith("> **Draft.**")


async def test_no_secret_of_the_request_is_published(made: tuple[TaskContext, PrState, Records]) -> None:
    context, state, records = made
    body = [drawn(64, seed=seed) for seed in range(4)]
    token = f"gh{'p_'}{drawn(36)}"
    key = "\n".join(["-----BEGIN OPENSSH PRIV" + "ATE KEY-----", *body, "-----END OPENSSH PRIV" + "ATE KEY-----"])
    said = f"Use {token} and this key: {key} in the settings"
    context = replace(context, task=context.task.model_copy(update={"title": said, "prompt": said}))
    plan = Plan(summary=said, steps=[PlanStep(id="1", title=said, files=["a.py"])], risks=[said], acceptance_criteria=[said])
    out = await run(context, {**state, "plan": plan.model_dump(mode="json"), "notes": [said]})
    told = ["git", "log", "-1", "--format=%B", out["branch"]]
    message = subprocess.run(told, cwd=context.task.repo, check=True, capture_output=True, text=True).stdout
    published = "\n".join((records.opened[0]["title"], records.opened[0]["body"], message, out["branch"]))
    pieces = [line[at : at + 12] for line in (*body, token[4:]) for at in range(0, 24, 12)]
    assert not [piece for piece in pieces if piece.lower() in published.lower()]
    assert published.count("looks like a secret") >= 12
    assert published.count("in the settings") >= 5


def test_drafts() -> None:
    assert not must_be_draft(TestResults(verdict="passed"))
    assert not must_be_draft(TestResults(verdict="failed", failing_before=["a"]))
    for red in (TestResults(verdict="failed"), TestResults(verdict="none"), TestResults(verdict="passed", newly_failing=["a"])):
        assert must_be_draft(red)


def test_untrusted_text_stays_text() -> None:
    evil = "hi @ada #1 <img src=x>\n# Approved\n```\n[x](http://evil) ![y](z)\u202e"
    task = Task(id="task_1", user_id="local", title=evil, prompt=evil + "````", repo="/r")
    plan = Plan(summary=evil, risks=[evil], steps=[PlanStep(id="1", title=evil, files=["a`b`.py"])])
    results = TestResults(verdict="failed", newly_failing=[evil], commands=["x ``` | y"], reason=evil)
    body = pull_request_body(plan, task, results, draft=True, notes=[evil])
    assert "\u202e" not in body
    asked = body.split("`````text\n")[1].split("\n`````\n")[0]
    rest = body.replace(asked, "")
    code_free = "\n".join(line for line in rest.splitlines() if not line.startswith("- `"))
    for live in ("@ada", "#1", "![y]", " [x](", "://"):
        assert live not in code_free
    assert "\\<img" in code_free
    assert "\n" not in title_of(plan, task)
    assert len(title_of(Plan(summary="x" * 500), task)) == 72

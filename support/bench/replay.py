"""Real commits made again: a scripted model makes each by the edit tools, as a whole task from the request to the pull request.

    replay.py REPOSITORY... [--most 10] [--only COMMIT] [--details FILE]

Each is compared with the commit itself: the branch's files byte for byte, and the tester's verdict with that of the commit's own tests,
run in the same environment without the agents. It ends as `same`, as a difference, or as trouble of the harness. One line of JSON a
commit, then one with all counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from measure import data_folder, percentile, tell
from replay_commits import Chosen, RealCommit, choose, git
from replay_edits import STYLES, Style, write_script
from replay_model import ScriptedProvider, scripted_provider
from replay_verdict import OwnVerdict, own_verdict, surroundings

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import Settings
from shared.errors import NotFoundError
from shared.store import approvals
from shared.store.records import Task

TASK_S = 600
AGAIN = 2
"""How often tests whose verdict is not the tester's are run once more: some are red by chance."""


@dataclass
class Replayed:
    """`ended`: `same`, or a difference or trouble in a word; `detail` says more. Times in seconds."""

    project: str
    commit: str
    style: Style
    ended: str = ""
    detail: str = ""
    verdict: str = ""
    own: str = ""
    same_counts: bool | None = None
    """Whether as many tests passed, failed and were skipped; None when no tests were run."""
    task_s: float = 0.0
    own_s: float = 0.0
    tools: dict[str, int] = field(default_factory=dict)
    red: list[str] = field(default_factory=list)
    """The first tests that the tester saw fail."""


@dataclass(frozen=True)
class Replay:
    resources: Resources
    provider: ScriptedProvider

    async def one(self, commit: RealCommit, repository: Path, style: Style) -> Replayed:
        outcome = Replayed(commit.project, commit.id, style)
        began = time.monotonic()
        try:
            script = await asyncio.to_thread(write_script, commit, repository, style)
            self.provider.begin(script)
            async with asyncio.timeout(TASK_S):
                task = await self._through(await self._start(commit, repository))
            outcome.task_s = round(time.monotonic() - began, 1)
            outcome.tools = dict(self.provider.used)
            await self._compare(outcome, task, commit, repository)
        except TimeoutError:
            outcome.ended, outcome.detail = "trouble: timeout", f"the task did not end within {TASK_S} s"
        except Exception as error:
            outcome.ended, outcome.detail = "trouble: exception", f"{type(error).__name__}: {error}"[:600]
        return outcome

    async def _start(self, commit: RealCommit, repository: Path) -> str:
        branch = f"replay/{commit.id[:12]}"
        git(repository, "branch", "--force", branch, commit.parent)
        info = await self.resources.forge.inspect(str(repository), branch)
        prompt = f"Do what note {commit.id[:12]} asks for"
        draft = TaskDraft(user_id="local", prompt=prompt, title=prompt, repo=info.repo, branch=branch, workflow="feature_dev")
        async with self.resources.database.transaction() as tx:
            return (await TaskService(self.resources).create(tx, draft)).id

    async def _through(self, task_id: str) -> Task:
        """Whatever is asked is approved, until the task has ended."""
        service = ApprovalService(self.resources)
        while True:
            async with self.resources.database.connection() as connection:
                pending = await approvals.pending_for_task(connection, task_id)
            if pending is not None:
                await service.decide(pending.id, by="local", decision="approve", revision=pending.revision)
            task = await TaskService(self.resources).get(task_id, "local")
            if task.status.is_final:
                return task
            await asyncio.sleep(0.1)

    async def _compare(self, outcome: Replayed, task: Task, commit: RealCommit, repository: Path) -> None:
        if self.provider.refused or self.provider.faults:
            outcome.ended, outcome.detail = "trouble: a tool refused", " | ".join([*self.provider.refused, *self.provider.faults])[:1500]
            return
        if task.outcome not in ("pull_request", "draft_pull_request") or task.branch is None or task.test_results is None:
            said = f"{task.error.code}: {task.error.message}" if task.error else ""
            outcome.ended, outcome.detail = "trouble: no pull request", f"{task.status.value}, {task.outcome}. {said}"
            return
        outcome.verdict = task.test_results.verdict
        if differs := different_files(repository, task.branch, commit.id):
            outcome.ended, outcome.detail = "difference: files", ", ".join(differs)[:600]
            return
        began = time.monotonic()
        await self._compare_verdicts(outcome, task, commit, repository)
        outcome.own_s = round(time.monotonic() - began, 1)

    async def _compare_verdicts(self, outcome: Replayed, task: Task, commit: RealCommit, repository: Path) -> None:
        results = task.test_results
        assert results is not None
        output = await self._output(task.id)
        around = surroundings(output, self.resources.settings.data_dir / "environments")
        if around is None:
            outcome.ended = "same" if results.verdict == "none" else "trouble: tests were not run"
            outcome.detail = results.reason
            return
        own = OwnVerdict("")
        for _ in range(1 + AGAIN):
            own = await asyncio.to_thread(own_verdict, repository, commit.id, around)
            if own.verdict == results.verdict:
                break
        outcome.own = own.verdict
        outcome.same_counts = (own.passed, own.failed, own.skipped) == (results.passed, results.failed, results.skipped)
        counts = f"tester {results.passed}/{results.failed}/{results.skipped}, commit {own.passed}/{own.failed}/{own.skipped}"
        outcome.red = [f"{failure.name}: {failure.message[:200]}" for failure in results.failures[:5]]
        if own.verdict == results.verdict:
            outcome.ended, outcome.detail = "same", "" if outcome.same_counts else counts
        else:
            said = f"{results.reason} | the tester saw: {output[-2500:]} | the commit: {own.output[-600:]}"
            outcome.ended, outcome.detail = "difference: verdict", f"{counts}. {said}"

    async def _output(self, task_id: str) -> str:
        try:
            async with self.resources.database.connection() as connection:
                return (await self.resources.artifacts.load(connection, task_id, "test-output.txt")).decode("utf-8", "replace")
        except NotFoundError:
            return ""


def different_files(repository: Path, branch: str, commit: str) -> list[str]:
    """Any path whose bytes or mode are not the commit's: of the whole tree, not only of what the commit touches."""
    answer = git(repository, "diff-tree", "-r", "-z", "--no-renames", "--name-status", branch, commit).decode("utf-8", "replace")
    fields = answer.split("\0")[:-1]
    return [f"{kind} {path}" for kind, path in zip(fields[::2], fields[1::2], strict=True)]


@dataclass(frozen=True)
class Wanted:
    """Of each repository: at most so many commits, without those that `besides` would take; or `only` one, by the beginning of its id."""

    most: int
    besides: int = 0
    only: str | None = None
    style: Style | None = None

    def choose(self, repository: Path, project: str) -> Chosen:
        chosen = choose(repository, project, 10_000 if self.only else self.besides + self.most)
        if self.only:
            chosen.commits = [commit for commit in chosen.commits if commit.id.startswith(self.only)]
        elif self.besides:
            known = {commit.id for commit in choose(repository, project, self.besides).commits}
            chosen.commits = [commit for commit in chosen.commits if commit.id not in known]
        return chosen


def _take(sources: Sequence[Path], into: Path, wanted: Wanted) -> list[tuple[Path, Chosen]]:
    """A bare clone of each repository, so that nothing is written to the person's own, and its commits."""
    taken = []
    for source in sources:
        project = source.name.removesuffix(".git")
        repository = into / project
        git(Path("/"), "clone", "--quiet", "--bare", str(source.resolve()), str(repository))
        taken.append((repository, wanted.choose(repository, project)))
    return taken


async def replay(sources: Sequence[Path], wanted: Wanted, details: Path | None, data: Path) -> list[Replayed]:
    (data / "repositories").mkdir()
    taken = _take(sources, data / "repositories", wanted)
    done: list[Replayed] = []
    async with scripted_provider() as provider:
        settings = Settings(
            data_dir=data / "persevere",
            model="openai-compatible:replay",
            openai_base_url=provider.url,
            database_url=os.environ.get("DATABASE_URL"),
        )
        async with open_resources(settings, worker=True) as resources:
            work = Replay(resources, provider)
            for repository, chosen in taken:
                for commit in chosen.commits:
                    done.append(await work.one(commit, repository, wanted.style or STYLES[len(done) % len(STYLES)]))
                    print(json.dumps(asdict(done[-1])), flush=True)
                    if details is not None:
                        details.write_text(json.dumps([asdict(one) for one in done], indent=1) + "\n", encoding="utf-8")
    left_out = sum((chosen.left_out for _, chosen in taken), Counter[str]())
    tell("replay", **summary(done, left_out))
    return done


def summary(done: Sequence[Replayed], left_out: Counter[str]) -> dict[str, Any]:
    kinds = Counter(one.ended for one in done)
    tools = sum((Counter(one.tools) for one in done), Counter[str]())
    taken = [one.task_s for one in done if one.task_s] or [0.0]
    return {
        "commits": len(done),
        "same": kinds.pop("same", 0),
        "differences": sum(count for kind, count in kinds.items() if kind.startswith("difference")),
        "trouble": sum(count for kind, count in kinds.items() if kind.startswith("trouble")),
        "kinds": dict(kinds),
        "verdicts": dict(Counter(one.verdict for one in done)),
        "same_counts": sum(one.same_counts is True for one in done),
        "projects": dict(Counter(one.project for one in done)),
        "tools": dict(tools),
        "not_chosen": dict(left_out),
        "task_s": {"p50": percentile(taken, 0.5), "max": max(taken)},
        "total_s": round(sum(one.task_s + one.own_s for one in done), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repositories", nargs="+", type=Path, help="git repositories; they are only read")
    parser.add_argument("--most", type=int, default=10, help="commits of each repository")
    parser.add_argument("--besides", type=int, default=0, help="leave out what --most with this number takes")
    parser.add_argument("--only", help="the beginning of one commit's id")
    parser.add_argument("--style", choices=STYLES, help="how the change is made; else in turn")
    parser.add_argument("--details", type=Path, help="a file for one entry a commit")
    parser.add_argument("--least", type=float, default=0.95, help="the share without trouble below which the exit code is 1")
    chosen = parser.parse_args()
    with data_folder() as data:
        wanted = Wanted(chosen.most, chosen.besides, chosen.only, chosen.style)
        done = asyncio.run(replay(chosen.repositories, wanted, chosen.details, data))
    smooth = sum(not one.ended.startswith("trouble") for one in done)
    sys.exit(0 if done and smooth >= chosen.least * len(done) else 1)


if __name__ == "__main__":
    main()

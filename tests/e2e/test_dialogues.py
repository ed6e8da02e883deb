"""The four dialogues that must go so, typed into the terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.conftest import PERSEVERE, PROJECT, MakeRepository, git, task_branches

if TYPE_CHECKING:
    from tests.e2e.conftest import Shell

DEPLOY = """commands:
  deploy:
    run: ["python3", "-c", "print('deployed {target}')"]
    targets: [orchestrator, console]
"""


class Terminal:
    """A pseudo-terminal: what a person types and sees."""

    def __init__(self, shell: Shell, *arguments: str, cwd: Path) -> None:
        self.master, slave = pty.openpty()
        environment = {**shell.environment, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [PERSEVERE, *arguments], cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def expect(self, pattern: str, timeout: float = 60) -> str:
        """Read until the pattern is seen in what came since the last one."""
        until = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.master], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"never saw {pattern!r} in:\n{self.seen}"
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            assert data, f"ended before {pattern!r}:\n{self.seen}"
            self.seen += data.decode("utf-8", "replace")
        self.seen = self.seen[found.end() :]
        return found.group(0)

    def type(self, line: str) -> None:
        os.write(self.master, line.encode() + b"\n")

    def wait(self, timeout: float = 60) -> int:
        until = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < until:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        code = self.process.wait(timeout=10)
        os.close(self.master)
        return code


def test_approvals_are_asked_at_the_prompt(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository()
    terminal = Terminal(shell, "chat", "rename load_conf to load_config", cwd=repository)
    terminal.expect("approval of the plan")
    terminal.expect(r"\[y\]es")
    terminal.type("y")
    terminal.expect("approval of the diff")
    terminal.expect(r"\[y\]es")
    terminal.type("y")
    terminal.expect("status:.*completed")
    assert terminal.wait() == 0
    assert len(task_branches(repository)) == 1


def test_approval_rule_for_migrations(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository({**PROJECT, "migrations/0001_first.sql": "create table x (id int);\n"})
    message = "Add HITL approval for database migrations"
    waiting = shell.run("chat", message, "--repo", str(repository), "--yes", "--json")
    assert waiting.code == 1, waiting.result
    asked = [line for line in waiting.lines if line["type"] == "approval_required"]
    assert asked[-1]["approval"]["risk"]["level"] == "high"
    ran = shell.run("resume", waiting.result["task_id"], "--yes=all", "--json")
    assert (ran.code, ran.result["status"]) == (0, "completed"), ran.result
    assert "migrations" in git(repository, "show", f"{ran.result['branch']}:.persevere.yml")


def test_deploy_asks_which_service(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository({**PROJECT, ".persevere.yml": DEPLOY})
    terminal = Terminal(shell, "chat", "Deploy the service", cwd=repository)
    terminal.expect("(?i)which service")
    terminal.expect("orchestrator")
    terminal.type("The orchestrator")
    terminal.expect("approval of the command")
    terminal.expect("risk: .*high")
    terminal.type("n")
    terminal.expect("cancelled")
    assert terminal.wait() == 1


def test_deploy_without_a_command_says_how_to_configure_one(shell: Shell, make_repository: MakeRepository) -> None:
    ran = shell.run("chat", "Deploy the service", "--repo", str(make_repository()), "--yes", "--json")
    said = str(ran.lines)
    assert ".persevere.yml" in said


def test_status_of_a_task(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository()
    task_id = shell.run("chat", "rename load_conf to load_config", "--repo", str(repository), "--json").result["task_id"]
    ran = shell.run("chat", f"What's the status of {task_id}?", "--json", cwd=repository)
    assert (ran.code, ran.lines[0]["intent"]) == (0, "status_query")
    assert "plan" in ran.lines[0]["message"]
    unknown = shell.run("chat", "What's the status of task_000000000000?", "--json", cwd=repository)
    assert unknown.lines[0]["intent"] == "status_query"
    assert task_id in unknown.lines[0]["message"] + str(unknown.lines[0])
    cancelled = shell.run("tasks", "cancel", task_id, "--json")
    assert cancelled.lines[0]["status"] == "cancelled"

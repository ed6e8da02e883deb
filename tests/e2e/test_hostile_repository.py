"""A repository that tries to be imported, run or obeyed outside its sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import PROJECT, MakeRepository, git, task_branches

if TYPE_CHECKING:
    from tests.e2e.conftest import Shell

EVIL_MODULES = (
    "config/__init__.py",
    "config/settings.py",
    "shared/__init__.py",
    "shared/types.py",
    "agents/__init__.py",
    "workflows/__init__.py",
    "agent_orchestrator/__init__.py",
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "typer.py",
    "rope/__init__.py",
    "ruff.py",
)
HOOKS = ("pre-commit", "post-commit", "post-checkout", "pre-push", "post-index-change", "reference-transaction", "prepare-commit-msg")
COMMANDS = (("version",), ("tasks", "list"), ("approvals", "list"), ("doctor",), ("audit", "verify"), ("graph", "supervisor"))


@pytest.fixture
def hostile(make_repository: MakeRepository, tmp_path: Path) -> Path:
    """Leaves a file in `tmp_path/marks` for whatever of it is run on the host."""
    marks = tmp_path / "marks"
    marks.mkdir()
    evil = "import os\ntry:\n    open(os.path.join({folder!r}, {name!r}), 'w').close()\nexcept OSError:\n    pass\n"
    files = {path: evil.format(folder=str(marks), name=path.replace("/", "_")) for path in EVIL_MODULES}
    repository = make_repository({**files, **PROJECT, "README.md": "# \x1b]0;owned\x07\x1b[31mred \u202egnol\n"})
    for hook in HOOKS:
        path = repository / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch '{marks}/hook_{hook}'\n")
        path.chmod(0o755)
    git(repository, "config", "core.fsmonitor", f"touch '{marks}/fsmonitor'; false")
    git(repository, "config", "core.sshCommand", f"touch '{marks}/ssh'")
    for mark in marks.iterdir():
        mark.unlink()
    return repository


def test_no_command_runs_anything_of_the_folder_it_is_in(shell: Shell, hostile: Path, tmp_path: Path) -> None:
    for command in COMMANDS:
        ran = shell.run(*command, cwd=hostile)
        assert ran.code == 0, (command, ran)
    assert list((tmp_path / "marks").iterdir()) == []


def test_the_main_job_runs_it_only_in_the_sandbox(shell: Shell, hostile: Path, tmp_path: Path) -> None:
    ran = shell.run("chat", "rename load_conf to load_config", "--yes", cwd=hostile)
    assert ran.code == 0, ran
    assert len(task_branches(hostile)) == 1
    assert list((tmp_path / "marks").iterdir()) == []


def test_escape_sequences_of_a_repository_do_not_reach_the_terminal(shell: Shell, hostile: Path) -> None:
    ran = shell.run("chat", 'replace "red" with "blue" in README.md', "--yes", cwd=hostile)
    assert "blue" in ran.out, ran
    assert "\x1b" not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err
    task = shell.run("tasks", "list", "--limit", "1").out.split("task_")[1].split()[0]
    for command in (("show", f"task_{task}"), ("events", f"task_{task}"), ("diff", f"task_{task}"), ("list",)):
        told = shell.run("tasks", *command)
        assert told.code == 0, (command, told)
        assert not set("\x1b\x07\u202e") & set(told.out + told.err), command

"""The replay of real commits, on a repository made here: whole tasks, and what is found different."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from replay import different_files
from replay_commits import Change, choose, why_not
from replay_verdict import own_verdict, surroundings

BENCH = Path(__file__).resolve().parents[3] / "support" / "bench"
TEST = """import unittest

from app import double


class DoubleTest(unittest.TestCase):
    def test_it(self):
        self.assertEqual(double(2), 4)
"""
SOURCE = "def double(x):\n    return x * 2\n\n\ndef half(x):\n    return x / 2\n\n\ndef same(x):\n    return x\n"
FIRST = {"app.py": SOURCE, "test_app.py": TEST, "notes.txt": "one\r\ntwo\r\n", "old.txt": "old\n", "link": "->old.txt"}
STEPS: list[tuple[str, dict[str, str | None]]] = [
    (
        "Fewer divisions, and a script",
        {
            "app.py": SOURCE.replace("x / 2", "x // 2").replace("return x\n", "return +x"),
            "test_app.py": TEST.replace("double(2), 4", "double(3), 6"),
            "notes.txt": "one\r\n2 ü\r\n\x0cthree\r\n",
            "old.txt": None,
            "link": "->app.py",
            "bin/run": "#!/bin/sh\necho hello\n",
            "empty/__init__.py": "",
        },
    ),
    ("Break it", {"app.py": SOURCE.replace("x * 2", "x * 3"), "test_app.py": TEST.replace("double(2), 4", "double(2), 5")}),
    ("Rename everywhere", {"app.py": SOURCE.replace("x", "number"), "test_app.py": TEST}),
    ("Only words", {"notes.txt": "one\r\ntwo\r\n"}),
]


def git(folder: Path, *arguments: str) -> str:
    said = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", "-c", "core.autocrlf=false", *arguments]
    return subprocess.run(said, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    first: dict[str, str | None] = {**FIRST}
    for subject, files in [("first", first), *STEPS]:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            if text is not None and text.startswith("->"):
                path.symlink_to(text[2:])
            elif text is not None:
                path.write_bytes(text.encode())
                path.chmod(0o755 if name.startswith("bin/") else 0o644)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", subject)
    return folder


def test_every_commit_of_a_repository_is_made_again(repository: Path, tmp_path: Path, postgres_url: str) -> None:
    details, before = tmp_path / "details.json", git(repository, "for-each-ref")
    environment = {**{key: value for key, value in os.environ.items() if not key.startswith("PERSEVERE_")}, "DATABASE_URL": postgres_url}
    command = [sys.executable, str(BENCH / "replay.py"), str(repository), "--most", "6", "--details", str(details)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=250)
    assert done.returncode == 0, done.stderr + done.stdout
    one_each = json.loads(details.read_text())
    assert [(one["ended"], one["same_counts"]) for one in one_each] == [("same", True)] * len(STEPS), one_each
    assert sorted(one["verdict"] for one in one_each) == ["failed", "passed", "passed", "passed"]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert (counts["commits"], counts["same"], counts["differences"], counts["trouble"]) == (4, 4, 0, 0)
    assert {"apply_patch", "edit_file"} <= counts["tools"].keys()
    assert git(repository, "for-each-ref") == before


def test_what_differs_is_found(repository: Path, tmp_path: Path) -> None:
    assert different_files(repository, "main", "main") == []
    assert different_files(repository, "main~3", "main~4") == [
        *("M app.py", "D bin/run", "D empty/__init__.py", "M link", "M notes.txt", "A old.txt", "M test_app.py")
    ]
    around = surroundings("$ /usr/bin/python3 -m unittest discover -v -p 'test*.py'\n...\n", tmp_path)
    assert around is not None
    verdicts = [own_verdict(repository, f"main~{number}", around) for number in (1, 2)]
    assert [(own.verdict, own.passed, own.failed) for own in verdicts] == [("passed", 1, 0), ("failed", 0, 1)]
    assert surroundings("nothing was run", tmp_path) is None


def test_the_newest_commits_with_tests_are_taken_first(repository: Path) -> None:
    subjects = [commit.subject for commit in choose(repository, "tiny", 3).commits]
    assert subjects == ["Rename everywhere", "Break it", "Only words"]
    assert choose(repository, "tiny", 3) == choose(repository, "tiny", 3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change("a.py", "100644", "100644", b"a\n", b"b\n"), ""),
        (Change("a.png", "000000", "100644", b"", b"\x89PNG\0"), "a binary file"),
        (Change("a.py", "100644", "100644", b"a\n", b"\xff\n"), "text that is not UTF-8"),
        (Change("a.py", "100644", "100644", b"\xff\na\n", b"\xff\nb\n"), ""),
        (Change("sub", "000000", "160000", b"", b""), "a submodule"),
        (Change("a.png", "100644", "000000", b"\x89PNG\0", b""), ""),
        (Change("a.txt", "000000", "100644", b"", b"b\n" * 200_000), "a file too big to edit"),
        (Change("a.txt", "100644", "100644", b"b\n" * 200_000, b"b\n" * 199_999), ""),
        (Change("a.txt", "100644", "100644", b"a\n", b"b\n" * 2000), "more than 1500 changed lines"),
    ],
)
def test_what_no_tool_for_text_can_make_is_left_out_and_said(change: Change, reason: str) -> None:
    assert why_not([change]) == reason

"""Failures that are run once more: only few, and only what passes then passes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "support" / "scripts" / "run_again.py"
ONCE = """
from pathlib import Path


def test_once():
    seen = Path(__file__).with_name("seen")
    known = seen.exists()
    seen.touch()
    assert known
"""
ALWAYS = "def test_always():\n    assert False\n"
MANY = "import pytest\n\n\n@pytest.mark.parametrize('number', range(4))\ndef test_many(number):\n    assert False\n"


@pytest.mark.parametrize(
    ("tests", "code"),
    [(ONCE, 0), (ALWAYS, 1), (ONCE + ALWAYS, 1), (MANY, 1), ("def test_fine():\n    pass\n", 1)],
    ids=["once", "always", "both", "many", "none"],
)
def test_what_failed_is_run_once_more(tests: str, code: int, tmp_path: Path) -> None:
    script = tmp_path / "support" / "scripts" / "run_again.py"
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(tests)
    subprocess.run([sys.executable, "-m", "pytest", "-q", "test_it.py"], cwd=tmp_path, capture_output=True, check=False)
    done = subprocess.run([sys.executable, script, "--most", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "support" / "scripts" / "check_skips.py"


@pytest.mark.parametrize(("reason", "code"), [("install bubblewrap: apt-get install bubblewrap", 1), ("macOS only", 0)])
def test_only_allowed_reasons_pass(tmp_path: Path, reason: str, code: int) -> None:
    case = f'<testcase classname="t" name="n"><skipped type="pytest.skip" message="{reason}"/></testcase>'
    (tmp_path / "report.xml").write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>")
    (tmp_path / "allowed").write_text("# comment\n^macOS only\n")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "report.xml"), str(tmp_path / "allowed")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == code

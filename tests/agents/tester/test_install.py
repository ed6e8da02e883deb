"""What failed lately is not tried again, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.tester.install import InstallError, InstallFailures, brief


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("took", "rests"), [(0.1, 60), (10, 400), (95, 3600)])
def test_a_failure_rests_by_what_it_cost(tmp_path: Path, took: float, rests: float) -> None:
    clock = Clock()
    failures = InstallFailures(tmp_path / "environments", clock)
    began = clock.now
    clock.now += took
    failures.note("key", 60, began, "npm said no")
    failures.check("another", 60)
    clock.now += rests - 5
    with pytest.raises(InstallError, match=r"npm said no \(tried .* ago, tried again in 5 s\)"):
        InstallFailures(tmp_path / "environments", clock).check("key", 60)
    clock.now += 6
    failures.check("key", 60)
    assert not list((tmp_path / "environments").iterdir())


def test_more_time_or_a_clock_put_back_is_a_new_chance(tmp_path: Path) -> None:
    clock = Clock()
    failures = InstallFailures(tmp_path, clock)
    failures.note("key", 60, clock.now, "too slow")
    with pytest.raises(InstallError):
        failures.check("key", 30)
    failures.check("key", 600)
    failures.note("key", 60, clock.now, "too slow")
    clock.now -= 7200
    failures.check("key", 60)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"message": 1}', '{"message": "x", "at": "y", "until": 1, "timeout_s": 1}'])
def test_a_damaged_note_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.failed").write_text(text)
    InstallFailures(tmp_path).check("key", 60)


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    told = brief("npm could not install: " + "x" * 900 + " (tried again in 5 min)")
    assert len(told) <= 360
    assert told.startswith("npm could not install: x")
    assert told.endswith("x (tried again in 5 min)")
    assert brief("short") == "short"

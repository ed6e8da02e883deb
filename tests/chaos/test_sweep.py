"""A task survives the death of its process at any point: the same end, the same events, one branch, one pull request.

Every point is killed at once, at its first or its last passing by lot. `PERSEVERE_CHAOS=both` kills at both, `PERSEVERE_CHAOS=every` at
every passing.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.chaos.sweep import Outcome, Sweep, kills_of

CHAOS = os.environ.get("PERSEVERE_CHAOS", "")
SEED = int(os.environ.get("PERSEVERE_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
MISSED = 0.05
"""How many kills may come too late: points of polling loops are not passed equally often each time."""


def _tell(outcomes: list[Outcome]) -> str:
    """What the log of a run shows: how many, and every one that went wrong."""
    reached = [outcome for outcome in outcomes if outcome.reached]
    survived = [outcome for outcome in reached if not outcome.wrong]
    wrong = [f"  {outcome.point}, passing {outcome.passing}: {'; '.join(outcome.wrong)}" for outcome in outcomes if outcome.wrong]
    return "\n".join([f"points {len(reached)}, survived {len(survived)}, seed {SEED}", *wrong])


def _judge(outcomes: list[Outcome], capsys: pytest.CaptureFixture[str], may_miss: float = MISSED) -> None:
    told = _tell(outcomes)
    with capsys.disabled():
        print(f"\n{told}")  # noqa: T201
    assert not any(outcome.wrong for outcome in outcomes), told
    missed = [outcome.point for outcome in outcomes if not outcome.reached]
    assert len(missed) <= max(1, may_miss * len(outcomes)), missed


def _kills(counts: dict[str, int]) -> list[tuple[str, int]]:
    """The kills of a whole sweep: a point, and at which passing."""
    found = kills_of(counts, every=CHAOS == "every")
    if CHAOS in ("every", "both"):
        return found
    lot = random.Random(SEED)
    passings: dict[str, list[int]] = {}
    for point, passing in found:
        passings.setdefault(point, []).append(passing)
    return [(point, lot.choice(some)) for point, some in passings.items()]


def test_some_points(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    """A handful by lot, for every run of the tests."""
    story, counts = sweep.undisturbed()
    _judge(sweep.kill_at(story, random.Random(SEED).sample(kills_of(counts), 6)), capsys, may_miss=0.5)


def test_some_points_of_a_model_s_task(model_sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    story, counts = model_sweep.undisturbed()
    _judge(model_sweep.kill_at(story, random.Random(SEED).sample(kills_of(counts), 6)), capsys, may_miss=0.5)


@pytest.mark.slow
def test_between_a_repair_and_its_checkpoint(model_sweep: Sweep) -> None:
    """The checkpoint speaks of the change before the repair; that of the repair is there already."""
    story, counts = model_sweep.undisturbed()
    point = "after artifacts.save(kept change.patch)"
    assert counts[point] == 2
    (outcome,) = model_sweep.kill_at(story, [(point, 2)])
    assert (outcome.reached, outcome.wrong) == (True, ())


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_point_of_a_model_s_task(model_sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    story, counts = model_sweep.undisturbed()
    _judge(model_sweep.kill_at(story, _kills(counts)), capsys)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_point(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    story, counts = sweep.undisturbed()
    _judge(sweep.kill_at(story, _kills(counts)), capsys)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_moments_by_lot_and_several_deaths_in_one_life(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    """Between the points too, and up to three deaths before the task may end; some of them come too late."""
    story, _ = sweep.undisturbed()
    began = time.monotonic()
    sweep.undisturbed()
    lot, life_s = random.Random(SEED), time.monotonic() - began
    deaths = [[lot.uniform(0.05, 0.7 * life_s) for _ in range(lot.randint(1, 3))] for _ in range(12)]
    _judge([sweep.kill_after(story, moments) for moments in deaths], capsys, may_miss=0.5)

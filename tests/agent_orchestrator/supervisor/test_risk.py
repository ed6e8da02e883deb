"""What is known raises the risk of a change; nothing lowers it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.risk import diff_risk, plan_risk
from agent_orchestrator.supervisor.state import SupervisorState
from shared.recipes.repository_config import parse_repository_config
from shared.types import Json, Risk, RiskLevel, canonical_json, sha256_hex

RULES = b"approvals:\n  - {name: money, paths: [billing/**], risk: critical, approvers: [cfo]}\n"
CONTEXT = cast(SupervisorContext, SimpleNamespace(config=parse_repository_config(RULES)))
PLAN = {"summary": "s", "recipe": {"name": "rename_symbol", "arguments": {}}}


def state(level: str = "low", paths: tuple[str, ...] = ("app.py",), **more: Any) -> SupervisorState:
    risk: Json = {"level": level, "score": 0.1, "reasons": ["as planned"]}
    return cast(SupervisorState, {"risk": risk, "plan": PLAN, "patch_sha256": "x", "diff_stats": {"paths": list(paths)}, **more})


BLOCKED = Risk(level=RiskLevel.HIGH, reasons=["the review found 1 blocker"])


@pytest.mark.parametrize(
    ("of", "raised", "level", "reasons"),
    [
        (state(), None, "low", ["as planned"]),
        (state(handed_over=sha256_hex(canonical_json(PLAN))), None, "medium", ["a model went on with the recipe's change", "as planned"]),
        (state(handed_over="another plan's"), None, "low", ["as planned"]),
        (state(test_notes=["a test was deleted"]), BLOCKED, "high", ["the review found 1 blocker", "a test was deleted", "as planned"]),
        (state("critical"), BLOCKED, "critical", ["the review found 1 blocker", "as planned"]),
        (state(paths=("billing/sum.py",)), None, "critical", ["as planned", "rule “money”: billing/sum.py"]),
    ],
)
def test_reasons_add_up(of: SupervisorState, raised: Risk | None, level: str, reasons: list[str]) -> None:
    risk, approvers = diff_risk(of, CONTEXT, raised)
    assert (risk.level, risk.reasons) == (level, reasons)
    assert approvers == (["cfo"] if "billing/sum.py" in str(reasons) else [])


def test_a_wider_plan_has_the_risk_of_what_it_is_widened_by() -> None:
    wider = plan_risk(state(widened={"files": ["billing/sum.py"], "reason": "r"}), CONTEXT)
    assert (wider.level, wider.reasons[0]) == ("critical", "leaves the approved plan: billing/sum.py")
    assert plan_risk(state("medium"), CONTEXT).level == "medium"

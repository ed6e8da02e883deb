"""How risky a plan or a change is, and who may approve it. What is known raises the risk; nothing lowers it."""

from __future__ import annotations

from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.routes import is_by_model
from agent_orchestrator.supervisor.state import SupervisorState
from agents.loop.secrets import secrets_of
from shared.approvals.policy import PathRule, assess_diff
from shared.secrets.scan import listed
from shared.types import Risk, RiskLevel


def plan_risk(state: SupervisorState, context: SupervisorContext) -> Risk:
    """That of the plan; of what it is to be widened by too."""
    base = Risk.model_validate(state["risk"])
    if not (widened := state.get("widened")):
        return base
    wider = base.model_copy(update={"reasons": [f"leaves the approved plan: {', '.join(widened['files'][:10])}", *base.reasons]})
    return assess_diff(wider, list(widened["files"]), lines=0, rules=_path_rules(context))[0]


def diff_risk(state: SupervisorState, context: SupervisorContext, raised: Risk | None) -> tuple[Risk, list[str]]:
    """Of the change as it is now, and who may approve it (empty: anyone). `raised`: what the question itself adds."""
    stats = state.get("diff_stats", {})
    risk = Risk.model_validate(state["risk"])
    if state.get("handed_over") and is_by_model(state):
        risk = _raised(risk, RiskLevel.MEDIUM, "a model went on with the recipe's change")
    if weakened := state.get("test_notes"):
        risk = _raised(risk, RiskLevel.HIGH, *weakened)
    if marked := secrets_of(state):
        risk = _raised(risk, RiskLevel.HIGH, f"what looks like a secret and is marked as none, or could not be searched: {listed(marked)}")
    if raised is not None:
        risk = _raised(risk, raised.level, *raised.reasons)
    rules = _path_rules(context)
    lines = int(stats.get("insertions", 0)) + int(stats.get("deletions", 0))
    return assess_diff(risk, list(stats.get("paths", [])), lines=lines, rules=rules)


def _raised(risk: Risk, level: RiskLevel, *reasons: str) -> Risk:
    """Never lowered; every reason is told, the newest first. The score follows the level."""
    higher = max(risk.level, level, key=lambda item: item.rank)
    return risk.model_copy(update={"level": higher, "reasons": list(dict.fromkeys([*reasons, *risk.reasons]))})


def _path_rules(context: SupervisorContext) -> list[PathRule]:
    return [PathRule(name=rule.name, paths=rule.paths, risk=rule.risk, approvers=rule.approvers) for rule in context.config.approvals]

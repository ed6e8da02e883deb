"""Who answers a gate: a person at the prompt, `--yes` within its limit, or nobody here."""

from __future__ import annotations

from dataclasses import dataclass
from shutil import get_terminal_size
from typing import Protocol

from agent_orchestrator.cli.prompt import is_interactive, read_line
from agent_orchestrator.cli.views import View
from shared.types import Json, RiskLevel

WIDE = 60
"""Columns from which the whole question fits on a line."""
LIMITS = {"medium": RiskLevel.MEDIUM, "all": RiskLevel.CRITICAL}


@dataclass(frozen=True)
class Choice:
    decision: str
    comment: str | None = None
    told: str | None = None
    """What a watcher is told when nobody typed the decision."""


class Decider(Protocol):
    async def decide(self, approval: Json, view: View) -> Choice | None:
        """The answer to a pending approval, or None to leave it waiting."""


@dataclass(frozen=True)
class YesDecider:
    """Approves what is not riskier than `limit`."""

    limit: RiskLevel
    word: str

    async def decide(self, approval: Json, view: View) -> Choice | None:
        view.approval(approval)
        level = str((approval.get("risk") or {}).get("level", ""))
        if level not in set(RiskLevel) or RiskLevel(level).rank > self.limit.rank:
            view.note(f"{self.word} does not answer a {level} risk.")
            return None
        if any(not secret.get("marked") for secret in (approval.get("subject") or {}).get("secrets") or []):
            view.note("What looks like a secret is never approved: answer with what should be different, or reject it.")
            return None
        return Choice("approve", told=f"approved by {self.word} (risk {level})")


class NobodyDecider:
    async def decide(self, approval: Json, view: View) -> Choice | None:
        view.approval(approval)
        return None


class PersonDecider:
    """Asks at the prompt; an end of input leaves the approval waiting."""

    async def decide(self, approval: Json, view: View) -> Choice | None:
        view.approval(approval)
        can_respond = approval.get("gate") in ("plan", "diff")
        can_take_over = approval.get("gate") == "diff"
        wide = get_terminal_size().columns >= WIDE
        different = ", or say what should be [d]ifferent" if wide else ", [d]ifferent"
        over = (", [t]ake the branch over" if wide else ", [t]ake over") if can_take_over else ""
        offer = "[y]es, [n]o" + over + (different if can_respond else "")
        while True:
            line = await read_line(f"{offer}? ")
            if line is None:
                return None
            word = line.strip().lower()
            if word in ("y", "yes"):
                return Choice("approve")
            if word in ("n", "no"):
                return Choice("reject")
            if can_take_over and word in ("t", "take over"):
                return Choice("take_over")
            if can_respond and word in ("d", "different"):
                comment = await read_line("what should be different? ")
                if comment and comment.strip():
                    return Choice("respond", comment.strip())


def decider_for(yes: str, *, as_json: bool) -> Decider:
    """`yes` is "", "medium" or "all"."""
    if yes:
        return YesDecider(LIMITS[yes], "--yes" if yes == "medium" else "--yes=all")
    return PersonDecider() if is_interactive() and not as_json else NobodyDecider()

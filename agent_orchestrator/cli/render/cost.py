"""What a task has cost, in words."""

from __future__ import annotations

from typing import Any


def cost_words(cost: Any) -> str:
    """`12,345 tokens, 0.12 USD`, saying so where a price is unknown; empty when no model was called. `cost` as the service tells it."""
    if not isinstance(cost, dict) or not cost.get("calls"):
        return ""
    calls, unpriced = int(cost["calls"]), int(cost.get("unpriced_calls") or 0)
    tokens = f"{int(cost.get('tokens') or 0):,} tokens"
    if unpriced >= calls:
        return f"{tokens}, price unknown"
    words = f"{tokens}, {dollars(float(cost.get('cost_usd') or 0.0))}"
    return words + (f" and {unpriced} call{'s' * (unpriced != 1)} of unknown price" if unpriced else "")


def dollars(amount: float) -> str:
    """Cents, and of little money its first two digits."""
    return f"{amount:,.2f} USD" if amount >= 0.095 or amount == 0 else f"{amount:.2g} USD" if amount >= 0.0001 else "less than 0.0001 USD"

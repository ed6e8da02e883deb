"""Models: what an agent needs of one, and what a call costs. No vendor is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import TaskFailedError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True)
class Usage:
    """Of one call. Tokens as the provider counted them, or `estimated`; `cost_usd` is None when the model's price is unknown."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    estimated: bool = False
    """The provider did not tell all of it: its answer broke off, or its server does not count."""


class ModelError(TaskFailedError):
    """A provider refused, or failed for good. The code says how.

    `model_key_rejected`, `model_unknown`, `model_quota`, `model_context_too_long`, `model_request_rejected`, `model_rate_limited`,
    `model_unavailable`, `model_silent`.
    """

    code = "model_unavailable"
    status = 503


class BudgetReached(TaskFailedError):
    """The next call is not made: the task has spent what it was given. The message says what and how much."""

    code = "budget_reached"


class Spend(Protocol):
    """A task's budget and its record of use."""

    async def before(self) -> None:
        """Asked before each call, retries included. Raises `BudgetReached`."""

    async def after(self, model: str, usage: Usage) -> None:
        """Told after each call whose answer began. `model` is `provider:name` of the one that answered."""


class ModelPort(Protocol):
    @property
    def name(self) -> str:
        """`provider:name`, as configured."""

    def bind(self, spend: Spend) -> BaseChatModel:
        """A langchain chat model. Retries with jitter, falls back to other models, ends a silent stream, and asks `spend` each time.

        Its errors are `ModelError` and `BudgetReached`. It supports `bind_tools`, `ainvoke` and `astream`, and no synchronous call.
        """

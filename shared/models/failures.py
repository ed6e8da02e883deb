"""What went wrong with a call, in words a person can act on, and whether trying again can help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from langchain_core import exceptions as langchain

from shared.models.names import PROVIDERS, ModelName
from shared.models.port import ModelError

_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "h11", "h2", "anyio"})
_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota|credit balance|billing|payment|spend(ing)? limit", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context.?length|context window|maximum context|prompt is too long|token (count|limit)|too many tokens", re.IGNORECASE
)
_BAD_KEY = re.compile(r"api[ _]?key (not valid|invalid|expired)|invalid api[ _]?key|API_KEY_INVALID", re.IGNORECASE)
_SECRET = re.compile(r"\b(sk|pk|rk|key|Bearer)[-_ ][A-Za-z0-9*._-]{6,}|\bAIza[A-Za-z0-9_*-]{6,}", re.IGNORECASE)
_OVERLOADED = re.compile(r"overloaded|server_error|api_error|internal error|rate_limit", re.IGNORECASE)
"""What is told inside a stream comes without a status."""
_DELAY = re.compile(r"['\"]retryDelay['\"]\s*:\s*['\"](\d+(?:\.\d+)?)s['\"]")


class ContextTooLongError(ModelError, langchain.ContextOverflowError):
    """The conversation does not fit into the model's window; langchain's middleware knows it by its other base and cuts."""

    code = "model_context_too_long"


class SilentStreamError(Exception):
    """The provider sent nothing for the allowed time."""


class CutStreamError(Exception):
    """The provider's answer ended before its end."""


@dataclass(frozen=True)
class Failure:
    """`again`: the same call may succeed later; `elsewhere`: another model may succeed. `wait_s`: what the provider asked for."""

    code: str
    message: str
    next_step: str
    again: bool = False
    elsewhere: bool = True
    wait_s: float | None = None

    def error(self) -> ModelError:
        if self.code == ContextTooLongError.code:
            return ContextTooLongError(self.message, self.next_step)
        return ModelError(self.message, self.next_step, code=self.code)


def failure_of(exc: Exception, name: ModelName, secrets: tuple[str, ...] = (), *, own_key: bool = False) -> Failure | None:
    """What a provider's exception means; None for one that is none of a provider's: a fault of ours. `own_key`: the user's was used."""
    if isinstance(exc, SilentStreamError):
        return _Words(name).silent(str(exc))
    if isinstance(exc, CutStreamError):
        return _Words(name).down("its answer broke off")
    seen = _Seen.of(exc)
    words = _Words(name, redact(seen.text, secrets), own_key=own_key)
    if isinstance(exc, langchain.ContextOverflowError) or (seen.status in (400, 413) and _TOO_LONG.search(seen.text)):
        return words.too_long()
    if seen.status in (400, 402, 403, 429) and _QUOTA.search(seen.text) and not (seen.status == 429 and seen.wait_s is not None):
        return words.quota()
    if seen.status in (401, 403) or (seen.status == 400 and _BAD_KEY.search(seen.text)):
        return words.key()
    if seen.status == 404:
        return words.unknown()
    if seen.status == 429:
        return words.limited(seen.wait_s)
    if seen.status in (408, 409) or (seen.status or 0) >= 500:
        return words.down(f"it answered {seen.status}", seen.wait_s)
    if seen.status is not None and seen.status >= 400:
        return words.rejected()
    if seen.overloaded or seen.network:
        return words.down("it cannot be reached" if seen.network else "it is overloaded", seen.wait_s)
    return words.rejected() if seen.vendor else None


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Without anything that is a key or looks like one, on one line, 300 characters at most."""
    for secret in secrets:
        text = text.replace(secret, "[key]")
    return " ".join(_SECRET.sub("[key]", text).split())[:300]


@dataclass
class _Seen:
    """What the chain of exceptions of the three clients says: the HTTP status, the text, the wait that was asked for."""

    status: int | None = None
    text: str = ""
    wait_s: float | None = None
    network: bool = False
    overloaded: bool = False
    vendor: bool = False
    _texts: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, exc: BaseException) -> _Seen:
        seen = cls()
        for link in _chain(exc):
            seen._look(link)
        seen.text = " ".join(seen._texts)
        return seen

    def _look(self, exc: BaseException) -> None:
        roots = {base.__module__.partition(".")[0] for base in type(exc).__mro__}
        vendor = bool(roots & {"openai", "anthropic", "google"}) or isinstance(exc, langchain.ModelError)
        transport = bool(roots & _TRANSPORTS)
        self.vendor |= vendor or transport
        if isinstance(exc, langchain.ModelConnectionError | langchain.ModelTimeoutError | OSError) or transport:
            self.network = True
        if not vendor:
            return
        said = str(exc)
        if said not in self._texts:
            self._texts.append(said)
        response = getattr(exc, "response", None)
        status = getattr(exc, "status_code", None) or getattr(exc, "code", None)
        if self.status is None and isinstance(status, int) and status >= 400:
            self.status = status
        self.overloaded |= bool(_OVERLOADED.search(f"{said} {getattr(exc, 'body', '')}"))
        self.overloaded |= isinstance(exc, langchain.ModelAPIError)
        if self.wait_s is None:
            self.wait_s = _asked_wait(getattr(response, "headers", None), said)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _asked_wait(headers: Any, said: str) -> float | None:
    """Seconds, from `retry-after-ms`, `Retry-After` (seconds or a date, RFC 9110) or Google's `retryDelay`."""
    found = dict(headers.items()) if headers is not None else {}
    values = {str(key).lower(): str(value) for key, value in found.items()}
    try:
        if "retry-after-ms" in values:
            return max(0.0, float(values["retry-after-ms"]) / 1000)
        if "retry-after" in values:
            return _retry_after(values["retry-after"])
    except (ValueError, TypeError):
        return None
    delay = _DELAY.search(said)
    return float(delay[1]) if delay else None


def _retry_after(value: str) -> float:
    if value.strip().replace(".", "", 1).isdigit():
        return float(value)
    return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())


class _Words:
    """Each failure as a sentence and a next step."""

    def __init__(self, name: ModelName, said: str = "", *, own_key: bool = False) -> None:
        provider = PROVIDERS.get(name.provider)
        self._name, self._said, self._own_key = name, said, own_key
        self._key = "your own key" if own_key else provider.key_variable if provider is not None else "its key"
        self._url = provider.url_variable if provider is not None else "its address"

    def key(self) -> Failure:
        put = f"Put a valid key that may use this model into {self._key}, start again, and retry the task."
        own = f"Store a valid key that may use this model (`persevere keys set {self._name.provider}`), and retry the task."
        return Failure(
            "model_key_rejected",
            f"{self._name.provider} does not accept {'your own key' if self._own_key else 'the key'} for {self._name}.",
            own if self._own_key else put,
        )

    def unknown(self) -> Failure:
        return Failure(
            "model_unknown",
            f"{self._name.provider} does not know the model {self._name.model!r}, or your key may not use it.",
            f"Correct PERSEVERE_MODEL (or the task's `model`){f', or {self._url}' if self._url else ''}, and retry the task.",
        )

    def quota(self) -> Failure:
        return Failure(
            "model_quota",
            f"The account behind {self._key} has no credit left for {self._name}.",
            f"Add credit or raise the limit at {self._name.provider}, or choose another model, and retry the task.",
        )

    def too_long(self) -> Failure:
        return Failure(
            ContextTooLongError.code,
            f"The work no longer fits into the context window of {self._name}.",
            "Choose a model with a larger window, or split the request into smaller ones.",
            elsewhere=False,
        )

    def limited(self, wait_s: float | None) -> Failure:
        return Failure(
            "model_rate_limited",
            f"{self._name.provider} allows no more calls of {self._name} for now.",
            "Retry the task later, raise the rate limit at the provider, or set PERSEVERE_MODEL_FALLBACKS.",
            again=True,
            wait_s=wait_s,
        )

    def down(self, how: str, wait_s: float | None = None) -> Failure:
        return Failure(
            "model_unavailable",
            f"{self._name} is not available: {how}.",
            f"Retry the task when {self._name.provider} works again (its status page says more), or set PERSEVERE_MODEL_FALLBACKS."
            if self._name.provider != "openai-compatible"
            else f"Start the server at {self._url}, or correct the address, and retry the task.",
            again=True,
            wait_s=wait_s,
        )

    def silent(self, seconds: str) -> Failure:
        return Failure(
            "model_silent",
            f"{self._name} sent nothing for {seconds} s.",
            "Retry the task; for a model that thinks longer in silence raise PERSEVERE_MODEL_SILENCE_S.",
            again=True,
        )

    def rejected(self) -> Failure:
        return Failure(
            "model_request_rejected",
            f"{self._name} rejected the request: {self._said or 'it gave no reason'}",
            "Choose another model, or retry the task; if it happens again, report it with this message.",
        )

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from shared.models.failures import CutStreamError, SilentStreamError, failure_of, redact
from shared.models.guarded import Patience
from shared.models.names import ModelName

NAME = ModelName("openai", "big")


class _VendorError(Exception):
    """An exception that looks as the clients' do."""

    __module__ = "openai"

    def __init__(self, status: int, message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status_code = status
        self.response = SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250", "Retry_After": "7"}, 0.25),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    failure = failure_of(_VendorError(429, **headers), NAME)
    assert failure is not None
    assert (failure.again, failure.wait_s) == (True, seconds)


def test_the_wait_may_be_a_date() -> None:
    failure = failure_of(_VendorError(503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)), NAME)
    assert failure is not None
    assert failure.wait_s == pytest.approx(30, abs=2)


def test_google_asks_in_the_body() -> None:
    failure = failure_of(_VendorError(429, "{'details': [{'@type': 'RetryInfo', 'retryDelay': '17s'}]}"), NAME)
    assert failure is not None
    assert failure.wait_s == 17


@pytest.mark.parametrize(
    "text", ["Incorrect key sk-abc***xyz123", "Bearer eyJhbGciOi.abc", "AIzaSyA-0123456789abc", "mine: hunter2hunter2"]
)
def test_nothing_that_looks_like_a_key_is_told(text: str) -> None:
    secret = text.split()[-1].split(":")[-1]
    assert secret not in redact(text, ("hunter2hunter2",))


def test_our_own_faults_are_not_blamed_on_the_provider() -> None:
    assert failure_of(KeyError("x"), NAME) is None
    assert failure_of(TypeError("x"), NAME) is None


@pytest.mark.parametrize("exc", [SilentStreamError("5"), CutStreamError(), ConnectionResetError(), _VendorError(500), _VendorError(529)])
def test_what_may_pass_is_tried_again_and_elsewhere(exc: Exception) -> None:
    failure = failure_of(exc, NAME)
    assert failure is not None
    assert failure.again
    assert failure.elsewhere
    assert failure.message.endswith(".")
    assert failure.next_step.endswith(".")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    failure = failure_of(_VendorError(status), NAME)
    assert failure is not None
    assert not failure.again


def test_waits_grow_with_jitter_up_to_a_limit() -> None:
    patience = Patience(first_wait_s=1, longest_wait_s=30)
    for attempt, (least, most) in enumerate([(0.5, 1), (1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30)]):
        waits = [patience.wait(attempt, None) for _ in range(50)]
        assert least <= min(waits) <= max(waits) <= most
        assert len(set(waits)) > 1
    assert 7 <= patience.wait(0, 7) <= 8

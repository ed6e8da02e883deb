"""One tree of typed errors. Each carries a stable code, an HTTP status, a sentence and what to do next."""

from __future__ import annotations

import math
from typing import Any


class PersevereError(Exception):
    """Base of everything a person may be told about. `message` and `next_step` are safe to show: no secrets, no tracebacks."""

    code = "internal_error"
    status = 500

    def __init__(self, message: str, next_step: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.details: dict[str, Any] = {}
        if code is not None:
            self.code = code


class InvalidRequestError(PersevereError):
    code = "invalid_request"
    status = 422


class UnauthorizedError(PersevereError):
    code = "unauthorized"
    status = 401


class ForbiddenError(PersevereError):
    code = "forbidden"
    status = 403


class NotFoundError(PersevereError):
    code = "not_found"
    status = 404


class ConflictError(PersevereError):
    code = "conflict"
    status = 409


class SettingsError(PersevereError):
    """A setting is missing, unknown or contradictory; the command line exits with 2."""

    code = "invalid_settings"
    status = 500


class UnavailableError(PersevereError):
    code = "unavailable"
    status = 503


class RepositoryError(PersevereError):
    """The repository cannot be used: missing, empty, not a git repository, unreadable."""

    code = "repository_unusable"
    status = 422


class SandboxError(PersevereError):
    code = "sandbox_unavailable"
    status = 503


class SandboxGoneError(SandboxError):
    """The sandbox is no more, and what was not collected with it. The work begins again in a new one."""

    code = "sandbox_gone"


class SandboxUnreachableError(SandboxError):
    """The sandbox's provider does not answer; the sandbox may still be there."""

    code = "sandbox_unreachable"


class TaskFailedError(PersevereError):
    """A task cannot go on. Raised by agents; the supervisor turns it into the task's `error`."""

    code = "task_failed"
    status = 422


class TooManyRequestsError(PersevereError):
    """`details["retry_after_s"]`: whole seconds until the next request is allowed."""

    code = "rate_limited"
    status = 429

    def __init__(self, wait_s: float) -> None:
        after = max(1, math.ceil(wait_s))
        super().__init__("There were too many requests in the last minute.", f"Try again in {after} s.")
        self.details["retry_after_s"] = after


class FencedError(PersevereError):
    """This run lost its lease: another worker owns the task now and nothing was written."""

    code = "run_fenced"
    status = 409

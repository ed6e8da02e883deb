"""What went wrong at E2B, in our words. The SDK's own exceptions do not leave `e2b_*`."""

from __future__ import annotations

from shared.errors import SandboxError, SandboxGoneError, SandboxUnreachableError

KEYS = "https://e2b.dev/dashboard?tab=keys"
_LONGEST = 200
_LATER = (408, 409, 425, 429)
"""Another try may help: too slow, changing its state just now, too early, too many."""


def no_key() -> SandboxError:
    return SandboxError("E2B needs a key, and E2B_API_KEY is not set.", f"Set E2B_API_KEY to a key from {KEYS}.")


def gone() -> SandboxGoneError:
    return SandboxGoneError("The sandbox at E2B is no more: it was removed, or its time was over.", "The work begins again in a new one.")


def unreachable(why: str) -> SandboxUnreachableError:
    return SandboxUnreachableError(f"E2B does not answer: {why}.", "Try again; https://status.e2b.dev tells how E2B is.")


def no_template(template: str) -> SandboxError:
    return SandboxError(
        f"E2B knows no template {template!r} that this key may use.",
        "Build it from compose/sandbox/Dockerfile (support/docs/sandboxes.md), or set PERSEVERE_SANDBOX_TEMPLATE.",
    )


def translate(error: Exception, template: str = "") -> SandboxError:
    """One of the SDK's errors as ours: gone, unreachable (another try may help), or what a person has to do."""
    from e2b import exceptions as known

    if isinstance(error, SandboxError):
        return error
    if isinstance(error, known.SandboxNotFoundException | known.SandboxNotRunningException):
        return gone()
    if isinstance(error, known.AuthenticationException):
        if "invalid username" in str(error):
            return no_user(template)
        return SandboxError("E2B refuses the key in E2B_API_KEY.", f"Set E2B_API_KEY to a key from {KEYS}.")
    if isinstance(error, known.NotEnoughSpaceException):
        return SandboxError("The disk of the sandbox at E2B is full.", "Build its template with a larger disk.")
    if isinstance(error, known.RateLimitException) and "concurrent" in str(error):
        return SandboxError(
            f"E2B allows no more sandboxes at once: {words(error)}.",
            "Run fewer tasks at once, remove sandboxes at https://e2b.dev/dashboard, or ask E2B for more.",
        )
    status = getattr(error, "status_code", None)
    if isinstance(error, known.SandboxException) and status is not None and 400 <= status < 500 and status not in _LATER:
        return _refused(error, status, template)
    if isinstance(error, known.InvalidArgumentException | known.TemplateException):
        return SandboxError(f"E2B refuses what it was asked: {words(error)}.")
    return unreachable(_why(error))


def no_user(template: str) -> SandboxError:
    return SandboxError(
        f"The E2B template {template!r} lacks the user that commands run as.",
        "Build it from compose/sandbox/Dockerfile (support/docs/sandboxes.md).",
    )


def unfit(template: str, why: str) -> SandboxError:
    return SandboxError(
        f"A sandbox of the E2B template {template!r} could not be prepared: {words(Exception(why[-_LONGEST:]))}.",
        "Build it from compose/sandbox/Dockerfile (support/docs/sandboxes.md).",
    )


def _refused(error: Exception, status: int, template: str) -> SandboxError:
    if status == 404:
        return no_template(template)
    if "Timeout cannot be greater" in str(error):
        return SandboxError(
            f"E2B lets no sandbox of this account live that long: {words(error)}.",
            "Set PERSEVERE_SANDBOX_TTL_S lower, 3600 at most for E2B's free accounts; a sandbox in use is kept alive.",
        )
    return SandboxError(f"E2B refuses what it was asked: {words(error)}.")


def _why(error: Exception) -> str:
    from e2b import exceptions as known

    if isinstance(error, known.RateLimitException):
        return "it wants fewer requests"
    if isinstance(error, known.ServiceBusyException):
        return "it is busy"
    if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        return "what came was not an answer of E2B"
    if "timed out" in str(error).lower() or isinstance(error, TimeoutError):
        return "it took too long"
    return "the connection failed"


def words(error: Exception) -> str:
    """What E2B said, as a part of a sentence: printable, and no longer than a line or two."""
    text = " ".join("".join(character if character.isprintable() else " " for character in str(error)).split())
    return text[:_LONGEST].rstrip(" .")

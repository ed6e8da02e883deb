"""A path as a model writes it, made into the one name the repository has for it."""

from __future__ import annotations

from pathlib import PurePosixPath

from shared.errors import InvalidRequestError

_OUTSIDE = "Use a path relative to the repository's root, such as src/app.py."


def clean(path: str) -> str:
    """Relative, with `/`, without `.` and `..`. InvalidRequestError for a path that leaves the workspace or is in git's own folder."""
    text = path.strip()
    if not text or "\0" in text or "\\" in text or "\n" in text:
        raise InvalidRequestError(f"{path!r} is not a path.", _OUTSIDE)
    pure = PurePosixPath(text)
    if pure.is_absolute() or ".." in pure.parts or text.startswith("~"):
        raise InvalidRequestError(f"{path} leaves the workspace.", _OUTSIDE)
    parts = [part for part in pure.parts if part != "."]
    if not parts:
        raise InvalidRequestError(f"{path} is not a file.", _OUTSIDE)
    if any(part.lower() == ".git" for part in parts):
        raise InvalidRequestError(f"{path} is in git's own folder, which is not part of the work.")
    return "/".join(parts)

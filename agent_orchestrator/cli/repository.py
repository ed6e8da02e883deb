"""Which repository a command means. Reads names only: nothing of the repository is run."""

from __future__ import annotations

from pathlib import Path


def named(repo: str | None) -> str | None:
    """`--repo` as the service understands it: an absolute path when it is a folder here or looks like a path."""
    if repo is None:
        return None
    path = Path(repo).expanduser()
    if path.exists() or repo.startswith((".", "/", "~")):
        return str(path.resolve())
    return repo


def enclosing(folder: Path) -> str | None:
    """The repository a folder is in, or None."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return str(candidate)
    return None

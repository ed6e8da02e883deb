"""Git folders of our own that borrow a repository's objects, so that its configuration is not read."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from shared.forge.git import run_git

# info/attributes wins over every .gitattributes: bytes stay what they are, whatever the repository says.
_ATTRIBUTES = "* -text -filter -ident -working-tree-encoding !diff !merge !whitespace\n"
# What tools leave behind when they run; a .gitignore of the repository wins over it.
_EXCLUDES = "__pycache__/\n*.py[co]\n.pytest_cache/\n.ruff_cache/\n.mypy_cache/\n.ropeproject/\n.hypothesis/\n"


async def make_private(git_dir: Path, objects: Path, object_format: str) -> Path:
    """A new bare git folder at `git_dir` (what was there is removed) that reads objects from `objects` too."""
    await asyncio.to_thread(_prepare, git_dir)
    await run_git("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", git_dir)
    info = git_dir / "info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text(_ATTRIBUTES)
    (info / "exclude").write_text(_EXCLUDES)
    (git_dir / "objects" / "info" / "alternates").write_bytes(_quoted(objects) + b"\n")
    return git_dir


def _prepare(git_dir: Path) -> None:
    remove_tree(git_dir)
    git_dir.mkdir(parents=True, mode=0o700)


def _quoted(path: Path) -> bytes:
    """A line of an alternates file: C-quoted where a plain line would be read otherwise."""
    raw = os.fsencode(path)
    if raw[:1] not in (b'"', b"#") and b"\n" not in raw:
        return raw
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def remove_tree(folder: Path) -> None:
    """Remove a folder however deep it is, read-only folders in it included; links are removed, never followed.

    What lies in a folder is moved to the top and looked at there: depths that no path can name need no recursion so.
    """
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if not folder.exists():
        return
    os.chmod(folder, stat.S_IRWXU)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        moved = _empty(top, top, 0)
        while names := os.listdir(top):
            for name in names:
                os.chmod(name, stat.S_IRWXU, dir_fd=top)
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                try:
                    moved = _empty(inner, top, moved)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _empty(at: int, top: int, moved: int) -> int:
    """Unlink the files of an open folder and move its folders to the top under new names; how many were moved ever."""
    with os.scandir(at) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            os.unlink(name, dir_fd=at)
        elif at != top:
            moved += 1
            os.rename(name, f".removed-{moved}-{os.getpid()}", src_dir_fd=at, dst_dir_fd=top)
    return moved

"""Git folders of our own that borrow a repository's objects, so that its configuration is not read."""

from __future__ import annotations

import asyncio
import os
import shutil
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
    """Remove a folder, read-only folders in it included; links are removed, never followed."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for root, names, _ in os.walk(folder):
            for name in (root, *(os.path.join(root, n) for n in names)):
                if not os.path.islink(name):
                    os.chmod(name, stat.S_IRWXU)
        shutil.rmtree(folder)

"""What a working tree changed. The tree was written by untrusted commands: links are never followed, nested repositories are left out."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from shared.errors import RepositoryError
from shared.forge.git import run_git
from shared.types import Json

_BATCH_BYTES = 32 * 1024 * 1024

Entry = tuple[bytes, bytes, bytes]
"""Mode, path, content."""


async def record(folder: Path, git_dir: Path, id_length: int) -> bool:
    """Bring the index of `git_dir` up to what is in `folder`; whether anything was to do.

    `id_length` is that of an object id in hexadecimal digits.
    """
    changed, untracked = await asyncio.gather(
        run_git("diff-files", "-z", "--raw", "--no-renames", "--ignore-submodules=all", git_dir=git_dir, work_tree=folder),
        run_git("ls-files", "--others", "--exclude-standard", "-z", git_dir=git_dir, work_tree=folder),
    )
    fields = changed.stdout.split(b"\0")[:-1]
    paths = [path for head, path in zip(fields[::2], fields[1::2], strict=True) if not head.startswith(b":160000")]
    # A name that ends with a slash is a repository made inside the workspace.
    paths += [path for path in untracked.stdout.split(b"\0")[:-1] if not path.endswith(b"/")]
    if not paths:
        return False
    gone: list[bytes] = []
    lines: list[bytes] = []
    batches = _batches(folder, paths, gone)
    while batch := await asyncio.to_thread(next, batches, None):
        ids = await _store(git_dir, [content for _, _, content in batch])
        lines += [mode + b" " + oid + b"\t" + path for (mode, path, _), oid in zip(batch, ids, strict=True)]
    nothing = b"0 " + b"0" * id_length + b"\t"
    lines = [nothing + path for path in gone] + lines
    await run_git("update-index", "--replace", "-z", "--index-info", git_dir=git_dir, stdin=b"\0".join(lines) + b"\0")
    return True


def _batches(folder: Path, paths: list[bytes], gone: list[bytes]) -> Iterator[list[Entry]]:
    """The files and links among `paths`, some 32 MB at a time; `gone` receives those that are neither any more."""
    batch: list[Entry] = []
    size = 0
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path in paths:
            found = _read(root, path)
            if found is None:
                gone.append(path)
                continue
            batch.append((found[0], path, found[1]))
            size += len(found[1])
            if size > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    finally:
        os.close(root)
    if batch:
        yield batch


def _read(root: int, path: bytes) -> tuple[bytes, bytes] | None:
    """(mode, content) of a file or link, opened folder by folder so that no link is followed even while commands still run."""
    *folders, name = path.split(b"/")
    at = os.dup(root)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        kind = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            return b"120000", os.readlink(name, dir_fd=at)
        if not stat.S_ISREG(kind):
            return None
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return None
            return (b"100755" if mode & stat.S_IXUSR else b"100644"), file.read()
    except OSError as exc:
        # ELOOP and ENOTDIR: a link or a file where a folder was.
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        name_shown = path.decode(errors="replace")
        raise RepositoryError(f"{name_shown} cannot be read in the workspace", "Let the command that wrote it leave it readable.") from exc
    finally:
        os.close(at)


async def _store(git_dir: Path, contents: list[bytes]) -> list[bytes]:
    """Write the contents as they are, without any conversion; their object ids in order."""
    parts: list[bytes] = []
    for number, content in enumerate(contents, 1):
        parts += [b"blob\nmark :%d\ndata %d\n" % (number, len(content)), content, b"\nget-mark :%d\n" % number]
    answer = await run_git("fast-import", "--quiet", "--done", git_dir=git_dir, stdin=b"".join([*parts, b"done\n"]))
    return answer.stdout.split()


async def compare(git_dir: Path, base_commit: str, head_commit: str | None = None) -> tuple[bytes, Json]:
    """The index against the base commit: the patch in git's binary format and its stats. Of a `head_commit` one to read: no binaries."""
    revisions = (base_commit,) if head_commit is None else (base_commit, head_commit)
    index = ("--cached",) if head_commit is None else ()
    plain = (*index, "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")
    whole = ("--binary", "--full-index") if head_commit is None else ()
    form = (*whole, "--unified=3", "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/")
    # Rows end with a zero byte, the last one with two; the patch follows, quoted as it always is.
    both = (await run_git("diff", *plain, "--numstat", "-z", "--patch", *form, *revisions, "--", git_dir=git_dir)).stdout
    counts, _, patch = both.partition(b"\0\0")
    insertions = deletions = 0
    paths = []
    for row in filter(None, counts.split(b"\0")):
        plus, minus, path = row.split(b"\t", 2)
        insertions += int(plus) if plus != b"-" else 0
        deletions += int(minus) if minus != b"-" else 0
        paths.append(path.decode(errors="replace"))
    return patch, {"files": len(paths), "insertions": insertions, "deletions": deletions, "paths": paths}

"""Reading and writing files of a workspace from the host, which the code inside may be changing at the same moment.

Every component is opened relative to its parent without following links; a link is resolved by hand and must stay inside.
So a link swapped in between a check and its use cannot lead out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from shared.errors import InvalidRequestError, NotFoundError

_MAX_LINKS = 40


def read(root: Path, path: str) -> bytes:
    """A regular file's bytes. NotFoundError, or InvalidRequestError for a path that leaves the workspace or is no file."""
    with _parent(root, path, create=False) as (folder, name):
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError as error:
            raise _translate(error, path) from error
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise InvalidRequestError(f"{path} is not a file.")
            with open(file, "rb", closefd=False) as stream:
                return stream.read()
        finally:
            os.close(file)


def write(root: Path, path: str, data: bytes) -> None:
    """Replace or make a file, and its folders, at once: a reader sees the old bytes or the new. A file's mode is kept."""
    with _parent(root, path, create=True) as (folder, name):
        mode = 0o644
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidRequestError(f"{path} is not a file.")
            mode = stat.S_IMODE(found.st_mode)
        temporary = f".persevere-{secrets.token_hex(6)}"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with open(file, "wb") as stream:
                stream.write(data)
                os.fchmod(file, mode)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise


def exists(root: Path, path: str) -> bool:
    """Whether a file or folder is there; InvalidRequestError for a path that leaves the workspace."""
    try:
        with _parent(root, path, create=False) as (folder, name):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (NotFoundError, FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextlib.contextmanager
def _parent(root: Path, path: str, *, create: bool) -> Iterator[tuple[int, str]]:
    """The open folder that holds the last component of `path`, links resolved, and that component's name."""
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        pending = list(reversed(_components(root, path, path)))
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                if len(opened) == 1:
                    raise _outside(path)
                os.close(opened.pop())
                continue
            target = _link_target(name, opened[-1], path)
            if target is not None:
                links += 1
                if links > _MAX_LINKS:
                    raise InvalidRequestError(f"{path} goes through too many links.")
                if target.startswith("/"):
                    while len(opened) > 1:
                        os.close(opened.pop())
                pending.extend(reversed(_components(root, target, path)))
                continue
            if not pending:
                yield opened[-1], name
                return
            opened.append(_open_folder(name, opened[-1], path, create))
        yield opened[-1], "."
    finally:
        for folder in opened:
            os.close(folder)


def _components(root: Path, target: str, path: str) -> list[str]:
    if "\0" in target or not target:
        raise InvalidRequestError("A path is empty or has a zero byte.")
    if target.startswith("/"):
        try:
            target = os.path.relpath(target, root) if os.path.normpath(target) == str(root) else str(Path(target).relative_to(root))
        except ValueError:
            raise _outside(path) from None
    return [part for part in target.split("/") if part not in ("", ".")]


def _link_target(name: str, folder: int, path: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise _translate(error, path) from error


def _open_folder(name: str, folder: int, path: str, create: bool) -> int:
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise _translate(error, path) from error


def _outside(path: str) -> InvalidRequestError:
    return InvalidRequestError(f"{path} leaves the workspace.", "Use a path inside the repository.")


def _translate(error: OSError, path: str) -> Exception:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(f"There is no {path} in the workspace.")
    if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO):
        return InvalidRequestError(f"{path} cannot be opened as a file.")
    return InvalidRequestError(f"{path} cannot be used: {error.strerror}.")

"""What the runner does with files, each time in a process of its own: bytes come by one descriptor and go by another."""

from __future__ import annotations

import json
import os
import stat
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.errors import PersevereError
from shared.sandbox import workspace
from shared.sandbox.inside import archive
from shared.sandbox.inside.folders import Rights, walk

_CHUNK = 128 * 1024
_RACY_NS = 50_000_000


def perform(spec: dict[str, Any], source: int, target: int) -> dict[str, Any]:
    """Do what `spec["kind"]` names; the answer, or {code, message, next_step} of what went wrong."""
    try:
        return _KINDS[spec["kind"]](spec, _reader(source), _writer(target))
    except PersevereError as error:
        return {"code": error.code, "message": error.message, "next_step": error.next_step}
    except archive.ArchiveError as error:
        return {"code": "sandbox_unavailable", "message": f"The copy failed: {error}.", "next_step": ""}
    except OSError as error:
        return {"code": "sandbox_unavailable", "message": f"The sandbox answered: {error.strerror or error}.", "next_step": ""}


def _reader(file: int) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (more := os.read(file, min(size - len(data), _CHUNK))):
            data += more
        return bytes(data)

    return read


def _writer(file: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]

    return write


def _read(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    write(workspace.read(Path(spec["root"]), spec["path"]))
    return {}


def _write(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    workspace.write(Path(spec["root"]), spec["path"], read(1 << 62))
    return {}


def _exists(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    return {"value": workspace.exists(Path(spec["root"]), spec["path"])}


def _list(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    """JSON, compressed: {path: stamp}. Another stamp is another content; one that begins with ! is too young to tell a later change by."""
    old = time.time_ns() - _RACY_NS
    with Rights(spec["folder"]) as rights:
        entries = {path: stamp for path, info in walk(spec["folder"], rights) if (stamp := _stamp(info, old))}
    write(zlib.compress(json.dumps(entries).encode(), 1))
    return {}


def _stamp(info: os.stat_result, old: int) -> str:
    if stat.S_ISDIR(info.st_mode):
        return f"d{info.st_mode}"
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISLNK(info.st_mode):
        return ""
    young = "!" if info.st_ctime_ns >= old else ""
    return f"{young}{info.st_mode}.{info.st_ino}.{info.st_size}.{info.st_mtime_ns}.{info.st_ctime_ns}"


def _pack(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    """The folder, or the paths that come in as compressed JSON; to `file` if one is named."""
    text = read(1 << 62)
    paths = json.loads(zlib.decompress(text)) if text else None
    if not spec.get("file"):
        archive.pack(spec["folder"], write, paths)
        return {}
    with open(spec["file"], "xb") as stream:
        archive.pack(spec["folder"], stream.write, paths)
    return {}


def _unpack(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    """What comes in, or `file`, which is removed."""
    bounds = archive.Bounds(1 << 62, 1 << 62)
    if not spec.get("file"):
        archive.unpack(spec["folder"], read, bounds)
        return {}
    with open(spec["file"], "rb") as stream:
        archive.unpack(spec["folder"], stream.read, bounds)
    return {}


def _remove(spec: dict[str, Any], read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    os.unlink(spec["file"])
    return {}


_KINDS = {"read": _read, "write": _write, "exists": _exists, "list": _list, "pack": _pack, "unpack": _unpack, "remove": _remove}

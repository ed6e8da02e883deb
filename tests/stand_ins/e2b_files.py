"""The stand-in's files: envd's `/files` and `filesystem.Filesystem`.

Small programs inside the sandbox do it all, so that a link means what it means there.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.filesystem import filesystem_pb as pb
from e2b.envd.filesystem.filesystem_connect import Filesystem as FilesystemService

from tests.stand_ins.e2b_machine import USERS, Machine

_WRITE = """
import os, sys
path, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def own(path):
    if os.getuid() == 0: os.chown(path, uid, gid)
folder = os.path.dirname(path)
missing = []
while not os.path.isdir(folder):
    missing.append(folder)
    folder = os.path.dirname(folder)
for folder in reversed(missing):
    os.mkdir(folder)
    own(folder)
if os.path.isdir(path): sys.exit(3)
with open(path, "wb") as file:
    while data := sys.stdin.buffer.read(1 << 20): file.write(data)
own(path)
"""
_READ = """
import os, sys
if not os.path.exists(sys.argv[1]): sys.exit(2)
if not os.path.isfile(sys.argv[1]): sys.exit(3)
with open(sys.argv[1], "rb") as file:
    while data := file.read(1 << 20): sys.stdout.buffer.write(data)
"""
_ENTRY = """
import json, os, shutil, stat, sys
def entry(path):
    found = os.lstat(path)
    link = os.readlink(path) if stat.S_ISLNK(found.st_mode) else None
    kind = 3 if link is not None else 2 if stat.S_ISDIR(found.st_mode) else 1
    return {"name": os.path.basename(path), "type": kind, "path": path, "size": found.st_size, "mode": stat.S_IMODE(found.st_mode),
            "permissions": stat.filemode(found.st_mode), "owner": str(found.st_uid), "group": str(found.st_gid), "link": link}
def under(path, depth):
    for name in sorted(os.listdir(path)):
        yield entry(os.path.join(path, name))
        if depth > 1 and os.path.isdir(os.path.join(path, name)) and not os.path.islink(os.path.join(path, name)):
            yield from under(os.path.join(path, name), depth - 1)
what, path, *rest = sys.argv[1:]
try:
    if what == "stat": answer = entry(path)
    elif what == "list": answer = list(under(path, int(rest[0])))
    elif what == "make":
        os.makedirs(path)
        answer = entry(path)
    elif what == "move":
        os.rename(path, rest[0])
        answer = entry(rest[0])
    elif what == "remove":
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path) if os.path.lexists(path) else None
        answer = {}
    print(json.dumps(answer))
except FileNotFoundError: sys.exit(2)
except FileExistsError: sys.exit(4)
except OSError as error: sys.exit(str(error))
"""


@dataclass
class Reply:
    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def json(cls, status: int, content: Any, headers: list[tuple[str, str]] | None = None) -> Reply:
        return cls(status, json.dumps(content).encode(), [("content-type", "application/json"), *(headers or [])])


async def serve_files(machine: Machine, method: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
    """GET and POST /files."""
    asked = parse_qs(query, keep_blank_values=True)
    if unknown := set(asked) - {"path", "username", "signature", "signature_expiration"}:
        return _error(400, f"unknown parameters {sorted(unknown)}")
    user = asked.get("username", ["user"])[0]
    if user not in USERS:
        return _error(401, f"error looking up user '{user}': unknown user {user}")
    if method == "GET":
        path = _resolve(asked.get("path", [""])[0], user)
        code, content, _ = await machine.ask(_READ, path)
        if code:
            return _error(404, f"path '{path}' does not exist") if code == 2 else _error(400, f"path '{path}' is a directory")
        return Reply(200, content, [("content-type", "application/octet-stream")])
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    kind = headers.get("content-type", "")
    if kind.startswith("application/octet-stream"):
        if "path" not in asked:
            return _error(400, "path query parameter is required for raw body upload")
        parts = [(asked["path"][0], body)]
    elif kind.startswith("multipart/form-data"):
        parts = _parts(kind, body, asked.get("path", [None])[0])
    else:
        return _error(400, f"unsupported content type: {kind}, expected multipart/form-data or application/octet-stream")
    written = []
    for name, data in parts:
        path = _resolve(name, user)
        code, _, errors = await machine.ask(_WRITE, path, str(USERS[user][0]), str(USERS[user][1]), stdin=data)
        if code:
            full = b"No space left" in errors
            return _error(507 if full else 400 if code == 3 else 500, f"error opening file: {path}: {errors.decode()[-200:]}")
        written.append({"path": path, "name": path.rpartition("/")[2], "type": "file"})
    return Reply.json(200, written)


def _parts(kind: str, body: bytes, path: str | None) -> list[tuple[str, bytes]]:
    found = []
    for part in body.split(b"--" + kind.partition("boundary=")[2].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            name = path or head.partition(b'filename="')[2].partition(b'"')[0].decode()
            found.append((name, content.removesuffix(b"\r\n")))
    return found


def _resolve(path: str, user: str) -> str:
    home = USERS[user][2]
    if path.startswith("~"):
        path = home + path[1:]
    return path if path.startswith("/") else f"{home}/{path}"


def _error(status: int, message: str) -> Reply:
    return Reply.json(status, {"code": status, "message": message})


class Filesystem(FilesystemService):
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def _ask(self, what: str, path: str, *rest: str) -> Any:
        code, answer, errors = await self._machine.ask(_ENTRY, what, path, *rest)
        if code == 2:
            raise ConnectError(Code.NOT_FOUND, f"path not found: {path}")
        if code == 4:
            raise ConnectError(Code.ALREADY_EXISTS, f"directory already exists: {path}")
        if code:
            raise ConnectError(Code.INVALID_ARGUMENT, errors.decode()[-300:])
        return json.loads(answer)

    async def stat(self, request: pb.StatRequest, ctx: Any) -> pb.StatResponse:
        return pb.StatResponse(entry=_entry(await self._ask("stat", _resolve(request.path, "user"))))

    async def make_dir(self, request: pb.MakeDirRequest, ctx: Any) -> pb.MakeDirResponse:
        return pb.MakeDirResponse(entry=_entry(await self._ask("make", _resolve(request.path, "user"))))

    async def move(self, request: pb.MoveRequest, ctx: Any) -> pb.MoveResponse:
        moved = await self._ask("move", _resolve(request.source, "user"), _resolve(request.destination, "user"))
        return pb.MoveResponse(entry=_entry(moved))

    async def list_dir(self, request: pb.ListDirRequest, ctx: Any) -> pb.ListDirResponse:
        found = await self._ask("list", _resolve(request.path, "user"), str(request.depth or 1))
        return pb.ListDirResponse(entries=[_entry(entry) for entry in found])

    async def remove(self, request: pb.RemoveRequest, ctx: Any) -> pb.RemoveResponse:
        await self._ask("remove", _resolve(request.path, "user"))
        return pb.RemoveResponse()

    def watch_dir(self, request: pb.WatchDirRequest, ctx: Any) -> AsyncIterator[pb.WatchDirResponse]:
        raise ConnectError(Code.UNIMPLEMENTED, "this stand-in watches nothing")

    async def create_watcher(self, request: pb.CreateWatcherRequest, ctx: Any) -> pb.CreateWatcherResponse:
        raise ConnectError(Code.UNIMPLEMENTED, "this stand-in watches nothing")

    async def get_watcher_events(self, request: pb.GetWatcherEventsRequest, ctx: Any) -> pb.GetWatcherEventsResponse:
        raise ConnectError(Code.UNIMPLEMENTED, "this stand-in watches nothing")

    async def remove_watcher(self, request: pb.RemoveWatcherRequest, ctx: Any) -> pb.RemoveWatcherResponse:
        raise ConnectError(Code.UNIMPLEMENTED, "this stand-in watches nothing")


def _entry(found: dict[str, Any]) -> pb.EntryInfo:
    link = found.pop("link")
    entry = pb.EntryInfo(**{**found, "type": pb.FileType(found["type"])})
    if link is not None:
        entry.symlink_target = link
    return entry

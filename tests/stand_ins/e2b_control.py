"""The E2B stand-in's control plane: sandboxes made, listed, frozen and ended, as strict as the real one about what it is sent."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote_plus

from connectrpc.code import Code
from e2b.envd.filesystem.filesystem_connect import FilesystemASGIApplication
from e2b.envd.process.process_connect import ProcessASGIApplication

from tests.stand_ins.e2b_files import Filesystem, Reply
from tests.stand_ins.e2b_machine import Machine
from tests.stand_ins.e2b_processes import Processes

Json = dict[str, Any]
KEY = "e2b_" + "5" * 40
_DOMAIN = "e2b.invalid"
_CREATE = {
    "templateID": str,
    "timeout": int,
    "autoPause": bool,
    "autoPauseMemory": bool,
    "autoResume": dict,
    "allow_internet_access": bool,
    "network": dict,
    "metadata": dict,
    "envVars": dict,
}
_NETWORK = {"allowPublicTraffic", "allowOut", "denyOut", "maskRequestHost", "rules"}
_LISTED = {"metadata", "state", "nextToken", "limit", "order", "startedAfter", "template"}
_CROWDED = "you have reached the maximum number of concurrent E2B sandboxes ({}). If you need more, please contact us"


class Refused(Exception):
    def __init__(self, status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, list(headers)


@dataclass
class Kept:
    """A sandbox as its service knows it."""

    id: str
    template: str
    asked: Json
    machine: Machine
    processes: Processes
    rpc: tuple[Any, Any]
    token: str
    started: float
    end_at: float
    state: Literal["running", "paused"] = "running"
    key: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.asked.get("metadata", {}))

    def summary(self) -> Json:
        return {
            "templateID": self.template,
            "alias": self.template,
            "sandboxID": self.id,
            "clientID": "00000000",
            "startedAt": _moment(self.started),
            "endAt": _moment(self.end_at),
            "cpuCount": 2,
            "memoryMB": 512,
            "diskSizeMB": 1024,
            "metadata": self.metadata,
            "state": self.state,
            "envdVersion": "0.6.7",
        }

    def opened(self) -> Json:
        return {
            "templateID": self.template,
            "sandboxID": self.id,
            "clientID": "00000000",
            "envdVersion": "0.6.7",
            "envdAccessToken": self.token,
            "domain": _DOMAIN,
        }


class ControlPlane:
    """`folder` holds the sandboxes' files; `readable` folders of the host belong to the template."""

    def __init__(self, folder: Path, readable: Sequence[Path] = ()) -> None:
        self.key, self.templates = KEY, {"persevere"}
        self.concurrent, self.longest_s, self.page = 100, 24 * 3600, 100
        self.knows_keys = True
        """Whether the same idempotency key makes the same sandbox; older control planes ignore it."""
        self.silent = False
        """Streams of a sandbox that is paused stay open, and dead, as when nothing in between notices."""
        self.sandboxes: dict[str, Kept] = {}
        self.history: list[tuple[str, str]] = []
        """What became of which sandbox: created, paused, resumed, killed."""
        self._folder, self._readable = folder, readable

    def control(self, name: str, query: str, headers: dict[str, str], content: bytes) -> Reply:
        if headers.get("x-api-key") != self.key:
            raise Refused(401, "Invalid API key, please visit https://e2b.dev/docs/api-key to get your API key")
        body: Json = {}
        if content:
            try:
                body = json.loads(content)
            except ValueError:
                raise Refused(400, "Error when parsing request: invalid character") from None
        if name == "POST /v2/sandboxes":
            return self._create(body, headers.get("idempotency-key", ""))
        if name == "GET /v2/sandboxes":
            return self._list(query)
        match = re.fullmatch(r"(GET|DELETE|POST) (?:/v2)?/sandboxes/([a-z0-9]+)(?:/(timeout|pause|connect))?", name)
        if match is None or (match[3] == "connect") is not (" /v2/" in name):
            raise Refused(404, "no matching operation was found")
        kept = self.sandboxes.get(match[2])
        if kept is None:
            raise Refused(404, f"Sandbox '{match[2]}' not found")
        return self._one(kept, match[1], match[3] or "", body)

    def _one(self, kept: Kept, method: str, action: str, body: Json) -> Reply:
        allowed = {"timeout": {"timeout"}, "connect": {"timeout", "memory"}, "pause": {"memory", "requireHealthyGuest"}}.get(action, set())
        if unknown := set(body) - allowed:
            raise Refused(400, f"Error when parsing request: property {sorted(unknown)[0]!r} is unsupported")
        if (method, action) == ("GET", ""):
            return Reply.json(200, {**kept.summary(), "envdAccessToken": kept.token, "domain": _DOMAIN})
        if (method, action) == ("DELETE", ""):
            self.remove(kept)
            return Reply(204, b"")
        if action == "pause":
            if kept.state == "paused":
                raise Refused(409, f"Error pausing sandbox - sandbox '{kept.id}' is already paused")
            self._pause(kept)
            return Reply(204, b"")
        timeout = self._timeout(body.get("timeout", 300))
        if action == "timeout":
            if kept.state == "paused":
                raise Refused(404, f"Sandbox '{kept.id}' not found")
            kept.end_at = time.time() + timeout
            return Reply(204, b"")
        if action == "connect":
            resumed = kept.state == "paused"
            if resumed:
                self.resume(kept, timeout)
            kept.end_at = max(kept.end_at, time.time() + timeout)
            return Reply.json(201 if resumed else 200, kept.opened())
        raise Refused(405, "method not allowed")

    def _create(self, body: Json, key: str) -> Reply:
        for name, value in body.items():
            if name not in _CREATE or not isinstance(value, _CREATE[name]):
                raise Refused(400, f"Error when parsing request: property {name!r} is unsupported or of another type")
        if unknown := set(body.get("network", {})) - _NETWORK:
            raise Refused(400, f"Error when parsing request: property {sorted(unknown)[0]!r} is unsupported")
        for name in ("metadata", "envVars"):
            if not all(isinstance(value, str) for value in body.get(name, {}).values()):
                raise Refused(400, f"Error when parsing request: {name} must hold strings")
        if body.get("templateID") not in self.templates:
            raise Refused(404, f"template '{body.get('templateID')}' not found")
        timeout = self._timeout(body.get("timeout", 300))
        known = next((kept for kept in self.sandboxes.values() if key and self.knows_keys and kept.key == key), None)
        if known is not None:
            return Reply.json(201, known.opened())
        if len([kept for kept in self.sandboxes.values() if kept.state == "running"]) >= self.concurrent:
            raise Refused(
                429,
                _CROWDED.format(self.concurrent),
            )
        identifier = "i" + secrets.token_hex(10)
        machine = Machine(self._folder / identifier, self._readable)
        machine.boot()
        processes = Processes(machine, body.get("envVars", {}))
        rpc = (ProcessASGIApplication(processes, read_max_bytes=None), FilesystemASGIApplication(Filesystem(machine)))
        now = time.time()
        kept = Kept(identifier, body["templateID"], body, machine, processes, rpc, secrets.token_hex(16), now, now + timeout, key=key)
        self.sandboxes[identifier] = kept
        self.history.append(("created", identifier))
        return Reply.json(201, kept.opened())

    def _list(self, query: str) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        if unknown := set(asked) - _LISTED:
            raise Refused(400, f"unknown parameters {sorted(unknown)}")
        limit = int(asked.get("limit", "100"))
        if not 1 <= limit <= 100:
            raise Refused(400, 'parameter "limit" in query has an error: number must be at most 100')
        states = asked.get("state", "running,paused").split(",")
        wanted = {}
        for pair in filter(None, unquote_plus(asked.get("metadata", "")).split("&")):
            name, _, value = pair.partition("=")
            wanted[unquote_plus(name)] = unquote_plus(value)
        found = [
            kept
            for kept in sorted(self.sandboxes.values(), key=lambda kept: (-kept.started, kept.id))
            if kept.state in states and wanted.items() <= kept.metadata.items() and asked.get("template", kept.template) == kept.template
        ]
        start = next((number + 1 for number, kept in enumerate(found) if kept.id == asked.get("nextToken")), 0)
        limit = min(limit, self.page)
        page = found[start : start + limit]
        more = [("x-next-token", page[-1].id)] if start + limit < len(found) else []
        return Reply.json(200, [kept.summary() for kept in page], more)

    def _timeout(self, timeout: Any) -> int:
        if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
            raise Refused(400, "Error when parsing request: timeout must be a number of seconds")
        if timeout > self.longest_s:
            raise Refused(400, f"Timeout cannot be greater than {self.longest_s // 3600} hours")
        return timeout

    def _pause(self, kept: Kept) -> None:
        kept.machine.freeze()
        kept.state = "paused"
        if self.silent:
            kept.processes.stall()
        else:
            kept.processes.cut(Code.CANCELED, "request canceled: the sandbox is being paused")
        self.history.append(("paused", kept.id))

    def resume(self, kept: Kept, timeout: int) -> None:
        kept.machine.thaw()
        kept.state, kept.started, kept.end_at = "running", time.time(), time.time() + timeout
        self.history.append(("resumed", kept.id))

    def remove(self, kept: Kept) -> None:
        del self.sandboxes[kept.id]
        kept.processes.cut(Code.UNAVAILABLE, f"the connection to sandbox {kept.id} ended before the stream completed")
        kept.machine.destroy()
        self.history.append(("killed", kept.id))

    def end(self, kept: Kept) -> None:
        if kept.asked.get("autoPause"):
            self._pause(kept)
        else:
            self.remove(kept)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")

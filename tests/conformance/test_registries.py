"""The only way out of a sandbox: the registries that this machine is configured with, by a command that may, without their credentials."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.sandbox.limits import CONNECTIONS
from shared.sandbox.port import Command, Sandbox


class _Index(BaseHTTPRequestHandler):
    """A package index behind a password, with one package."""

    wheel: Path
    seen: list[str]

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(b"person:hunter2").decode()
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.end_headers()
            return
        self.seen.append(self.path)
        found = self.path.endswith(".whl")
        body = self.wheel.read_bytes() if found else f'<a href="../../files/{self.wheel.name}">{self.wheel.name}</a>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if found else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Index]]:
    import zipfile

    wheel = tmp_path / "tinything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinything.py", "NAME = 'tiny'\n")
        archive.writestr("tinything-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        archive.writestr("tinything-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tinything-1.0.dist-info/RECORD", "tinything.py,,\n")
    handler = type("Handler", (_Index,), {"wheel": wheel, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://person:hunter2@127.0.0.1:{server.server_port}/simple/")
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


async def test_registries_are_reached_without_their_credentials(sandbox: Sandbox, index: type[_Index]) -> None:
    install = [sandbox.system.python, "-m", "pip", "install", "-vvv", "--no-deps", "--target", "packages", "tinything"]
    allowed = await sandbox.run(Command(argv=install, registries=True, timeout_s=60))
    assert allowed.exit_code == 0, allowed.stderr
    assert await sandbox.exists("packages/tinything.py")
    assert any(path.endswith(".whl") for path in index.seen)
    shown = await sandbox.run(Command(argv=["/bin/sh", "-c", "env; cat /etc/pip.conf"], registries=True))
    everything = allowed.stdout + allowed.stderr + shown.stdout
    assert "hunter2" not in everything
    assert base64.b64encode(b"person:hunter2").decode() not in everything
    started = time.monotonic()
    refused = await sandbox.run(Command(argv=[*install[:-1], "otherthing"], timeout_s=60))
    assert refused.exit_code not in (0, None)
    assert time.monotonic() - started < 5


async def test_the_proxy_reaches_nothing_else(sandbox: Sandbox, index: type[_Index]) -> None:
    script = """
import os, urllib.request, urllib.error
base = os.environ["PIP_INDEX_URL"]
root = base.split("/pip/")[0]
for url in (root + "/file/x/y", root + "/pip/0/../../admin", root + "/pip/9/", root.rsplit("/", 1)[0] + "/wrong/pip/0/", root + "/http://169.254.169.254/"):
    try: print("reached", url, urllib.request.urlopen(url, timeout=5).status)
    except urllib.error.HTTPError as error: print(error.code)
"""
    result = await sandbox.run(Command(argv=[sandbox.system.python, "-c", script], registries=True, timeout_s=30))
    assert result.stdout.split() == ["403", "403", "404", "403", "403"], result.stderr


async def test_connections_may_be_many_and_rude(sandbox: Sandbox, index: type[_Index]) -> None:
    script = """
import contextlib, os, socket, struct, threading, urllib.request
url = os.environ["PIP_INDEX_URL"] + "tinything/"
port = int(url.split(":")[2].split("/")[0])
def rude(kind):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as s:
        if kind == 0: return
        s.sendall(b"GET /" + b"x" * (kind * 5000) + b" HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
        if kind == 1: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); return
        if kind == 2: s.shutdown(socket.SHUT_WR)
        s.recv(10)
def get():
    try: print(urllib.request.urlopen(url, timeout=20).status)
    except Exception as error: print(error)
for _ in range(5):
    threads = [threading.Thread(target=rude, args=(kind,)) for kind in range(4)] + [threading.Thread(target=get) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
    result = await sandbox.run(Command(argv=[sandbox.system.python, "-c", script], registries=True, timeout_s=60))
    assert result.stdout.split() == ["200"] * 10, result.stderr
    assert (await sandbox.run(Command(argv=["echo", "on"]))).stdout == "on\n"


async def test_idle_connections_cost_the_worker_few_descriptors(sandbox: Sandbox, index: type[_Index]) -> None:
    script = """
import contextlib, os, socket, threading, time, urllib.request
url = os.environ["PIP_INDEX_URL"] + "tinything/"
port = int(url.split(":")[2].split("/")[0])
held = []
def hold():
    with contextlib.suppress(OSError): held.append(socket.create_connection(("127.0.0.1", port), 3))
for _ in range(300):
    if len(held) < 90: hold()
time.sleep(1.5)
for one in held: one.close()
time.sleep(1)
print(len(held) > 32, urllib.request.urlopen(url, timeout=20).status)
"""
    before = most = len(os.listdir("/proc/self/fd"))
    running = asyncio.create_task(sandbox.run(Command(argv=[sandbox.system.python, "-c", script], registries=True, timeout_s=60)))
    while not running.done():
        most = max(most, len(os.listdir("/proc/self/fd")))
        await asyncio.sleep(0.02)
    assert (await running).stdout == "True 200\n", running.result().stderr
    assert 5 < most - before <= 2 * CONNECTIONS + 20

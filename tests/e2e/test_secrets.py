"""Secrets never enter a sandbox: whole tasks with a made-up secret in every place that has one, and everything that passed searched."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings, load_settings
from shared.sandbox.port import Command, SandboxSpec
from shared.sandbox.registry import choose_sandbox
from shared.store.records import Task
from shared.types import TaskStatus
from tests.agent_orchestrator.runtime.driving import approve_all, submit
from tests.e2e.conftest import MakeRepository
from tests.e2e.recording import Canaries, Record, RecordingProvider
from tests.stand_ins.e2b import open_e2b
from tests.stand_ins.e2b_machine import missing
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, Call, serving

PROVIDERS = ("bubblewrap", "landlock", *(pytest.param(name, marks=pytest.mark.slow) for name in ("docker", "e2b")))
SETTINGS = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "E2B_API_KEY", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_WEBHOOK_URL",
    "GITHUB_TOKEN", "GITHUB_APP_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET", "TAVUS_API_KEY", "LANGSMITH_API_KEY", "PERSEVERE_TOKEN",
    "PERSEVERE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "GH_TOKEN", "NPM_TOKEN", "SOME_VARIABLE_OF_THE_HOST",
)  # fmt: skip
HOME_FILES = (
    ".ssh/id_rsa",
    ".aws/credentials",
    ".netrc",
    ".git-credentials",
    ".config/gh/hosts.yml",
    ".docker/config.json",
    ".bash_history",
)
SOURCE = 'import tinything\n\n\ndef load_conf(path):\n    """Read `path`."""\n    return path.upper()\n'
TESTS = """import os, subprocess, unittest

from app import load_conf


class LoadTest(unittest.TestCase):
    def test_load(self):
        print(dict(os.environ), subprocess.run("env; cat ~/.ssh/* ~/.netrc /proc/*/environ", shell=True, capture_output=True))
        self.assertEqual(load_conf("a"), "A")
"""
REPLACE = 'replace "path.upper()" with "path.strip().upper()" in app.py'
PLAN = {"summary": "Strip it", "steps": [{"title": "Strip the path", "files": ["app.py"]}]}
STEAL = "env; cat ~/.ssh/id_rsa ~/.netrc /proc/*/environ /etc/pip.conf; pip config list; npm config list; git config --list; mount"
SCRIPT = [
    Answer(calls=(Call("DraftPlan", PLAN),)),
    Answer(calls=(Call("run_command", {"command": STEAL}),)),
    Answer(calls=(Call("read_file", {"path": "app.py"}),)),
    Answer(calls=(Call("edit_file", {"path": "app.py", "old": "path.upper()", "new": "path.strip().upper()"}),)),
    Answer(("It strips.",)),
]


class _Index(BaseHTTPRequestHandler):
    """A package index behind a password, with one package."""

    wheel: Path
    served: list[str]

    def do_GET(self) -> None:
        if "Authorization" not in self.headers:
            self.send_response(401)
            self.end_headers()
            return
        self.served.append(self.path)
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
def index(tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    wheel = tmp_path / "tinything-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinything.py", "NAME = 'tiny'\n")
        archive.writestr("tinything-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        archive.writestr("tinything-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tinything-1.0.dist-info/RECORD", "tinything.py,,\n")
    served: list[str] = []
    handler = type("Handler", (_Index,), {"wheel": wheel, "served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: tuple[int, list[str]], postgres_url: str) -> Canaries:
    """One in every secret setting, in the host's environment, in its home, and in what pip and npm are configured with."""
    made = Canaries()
    for name in SETTINGS:
        monkeypatch.setenv(name, made.add(name, "sk-" if name.endswith("API_KEY") else ""))
    if password := urlsplit(postgres_url).password:
        made.values["the database's password"] = unquote(password)
    home = tmp_path / "home"
    for name in HOME_FILES:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"machine 127.0.0.1 login person password {made.add(name)}\n")
    (home / ".npmrc").write_text(f"//127.0.0.1:1/:_authToken={made.add('npmrc')}\nregistry=http://127.0.0.1:1/\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv(
        "PIP_INDEX_URL", f"http://{made.add('the user of the index')}:{made.add('PIP_INDEX_URL')}@127.0.0.1:{index[0]}/simple/"
    )
    return made


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(wanted=[tmp_path / "home" / name for name in (*HOME_FILES, ".npmrc")])


@asynccontextmanager
async def recorded(provider: str, settings: Settings, record: Record) -> AsyncIterator[Resources]:
    async with open_resources(settings, worker=True) as resources:
        resources._provider = RecordingProvider(await choose_sandbox(settings), record)
        yield resources


@pytest.fixture(params=PROVIDERS)
def provider_settings(
    request: pytest.FixtureRequest, canaries: Canaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> Iterator[dict[str, str]]:
    """The settings of one provider; those that are not here skip and say why."""
    environment = {name: os.environ[name] for name in SETTINGS} | {
        "PERSEVERE_SANDBOX": request.param,
        "PERSEVERE_DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": postgres_url,
    }
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    if request.param != "e2b":
        yield environment
        return
    if missing():
        pytest.skip(missing())
    with open_e2b(tmp_path / "e2b") as stand_in:
        canaries.values["E2B_API_KEY"] = stand_in.key
        monkeypatch.setenv("E2B_API_KEY", stand_in.key)
        yield environment | {"E2B_API_KEY": stand_in.key, "E2B_API_URL": stand_in.url, "E2B_SANDBOX_URL": stand_in.url}
        for exchange in stand_in.exchanges:
            assert canaries.found_in(bytes(exchange.body) + bytes(exchange.answer) + exchange.query.encode()) == [], exchange.name


async def stored(url: str) -> bytes:
    """Every row of every table, byte columns as they are."""
    parts: list[bytes] = []
    async with await psycopg.AsyncConnection.connect(url) as connection:
        names = await connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for schema, table in await names.fetchall():
            rows = await connection.execute(f'SELECT * FROM "{schema}"."{table}"'.encode())
            for row in await rows.fetchall():
                parts += [bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row]
    return b"\n".join(parts)


def left_in(data_dir: Path, *but: str) -> dict[str, bytes]:
    files = [path for path in data_dir.rglob("*") if path.is_file() and not path.is_symlink() and path.name not in but]
    return {str(path): path.read_bytes() for path in files}


async def check(task: Task, record: Record, canaries: Canaries, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert task.status is TaskStatus.COMPLETED, task.error
    assert task.test_results is not None
    assert task.test_results.verdict == "passed", task.test_results
    assert record.commands > 1
    assert record.looked > 1
    assert b"PIP_INDEX_URL" in record.everything, "nothing was seen of a command that reaches the registries"
    assert record.leaks(canaries) == []
    assert settings.database_url is not None
    assert canaries.found_in(await stored(settings.database_url)) == []
    assert canaries.found_in(caplog.text.encode()) == []
    for path, data in left_in(settings.data_dir).items():
        assert canaries.found_in(data) == [], path


async def test_a_recipes_task(
    provider_settings: dict[str, str], canaries: Canaries, record: Record, index: tuple[int, list[str]], make_repository: MakeRepository,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    repository = make_repository({"app.py": SOURCE, "test_app.py": TESTS, "requirements.txt": "tinything\n"})
    settings = load_settings(provider_settings)
    async with recorded(settings.sandbox, settings, record) as resources:
        task, _ = await approve_all(resources, (await submit(resources, repository, REPLACE)).id)
        await check(task, record, canaries, settings, caplog)
    assert any(path.endswith(".whl") for path in index[1]), "the index was not asked with its password"


async def test_a_models_task(
    provider_settings: dict[str, str], canaries: Canaries, record: Record, make_repository: MakeRepository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    repository = make_repository({"app.py": SOURCE, "test_app.py": TESTS, "requirements.txt": "tinything\n"})
    async with serving(OpenAIStandIn(canaries.values["OPENAI_API_KEY"])) as stand_in:
        stand_in.say(*SCRIPT)
        settings = load_settings(provider_settings | {"OPENAI_BASE_URL": stand_in.base_url, "PERSEVERE_MODEL": "openai:big"})
        async with recorded(settings.sandbox, settings, record) as resources:
            submitted = await submit(resources, repository, "Make load_conf strip white space")
            task, _ = await approve_all(resources, submitted.id)
            await check(task, record, canaries, settings, caplog)
        told = str(stand_in.bodies)
        assert STEAL[:30] in told
        assert canaries.found_in(told.encode()) == []


async def test_the_search_finds_what_does_enter(tmp_path: Path) -> None:
    """The search itself: a secret by every way in and out, in every form, is found."""
    canaries, record = Canaries(), Record()
    settings = load_settings({"PERSEVERE_DATA_DIR": str(tmp_path / "data")})
    ways = {name: canaries.add(name) for name in ("argv", "environment", "stdin", "written", "read", "output", "lying there", "left there")}
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "lying").write_text(ways["lying there"])
    (workspace / "found").write_text(ways["read"])
    sandbox = await RecordingProvider(await choose_sandbox(settings), record).open(SandboxSpec(workspace=workspace, task_id="t"))
    half = len(ways["output"]) // 2
    script = f'printf "%s%s" {ways["output"][:half]} {ways["output"][half:]} | base64 -w0; printf "%s" "$IN" | rev; cat >/dev/null'
    await sandbox.run(
        Command(argv=["/bin/sh", "-c", script, ways["argv"]], environment={"IN": ways["environment"]}, stdin=ways["stdin"].encode())
    )
    await sandbox.write("new", ways["written"].encode())
    await sandbox.read("found")
    (workspace / "left").write_text(ways["left there"])
    await sandbox.aclose()
    assert {leak.split(" in ")[0] for leak in record.leaks(canaries)} == set(ways)

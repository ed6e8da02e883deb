"""E2B by its own library against the stand-in: what is particular to it. The list of behaviours is `tests/conformance/test_sandbox.py`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from shared.errors import SandboxError, SandboxGoneError, SandboxUnreachableError
from shared.sandbox import connection
from shared.sandbox.e2b import E2BProvider
from shared.sandbox.e2b_creation import LABEL, listed
from shared.sandbox.e2b_machine import E2BAccount
from shared.sandbox.port import Command, Sandbox, SandboxSpec
from shared.sandbox.registry import choose_sandbox
from shared.types import CommandResult
from tests.stand_ins.e2b import E2BStandIn, open_e2b
from tests.stand_ins.e2b_machine import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
LABELS = {"task": "task_1", "epoch": "3", "workspace": "code"}


@pytest.fixture(autouse=True)
def nothing_left_over(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task whose exception nobody retrieved."""
    yield
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.fixture
def e2b(tmp_path: Path) -> Iterator[E2BStandIn]:
    with open_e2b(tmp_path / "e2b") as stand_in:
        yield stand_in


@pytest.fixture
def account(e2b: E2BStandIn) -> E2BAccount:
    return E2BAccount(SecretStr(e2b.key), "persevere", 600, e2b.url, e2b.url, patience_s=20)


@pytest.fixture
def provider(account: E2BAccount) -> E2BProvider:
    return E2BProvider(account)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "kept").write_text("as it was\n")
    return folder


@pytest.fixture
async def sandbox(provider: E2BProvider, workspace: Path) -> AsyncIterator[Sandbox]:
    opened = await provider.open(SandboxSpec(workspace=workspace, task_id="task_1", labels=LABELS))
    yield opened
    await opened.aclose()


async def shell(sandbox: Sandbox, script: str, timeout_s: float = 30, stdin: bytes = b"") -> CommandResult:
    return await sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=timeout_s, stdin=stdin))


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_probe_says_what_to_do(e2b: E2BStandIn, account: E2BAccount) -> None:
    assert (await E2BProvider(account).probe()).works
    for key, word in ((None, "E2B_API_KEY is not set"), (SecretStr("e2b_wrong"), "refuses the key in E2B_API_KEY")):
        probe = await E2BProvider(replace(account, key=key)).probe()
        assert not probe.works
        assert word in probe.reason
        assert "https://e2b.dev/dashboard?tab=keys" in probe.next_step
    e2b.say("GET /v2/sandboxes", 200, b"<html>sign in</html>")
    assert "not an answer of E2B" in (await E2BProvider(account).probe()).reason
    e2b.become("refuse")
    probe = await E2BProvider(account).probe()
    assert (probe.works, probe.reason) == (False, "E2B does not answer: the connection failed")


async def test_only_by_name_and_from_the_settings(e2b: E2BStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("E2B_API_KEY", "E2B_API_URL", "E2B_SANDBOX_URL", "E2B_DOMAIN"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/wrong")
    settings = Settings(data_dir=tmp_path, sandbox="e2b", e2b_api_key=SecretStr(e2b.key), e2b_api_url=e2b.url, e2b_sandbox_url=e2b.url)
    provider = await choose_sandbox(settings)
    assert (provider.name, provider.isolated) == ("e2b", True)
    system = await provider.system()
    assert (system.python, system.tool_python, system.host) == ("/usr/bin/python3", "/opt/persevere/tools/bin/python", False)
    assert [what for what, _ in e2b.history] == ["created", "killed"]


def test_the_library_is_loaded_only_when_used() -> None:
    script = "import sys, shared.sandbox.e2b; sys.exit(any(name.split('.')[0] in ('e2b', 'pyqwest', 'connectrpc') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", script], check=True)


async def test_what_is_asked_for(e2b: E2BStandIn, sandbox: Sandbox) -> None:
    made = json.loads(bytes(e2b.named("POST /v2/sandboxes")[0].body))
    assert (made["templateID"], made["timeout"], made["envVars"]) == ("persevere", 600, {})
    assert (made["allow_internet_access"], made["network"]) == (False, {"allowPublicTraffic": False})
    assert (made["autoPause"], made["autoResume"]) == (True, {"enabled": False})
    assert {LABEL + name: value for name, value in LABELS.items()}.items() <= made["metadata"].items()
    assert (await shell(sandbox, "id -un")).stdout == "persevere\n"
    assert (await shell(sandbox, "kill -9 -1; sudo -n id || echo no")).exit_code == 137
    inside = [one for one in e2b.exchanges if "sandboxes" not in one.path]
    assert inside
    assert not any(e2b.key in f"{one.headers}{bytes(one.body)!r}" for one in inside)


async def test_hostile_names_stay_names(
    provider: E2BProvider, account: E2BAccount, e2b: E2BStandIn, workspace: Path, tmp_path: Path
) -> None:
    names = ["-rf", "a\nb", "$(touch x)", "'; touch y; '", 'q"\\', "ü é", "%2e%2e", "&=+"]
    folder = tmp_path / "to 'read' $(id); -x"
    folder.mkdir()
    for name in names:
        (workspace / name).write_text(name)
        (folder / name).write_text(name)
    labels = {"a&b=c %41+": "v&=%2541 é'\"", **LABELS}
    opened = await E2BProvider(account).open(SandboxSpec(workspace=workspace, task_id="t", readable=[folder], labels=labels))
    try:
        for name in names:
            assert (await opened.read(name)).decode() == name
        script = "import os, sys; print(set(os.listdir('.')) - set(sys.argv[2:]), set(os.listdir(sys.argv[1])) == set(sys.argv[2:]))"
        result = await opened.run(Command(argv=["/usr/bin/python3", "-c", script, str(folder), *names]))
        assert result.stdout == "{'kept'} True\n", result.stderr
        await shell(opened, "printf x >\"$(printf 'new\\nline')\"")
        await opened.collect()
        assert (workspace / "new\nline").read_text() == "x"
        made = json.loads(bytes(e2b.named("POST /v2/sandboxes")[0].body))["metadata"]
        (found,) = await listed(account, made)
        assert found.metadata == made
        assert {LABEL + name: value for name, value in labels.items()}.items() <= made.items()
    finally:
        await opened.aclose()


async def test_output_is_whole_whatever_breaks(e2b: E2BStandIn, sandbox: Sandbox) -> None:
    """Streams are cut, the sandbox is paused, the way to it goes away: nothing is lost, nothing comes twice."""
    script = "for i in $(seq 1 60); do seq $((i * 1000)) $((i * 1000 + 999)); sleep 0.05; done"
    running = asyncio.create_task(shell(sandbox, script))
    for _ in range(3):
        await asyncio.sleep(0.35)
        e2b.cut()
    await asyncio.sleep(0.3)
    await sandbox.pause()
    await asyncio.sleep(0.2)
    await sandbox.resume()
    await asyncio.sleep(0.3)
    e2b.become("refuse")
    await asyncio.sleep(0.3)
    e2b.become("")
    result = await running
    assert [int(line) for line in result.stdout.split()] == list(range(1000, 61000))
    assert ("paused", next(iter(e2b.sandboxes))) in e2b.history


async def test_streams_that_die_without_a_word(e2b: E2BStandIn, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_QUIET_S", 0.5)
    monkeypatch.setattr(connection, "_ANSWER_S", 0.5)
    running = asyncio.create_task(shell(sandbox, "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done"))
    await asyncio.sleep(0.5)
    e2b.stall()
    assert (await running).stdout.split() == ["1", "2", "3", "4", "5", "6", "7", "8"]
    e2b.silent = True
    running = asyncio.create_task(shell(sandbox, "for i in 1 2 3 4; do echo $i; sleep 0.2; done"))
    await asyncio.sleep(0.3)
    await sandbox.pause()
    await asyncio.sleep(0.2)
    await sandbox.resume()
    assert (await running).stdout.split() == ["1", "2", "3", "4"]


async def test_input_is_whole_though_answers_are_lost(e2b: E2BStandIn, sandbox: Sandbox) -> None:
    data = os.urandom(3_000_000)
    e2b.lose("POST /process.Process/SendInput", times=3)
    e2b.fail("POST /process.Process/SendInput", 503, times=2)
    await sandbox.write("big", data)
    assert await sandbox.read("big") == data
    assert not e2b.faults[0].times
    assert not e2b.faults[1].times


async def test_a_paused_one_goes_on_with_the_next_call(e2b: E2BStandIn, sandbox: Sandbox) -> None:
    await shell(sandbox, "echo x >made")
    await sandbox.pause()
    assert [kept.state for kept in e2b.sandboxes.values()] == ["paused"]
    await sandbox.pause()
    assert await sandbox.read("made") == b"x\n"
    assert [kept.state for kept in e2b.sandboxes.values()] == ["running"]


async def test_kept_alive_while_in_use(e2b: E2BStandIn, account: E2BAccount, workspace: Path) -> None:
    sandbox = await E2BProvider(replace(account, ttl_s=1)).open(SandboxSpec(workspace=workspace, task_id="t", labels=LABELS))
    try:
        assert (await shell(sandbox, "sleep 2.5; echo there")).stdout == "there\n"
        assert ("paused", next(iter(e2b.sandboxes))) not in e2b.history
        await sandbox.pause()
        before = len(e2b.exchanges)
        await asyncio.sleep(0.8)
        assert len(e2b.exchanges) == before, "a paused sandbox needs no time"
    finally:
        await sandbox.aclose()
    assert not e2b.sandboxes


async def test_its_time_may_end_under_us(e2b: E2BStandIn, sandbox: Sandbox) -> None:
    """Some accounts may run a sandbox only for an hour, however often its time is moved: it is paused, and goes on."""
    running = asyncio.create_task(shell(sandbox, "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done"))
    await asyncio.sleep(0.5)
    e2b.expire(next(iter(e2b.sandboxes)))
    async with asyncio.timeout(10):
        assert (await running).stdout.split() == ["1", "2", "3", "4", "5", "6"]
    assert [what for what, _ in e2b.history][-2:] == ["paused", "resumed"]


@pytest.mark.parametrize("knows_keys", [True, False])
async def test_a_lost_answer_makes_no_second_one(e2b: E2BStandIn, provider: E2BProvider, workspace: Path, knows_keys: bool) -> None:
    e2b.knows_keys = knows_keys
    e2b.lose("POST /v2/sandboxes")
    e2b.fail("POST /v2/sandboxes", 503)
    opened = await provider.open(SandboxSpec(workspace=workspace, task_id="t", labels=LABELS))
    assert (await shell(opened, "cat kept")).stdout == "as it was\n"
    await opened.aclose()
    assert [what for what, _ in e2b.history] == ["created", "killed"]


async def test_cancelled_while_it_is_made_leaves_none(e2b: E2BStandIn, provider: E2BProvider, workspace: Path) -> None:
    for wait in (0.02, 0.12, 0.3):
        opening = asyncio.create_task(provider.open(SandboxSpec(workspace=workspace, task_id="t", labels=LABELS)))
        await asyncio.sleep(wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert not e2b.sandboxes
    assert [what for what, _ in e2b.history].count("created") >= 2


async def test_refusals_say_what_to_do(e2b: E2BStandIn, account: E2BAccount, workspace: Path) -> None:
    async def refused(given: E2BAccount) -> SandboxError:
        with pytest.raises(SandboxError) as caught:
            await E2BProvider(given).open(SandboxSpec(workspace=workspace, task_id="t"))
        assert type(caught.value) is SandboxError
        return caught.value

    assert "E2B_API_KEY" in (await refused(replace(account, key=SecretStr("e2b_wrong")))).message
    error = await refused(replace(account, template="another"))
    assert "no template 'another'" in error.message
    assert "compose/sandbox/Dockerfile" in error.next_step
    e2b.fail("POST /process.Process/Start", 401, "invalid username: 'persevere'")
    assert "lacks the user" in (await refused(account)).message
    e2b.longest_s = 3600
    assert "PERSEVERE_SANDBOX_TTL_S" in (await refused(replace(account, ttl_s=7200))).next_step
    e2b.concurrent = 0
    started = time.monotonic()
    error = await refused(account)
    assert "maximum number of concurrent" in error.message
    assert "Run fewer tasks at once" in error.next_step
    assert time.monotonic() - started < 5
    e2b.fail("POST /v2/sandboxes", 400, "bad\x1b[2J\u202e " + "x" * 5000)
    error = await refused(account)
    assert error.message.isprintable()
    assert len(error.message) < 400


async def test_one_that_is_busy_is_asked_again(e2b: E2BStandIn, provider: E2BProvider, workspace: Path) -> None:
    e2b.gap_s = 0.4
    e2b.fail("POST /v2/sandboxes", 429, "too many requests", times=5, headers=[("Retry-After", "0")])
    e2b.say("POST /v2/sandboxes", 201, b"{}")
    e2b.say("POST /v2/sandboxes", 500, b"\xff\xfe<html>")
    e2b.fail("POST /process.Process/Start", 429, "slow down", times=2)
    opened = await provider.open(SandboxSpec(workspace=workspace, task_id="t"))
    assert (await shell(opened, "cat kept")).stdout == "as it was\n"
    await opened.aclose()
    assert all(not fault.times for fault in e2b.faults)
    assert [what for what, _ in e2b.history] == ["created", "killed"]


async def test_gone_is_told_from_unreachable(
    e2b: E2BStandIn, account: E2BAccount, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_QUIET_S", 0.5)
    monkeypatch.setattr(connection, "_ANSWER_S", 0.5)
    sandbox = await E2BProvider(replace(account, patience_s=0.5)).open(SandboxSpec(workspace=workspace, task_id="t", labels=LABELS))
    running = asyncio.create_task(shell(sandbox, "sleep 60"))
    await asyncio.sleep(0.3)
    e2b.become("refuse")
    with pytest.raises(SandboxUnreachableError):
        await running
    with pytest.raises(SandboxUnreachableError):
        await shell(sandbox, "true")
    e2b.become("")
    assert (await shell(sandbox, "cat kept; pgrep -u persevere sleep")).stdout == "as it was\n", "it is still there, and what ran has ended"
    running = asyncio.create_task(shell(sandbox, "sleep 60"))
    await asyncio.sleep(0.3)
    e2b.kill(next(iter(e2b.sandboxes)))
    with pytest.raises(SandboxGoneError):
        await running
    with pytest.raises(SandboxGoneError):
        await sandbox.read("kept")
    await sandbox.aclose()


@pytest.mark.parametrize("part", ["api", "envd"])
async def test_one_half_that_is_away(e2b: E2BStandIn, account: E2BAccount, workspace: Path, part: str) -> None:
    sandbox = await E2BProvider(replace(account, patience_s=0.5)).open(SandboxSpec(workspace=workspace, task_id="t", labels=LABELS))
    e2b.become("503", part)  # type: ignore[arg-type]
    if part == "envd":
        with pytest.raises(SandboxUnreachableError):
            await shell(sandbox, "true")
    else:
        assert (await shell(sandbox, "cat kept")).stdout == "as it was\n", "what runs needs no control plane"
    e2b.become("")
    await sandbox.aclose()
    assert not e2b.sandboxes


async def test_twenty_at_once(e2b: E2BStandIn, provider: E2BProvider, tmp_path: Path) -> None:
    async def one(number: int) -> str:
        folder = tmp_path / str(number)
        folder.mkdir()
        opened = await provider.open(SandboxSpec(workspace=folder, task_id=f"task_{number}"))
        try:
            return (await shell(opened, f"echo {number} >f; cat f; ls | wc -l", timeout_s=60)).stdout
        finally:
            await opened.aclose()

    assert await asyncio.gather(*(one(number) for number in range(20))) == [f"{number}\n1\n" for number in range(20)]
    assert not e2b.sandboxes
    assert len(e2b.history) == 40


def test_the_template_is_made_from_the_image() -> None:
    """As `support/docs/sandboxes.md` says it is built."""
    from e2b import Template

    root = Path(__file__).parents[3]
    made = json.loads(Template.to_json(Template(file_context_path=str(root)).from_dockerfile(str(root / "compose/sandbox/Dockerfile"))))
    steps = [(step["type"], *step["args"]) for step in made["steps"]]
    assert ("RUN", "sh /tmp/install/install.sh && rm -rf /tmp/install") in steps
    assert steps[-2:] == [("USER", "persevere"), ("WORKDIR", "/workspace")]
    assert {step[1] for step in steps if step[0] == "COPY"} >= {"compose/sandbox/install.sh", "requirements.lock"}

"""The command line against a server: the same output, and streams that are cut and taken up again."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.e2e.conftest import MakeRepository, task_branches

if TYPE_CHECKING:
    from tests.e2e.conftest import Shell

RENAME = "rename load_conf to load_config"


@pytest.fixture(scope="module")
def server(shell: Shell) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = shell.start("serve", "--port", str(port))
    assert process.stdout is not None
    first = process.stdout.readline()
    assert "http://" in first, process.communicate(timeout=10)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def shape(text: str) -> list[str]:
    """Output without what differs from task to task."""
    text = re.sub(r"task_\w+|pr_\w+|persevere/\w+-|http://\S+|/\S*/repository\S*|\d+(\.\d+)? s\b", "…", text)
    return [line.strip(" │") for line in text.splitlines() if not line.startswith(("[queue]", "[cloning]", "git "))]


def test_the_same_output_in_process_and_against_a_server(shell: Shell, server: str, make_repository: MakeRepository) -> None:
    here = shell.run("chat", RENAME, "--repo", str(make_repository(name="repository-a")), "--yes")
    there = shell.run("chat", RENAME, "--repo", str(make_repository(name="repository-b")), "--yes", "--url", server)
    assert (here.code, there.code) == (0, 0), (here, there)
    assert set(shape(here.out)) == set(shape(there.out))


def test_events_are_taken_up_where_the_connection_was_cut(shell: Shell, server: str, make_repository: MakeRepository) -> None:
    ran = shell.run("chat", RENAME, "--repo", str(make_repository()), "--yes", "--json", "--url", server)
    assert ran.code == 0, ran
    sequence = [line["seq"] for line in ran.lines if "seq" in line]
    token = (shell.data / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    path = f"{server}/tasks/{ran.result['task_id']}/events"
    got: list[int] = []
    while len(got) < len(sequence):
        with httpx.stream("GET", path, headers={**headers, "Last-Event-ID": str(got[-1] if got else 0)}, timeout=20) as stream:
            for line in stream.iter_lines():
                if line.startswith("id:"):
                    got.append(int(line.removeprefix("id:")))
                    if len(got) % 3 == 0:
                        break
    assert got == sequence


def test_a_wrong_token_and_a_missing_server_are_clear(shell: Shell, server: str) -> None:
    wrong = replace(shell, extra={"PERSEVERE_TOKEN": "x" * 30}).run("tasks", "list", "--url", server)
    assert (wrong.code, "PERSEVERE_TOKEN" in wrong.err) == (1, True), wrong
    nobody = shell.run("tasks", "list", "--url", "http://127.0.0.1:9")
    assert (nobody.code, "persevere serve" in nobody.err) == (1, True), nobody


def test_a_second_server_on_the_same_port_says_so(shell: Shell, server: str) -> None:
    ran = shell.run("serve", "--port", server.rsplit(":", 1)[1])
    assert ran.code == 2
    assert "in use" in ran.err


def test_a_waiting_task_is_decided_over_http(shell: Shell, server: str, make_repository: MakeRepository) -> None:
    repository = make_repository()
    waiting = shell.run("chat", RENAME, "--repo", str(repository), "--json", "--url", server).result
    assert shell.run("approvals", "approve", waiting["approval_id"], "--url", server).code == 0
    done = shell.run("resume", waiting["task_id"], "--yes", "--json", "--url", server)
    assert done.result["status"] == "completed"
    assert len(task_branches(repository)) == 1

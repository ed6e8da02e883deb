"""The connection to an exec, without an engine."""

from __future__ import annotations

import asyncio
import fcntl
import resource
import socket
import struct
from collections.abc import Iterator

import pytest

from shared.sandbox.docker_engine import Engine, ExecChannel

_HIGH = 1100


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= _HIGH:
        pytest.skip(f"allow more than {_HIGH} descriptors: ulimit -Hn 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _HIGH + 100), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_channel_is_heard_however_many_descriptors_are_open(many_descriptors: None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        high = socket.socket(fileno=fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH))
        channel = ExecChannel(Engine(), "container", "exec", high)
        try:
            for said in (b"first", b"second"):
                await asyncio.to_thread(theirs.sendall, struct.pack(">BxxxI", 1, len(said)) + said)
                assert await asyncio.wait_for(channel.read(), 5) == said
        finally:
            await channel.aclose()

"""The program that carries a command's streams inside, driven as a service would that forgets, repeats and breaks off."""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.sandbox import e2b_wire
from shared.sandbox.e2b_channel import _Parser

_ECHO = "import os, sys\nwhile data := os.read(0, 65536): os.write(1, data)"
_SOURCE = Path(e2b_wire.__file__).read_text()


class Line:
    """Our end of a wire, with a stream that may be cut."""

    def __init__(self, *command: str) -> None:
        argv = [sys.executable, "-I", "-S", "-c", _SOURCE, *command]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        self.parser = _Parser()
        self.got = bytearray()

    def say(self, message: bytes) -> None:
        self.into.write(message)

    def attach(self) -> None:
        received = self.parser.received
        self.say(b"r %d %s\n" % (received, self.parser.begin()))

    def listen(self, seconds: float = 0.0, most: int = 65536) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self.out, selectors.EVENT_READ)
            if not selector.select(seconds):
                return b""
        data = os.read(self.out.fileno(), most)
        self.got += self.parser.feed(data)
        return data

    def close(self) -> int:
        self.into.close()
        while os.read(self.out.fileno(), 65536):
            pass
        self.out.close()
        return self.process.wait(10)


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made: list[Line] = []
    yield made
    for line in made:
        line.process.kill()
        line.process.wait()
        line.into.close()
        line.out.close()


@pytest.mark.parametrize("seed", range(6))
def test_every_byte_arrives_once_in_order(lines: list[Line], seed: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(600_000)
    line = Line(sys.executable, "-I", "-S", "-c", _ECHO)
    lines.append(line)
    sent = 0
    while len(line.got) < len(data):
        if sent < len(data) and chance.random() < 0.5:
            piece = data[sent : sent + chance.randrange(1, 30_000)]
            message = b"w %d %d\n%s" % (sent, len(piece), piece)
            for _ in range(chance.choice((1, 1, 2))):
                line.say(message)
            sent += len(piece)
        what = chance.random()
        if what < 0.2:
            line.attach()
        elif what < 0.3:
            line.say(b"a %d\n" % line.parser.received)
        elif what < 0.4:
            os.read(line.out.fileno(), 3000) if line.listen(0, 1) else None
            line.attach()
        line.listen(0.01 if sent < len(data) else 1, chance.randrange(1, 65536))
    assert bytes(line.got) == data
    assert line.close() == 0


def test_its_end_is_told_to_whoever_listens_later(lines: list[Line]) -> None:
    line = Line("/bin/sh", "-c", "echo all of it")
    lines.append(line)
    for _ in range(2):
        line.parser.received = 0
        line.parser.over = False
        line.got.clear()
        line.attach()
        while not line.parser.over:
            assert line.listen(10)
        assert line.got == b"all of it\n"
    assert line.close() == 0


def test_one_nobody_listens_to_waits_with_its_output(lines: list[Line]) -> None:
    line = Line(sys.executable, "-c", "import os; [os.write(1, b'x' * 100_000) for _ in range(100)]; os.write(2, b'!')")
    lines.append(line)
    line.attach()
    while line.parser.received < 10_000_000:
        assert line.listen(10)
        line.say(b"a %d\n" % line.parser.received)
    assert set(line.got) == {ord("x")}
    assert line.close() == 0


def test_the_command_ends_with_its_input(lines: list[Line]) -> None:
    line = Line("/bin/sh", "-c", "cat >/dev/null; echo late; exec sleep 0.1")
    lines.append(line)
    line.attach()
    assert line.close() == 0


def test_what_is_not_asked_for_is_passed_over() -> None:
    parser = _Parser()
    assert parser.feed(b"Welcome to this machine\nd 3\nabc") == b""
    word = parser.begin()
    assert parser.feed(b"d 5\nxx\n@0000\nd 1\nq\n@" + word[:4]) == b""
    assert parser.feed(word[4:] + b"\nd 3\nab") == b"ab"
    assert parser.feed(b"cd 2\nde") == b"cde"
    assert parser.received == 5
    for nonsense in (b"nonsense\n", b"d " + b"9" * 100, b"d -1\n", b"\xff" * 1000):
        parser.feed(nonsense)
        assert parser.lost
        for _ in range(100):
            assert parser.feed(b"x" * 65536) == b""
        assert len(parser._raw) < 2000
        mark = b"\n@%s\n" % parser.begin()
        assert parser.feed(b"z" * 65536) == b""
        assert parser.feed(mark + b"d 1\na") == b"a"

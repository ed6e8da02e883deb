"""Bounds that no kernel feature gives everywhere: output kept, and disk used."""

from __future__ import annotations

import codecs
import errno
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

HARD_OUTPUT_FACTOR = 25
"""A command that prints this many times what is kept is stopped (50 MB by default)."""


CONNECTIONS = 32
"""So many connections to the registries a sandbox has at a time: each costs us descriptors."""
OUT_OF_SIGHT = 1 << 50
_ENTRY_BYTES = 1024
"""What a name, and what the system keeps about it, take at least."""


class KeptOutput:
    """The head and the tail of a stream: at most `limit` bytes, half each; `total` counts all."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size - len(self._tail[0]) >= self._half:
                self._tail_size -= len(self._tail.popleft())

    def text(self, limit: int) -> tuple[str, bool]:
        """At most about `limit` bytes as UTF-8 (bad bytes replaced), and whether something was left out."""
        half = min(self._half, max(limit // 2, 1))
        tail = b"".join(self._tail)
        whole = bytes(self._head) + tail
        if len(whole) == self.total and self.total <= limit:
            return whole.decode("utf-8", "replace"), False
        left_out = self.total - 2 * half
        parts = (
            whole[:half].decode("utf-8", "replace"),
            f"\n... {left_out} bytes left out ...\n",
            whole[-half:].decode("utf-8", "replace"),
        )
        return "".join(parts), True


def combine(stdout: KeptOutput, stderr: KeptOutput, limit: int) -> tuple[str, str, bool]:
    """Both texts within `limit` bytes together, the error stream keeping at least a quarter of it if it needs that much."""
    errors, cut_errors = stderr.text(max(limit - stdout.total, limit // 4))
    output, cut_output = stdout.text(max(limit - min(stderr.total, limit // 4), 1)) if cut_errors else stdout.text(limit - stderr.total)
    return output, errors, cut_output or cut_errors


def build_decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def disk_usage(folders: Iterable[Path]) -> int:
    """Bytes allocated below the folders; links are not followed and what vanishes meanwhile is skipped.

    An empty file takes room too. A folder so deep that its path cannot be named counts as `OUT_OF_SIGHT`: anything may be in it.
    """
    total = 0
    pending = [os.fspath(folder) for folder in folders]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        total += max(entry.stat(follow_symlinks=False).st_blocks * 512, _ENTRY_BYTES)
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                    except OSError as error:
                        total += OUT_OF_SIGHT if error.errno == errno.ENAMETOOLONG else 0
        except OSError as error:
            total += OUT_OF_SIGHT if error.errno == errno.ENAMETOOLONG else 0
    return total

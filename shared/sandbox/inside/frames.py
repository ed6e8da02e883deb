"""Messages over one pair of pipes, the same on both ends.

A frame is a kind (one byte), the number of the operation it belongs to and at most `LARGEST` bytes. Each direction of an operation may have
`WINDOW` bytes under way; the receiver gives room back with `ROOM` frames, so that a slow reader holds up nobody else.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import NamedTuple

OPEN, PART, DATA, ENDED, STOP = b"o", b"p", b"d", b"e", b"k"
OUT, ERR, RESULT, HELLO, CONNECTION = b"1", b"2", b"x", b"h", b"c"
ROOM = b"a"
LARGEST = 256 * 1024
WINDOW = 1024 * 1024
_HEAD = struct.Struct(">cII")
_LONGEST_LINE = (LARGEST + _HEAD.size) * 4 // 3 + 8


class Frame(NamedTuple):
    kind: bytes
    number: int
    payload: bytes = b""


def encode(frame: Frame, text: bool) -> bytes:
    """As it travels: raw, or with `text` as a line of base64."""
    raw = _HEAD.pack(frame.kind, frame.number, len(frame.payload)) + frame.payload
    return base64.b64encode(raw) + b"\n" if text else raw


class Decoder:
    """Bytes in, frames out. ValueError for what no frame can be; in text, lines before the first frame are skipped (a shell may greet)."""

    def __init__(self, text: bool) -> None:
        self._text = text
        self._greeted = False
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        self._rest += data
        return self._lines() if self._text else self._raw()

    def _raw(self) -> list[Frame]:
        found = []
        start = 0
        while len(self._rest) - start >= _HEAD.size:
            kind, number, size = _HEAD.unpack_from(self._rest, start)
            if size > LARGEST:
                raise ValueError("a frame is too large")
            end = start + _HEAD.size + size
            if len(self._rest) < end:
                break
            found.append(Frame(kind, number, bytes(self._rest[start + _HEAD.size : end])))
            start = end
        del self._rest[:start]
        return found

    def _lines(self) -> list[Frame]:
        *lines, rest = bytes(self._rest).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a line is too long")
        self._rest = bytearray(rest)
        found = []
        for line in lines:
            try:
                raw = base64.b64decode(line, validate=True)
                kind, number, size = _HEAD.unpack_from(raw)
                if len(raw) != _HEAD.size + size or size > LARGEST:
                    raise ValueError("a line holds no frame")
            except (binascii.Error, struct.error, ValueError):
                if self._greeted:
                    raise ValueError("a line holds no frame") from None
                continue
            self._greeted = True
            found.append(Frame(kind, number, raw[_HEAD.size :]))
        return found

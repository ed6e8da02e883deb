"""Private keys, which go over many lines: a header alone is what code that looks for keys has; what counts is the body."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORDS = (
    r"(?:BEGIN (?:(?:DSA|EC|OPENSSH|RSA|ENCRYPTED|SSH2 ENCRYPTED) PRIVATE KEY|PGP PRIVATE KEY BLOCK|PRIVATE KEY)|PuTTY-User-Key-File-[23])"
)
_HEADER = re.compile(_WORDS)
_END = re.compile(r"END [A-Z0-9 ]{0,20}PRIVATE KEY|Private-MAC:")
_BODY = re.compile(r"[A-Za-z0-9+/=]{16,}")
_BODY_LINE = re.compile(r"[A-Za-z0-9+/=]{4,}")
_LONG_BODY_LINE = re.compile(r"(?=[A-Za-z0-9+/=]{40})(?=.{0,200}\d)(?=.{0,200}[A-Z])(?=.{0,200}[a-z])[A-Za-z0-9+/=]{40,}")
_FIELD = re.compile(r"[A-Z][A-Za-z-]{2,30}: .{0,200}|")
_AROUND = " \t\"'`+,;()>-"
_MOST_FIELDS = 8
_LONGEST, _NEAR = 20_000, 400
"""Characters of a text, from a key's header to its end and to its body."""
_IN_TEXT = re.compile(rf"-{{0,5}}{_WORDS}")
_TEXT_DIRECT = re.compile(r"""(?:-{5}|:)?(?:\\[nr]|[\s>"'+-]){0,20}[A-Za-z0-9+/=]{16,}""")
_TEXT_BODY = re.compile(r"(?:[A-Za-z0-9+/=]{16,}[^A-Za-z0-9+/=]{1,12})*[A-Za-z0-9+/=]{4,}")
_TEXT_END = re.compile(r"-{0,5}END [A-Z0-9 ]{0,20}PRIVATE KEY[A-Z ]{0,6}-{0,5}")
TRACES = (b"PRIVATE KEY", b"PuTTY-User-Key-File-", b"Private-MAC:")


@dataclass(frozen=True)
class Key:
    """`header` names its kind; `body`: (index of the line, what is secret there); `lines`: the indices of all of it, the header's too."""

    header: str
    body: tuple[tuple[int, str], ...]
    lines: range


def find_keys(lines: Sequence[str]) -> Iterator[Key]:
    """Whole ones, and parts whose header or end is not among the lines."""
    seen = 0
    for index, line in enumerate(lines):
        if headers := list(_HEADER.finditer(line)):
            for number, found in enumerate(headers):
                rest = line[found.end() : headers[number + 1].start() if number + 1 < len(headers) else len(line)]
                if inside := _BODY.findall(_until_end(rest)):
                    yield Key(found[0], tuple((index, piece) for piece in inside), range(index, index + 1))
            if (key := _below(lines, index, headers[-1][0])) is not None:
                yield key
                seen = key.lines.stop
        elif _END.search(line) and (above := _above(lines, index, seen)) is not None:
            yield above


def hide_keys(text: str, sign: str) -> str:
    """Each key up to its end, or as far as it goes; also where its lines became one."""
    parts, at = [], 0
    for found in _IN_TEXT.finditer(text):
        if found.start() < at:
            continue
        end = _TEXT_END.search(text, found.end(), found.end() + _LONGEST)
        if end is not None and _BODY.search(text, found.end(), end.start()):
            parts += [text[at : found.start()], sign]
            at = end.end()
        elif first := _TEXT_DIRECT.match(text, found.end()) or _LONG_BODY_LINE.search(text, found.end(), found.end() + _NEAR):
            body = _TEXT_BODY.match(text, first.end() - 16)
            parts += [text[at : found.start()], sign]
            at = first.end() if body is None else body.end()
    return "".join((*parts, text[at:]))


def _until_end(text: str) -> str:
    end = _END.search(text)
    return (text if end is None else text[: end.start()]).replace("\\n", "\n").replace("\\r", "\n")


def _bare(line: str) -> str:
    """A line of a key as it is in a file, without what a programming language or Markdown puts around it."""
    bare = line.strip(_AROUND)
    for ending in ("\\n", "\\r", "\\"):
        bare = bare.removesuffix(ending)
    return bare.rstrip(_AROUND)


def _below(lines: Sequence[str], header: int, kind: str) -> Key | None:
    first = header + 1
    while first < len(lines) and first <= header + _MOST_FIELDS and _FIELD.fullmatch(_bare(lines[first])):
        first += 1
    if first >= len(lines) or _HEADER.search(lines[first]):
        return None
    form = _BODY if first == header + 1 else _LONG_BODY_LINE
    if (found := form.match(lines[first].strip(_AROUND))) is None:
        return None
    body, after = [(first, found[0])], first + 1
    while after < len(lines):
        bare = _bare(lines[after])
        if _BODY_LINE.fullmatch(bare):
            body.append((after, bare))
        elif not (kind.startswith("PuTTY") and _FIELD.fullmatch(bare) and bare):
            break
        after += 1
    return Key(kind, tuple(body), range(header, after))


def _above(lines: Sequence[str], end: int, seen: int) -> Key | None:
    """The part of a key whose beginning is not shown."""
    first = end
    while first > seen and _BODY_LINE.fullmatch(_bare(lines[first - 1])):
        first -= 1
    body = tuple((index, _bare(lines[index])) for index in range(first, end))
    if not any(_LONG_BODY_LINE.fullmatch(line) for _, line in body):
        return None
    return Key("PRIVATE KEY", body, range(first, end))

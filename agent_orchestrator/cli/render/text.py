"""Text of repositories and people made safe for a terminal: no escape sequence reaches it."""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\n")
_SHOWN = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}


def clean(text: object, *, lines: bool = True) -> str:
    """`text` with control and direction-changing characters made visible; tabs become spaces. One line unless `lines`."""
    value = str(text).replace("\r\n", "\n")
    if not lines:
        value = value.replace("\n", " ")
    if value.isascii() and value.isprintable():
        return value
    return "".join(_safe(char) for char in value.expandtabs(4))


def _safe(char: str) -> str:
    if char in _KEPT or char.isprintable():
        return char
    if ord(char) in _SHOWN:
        return _SHOWN[ord(char)]
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    return f"\\u{ord(char):04x}"


def shorten(text: object, width: int = 100) -> str:
    """One clean line of at most `width` characters."""
    value = clean(text, lines=False).strip()
    return value if len(value) <= width else value[: width - 1] + "…"


def seconds(value: float) -> str:
    """A duration as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`."""
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 90:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"

"""Reading a request: politeness and harmless tails are taken off, names and paths are recognised."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache

QUOTES = "`'\"“”‘’"
IDENTIFIER = r"[^\W\d]\w*"
PATH = r"[\w.@+*?\[\]{}/~-]+"

_LEAD = re.compile(
    r"^(?:(?:hi|hey|hello|ok|okay|so|now|then|please|pls|kindly|just)\b[\s,:!]*"
    r"|(?:can|could|would|will) you (?:please |kindly |just )?"
    r"|(?:i(?:'d| would) like (?:you )?to |i (?:want|need) (?:you )?to |we (?:need|want) to |let'?s |go ahead and |help me ))",
    re.IGNORECASE,
)
_TESTS = r"(?:(?:the|all|our|my|existing) )*(?:unit )?(?:tests?|test suite|suite|ci)"
_TAIL = re.compile(
    r"(?:[\s,;.—-]*)(?:(?:\b(?:and|then|but|while|also)\b[\s,]*)*)(?:"
    r"\b(?:please|pls|thanks?|thank you|thx|for me|for us|everywhere|all over|if you can|if possible|now)"
    r"|\b(?:keep|keeping|make sure|ensure|check)(?: that)? " + _TESTS + r"(?: are| is)?(?: all)?(?: still| stay| remain| keep)*"
    r"(?: green| pass(?:es|ing)?| work(?:s|ing)?)?"
    r"|\bdo(?: not|n't) break " + _TESTS + r"|\bwithout breaking (?:anything|" + _TESTS + r")"
    r"|\b(?:re-?)?run " + _TESTS + r"(?: (?:again|after(?:wards)?|at the end))?"
    r"|\b(?:open|create|make|raise|send|submit|file)(?: me)? a (?:pr|pull request|merge request)(?: (?:for|with) (?:it|that|this))?"
    r"|\bcommit (?:it|that|the change|the result)"
    r"|\b(?:in|across|throughout|over|for|of) (?:the |this |our |my )?(?:whole |entire |complete )?"
    r"(?:repo|repository|codebase|code base|project|code|source|sources)"
    r")[\s.!]*$",
    re.IGNORECASE,
)


def polite(text: str) -> str:
    """The request without greeting, politeness at its beginning and punctuation at its end."""
    text = text.strip()
    while (shorter := _LEAD.sub("", text, count=1)) != text:
        text = shorter.lstrip()
    return re.sub(r"(?i)[\s,]+(?:please|pls|thanks|thank you|for me)$", "", text.rstrip(" \t\r\n.!?")).rstrip()


@lru_cache(maxsize=8)  # every recipe asks for the same one
def plain(text: str) -> str:
    """The request without greeting, politeness, and tails that every task fulfils anyway ("and keep the tests green")."""
    text = polite(text)
    while (shorter := _TAIL.sub("", text, count=1)) != text:
        text = shorter.rstrip(" \t\r\n.!?,;")
    return text


def unquote(text: str) -> str:
    """The text without surrounding quotes, backticks and a call's empty parentheses."""
    text = text.strip().strip(QUOTES)
    return text.removesuffix("()")


def quoted(name: str, pattern: str) -> str:
    """A named group for `pattern`, optionally in quotes or backticks, optionally followed by `()`."""
    return rf"[{QUOTES}]?(?P<{name}>{pattern})(?:\(\))?[{QUOTES}]?"


def looks_like_path(text: str) -> bool:
    return "/" in text or "*" in text or bool(re.search(r"\.[A-Za-z][A-Za-z0-9]{0,9}$", text))


def path_matches(path: str, pattern: str) -> bool:
    """Whether a repository path is named by a file, a folder or a glob. `*` stays in one folder, `**` does not."""
    pattern = pattern.strip().removeprefix("./").rstrip("/")
    if pattern in ("", "."):
        return True
    if not any(sign in pattern for sign in "*?["):
        return path == pattern or path.startswith(pattern + "/")
    return bool(_glob(pattern).fullmatch(path)) or ("/" not in pattern and fnmatch.fnmatchcase(path.rpartition("/")[2], pattern))


def matches_any(path: str, patterns: Iterable[str]) -> bool:
    return any(path_matches(path, pattern) for pattern in patterns)


def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(signs.get(part) or (part if part.startswith("[") and part.endswith("]") else re.escape(part)) for part in parts)
    )


def listing(names: Iterable[str], limit: int = 8) -> str:
    """`a`, `b` and 3 more."""
    all_names = list(names)
    shown = ", ".join(f"`{name}`" for name in all_names[:limit])
    return shown + (f" and {len(all_names) - limit} more" if len(all_names) > limit else "")


def count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"

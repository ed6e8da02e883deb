"""Whether a value looks like a secret or like what stands in for one: words, names, paths, placeholders, checksums."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

WORDS = (
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "auth_key",
    "authkey",
    "access_key",
    "accesskey",
    "access-key",
    "private_key",
    "privatekey",
    "private-key",
    "client_key",
    "credential",
    "service_key",
    "account_key",
    "db_pass",
    "encryption_key",
    "signing_key",
    "contrase",
)
"""What a name has that says secret, in small letters."""
_NAMES = "|".join(map(re.escape, WORDS))
_SPACE = r"\s{0,8}"
# No two repetitions side by side take the same character, and each has an end: a line made for it must not hold a scan up.
_ASSIGNED = re.compile(
    rf"""(?:{_NAMES})[\w.\-]{{0,60}}["'`]?\]?{_SPACE}(?::{_SPACE}[\w\[\].](?:[\w\[\]| .]{{0,58}}[\w\[\].])?{_SPACE}=|:=|=>|=|:|,)"""
    rf"""{_SPACE}[brfu@]?["'`]([^"'`\s]{{6,2000}})["'`]""",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    rf"""^\s*(?:export\s+|ENV\s+|ARG\s+|-\s+|set\s+)?["']?[\w.\-/:]{{0,100}}(?:{_NAMES})[\w.\-]{{0,60}}["']?"""
    rf"""(?:\s{{0,8}}:?=|\s{{0,8}}:|\s){_SPACE}([^\s"'`#,;]{{8,2000}})\s*(?:#.*)?$""",
    re.IGNORECASE,
)
_PLAIN_ENDINGS = frozenset(
    {".env", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".cnf", ".properties", ".toml", ".tfvars", ".sh", ".envrc", ""}
)
_STAND_IN = re.compile(
    r"example|change[-_ ]?(?:me|it)|placeholder|replace|your|dummy|fake|foo|bar(?![a-z])|test|sample|xxx|todo|fixme|redacted|\*\*|\.\.\.|"
    r"password|passwd|secret|default|demo|mock|insert|invalid|wrong|correct|insecure|secure|unused|none|null|undefined|hidden|masked|1234|abcd|qwerty|lorem",
    re.IGNORECASE,
)
_LONG_STAND_IN = re.compile(
    r"example|change[-_ ]?me|placeholder|dummy|your[-_]|redacted|\*\*|\.\.\.|xxxx|secret|password|12345|abcde|test[-_]|[-_]test",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?:[A-Z]?[a-z]+|[A-Z]+|\d+|[a-z]+\d{1,3})")
_SPLIT = re.compile(r"[-_./:@?&=+~ ]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CHECKSUM = re.compile(
    r"hash|sha\d|sha-|sha_|md5|checksum|digest|integrity|etag|fingerprint|revision|commit|rev\b|public|cert|uuid|guid|signature|resolved",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"""[\w\])"']\s{0,8}(?:=|:|=>|:=)\s{0,8}[brfu@]?["'][^"']*$""")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LOCKS = frozenset(
    {
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "packages.lock.json",
        "brewfile.lock.json",
        "cartfile.resolved",
        "package.resolved",
        "go.sum",
        ".secrets.baseline",
        ".terraform.lock.hcl",
        "bun.lock",
    }
)
_MACHINE_ENDINGS = frozenset({".lock", ".sum", ".svg", ".css", ".map", ".ipynb", ".pem", ".crt", ".csv", ".po", ".pot", ".snap", ".min.js"})
_SAMPLES = frozenset(
    {
        "test",
        "tests",
        "testing",
        "__tests__",
        "spec",
        "specs",
        "fixtures",
        "testdata",
        "test_data",
        "doc",
        "docs",
        "example",
        "examples",
        "cassettes",
        "benchmark",
        "benchmarks",
    }
)
_LOCAL = re.compile(
    r"@(?:localhost|127\.|0\.0\.0\.0|\[::1\]|host\b|hostname|server\b|example|[\w.-]*\.?example\.|[\w.-]+\.(?:test|invalid|local)\b)",
    re.IGNORECASE,
)


def is_of_machines(path: str) -> bool:
    """Lock files, checksums, generated and drawn things: random text is what they are made of."""
    name = PurePosixPath(path).name.lower()
    if name in _LOCKS or any(name.endswith(ending) for ending in _MACHINE_ENDINGS):
        return True
    return name.startswith("requirements") and name.endswith(".txt")


def is_sample(path: str) -> bool:
    """Tests, documentation and examples, where passwords are made up."""
    parts = [part.lower() for part in PurePosixPath(path).parts]
    if not parts:
        return False
    name = parts[-1]
    tests = name.startswith(("test_", "test-", "conftest")) or re.search(r"[._-](?:test|tests|spec)\.\w+$|_test\.\w+$", name) is not None
    return (
        tests
        or name.endswith((".md", ".rst", ".txt", ".adoc", ".example", ".sample", ".template", ".dist"))
        or any(part in _SAMPLES for part in parts[:-1])
    )


def assigned(path: str, text: str) -> Iterator[str]:
    """What is given to a name that says secret: in quotes anywhere, without them in files of settings."""
    yield from _ASSIGNED.findall(text)
    name = PurePosixPath(path).name.lower()
    if PurePosixPath(name).suffix in _PLAIN_ENDINGS or name.startswith((".env", "dockerfile")):
        yield from _PLAIN.findall(text)


def is_password(value: str, text: str, *, sample: bool) -> bool:
    """Whether a value given to a name that says secret is one; in a sample only what looks random."""
    value = value.strip()
    if not 6 <= len(value) <= 500 or any(char.isspace() for char in value) or _UUID.fullmatch(value):
        return False
    if value[0] in "{<$%(/" or value[-1] in ")>}" or "${" in value or "{{" in value or "://" in value or "(" in value or "[" in value:
        return False
    if not any(char.isalpha() for char in value) or len(set(value)) < 5:
        return False
    random = _looks_random(value)
    if (_LONG_STAND_IN if random else _STAND_IN).search(value):
        return False
    if random:
        return not _CHECKSUM.search(text.split(value)[0])
    if sample or _is_words(value):
        return False
    return any(char.isdigit() for char in value) or any(not char.isalnum() for char in value.strip("_-."))


def is_random(value: str, text: str) -> bool:
    """Whether a quoted value is one somebody drew by lot and gave to a name; checksums and ids are not secrets."""
    if len(value) < 32 or _UUID.search(value) or _is_words(value) or _LONG_STAND_IN.search(value):
        return False
    before = text.split(value)[0]
    if _CHECKSUM.search(before) or re.search(r"(?:^|[^a-z])ids?\b|_id", before, re.IGNORECASE) or not _GIVEN.search(before):
        return False
    kinds = (any(map(str.isupper, value)), any(map(str.islower, value)), any(map(str.isdigit, value)))
    return all(kinds) and _entropy(value) > 4.5 and value.count("/") < 3


def is_url_password(value: str, text: str) -> bool:
    """Whether the password of an address is one: not a stand-in, not one for this machine alone."""
    at = text.find(f":{value}@")
    user = re.search(r"://([^:/\s]*)$", text[:at]) if at > 0 else None
    if value[0] in "{<$%[" or "${" in value or (user and user[1].lower() == value.lower()) or len(value) < 4 or len(set(value)) < 4:
        return False
    return not (
        _STAND_IN.search(value)
        or value.lower() in ("pass", "admin", "root", "guest", "postgres", "user", "token", "pwd")
        or _LOCAL.match(text[at + len(value) + 1 :])
    )


def _looks_random(value: str) -> bool:
    if len(value) < 16 or _is_words(value):
        return False
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        return _entropy(value) > 2.8 and not value.isdigit()
    return any(map(str.isdigit, value)) and _entropy(value) > 3.5


def _is_words(value: str) -> bool:
    """Words with something between them: names, paths, versions."""
    parts = [part for part in _SPLIT.split(value) if part]
    return all(_WORD.fullmatch(part) for part in parts)


def _entropy(value: str) -> float:
    """Bits a character."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())

"""Test packages a repository uses without declaring them: named by pytest's options, its settings, or imports of the tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_OPTIONS = {
    "pytest-cov": r"--(no-)?cov\b",
    "pytest-xdist": r"(^|[\s\"'\[,])-n[ =\"',]*(auto|\d|logical)|--(numprocesses|dist)\b",
    "pytest-timeout": r"--timeout\b|(?m:^\s*timeout\s*=)",
    "pytest-asyncio": r"--asyncio-mode\b|\basyncio_(mode|default_fixture_loop_scope)\b",
    "pytest-rerunfailures": r"--(only-)?reruns?\b",
    "pytest-randomly": r"-p randomly|--randomly-",
    "pytest-benchmark": r"--benchmark-",
    "pytest-mypy": r"--mypy\b",
    "pytest-sugar": r"--force-sugar\b",
    "pytest-django": r"\bDJANGO_SETTINGS_MODULE\b|--(reuse-db|ds)\b",
    "pytest-socket": r"--(disable|allow)-(socket|hosts)\b",
    "pytest-html": r"--self-contained-html\b|--html\b",
    "pytest-env": r"(?m:^\s*env\s*=)",
}
_IMPORTS = {
    "pytest-asyncio": r"\bpytest_asyncio\b|@pytest\.mark\.asyncio\b",
    "pytest-mock": r"\bpytest_mock\b|\bdef test\w*\([^)]*\bmocker\b",
    "hypothesis": r"\b(import|from) hypothesis\b",
    "pytest-httpx": r"\bpytest_httpx\b",
    "requests-mock": r"\b(import|from) requests_mock\b",
    "freezegun": r"\b(import|from) freezegun\b",
    "parameterized": r"\b(import|from) parameterized\b",
    "pytest-benchmark": r"\bdef test\w*\([^)]*\bbenchmark\b",
}
_SETTINGS = {
    "pytest.ini": r"(?s)\[pytest\](.*)",
    ".pytest.ini": r"(?s)\[pytest\](.*)",
    "pyproject.toml": r"(?s)\[tool\.pytest(?:\.ini_options)?\](.*?)(?=\n\[[^\]\"']*\]\s*\n|\Z)",
    "tox.ini": r"(?s)\[pytest\](.*?)(?=\n\[|\Z)",
    "setup.cfg": r"(?s)\[tool:pytest\](.*?)(?=\n\[|\Z)",
}


def inferred_plugins(texts: Mapping[str, str], declared: Sequence[str]) -> list[str]:
    """Packages to install besides the `declared` requirement lines."""
    settings = "\n".join(match[1] for name, pattern in _SETTINGS.items() if (match := re.search(pattern, texts.get(name, ""))))
    tests = "\n".join(text for path, text in texts.items() if path.endswith(".py") and path != "setup.py")
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in declared}
    found = [name for name, pattern in _OPTIONS.items() if re.search(pattern, settings)]
    found += [name for name, pattern in _IMPORTS.items() if re.search(pattern, tests)]
    return [name for name in dict.fromkeys(found) if name not in names]

"""Which runner a Python repository's tests are written for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from agents.tester.values import TestCommand

_SKIPPED_FOLDERS = frozenset({"node_modules", "site-packages", ".venv", "venv", "build", "dist", ".tox", ".eggs", "_vendor", "vendor"})
_PYTEST_TRACE = re.compile(r"(?m)^\s*(import pytest|from pytest\b|from _pytest\b|(async )?def test)|@pytest\.")
_TOP_LEVEL_TEST = re.compile(r"(?m)^(async )?def test(?!_suite\b)|^class Test\w*(\(object\)|\(\))?:")
_UNITTEST = re.compile(r"(?m)^\s*(import unittest|from unittest\b)|\bTestCase\b")


def is_python_test(path: str) -> bool:
    """Whether pytest or unittest would look for tests in the file by its name."""
    pure = PurePosixPath(path)
    if not pure.name.endswith(".py") or _SKIPPED_FOLDERS & set(pure.parts[:-1]):
        return False
    return pure.name.startswith("test_") or pure.name.endswith("_test.py") or pure.name in ("tests.py", "test.py")


def detect_python(files: Sequence[str], texts: Mapping[str, str]) -> TestCommand | None:
    """pytest where anything points to it, unittest where the tests use nothing else, None where there are no Python tests."""
    tests = [path for path in files if is_python_test(path)]
    configured = configured_for_pytest(texts)
    if not tests:
        outside = configured and any(
            path.endswith(".py")
            and PurePosixPath(path).parts[0] in ("test", "tests", "testing")
            and PurePosixPath(path).name != "__init__.py"
            for path in files
        )
        return _PYTEST if outside else None
    pytest = _pytest_command(tests, texts)
    if configured or any(PurePosixPath(path).name == "conftest.py" for path in files):
        return pytest
    sources = [texts[path] for path in tests if path in texts]
    if any("pytest" in text and _PYTEST_TRACE.search(text) for text in sources) or any(_TOP_LEVEL_TEST.search(text) for text in sources):
        return pytest
    if any(_UNITTEST.search(text) for text in sources):
        return unittest_command(files)
    return pytest if any("def test" in text for text in sources) else None


_PYTEST = TestCommand(kind="pytest", argv=["{python}", "-m", "pytest"])


def _pytest_command(tests: Sequence[str], texts: Mapping[str, str]) -> TestCommand:
    """pytest alone does not look into `tests.py` and `test.py`."""
    unseen = sorted({PurePosixPath(path).name for path in tests} & {"tests.py", "test.py"})
    if not unseen or any("python_files" in text for text in texts.values()):
        return _PYTEST
    return TestCommand(kind="pytest", argv=[*_PYTEST.argv, "-o", " ".join(["python_files=test_*.py *_test.py", *unseen])])


def configured_for_pytest(texts: Mapping[str, str]) -> bool:
    return bool(
        "pytest.ini" in texts
        or ".pytest.ini" in texts
        or re.search(r"(?m)^\[tool\.pytest(\.ini_options)?\]", texts.get("pyproject.toml", ""))
        or re.search(r"(?m)^\[pytest\]", texts.get("tox.ini", ""))
        or re.search(r"(?m)^\[tool:pytest\]", texts.get("setup.cfg", ""))
    )


def unittest_command(files: Sequence[str]) -> TestCommand:
    """`discover` from the root finds packages only: a tests folder without `__init__.py` is given as the start folder."""
    tests = [path for path in files if is_python_test(path)]
    folders = {str(PurePosixPath(path).parent) for path in tests}
    patterns = ["test*.py"] if all(PurePosixPath(path).name.startswith("test") for path in tests) else ["*test*.py"]
    argv = ["{python}", "-m", "unittest", "discover", "-v", "-p", *patterns]
    top = {PurePosixPath(folder).parts[0] if folder != "." else "." for folder in folders}
    known = set(files)
    if len(top) == 1 and "." not in top and f"{next(iter(top))}/__init__.py" not in known:
        start = min(folders, key=lambda folder: len(PurePosixPath(folder).parts))
        argv += ["-s", start] if len(folders) == 1 else ["-s", next(iter(top))]
    return TestCommand(kind="unittest", argv=argv)

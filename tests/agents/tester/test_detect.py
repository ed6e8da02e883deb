"""Which commands are found for which repositories."""

from __future__ import annotations

import json

import pytest

from agents.tester.detect import detect, files_to_read
from agents.tester.values import TestSetup
from shared.recipes.repository_config import parse_repository_config

UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"
FUNCTION = "def test_a():\n    assert True\n"


def look(files: dict[str, str]) -> TestSetup | None:
    wanted = files_to_read(list(files))
    contents = {path: files[path].encode() for path in wanted}
    return detect(list(files), contents, parse_repository_config(files.get(".persevere.yml", "").encode()))


def commands(files: dict[str, str]) -> list[str]:
    setup = look(files)
    return [command.text for command in setup.commands] if setup else []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.py": "x = 1\n"}, []),
        ({}, []),
        ({"test_a.py": FUNCTION}, ["python -m pytest"]),
        ({"tests/test_a.py": UNITTEST, "pytest.ini": "[pytest]\n"}, ["python -m pytest"]),
        ({"tests/test_a.py": UNITTEST, "tox.ini": "[pytest]\n"}, ["python -m pytest"]),
        ({"tests/test_a.py": UNITTEST, "pyproject.toml": "[tool.pytest.ini_options]\n"}, ["python -m pytest"]),
        ({"tests/test_a.py": UNITTEST, "tests/conftest.py": ""}, ["python -m pytest"]),
        ({"tests/test_a.py": "import pytest\n" + UNITTEST}, ["python -m pytest"]),
        ({"test_a.py": UNITTEST}, ["python -m unittest discover -v -p test*.py"]),
        ({"tests/test_a.py": UNITTEST}, ["python -m unittest discover -v -p test*.py -s tests"]),
        ({"tests/__init__.py": "", "tests/test_a.py": UNITTEST}, ["python -m unittest discover -v -p test*.py"]),
        ({"src/z/tests.py": UNITTEST + "\n\ndef test_suite(): pass\n"}, ["python -m unittest discover -v -p test*.py -s src/z"]),
        ({"z/tests.py": FUNCTION}, ["python -m pytest -o python_files=test_*.py *_test.py tests.py"]),
        ({"z/tests.py": FUNCTION, "pytest.ini": "[pytest]\npython_files = tests.py\n"}, ["python -m pytest"]),
        ({"node_modules/x/test_a.py": FUNCTION}, []),
        ({"tox.ini": "[tox]\n[testenv]\ncommands = true\n", "a.py": ""}, ["python -m tox"]),
        ({"tox.ini": "[testenv]\n", "test_a.py": FUNCTION}, ["python -m pytest"]),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}})}, ["npm test"]),
        ({"package.json": json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})}, []),
        ({"package.json": "{"}, []),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "pnpm-lock.yaml": ""}, ["pnpm test"]),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "yarn.lock": ""}, ["yarn test"]),
        ({"package.json": json.dumps({"scripts": {"test": "x"}, "packageManager": "pnpm@9.1.0"})}, ["pnpm test"]),
        ({"web/package.json": json.dumps({"scripts": {"test": "x"}})}, ["(in web) npm test"]),
        ({"go.mod": "module x\n", "x_test.go": "package x\n"}, ["go test -json ./..."]),
        ({"go.mod": "module x\n", "x.go": "package x\n"}, []),
        ({"Cargo.toml": "[package]\n", "src/lib.rs": "#[test]\nfn a() {}\n"}, ["cargo test --no-fail-fast"]),
        ({"Makefile": "all:\n\ntest: all\n\ttrue\n"}, ["make test"]),
        ({"Makefile": "test := 3\nall:\n"}, []),
        ({"Makefile": "test:\n\tpytest\n", "test_a.py": FUNCTION}, ["python -m pytest"]),
        ({"test_a.py": FUNCTION, "package.json": json.dumps({"scripts": {"test": "x"}})}, ["python -m pytest", "npm test"]),
        ({".persevere.yml": "test: ['tox -e py', 'npm test']\n", "test_a.py": FUNCTION}, ["tox -e py", "npm test"]),
    ],
)
def test_commands(files: dict[str, str], expected: list[str]) -> None:
    assert commands(files) == expected


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("pytest -q", "pytest"),
        (".venv/bin/python -m pytest", "pytest"),
        ("python3.11 -m unittest", "unittest"),
        ("pytest; true", "shell"),
        ("./pytest-all.sh", "shell"),
        ("cargo test", "cargo"),
    ],
)
def test_kind_of_a_configured_command(line: str, kind: str) -> None:
    setup = look({".persevere.yml": json.dumps({"test": [line]})})
    assert setup is not None
    assert setup.commands[0].kind == kind


def test_source_layout_is_on_the_path() -> None:
    setup = look({"src/a/__init__.py": "", "tests/test_a.py": FUNCTION})
    assert setup is not None
    assert setup.python_path == ["src", "."]


def test_unittest_takes_over_only_where_it_runs_every_test() -> None:
    mixed, pure = look({"pytest.ini": "", "test_a.py": UNITTEST, "test_b.py": FUNCTION}), look({"pytest.ini": "", "test_a.py": UNITTEST})
    assert mixed is not None
    assert pure is not None
    assert mixed.fallback == []
    assert [command.kind for command in pure.fallback] == ["unittest"]


def test_node_packages() -> None:
    manifest = {"scripts": {"test": "jest"}, "devDependencies": {"jest": "^29"}}
    setup = look({"package.json": json.dumps(manifest), "package-lock.json": "{}"})
    assert setup is not None
    assert setup.node[0].argv[:2] == ["npm", "ci"]
    assert set(setup.node[0].files) == {"package.json", "package-lock.json"}
    assert not setup.node[0].in_place

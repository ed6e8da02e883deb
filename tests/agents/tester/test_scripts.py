from __future__ import annotations

import pytest

from agents.tester.scripts import declared_scripts, misses_script

SETUP_PY = """from setuptools import setup

setup(name="a", entry_points={'console_scripts': ['hello=a.b:main', "hello-again = a.c:other"]}, install_requires=["x==1"])
"""


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("pyproject.toml", '[project.scripts]\nhello = "a.b:main"\n[tool.poetry.scripts]\nagain = "a:b"\n', ["hello", "again"]),
        ("pyproject.toml", "[project.scripts\n", []),
        ("pyproject.toml", 'project = "odd"\n', []),
        (
            "setup.cfg",
            "[options.entry_points]\nconsole_scripts =\n    hello = a.b:main\n    hello-again=a.c:other\n",
            ["hello", "hello-again"],
        ),
        ("setup.py", SETUP_PY, ["hello", "hello-again"]),
        ("setup.py", 'setup(entry_points="""\n[console_scripts]\nhello=a:b\n[other]\nno=a:b\n""")', ["hello"]),
    ],
)
def test_the_commands_a_project_declares(path: str, text: str, names: list[str]) -> None:
    assert declared_scripts({path: text}) == names


@pytest.mark.parametrize(
    ("output", "missed"),
    [
        ("E  FileNotFoundError: [Errno 2] No such file or directory: 'hello'", True),
        ("sh.CommandNotFound: hello", True),
        ("/bin/sh: 1: hello: not found", True),
        ("bash: hello: command not found", True),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'hello.txt'", False),
        ("othello: not found", False),
        ("", False),
    ],
)
def test_what_the_tests_print_when_a_command_is_missing(output: str, missed: bool) -> None:
    assert misses_script(output, ["hello", "again"]) is missed
    assert not misses_script(output, [])

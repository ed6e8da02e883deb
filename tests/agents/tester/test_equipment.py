"""A model's own commands run the repository's tests as the tester does."""

from __future__ import annotations

import pytest

from agents.tester.equipment import equip
from shared.types import CommandResult
from tests.agents.conftest import MakeScene, Scene

SOURCE = "def load_conf(path):\n    return path.upper()\n"
TEST = """import unittest

from app import load_conf


class T(unittest.TestCase):
    def test_it(self):
        self.assertEqual(load_conf("a"), "A")
"""
FUNCTION = "from app import load_conf\n\n\ndef test_it():\n    assert load_conf('a') == 'A'\n"


async def _run(scene: Scene, command: str) -> tuple[CommandResult, str]:
    equipment = await equip(scene.context)
    async with scene.context.workspaces.open("code", readable=equipment.readable) as workspace:
        ran = await workspace.run(["sh", "-c", command], environment=equipment.variables(str(workspace.sandbox.root)))
    return ran, equipment.said


async def test_without_requirements_the_interpreter_is_there(make_scene: MakeScene) -> None:
    scene = await make_scene({"src/app.py": SOURCE, "tests/test_app.py": TEST, "tests/__init__.py": ""})
    ran, said = await _run(scene, "python3 -m unittest discover -s tests")
    assert (ran.exit_code, "OK" in ran.stderr) == (0, True), ran
    assert "unittest" in said


@pytest.mark.packages
async def test_what_the_tests_need_is_installed(make_scene: MakeScene) -> None:
    files = {"src/app.py": SOURCE, "tests/test_app.py": FUNCTION, "requirements.txt": "iniconfig\npytest\n"}
    ran, said = await _run(await make_scene(files), "pytest -q && python -c 'import iniconfig'")
    assert (ran.exit_code, "1 passed" in ran.stdout) == (0, True), ran
    assert "pytest" in said


async def test_what_is_missing_is_said(make_scene: MakeScene) -> None:
    scene = await make_scene({"app.py": SOURCE, "tests/test_app.py": TEST, "requirements.txt": "no-such-package-at-all==1\n"})
    ran, said = await _run(scene, "echo works")
    assert ran.stdout == "works\n"
    assert "no-such-package-at-all" in said


async def test_a_repository_without_tests(make_scene: MakeScene) -> None:
    ran, said = await _run(await make_scene({"notes.txt": "x"}), "echo works")
    assert (ran.stdout, "no tests" in said) == ("works\n", True)

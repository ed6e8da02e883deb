"""What is read from the files a Python repository declares its needs in."""

from __future__ import annotations

import pytest

from agents.tester.requirements import python_needs
from agents.tester.values import PythonNeeds


def needs(texts: dict[str, str], kind: str = "pytest", files: tuple[str, ...] = ()) -> PythonNeeds:
    return python_needs([*texts, *files], texts, kind)  # type: ignore[arg-type]


def test_nothing_declared() -> None:
    assert needs({}).requirements == ["pytest"]
    assert needs({}, "unittest").is_empty


def test_project_with_extras_and_groups() -> None:
    text = """
[project]
name = "My_Thing"
dependencies = ["attrs>=20"]
[project.optional-dependencies]
test = ["hypothesis", "my-thing[extra]"]
extra = ["rich"]
docs = ["sphinx"]
dev = ["mypy"]
[dependency-groups]
base = ["tomli"]
testing = ["coverage", {include-group = "base"}, {include-group = "testing"}]
"""
    assert needs({"pyproject.toml": text}).requirements == ["pytest", "attrs>=20", "hypothesis", "rich", "coverage", "tomli"]


def test_development_group_only_without_a_test_group() -> None:
    assert needs({"pyproject.toml": "[dependency-groups]\ndev = ['nox']\n"}).requirements == ["pytest", "nox"]


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [("^1.2.3", ">=1.2.3,<2"), ("^0.3", ">=0.3,<0.4"), ("~1.2", ">=1.2,<1.3"), ("*", ""), (">=1,<3", ">=1,<3"), ("1.5", "==1.5")],
)
def test_poetry(constraint: str, expected: str) -> None:
    text = f"[tool.poetry.dependencies]\npython = '^3.9'\nrich = '{constraint}'\nlocal = {{path = '../x'}}\n"
    assert needs({"pyproject.toml": text}, "unittest").requirements == ["rich" + expected]


def test_requirements_files_follow_each_other() -> None:
    texts = {
        "requirements.txt": "-r requirements/base.txt\n--index-url https://example.org/simple\n-e .\n./local\nrich  # a comment\n",
        "requirements/base.txt": "attrs ; python_version > '3'\n-r ../requirements.txt\n",
        "dev-requirements.txt": "mypy\n",
        "docs-requirements.txt": "sphinx\n",
    }
    assert set(needs(texts).requirements) == {"pytest", "attrs ; python_version > '3'", "rich", "mypy"}


def test_hashes_are_kept() -> None:
    found = needs({"requirements.txt": "rich==13.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"})
    assert found.locked == ["rich==13.0      --hash=sha256:aa      --hash=sha256:bb"]
    assert found.requirements == ["pytest"]


def test_setup_cfg_and_setup_py() -> None:
    cfg = "[options]\ninstall_requires =\n    attrs\n    # no\n    rich>=1\n[options.extras_require]\ntest =\n    hypothesis\n"
    code = "from setuptools import setup\nNEEDS = ['six']\nsetup(name='x', install_requires=NEEDS,"
    code += " extras_require={'tests': ['mock'], 'docs': ['y']})\n"
    assert needs({"setup.cfg": cfg}).requirements == ["pytest", "attrs", "rich>=1", "hypothesis"]
    assert needs({"setup.py": code}).requirements == ["pytest", "six", "mock"]
    assert needs({"setup.py": "setup(install_requires=open('x').read())"}).requirements == ["pytest"]
    assert needs({"setup.py": "not python ("}).requirements == ["pytest"]


def test_plugins_that_are_used_but_not_declared() -> None:
    settings = "[tool.pytest.ini_options]\naddopts = ['--cov=x', '-n', 'auto']\nasyncio_mode = 'auto'\n[tool.other]\ntimeout = 3\n"
    assert set(needs({"pyproject.toml": settings}).requirements) == {"pytest", "pytest-cov", "pytest-xdist", "pytest-asyncio"}
    assert needs({"test_a.py": "from hypothesis import given\n"}).requirements == ["pytest", "hypothesis"]


def test_compiled_projects_and_pytest_plugins_are_installed() -> None:
    assert needs({"setup.py": "setup(ext_modules=[1])"}, files=("src/a.c",)).editable
    assert needs({"pyproject.toml": "[build-system]\nrequires=['maturin']\nbuild-backend='maturin'\n"}).editable
    assert needs({"pyproject.toml": "[project.entry-points.pytest11]\nx = 'x'\n"}).editable
    assert not needs({"pyproject.toml": "[project]\nname='x'\n"}).editable


@pytest.mark.parametrize("text", ["[project", "project = 3\n", "[project]\ndependencies = 3\n", "[dependency-groups]\ntest = 'x'\n"])
def test_damaged_files_are_no_needs(text: str) -> None:
    assert needs({"pyproject.toml": text, "setup.cfg": text}).requirements == ["pytest"]

"""Recipes on unmodified source distributions from the package registry, pinned by hash."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from shared.errors import TaskFailedError
from shared.recipes.port import ApplyReport, NotApplicable, NothingToDo, RecipePlan
from shared.types import RiskLevel
from workflows.recipes.book import build_recipe_book
from workflows.recipes.tools.python_names import parse

pytestmark = [pytest.mark.packages, pytest.mark.slow]
BOOK = build_recipe_book()
PINS = Path(__file__).with_name("packages.txt")
CACHE = Path(__file__).parents[3] / ".cache" / "sdists"
NAMES = ["blinker-1.9.0", "itsdangerous-2.2.0", "toolz-1.0.0"]
DECLARING = "markdown-it-py-3.0.0"
"""Has a dependency of its own to bump, which toolz has not."""


@pytest.fixture(scope="session")
def archives() -> Path:
    if not all((CACHE / f"{name}.tar.gz").exists() for name in (*NAMES, DECLARING)):
        only = ",".join(name.rpartition("-")[0] for name in (*NAMES, DECLARING))
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--require-hashes",
            "--no-binary",
            only,
            "-d",
            str(CACHE),
            "-r",
            str(PINS),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=250, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        )
        if done.returncode:
            pytest.skip("the package registry cannot be reached: configure pip with one that serves source distributions")
    return CACHE


@pytest.fixture
def package(request: pytest.FixtureRequest, archives: Path, tmp_path: Path, repository: Any) -> Any:
    with tarfile.open(archives / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    workspace = repository({})
    return type(workspace)(tmp_path / request.param)


CASES = [
    *(
        (name, text)
        for name, text in zip(
            NAMES, ("rename make_id to identity_of", "rename want_bytes to as_bytes", "rename isiterable to is_iterable"), strict=True
        )
    ),
    *((name, text) for name in NAMES for text in ("fix the lint findings", "format the code", "modernise the syntax")),
    *((name, "replace 'License' with 'Licence'") for name in NAMES),
    *((name, "create a file docs/new.md with the content: Hello") for name in NAMES),
    *((name, "Add HITL approval for database migrations") for name in NAMES),
    *zip((*NAMES[:2], DECLARING), ("bump pytest to 8.3.5", "bump flit_core to 3.10", "bump mdurl to 0.2"), strict=True),
]
SOURCES = ["src/blinker/base.py", "src/itsdangerous/signer.py", "toolz/itertoolz.py"]
COMMANDS = """
commands:
  check:
    run: [python3, -m, tabnanny, -v, "{target}"]
    targets: [TARGET]
  fail:
    run: [/bin/sh, -c, "exit 7"]
"""


@pytest.mark.parametrize(("package", "text"), CASES, indirect=["package"])
async def test_a_recipe_on_a_real_package(package: Any, text: str) -> None:
    before = {path: await package.read(path) for path in await package.files()}
    match = BOOK.parse(text, package.config)
    assert match is not None
    recipe = BOOK.get(match.recipe)
    outcome = await recipe.plan(match.slots, text, package)
    if isinstance(outcome, NothingToDo):
        assert match.recipe in ("modernise", "format_code", "fix_lint")
        return
    assert isinstance(outcome, RecipePlan), outcome
    assert await recipe.plan(match.slots, text, package) == outcome
    assert isinstance(await recipe.apply(outcome.plan, package), ApplyReport)
    after = {path: await package.read(path) for path in await package.files()}
    changed = {path for path, data in after.items() if before.get(path) != data}
    assert changed == {path for step in outcome.plan.steps for path in step.files}
    for path in changed:
        if path.endswith(".py"):
            assert parse(after[path].decode()) is not None
    if match.recipe == "rename_symbol":
        old, new = match.slots["old"].encode(), match.slots["new"].encode()
        assert all(after[path].replace(new, old) == before[path].replace(new, old) for path in changed)
    again = type(package)(package.root)
    assert isinstance(await recipe.plan(match.slots, text, again), NothingToDo)


async def report_of(package: Any, text: str) -> tuple[RecipePlan, ApplyReport]:
    """Plan and apply what must change no file."""
    before = {path: await package.read(path) for path in await package.files()}
    match = BOOK.parse(text, package.config)
    assert match is not None
    assert not match.missing
    recipe = BOOK.get(match.recipe)
    outcome = await recipe.plan(match.slots, text, package)
    assert isinstance(outcome, RecipePlan), outcome
    report = await recipe.apply(outcome.plan, package)
    assert isinstance(report, ApplyReport), report
    assert {path: await package.read(path) for path in await package.files()} == before
    return outcome, report


@pytest.mark.parametrize(("package", "source"), list(zip(NAMES, SOURCES, strict=True)), indirect=["package"])
async def test_a_command_is_run_from_a_file_laid_on_top(package: Any, source: str) -> None:
    (package.root / ".persevere.yml").write_text(COMMANDS.replace("TARGET", source))
    configured = type(package)(package.root)
    outcome, report = await report_of(configured, f"run the check command for {source}")
    assert outcome.plan.recipe is not None
    assert outcome.plan.recipe.arguments["argv"] == ["python3", "-m", "tabnanny", "-v", source]
    assert outcome.risk.level is RiskLevel.HIGH
    assert report.answer == f"{source!r}: Clean bill of health."
    unknown = await BOOK.get("run_command").plan({"command": "check", "target": "elsewhere"}, "", configured)
    assert isinstance(unknown, NotApplicable)
    with pytest.raises(TaskFailedError, match="exit code 7"):
        await report_of(configured, "run the fail command")


@pytest.mark.parametrize("package", NAMES, indirect=True)
async def test_running_the_tests_changes_nothing(package: Any) -> None:
    outcome, _ = await report_of(package, "run the tests")
    assert all(not step.files for step in outcome.plan.steps)


@pytest.mark.parametrize(("package", "source"), list(zip(NAMES, SOURCES, strict=True)), indirect=["package"])
async def test_a_review_names_the_added_line(package: Any, source: str) -> None:
    old = (await package.read(source)).decode().splitlines(keepends=True)
    middle = next(number for number, line in enumerate(old) if number > 20 and line.startswith(("def ", "class ", "@")))
    new = [*old[:middle], "print(nobody_defined_this)\n", *old[middle:]]
    patch = "".join(difflib.unified_diff(old, new, f"a/{source}", f"b/{source}"))
    _, report = await report_of(package, f"review this diff:\n```diff\ndiff --git a/{source} b/{source}\n{patch}```")
    assert report.answer is not None
    assert "(F821)" in report.answer
    assert set(re.findall(r"`([^`]+):(\d+)`", report.answer)) == {(source, str(middle + 1))}
    _, report = await report_of(package, f"review {source}")
    assert "F821" not in (report.answer or "")
    assert "review.md" in report.artifacts

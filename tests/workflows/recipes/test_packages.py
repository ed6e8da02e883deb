"""Recipes on unmodified source distributions from the package registry, pinned by hash."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from shared.recipes.port import ApplyReport, NothingToDo, RecipePlan
from workflows.recipes.book import build_recipe_book
from workflows.recipes.tools.python_names import parse

pytestmark = [pytest.mark.packages, pytest.mark.slow]
BOOK = build_recipe_book()
PINS = Path(__file__).with_name("packages.txt")
CACHE = Path(__file__).parents[3] / ".cache" / "sdists"
NAMES = ["blinker-1.9.0", "itsdangerous-2.2.0", "toolz-1.0.0"]


@pytest.fixture(scope="session")
def archives() -> Path:
    if not all((CACHE / f"{name}.tar.gz").exists() for name in NAMES):
        only = ",".join(name.partition("-")[0] for name in NAMES)
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
]


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

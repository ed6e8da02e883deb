"""Each recipe on a small repository: what changes, what stays, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import TaskFailedError
from shared.recipes.port import ApplyReport, NotApplicable, NothingToDo, RecipePlan
from shared.types import Plan, RecipeChoice, RiskLevel
from workflows.recipes.book import build_recipe_book

BOOK = build_recipe_book()
Repository = Callable[[dict[str, str | bytes]], Any]
CORE = b'"""load_conf reads."""\r\n__all__ = ["load_conf"]\r\n\r\n\r\ndef load_conf(x):\r\n    return f"{load_conf}" if x else x\r\n'


async def planned(workspace: Any, text: str) -> Any:
    match = BOOK.parse(text, workspace.config)
    assert match is not None
    assert not match.missing
    return await BOOK.get(match.recipe).plan(match.slots, text, workspace)


async def done(workspace: Any, text: str) -> ApplyReport:
    outcome = await planned(workspace, text)
    assert isinstance(outcome, RecipePlan), outcome
    assert outcome.plan.recipe is not None
    report = await BOOK.get(outcome.plan.recipe.name).apply(Plan.model_validate_json(outcome.plan.model_dump_json()), workspace)
    assert isinstance(report, ApplyReport), report
    return report


async def test_rename_changes_only_the_name(repository: Repository) -> None:
    workspace = repository(
        {
            "src/pkg/core.py": CORE,
            "src/pkg/__init__.py": b"\xef\xbb\xbffrom .core import load_conf\n",
            "tests/test_core.py": "from unittest import mock\n\nimport pkg\n\nwith mock.patch('pkg.core.load_conf'):\n    pkg.load_conf(1)\n",  # noqa: E501
            "latin.py": "# -*- coding: latin-1 -*-\nfrom pkg import load_conf  # é\n".encode("latin-1"),
            "json.py": "raise SystemExit('the repository must never be imported')\n",
            "pyproject.toml": "[tool.rope]\nproject_opened = 'json:nothing'\n",
            "README.md": "Call load_conf.\n",
        }
    )
    report = await done(workspace, "rename load_conf to load_config")
    assert await workspace.read("src/pkg/core.py") == CORE.replace(b'["load_conf"]', b'["load_config"]').replace(
        b"def load_conf", b"def load_config"
    ).replace(b"{load_conf}", b"{load_config}")
    assert await workspace.read("src/pkg/__init__.py") == b"\xef\xbb\xbffrom .core import load_config\n"
    assert (await workspace.read("latin.py")).endswith(b"from pkg import load_config  # \xe9\n")
    assert b"pkg.core.load_config" in await workspace.read("tests/test_core.py")
    assert any("README.md" in note for note in report.notes)
    assert isinstance(await planned(workspace, "rename load_conf to load_config"), NothingToDo)


async def test_rename_follows_overrides_and_super(repository: Repository) -> None:
    workspace = repository(
        {
            "m.py": "class A:\n    def stride(self): return 1\n\n\nclass B(A):\n    def stride(self): return super().stride()\n",
            "n.py": "def f(x): return x.stride()\n",
        }
    )
    await done(workspace, "rename stride to pace")
    assert b"stride" not in await workspace.read("m.py") + await workspace.read("n.py")


async def test_rename_refuses_with_a_reason(repository: Repository) -> None:
    workspace = repository({"a.py": "def foo(): pass\ndef taken(): pass\ndef only_here(): pass\n", "b.py": "def foo(): pass\n"})
    ambiguous = await planned(workspace, "rename foo to bar")
    assert isinstance(ambiguous, NotApplicable)
    assert "`a.py:foo`" in ambiguous.reason
    assert "`b.py:foo`" in ambiguous.reason
    assert isinstance(await planned(workspace, "rename a.py:foo to bar"), RecipePlan)
    for text, word in (
        ("rename only_here to taken", "already used"),
        ("rename only_here to class", "keyword"),
        ("rename only_here to 2fast", "valid"),
        ("rename onlyhere to x", "No function"),
    ):
        outcome = await planned(workspace, text)
        assert isinstance(outcome, NotApplicable)
        assert word in outcome.reason
    missing = await planned(workspace, "rename only_her to x")
    assert "`only_here`" in missing.next_step


async def test_rename_prefers_a_misspelling_to_nothing_to_do(repository: Repository) -> None:
    workspace = repository({"a.py": "def load_conf(): pass\ndef load_config(): pass\n"})
    outcome = await planned(workspace, "rename load_cnf to load_config")
    assert isinstance(outcome, NotApplicable)
    assert "`load_conf`" in outcome.next_step
    assert isinstance(await planned(workspace, "rename read_settings to load_config"), NothingToDo)


async def test_rename_follows_entry_points(repository: Repository) -> None:
    workspace = repository(
        {
            "src/pkg/cli.py": "def main(): pass\n",
            "src/pkg/__init__.py": "from pkg.cli import main\n",
            "src/other/cli.py": "def mains(): pass\n",
            "pyproject.toml": "[project.scripts]\r\npkg = 'pkg.cli:main' # main\r\nshort = 'pkg:main'\r\nno = 'other.cli:main'\r\n",
            "setup.cfg": "[options.entry_points]\nconsole_scripts =\n    pkg = pkg.cli:main\n    x = pkg.cli:main_loop\n",
        }
    )
    await done(workspace, "rename src/pkg/cli.py:main to start")
    assert await workspace.read("pyproject.toml") == (
        b"[project.scripts]\r\npkg = 'pkg.cli:start' # main\r\nshort = 'pkg:start'\r\nno = 'other.cli:main'\r\n"
    )
    assert (await workspace.read("setup.cfg")).endswith(b"pkg = pkg.cli:start\n    x = pkg.cli:main_loop\n")


async def test_lint_format_and_modernise_reach_a_fixed_point(repository: Repository) -> None:
    source = "import sys\nimport os\nfrom typing import Optional\ndef f(x: Optional[int]):\n    return os.sep,undefined\n"
    workspace = repository({"a.py": source, "vendor/b.py": source, ".persevere.yml": "never_touch: [vendor/]\n"})
    report = await done(workspace, "fix the lint findings")
    assert any("F821" in note for note in report.notes)
    for text in ("modernise the syntax", "format the code"):
        assert isinstance(await planned(workspace, text), RecipePlan | NothingToDo)
    await done(workspace, "format the code")
    assert b"import sys" not in await workspace.read("a.py")
    assert await workspace.read("vendor/b.py") == source.encode()
    assert isinstance(await planned(workspace, "format the code"), NothingToDo)
    assert isinstance(await planned(workspace, "fix the lint findings"), NothingToDo)


async def test_generated_and_vendored_files_are_left_alone_unless_named(repository: Repository) -> None:
    source = "import os\nx = ( 1)\n"
    generated: dict[str, str | bytes] = {
        "versioneer.py": source,
        "pkg/_vendor/six.py": source,
        "pkg/thing_pb2.py": source,
        "pkg/table.py": f"#!/usr/bin/python\n# This file is automatically generated by mktable.\n{source}",
    }
    workspace = repository({**generated, "a.py": source})
    for text in ("fix the lint findings", "format the code"):
        report = await done(workspace, text)
        assert any("`versioneer.py`" in note and "`pkg/table.py`" in note for note in report.notes)
    assert await workspace.read("a.py") == b"x = 1\n"
    assert [await workspace.read(path) for path in generated] == [str(text).encode() for text in generated.values()]
    await done(workspace, "format versioneer.py")
    assert b"x = 1\n" in await workspace.read("versioneer.py")


async def test_lint_without_configuration_keeps_the_order_of_star_imports_and_of_all(repository: Repository) -> None:
    before = "from .b import *\nfrom .a import *\nimport os\n__all__ = ['z', 'a']\n"
    workspace = repository({"pkg/__init__.py": before, "pkg/a.py": "import sys\nimport os\nprint(os, sys)\n", "pkg/b.py": ""})
    await done(workspace, "fix the lint findings")
    assert await workspace.read("pkg/__init__.py") == before.encode()
    assert await workspace.read("pkg/a.py") == b"import os\nimport sys\n\nprint(os, sys)\n"


async def test_a_special_method_is_not_renamed(repository: Repository) -> None:
    workspace = repository({"a.py": "class A:\n    def __init__(self): pass\n"})
    outcome = await planned(workspace, "rename A.__init__ to start")
    assert isinstance(outcome, NotApplicable)
    assert outcome.code == "special_name"


async def test_bump_finds_bare_names_in_setup_py(repository: Repository) -> None:
    setup = "setup(name='requests', install_requires=['setuptools', 'attrs[b]', \"c>1\"], keywords=['attrs'])\n"
    workspace = repository({"setup.py": setup})
    await done(workspace, "bump setuptools to 75.0")
    await done(workspace, "bump attrs to 2.0")
    assert (await workspace.read("setup.py")).decode() == setup.replace("'setuptools'", "'setuptools>=75.0'").replace(
        "attrs[b]", "attrs[b]>=2.0"
    )
    assert isinstance(await planned(workspace, "bump requests to 2.0"), NotApplicable)


async def test_black_line_length_is_honoured(repository: Repository) -> None:
    workspace = repository(
        {"a.py": "call(aaaaaaaaaa, bbbbbbbbbb, cccccccccc, dddd)\n", "pyproject.toml": "[tool.black]\nline-length = 30\n"}
    )
    await done(workspace, "format the code")
    assert (await workspace.read("a.py")).count(b"\n") > 2


async def test_bump_keeps_everything_else(repository: Repository) -> None:
    project = "[project]\nname = 'x'\ndependencies = [\n  'requests[socks]>=2.28,<3; python_version>\"3.8\"', # why\n]\n"
    files: dict[str, str | bytes] = {
        "pyproject.toml": project,
        "requirements.txt": b"requests==2.0 # pinned\r\nclick==8\r\n",
        "package.json": '{"dependencies": {"left-pad": "^1.0.0"}}',
        "uv.lock": "",
    }
    workspace = repository(files)
    report = await done(workspace, "bump requests to 3.1")
    assert await workspace.read("pyproject.toml") == project.replace(">=2.28,<3", ">=3.1,<4").encode()
    assert await workspace.read("requirements.txt") == b"requests==3.1 # pinned\r\nclick==8\r\n"
    assert any("uv.lock" in note for note in report.notes)
    assert isinstance(await planned(workspace, "bump requests to 3.1"), NothingToDo)
    await done(workspace, "bump left-pad to 1.3.0")
    assert await workspace.read("package.json") == b'{"dependencies": {"left-pad": "^1.3.0"}}'
    unknown = await planned(workspace, "bump reqests to 3")
    assert isinstance(unknown, NotApplicable)
    assert "`requests`" in unknown.next_step


async def test_a_hashed_requirement_is_not_bumped(repository: Repository) -> None:
    workspace = repository({"requirements.txt": "requests==2.0 \\\n    --hash=sha256:00\n"})
    outcome = await planned(workspace, "bump requests to 2.32")
    assert isinstance(outcome, NotApplicable)
    assert outcome.code == "hashed_requirements"


async def test_replace_text_skips_binary_files(repository: Repository) -> None:
    workspace = repository({"docs/a.md": "foo\r\nfoo", "docs/b.bin": b"foo\x00", "c.md": "foo"})
    await done(workspace, "replace 'foo' with 'bar' in docs/")
    assert [await workspace.read(path) for path in ("docs/a.md", "docs/b.bin", "c.md")] == [b"bar\r\nbar", b"foo\x00", b"foo"]
    assert isinstance(await planned(workspace, "replace 'foo' with 'bar' in docs/"), NothingToDo)


async def test_create_file(repository: Repository) -> None:
    workspace = repository({"a.txt": "one\n"})
    await done(workspace, "create a file docs/x.md with the content: Hello")
    assert await workspace.read("docs/x.md") == b"Hello\n"
    assert isinstance(await planned(workspace, "create a file a.txt with the content: one"), NothingToDo)
    assert isinstance(await planned(workspace, "create a file a.txt with the content: two"), NotApplicable)
    assert isinstance(await planned(workspace, "create a file ../x.md with the content: Hello"), NotApplicable)


CONFIG = "# top\nversion: 1\napprovals:\n  - name: infra # why\n    paths: ['infra/**']\n\n# after\ntest: [pytest]\n"


@pytest.mark.parametrize(
    "before",
    [
        "",
        CONFIG,
        CONFIG.replace("\n", "\r\n"),
        "approvals: []  # none\ntest: [pytest]\n",
        "test: [pytest] # no end",
        "---\n# only a comment\n",
    ],
)
async def test_approval_rule_keeps_the_rest(repository: Repository, before: str) -> None:
    workspace = repository({".persevere.yml": before.encode(), "app/migrations/0001.py": ""})
    outcome = await planned(workspace, "Add HITL approval for database migrations, approved by the dba role")
    assert isinstance(outcome, RecipePlan)
    assert outcome.risk.level is RiskLevel.HIGH
    await done(workspace, "Add HITL approval for database migrations, approved by the dba role")
    after = type(workspace)(workspace.root)
    rule = after.config.approvals[-1]
    assert (rule.name, rule.paths, rule.approvers, rule.risk) == ("database-migrations", ["app/migrations/**"], ["dba"], RiskLevel.HIGH)
    text = (await after.read(".persevere.yml")).decode()
    assert all(comment in text for comment in ("# top", "# why", "# after", "# none", "# no end", "# only") if comment in before)
    assert isinstance(await planned(after, "Add HITL approval for database migrations"), NothingToDo)


async def test_approval_for_releases_names_the_release_command(repository: Repository) -> None:
    workspace = repository({"a.py": ""})
    await done(workspace, "Add HITL approval for releases")
    rule = type(workspace)(workspace.root).config.approvals[-1]
    assert (rule.name, rule.commands) == ("releases", ["release"])


COMMANDS = "commands:\n  deploy:\n    run: [echo, 'to {target}; $(id)']\n    targets: [api, worker]\n  fail:\n    run: ['false']\n"


async def test_run_command_runs_only_what_is_configured(repository: Repository) -> None:
    workspace = repository({".persevere.yml": COMMANDS})
    outcome = await planned(workspace, "deploy the api")
    assert isinstance(outcome, RecipePlan)
    assert outcome.risk.level is RiskLevel.HIGH
    assert (await done(workspace, "deploy the api")).answer == "to api; $(id)"
    with pytest.raises(TaskFailedError, match="exit code 1"):
        await done(workspace, "run the fail command")
    recipe = BOOK.get("run_command")
    forged = {"command": "deploy", "target": "api", "argv": ["id"]}
    assert isinstance(
        await recipe.apply(Plan(summary="", recipe=RecipeChoice(name="run_command", arguments=forged)), workspace), NotApplicable
    )
    assert isinstance(await recipe.plan({"command": "deploy", "target": "x; id"}, "", workspace), NotApplicable)


async def test_review_reports_added_lines_only(repository: Repository) -> None:
    workspace = repository({"a.py": "import os\nprint(1)\n"})
    patch = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,3 @@\n import os\n print(1)\n+print(missing)\n"
    report = await done(workspace, f"review this diff:\n```diff\n{patch}```")
    assert report.answer is not None
    assert "`a.py:3`" in report.answer
    assert "a.py:1" not in report.answer
    assert "F401" in ((await done(workspace, "review a.py")).answer or "")


async def test_review_of_a_comparison_reports_its_lines_only(repository: Repository) -> None:
    workspace = repository({"a.py": "import os\nimport sys\nimport re\n", "b.txt": "x\n"})
    reviewed = {"title": "branch x against main", "lines": {"a.py": [[2, 2]], "b.txt": [[1, 1]], "gone.py": []}}
    recipe = BOOK.get("review_diff")
    outcome = await recipe.plan({"branch": "x", "reviewed": reviewed}, "", workspace)
    assert isinstance(outcome, RecipePlan)
    report = await recipe.apply(outcome.plan, workspace)
    assert isinstance(report, ApplyReport)
    assert report.answer is not None
    assert "`a.py:2`" in report.answer
    assert "a.py:1`" not in report.answer
    assert report.answer.startswith("Reviewed branch x against main, 3 changed files, with static analysis")
    nothing = await recipe.plan({"branch": "x", "reviewed": {"title": "branch x against main", "lines": {}}}, "", workspace)
    assert isinstance(nothing, NothingToDo)


async def test_run_tests_changes_nothing(repository: Repository) -> None:
    workspace = repository({"test_a.py": "def test(): pass\n"})
    before = await workspace.files()
    await done(workspace, "run the tests")
    assert await workspace.files() == before

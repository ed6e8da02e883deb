"""What each sentence is taken for, and what is left to others."""

from __future__ import annotations

import pytest

from shared.errors import NotFoundError
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json
from workflows.recipes.book import build_recipe_book

BOOK = build_recipe_book()
CONFIG = RepositoryConfig.model_validate(
    {"commands": {"deploy": {"run": ["./deploy", "{target}"], "targets": ["orchestrator", "api", "web-ui"]}, "db-migrate": {"run": ["m"]}}}
)

MEANT: list[tuple[str, str, Json]] = [
    ("rename load_conf to load_config", "rename_symbol", {"old": "load_conf", "new": "load_config"}),
    ("Please rename `load_conf` to `load_config` and keep the tests green.", "rename_symbol", {"old": "load_conf", "new": "load_config"}),
    ("rename src/a.py:Foo.bar -> baz", "rename_symbol", {"old": "Foo.bar", "new": "baz", "path": "src/a.py"}),
    (
        "rename the function load() to read in src/a.py and open a PR",
        "rename_symbol",
        {"old": "load", "new": "read", "path": "src/a.py", "kind": "function"},
    ),
    ("change the name of 'foo' to 'bar' everywhere", "rename_symbol", {"old": "foo", "new": "bar"}),
    ("fix the lint findings", "fix_lint", {}),
    ("fix lint and imports", "fix_lint", {"imports": True}),
    ("sort the imports in src/", "fix_lint", {"only": "I", "paths": ["src/"]}),
    ("format the code", "format_code", {}),
    ("reformat src/app.py", "format_code", {"paths": ["src/app.py"]}),
    ("modernise the syntax", "modernise", {}),
    ("bump requests to 2.32", "bump_dependency", {"name": "requests", "version": "2.32"}),
    ("update httpx to >=0.28", "bump_dependency", {"name": "httpx", "version": ">=0.28"}),
    ("upgrade django from 4 to 5.0", "bump_dependency", {"name": "django", "version": "5.0"}),
    ("replace 'foo' with 'bar' in docs/*.md", "replace_text", {"old": "foo", "new": "bar", "paths": ["docs/*.md"]}),
    ("create a file docs/x.md with the content: Hello", "create_file", {"path": "docs/x.md", "content": "Hello\n"}),
    ("create a file a.txt with the content:\n```\none\n\ntwo\n```", "create_file", {"path": "a.txt", "content": "one\n\ntwo\n"}),
    ("Add HITL approval for database migrations", "add_approval_rule", {"subject": "database migrations"}),
    (
        "Add HITL approval for database migrations, approved by the dba role",
        "add_approval_rule",
        {"subject": "database migrations", "approvers": ["dba"]},
    ),
    ("require approval for changes to infra/**", "add_approval_rule", {"subject": "infra/**"}),
    ("deploy the orchestrator", "run_command", {"command": "deploy", "target": "orchestrator"}),
    ("run the tests", "run_tests", {}),
    ("do the tests still pass?", "run_tests", {}),
    ("review my branch feature-x", "review_diff", {"branch": "feature-x"}),
    ("review the diff of branch feature/x", "review_diff", {"branch": "feature/x"}),
    ("please review my last commit", "review_diff", {"commit": ""}),
    ("review the changes in commit 1a2b3c4", "review_diff", {"commit": "1a2b3c4"}),
    ("review this pull request", "review_diff", {"pull_request": 0}),
    ("review the latest PR", "review_diff", {"pull_request": 0}),
    ("review pull request #12", "review_diff", {"pull_request": 12}),
    ("review my changes", "review_diff", {"branch": ""}),
    ("review the code", "review_diff", {}),
    ("review src/app.py", "review_diff", {"paths": ["src/app.py"]}),
]


@pytest.mark.parametrize(("text", "recipe", "slots"), MEANT)
def test_a_request_is_understood(text: str, recipe: str, slots: Json) -> None:
    match = BOOK.parse(text, CONFIG)
    assert match is not None
    assert (match.recipe, match.slots, match.missing) == (recipe, slots, ())


@pytest.mark.parametrize(
    ("text", "recipe", "missing"),
    [
        ("rename load_conf", "rename_symbol", ["new"]),
        ("rename the function", "rename_symbol", ["old", "new"]),
        ("bump requests", "bump_dependency", ["version"]),
        ("replace 'foo'", "replace_text", ["new"]),
        ("create a file docs/x.md", "create_file", ["content"]),
        ("Deploy the service", "run_command", ["target"]),
        ("add an approval rule", "add_approval_rule", ["subject"]),
        ("please review this", "review_diff", ["against"]),
    ],
)
def test_what_is_missing_is_asked(text: str, recipe: str, missing: list[str]) -> None:
    match = BOOK.parse(text, CONFIG)
    assert match is not None
    assert (match.recipe, [slot.name for slot in match.missing]) == (recipe, missing)


@pytest.mark.parametrize(
    "text",
    [
        "rename X to Y and add caching",
        "Add error handling to login endpoint",
        "What's the status of task_1234?",
        "format the code and add docs",
        "fix the lint config so that CI uses it",
        "update the timeout to 30",
        "update the readme",
        "bump everything",
        "deploy docs to GitHub pages on release",
        "review the auth module for race conditions",
        "add an approval flow for expense reports",
        "rename the folder docs to documentation",
        "rename descriptor-planner to issue-planner, add planIssues",
        "yes",
        "",
        "approve",
    ],
)
def test_other_messages_are_left_alone(text: str) -> None:
    assert BOOK.parse(text, CONFIG) is None


@pytest.mark.parametrize(
    ("reply", "target"),
    [("The orchestrator", "orchestrator"), ("orchestrator please", "orchestrator"), ("orchestratr", "orchestrator"), ("web ui", "web-ui")],
)
def test_a_target_is_understood_loosely(reply: str, target: str) -> None:
    assert BOOK.get("run_command").answer({"command": "deploy"}, "target", reply, CONFIG) == {"command": "deploy", "target": target}


@pytest.mark.parametrize("reply", ["the moon", "rm -rf /; api", "", "api or web-ui"])
def test_a_target_that_is_not_configured_is_refused(reply: str) -> None:
    assert BOOK.get("run_command").answer({"command": "deploy"}, "target", reply, CONFIG) is None


def test_which_service_is_asked_with_the_targets() -> None:
    match = BOOK.parse("Deploy the service", CONFIG)
    assert match is not None
    assert "which service" in match.missing[0].question
    assert match.missing[0].suggestions == ("orchestrator", "api", "web-ui")


def test_an_unconfigured_command_says_how_to_configure_it() -> None:
    match = BOOK.parse("Deploy the service", RepositoryConfig())
    assert match is not None
    assert match.slots["unconfigured"] is True
    assert ".persevere.yml" in match.missing[0].question
    assert "commands:\n  deploy:" in match.missing[0].question


def test_an_unknown_recipe_lists_the_valid_names() -> None:
    with pytest.raises(NotFoundError) as caught:
        BOOK.get("nonsense")
    assert "rename_symbol" in caught.value.next_step
    assert len(BOOK.all()) == 11


def test_every_example_is_understood_by_its_recipe() -> None:
    for recipe in BOOK.all():
        match = BOOK.parse(recipe.example, CONFIG)
        assert match is not None
        assert match.recipe == recipe.name

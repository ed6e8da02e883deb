"""Finds out how a repository is tested, from its file list and a few of its files. Pure: runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from agents.tester.python_tests import detect_python, is_python_test, unittest_command
from agents.tester.requirements import is_requirements_file, python_needs
from agents.tester.values import NodeNeeds, PythonNeeds, RunnerKind, TestCommand, TestSetup
from shared.recipes.repository_config import RepositoryConfig

_ROOT_FILES = (
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
    "setup.py",
    "conftest.py",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "go.mod",
    "Cargo.toml",
)
_NODE_FILES = ("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock")
_MAX_TEST_FILES = 300


def files_to_read(files: Sequence[str]) -> list[str]:
    """The files `detect` looks into, at most a few hundred."""
    wanted = [path for path in files if path in _ROOT_FILES or is_requirements_file(path)]
    wanted += [path for path in files if PurePosixPath(path).name in _NODE_FILES and _node_depth(path) <= 1]
    wanted += [path for path in files if is_python_test(path)][:_MAX_TEST_FILES]
    wanted += [path for path in files if path.endswith((".rs", "_test.go"))][:_MAX_TEST_FILES]
    return list(dict.fromkeys(wanted))


def detect(files: Sequence[str], contents: Mapping[str, bytes], config: RepositoryConfig) -> TestSetup | None:
    """How to test, or None when there is nothing to run.

    `contents` maps paths of `files_to_read` to bytes; a file that is absent counts as unreadable.
    """
    texts = {path: data.decode("utf-8", "replace") for path, data in contents.items()}
    python = detect_python(files, texts)
    wants_python = python is not None or any(path in texts for path in ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"))
    if config.test:
        return _configured(files, texts, config, wants_python)
    commands: list[TestCommand] = []
    fallback: list[TestCommand] = []
    needs: PythonNeeds | None = None
    if python is not None:
        commands, fallback = [python], [unittest_command(files)] if python.kind == "pytest" and _all_unittest(files, texts) else []
        needs = python_needs(files, texts, python.kind)
    elif _has_tox(texts) and any(path.endswith(".py") for path in files):
        commands = [TestCommand(kind="tox", argv=["{python}", "-m", "tox"])]
        needs = PythonNeeds(requirements=["tox"])
    node_commands, node = _node(texts)
    commands += node_commands
    if "go.mod" in texts and any(path.endswith("_test.go") for path in files):
        commands.append(TestCommand(kind="go", argv=["go", "test", "-json", "./..."]))
    if "Cargo.toml" in texts and any("#[test]" in text or "::test]" in text for path, text in texts.items() if path.endswith(".rs")):
        commands.append(TestCommand(kind="cargo", argv=["cargo", "test", "--no-fail-fast"]))
    if not commands and _has_make_test(texts):
        commands = [TestCommand(kind="make", argv=["make", "test"])]
        needs = python_needs(files, texts, "make") if wants_python else None
    if not commands:
        return None
    return TestSetup(
        commands=commands, fallback=fallback, setup=list(config.setup), python=needs, node=node, python_path=_python_path(files, needs)
    )


def _all_unittest(files: Sequence[str], texts: Mapping[str, str]) -> bool:
    """Whether plain unittest would run every test file, were pytest not to be had."""
    tests = [path for path in files if is_python_test(path)]
    return bool(tests) and all(
        "unittest" in texts.get(path, "") and not re.search(r"(?m)^(async )?def test", texts[path]) for path in tests
    )


def _configured(files: Sequence[str], texts: Mapping[str, str], config: RepositoryConfig, wants_python: bool) -> TestSetup:
    commands = [TestCommand(kind=_kind_of(line), argv=["/bin/sh", "-c", line]) for line in config.test]
    kind: RunnerKind = "pytest" if any(command.kind == "pytest" for command in commands) else "shell"
    needs = python_needs(files, texts, kind) if wants_python or kind == "pytest" else None
    uses_node = any(re.search(r"\b(npm|npx|pnpm|yarn|node)\b", line) for line in config.test)
    return TestSetup(
        commands=commands,
        setup=list(config.setup),
        python=needs,
        node=_node(texts)[1] if uses_node and not config.setup else [],
        python_path=_python_path(files, needs),
    )


def _kind_of(line: str) -> RunnerKind:
    """The runner whose closing line to expect from a configured command; anything composed counts as `shell`."""
    if re.search(r"[;&|\n]", line):
        return "shell"
    patterns: list[tuple[RunnerKind, str]] = [
        ("pytest", r"^(\S*python[\d.]* -m )?(\S*/)?(py\.test|pytest)(\s|$)"),
        ("unittest", r"^\S*python[\d.]* -m unittest\b"),
        ("cargo", r"^cargo test\b"),
    ]
    return next((kind for kind, pattern in patterns if re.search(pattern, line.strip())), "shell")


def _python_path(files: Sequence[str], needs: PythonNeeds | None) -> list[str]:
    if needs is None:
        return []
    source = any(path.startswith("src/") and path.endswith(".py") for path in files)
    return ["src", "."] if source else ["."]


def _has_tox(texts: Mapping[str, str]) -> bool:
    return (
        "[testenv" in texts.get("tox.ini", "") or "[testenv" in texts.get("setup.cfg", "") or "[tool.tox" in texts.get("pyproject.toml", "")
    )


def _has_make_test(texts: Mapping[str, str]) -> bool:
    return any(re.search(r"(?m)^test\s*:(?!=)", texts.get(name, "")) for name in ("GNUmakefile", "makefile", "Makefile"))


def _node_depth(path: str) -> int:
    return len(PurePosixPath(path).parts) - 1


def _node(texts: Mapping[str, str]) -> tuple[list[TestCommand], list[NodeNeeds]]:
    """Commands and packages of every package.json with a real test script: the root's, or else those one folder down."""
    manifests = sorted((path for path in texts if PurePosixPath(path).name == "package.json"), key=_node_depth)
    commands: list[TestCommand] = []
    needs: list[NodeNeeds] = []
    for path in manifests:
        if commands and _node_depth(path) > 0 and commands[0].cwd == ".":
            break
        manifest = _json_object(texts[path])
        scripts = manifest.get("scripts")
        script = scripts.get("test") if isinstance(scripts, dict) else None
        if not isinstance(script, str) or not script.strip() or "no test specified" in script:
            continue
        folder = str(PurePosixPath(path).parent)
        tool = _node_tool(manifest, folder, texts)
        commands.append(TestCommand(kind="node", argv=[tool, "test"], cwd=folder))
        if any(manifest.get(key) for key in ("dependencies", "devDependencies", "optionalDependencies")):
            needs.append(_node_needs(tool, manifest, folder, texts))
    return commands, needs


def _node_tool(manifest: Mapping[str, object], folder: str, texts: Mapping[str, str]) -> str:
    declared = str(manifest.get("packageManager", "")).split("@")[0]
    if declared in ("npm", "pnpm", "yarn"):
        return declared
    locks = {"pnpm": "pnpm-lock.yaml", "yarn": "yarn.lock"}
    return next((tool for tool, lock in locks.items() if str(PurePosixPath(folder) / lock) in texts), "npm")


def _node_needs(tool: str, manifest: Mapping[str, object], folder: str, texts: Mapping[str, str]) -> NodeNeeds:
    files = {name: texts[str(PurePosixPath(folder) / name)] for name in _NODE_FILES if str(PurePosixPath(folder) / name) in texts}
    locked = any(name != "package.json" for name in files)
    argv = {
        "npm": ["npm", "ci" if locked else "install", "--no-audit", "--no-fund", "--loglevel=error"],
        "pnpm": ["pnpm", "install", "--frozen-lockfile" if locked else "--no-lockfile"],
        "yarn": ["yarn", "install", *(["--frozen-lockfile"] if locked else [])],
    }[tool]
    local = any(
        str(value).startswith(("file:", "link:", "workspace:"))
        for key in ("dependencies", "devDependencies")
        for value in _values(manifest.get(key))
    )
    return NodeNeeds(cwd=folder, argv=argv, files=files, in_place=bool(manifest.get("workspaces")) or local)


def _values(section: object) -> list[object]:
    return list(section.values()) if isinstance(section, dict) else []


def _json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

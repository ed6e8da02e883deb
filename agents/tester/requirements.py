"""What a Python repository says its tests need, read without running any of its code."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from agents.tester.plugins import inferred_plugins
from agents.tester.scripts import declared_scripts
from agents.tester.values import PythonNeeds, RunnerKind

_TEST_GROUPS = ("test", "tests", "testing", "pytest", "unittest")
_DEV_GROUPS = ("dev", "develop", "development")
_REQUIREMENT_FILE = re.compile(r"^(requirements/)?([\w.-]*requirements[\w.-]*|base|test|tests|testing|dev|main)\.(txt|in|pip)$")
_INSTALLED_FILE = re.compile(
    r"^(requirements/)?(requirements|test|tests|testing|base|main|((test|tests|testing|dev)[-_.])?requirements([-_.](test|tests|testing|dev))?)\.txt$"
)
_COMPILED = (".pyx", ".pxd", ".c", ".cc", ".cpp", ".rs", ".f90")
_COMPILING_BACKENDS = ("mesonpy", "maturin", "scikit_build_core", "skbuild", "cffi", "setuptools_rust")


def toml_table(text: str) -> dict[str, Any]:
    """A TOML document, or an empty table when it cannot be read."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def is_requirements_file(path: str) -> bool:
    return bool(_REQUIREMENT_FILE.match(path))


def python_needs(files: Sequence[str], texts: Mapping[str, str], kind: RunnerKind) -> PythonNeeds:
    """Requirements of the project, of its tests and of the runner `kind`, without duplicates."""
    pyproject = toml_table(texts.get("pyproject.toml", ""))
    requirements = ["pytest"] if kind == "pytest" else []
    requirements += _from_project(pyproject) + _from_poetry(pyproject)
    requirements += _from_setup_cfg(texts.get("setup.cfg", "")) + _from_setup_py(texts.get("setup.py", ""))
    locked: list[str] = []
    for path in sorted(path for path in texts if _INSTALLED_FILE.match(path)):
        if "--hash=" in texts[path]:
            locked += _requirement_lines(path, texts, keep_hashes=True)
        else:
            requirements += _requirement_lines(path, texts)
    if kind in ("pytest", "make", "shell"):
        requirements += inferred_plugins(texts, requirements)
    own = _canonical(str(_table(pyproject, "project").get("name", "")))
    requirements = [line for line in dict.fromkeys(requirements) if not own or _canonical(re.split(r"[^\w.-]", line)[0]) != own]
    return PythonNeeds(
        requirements=requirements,
        locked=locked,
        editable=_must_be_installed(files, texts, pyproject),
        backend=_backend(pyproject),
        scripts=declared_scripts(texts),
    )


def _table(parent: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    value: Any = parent
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return [item.strip() for item in value if isinstance(item, str) and item.strip()] if isinstance(value, list | tuple) else []


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _chosen_groups(names: Iterable[str]) -> list[str]:
    """Groups for tests; the development group only where no group is for tests."""
    known = list(names)
    tests = [name for name in known if _canonical(name) in _TEST_GROUPS]
    return tests or [name for name in known if _canonical(name) in _DEV_GROUPS]


def _from_project(pyproject: Mapping[str, Any]) -> list[str]:
    project = _table(pyproject, "project")
    found = _strings(project.get("dependencies"))
    extras = _table(project, "optional-dependencies")
    own = _canonical(str(project.get("name", "")))
    for name in _chosen_groups(extras):
        found += _extra(extras, name, own, set())
    groups = _table(pyproject, "dependency-groups")
    for name in _chosen_groups(groups):
        found += _group(groups, name, set())
    return found


def _extra(extras: Mapping[str, Any], name: str, own: str, seen: set[str]) -> list[str]:
    """One extra, with those it takes from its own project (`name[other]`) in place of the reference."""
    seen.add(name)
    found: list[str] = []
    for line in _strings(extras.get(name)):
        reference = re.match(r"^([\w.-]+)\s*\[([^\]]*)\]\s*$", line)
        if reference and own and _canonical(reference[1]) == own:
            for other in (part.strip() for part in reference[2].split(",")):
                if other not in seen:
                    found += _extra(extras, other, own, seen)
        else:
            found.append(line)
    return found


def _group(groups: Mapping[str, Any], name: str, seen: set[str]) -> list[str]:
    seen.add(name)
    found: list[str] = []
    entries = groups.get(name)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str):
            found.append(entry)
        elif isinstance(entry, dict) and isinstance(included := entry.get("include-group"), str) and included not in seen:
            found += _group(groups, included, seen)
    return found


def _from_poetry(pyproject: Mapping[str, Any]) -> list[str]:
    poetry = _table(pyproject, "tool", "poetry")
    groups = _table(poetry, "group")
    tables = [] if _table(pyproject, "project").get("dependencies") else [_table(poetry, "dependencies")]
    tables += [_table(poetry, "dev-dependencies"), *(_table(groups, name, "dependencies") for name in _chosen_groups(groups))]
    return [line for table in tables for name, value in table.items() if name != "python" for line in _poetry_line(name, value)]


def _poetry_line(name: str, value: Any) -> list[str]:
    extras = ""
    if isinstance(value, dict):
        if value.get("optional") or not isinstance(value.get("version"), str):
            return []
        extras = f"[{','.join(_strings(value.get('extras')))}]" if value.get("extras") else ""
        value = value["version"]
    if not isinstance(value, str):
        return []
    return [name + extras + ",".join(filter(None, (_poetry_range(part.strip()) for part in value.split(",") if "|" not in value)))]


def _poetry_range(text: str) -> str:
    """`^1.2.3` and `~1.2` in the words of pip; anything else but `*` as it is."""
    if text in ("*", ""):
        return ""
    if text[0] not in "^~" or text.startswith("~="):
        return f"=={text}" if text[0].isdigit() else text
    version = text[1:].strip()
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    if not numbers:
        return ""
    if text[0] == "~":
        keep = min(2, len(numbers))
    else:
        keep = next((index + 1 for index, number in enumerate(numbers) if number), len(numbers))
    upper = [*numbers[: keep - 1], numbers[keep - 1] + 1]
    return f">={version},<{'.'.join(map(str, upper))}"


def _from_setup_cfg(text: str) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    found = parser.get("options", "install_requires", fallback="").splitlines()
    if parser.has_section("options.extras_require"):
        extras = dict(parser.items("options.extras_require"))
        found += [line for name in _chosen_groups(extras) for line in extras[name].splitlines()]
    found += parser.get("options", "tests_require", fallback="").splitlines()
    return [line.strip() for line in found if line.strip() and not line.strip().startswith(("#", "file:"))]


def _from_setup_py(text: str) -> list[str]:
    """The literal lists of a `setup()` call, names of module-level lists included; what is computed is left out."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = _literal(node.value, names)
    found: list[str] = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", getattr(call.func, "attr", "")) == "setup":
            words = {keyword.arg: _literal(keyword.value, names) for keyword in call.keywords if keyword.arg}
            found += _strings(words.get("install_requires")) + _strings(words.get("tests_require"))
            extras = words.get("extras_require")
            if isinstance(extras, dict):
                found += [line for name in _chosen_groups(key for key in extras if isinstance(key, str)) for line in _strings(extras[name])]
    return found


def _literal(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Dict):
        return {
            _literal(key, names): _literal(value, names)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        return None


def _requirement_lines(path: str, texts: Mapping[str, str], *, keep_hashes: bool = False, seen: set[str] | None = None) -> list[str]:
    """The packages of a requirements file and of those it includes. Local folders, other indexes and other options are left out."""
    seen = seen if seen is not None else set()
    if path in seen or path not in texts:
        return []
    seen.add(path)
    found: list[str] = []
    for line in re.sub(r"\\\r?\n", " ", texts[path]).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if included := re.match(r"^(?:-r|--requirement)[ =]*(\S+)$", line):
            other = _beside(path, included[1])
            found += _requirement_lines(other, texts, keep_hashes=keep_hashes, seen=seen)
        elif line and not line.startswith(("-", ".", "/", "file:")) and "file:" not in line:
            found.append(line if keep_hashes else re.sub(r"\s+--\w.*$", "", line))
    return found


def _beside(path: str, other: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / other).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _must_be_installed(files: Sequence[str], texts: Mapping[str, str], pyproject: Mapping[str, Any]) -> bool:
    """Whether a path on `PYTHONPATH` is not enough: compiled modules, or a pytest plugin found by its entry point."""
    if not ({"pyproject.toml", "setup.py", "setup.cfg"} & texts.keys()):
        return False
    backend = str(_table(pyproject, "build-system").get("build-backend", ""))
    if backend.startswith(_COMPILING_BACKENDS) or any(
        name in " ".join(_backend(pyproject)) for name in ("maturin", "cffi", "setuptools-rust")
    ):
        return True
    if re.search(r"\bext_modules\b|\bcffi_modules\b|\brust_extensions\b", texts.get("setup.py", "")):
        return any(path.endswith(_COMPILED) for path in files)
    return any("pytest11" in texts.get(name, "") for name in ("pyproject.toml", "setup.cfg", "setup.py"))


def _backend(pyproject: Mapping[str, Any]) -> list[str]:
    return _strings(_table(pyproject, "build-system").get("requires")) or ["setuptools>=61", "wheel"]

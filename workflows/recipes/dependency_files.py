"""Where dependencies are declared, and changing one version there without touching another byte."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LOCKS = {"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}
_NODE = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
_REQUIREMENT = re.compile(
    r"(?P<head>\s*(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?)(?P<gap>\s*\(?\s*)"
    r"(?P<spec>(?:(?:===|==|~=|!=|<=|>=|<|>)\s*[\w.*+!-]+\s*,?\s*)*)(?P<tail>\)?\s*(?:[;#].*|\\)?)"
)
_ONE_SPEC = re.compile(r"(===|==|~=|!=|<=|>=|<|>|\^|~|=)?\s*v?([\w.*+!-]+)")


class HashedFileError(Exception):
    """The dependency is pinned by hash: the new hashes are known to the index only."""


@dataclass(frozen=True)
class Declared:
    path: str
    name: str
    spec: str


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower() if not name.startswith("@") else name.lower()


def is_declaration(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if "node_modules" in folder.split("/"):
        return False
    text = name.endswith((".txt", ".in")) and (
        re.match(r"(?:.*[-_.])?(?:requirements|constraints)", name) is not None or folder.rpartition("/")[2] == "requirements"
    )
    return text or name in ("pyproject.toml", "setup.cfg", "setup.py", "package.json")


def declared(path: str, text: str) -> list[Declared]:
    """Every dependency a file declares. An unreadable file declares nothing."""
    return [Declared(path, name, spec) for _, _, name, spec, _ in _places(path, text)]


def bumped(path: str, data: bytes, name: str, version: str) -> tuple[bytes, list[str]]:
    """The file's new bytes and one sentence a change. Raises `HashedFileError`, or `ValueError` when the result would not be valid."""
    text = data.decode("utf-8")
    sentences, parts, at = [], [], 0
    for start, end, found, spec, style in _places(path, text):
        if canonical(found) != name:
            continue
        if style == "requirements" and re.search(r"--hash", _logical_line(text, end)):
            raise HashedFileError(path)
        new = new_spec(spec, version, style)
        if new != spec:
            parts += [text[at:start], new]
            at = end
            sentences.append(f"{path}: {found} {spec.strip() or '(any)'} → {new}")
    result = "".join(parts) + text[at:]
    _check(path, result, name)
    return result.encode(), sentences


def new_spec(old: str, version: str, style: str) -> str:
    """The specifier for the wanted version in the old one's style: operator kept, an upper bound in its way moved up."""
    if re.match(r"[<>=~^!]", version):
        return version
    version = version.removeprefix("v")
    pieces = [piece.strip() for piece in old.split(",") if piece.strip()]
    if style in ("node", "poetry"):
        found = re.match(r"^(\^|~|>=|==|=|>|<=)?\s*v?\d[\w.*+-]*$", old.strip())
        if found:
            return f"{found[1] or ''}{version}"
        if old.strip() in ("", "*", "latest"):
            return f"^{version}" if style == "node" else f">={version}"
        if style == "node":
            raise ValueError(f"the version {old!r} is not one this recipe can change")
    kept, lower = [], False
    for piece in pieces:
        found = _ONE_SPEC.fullmatch(piece)
        operator = (found[1] or "==") if found else ""
        if found is None:
            raise ValueError(f"the version {old!r} is not one this recipe can change")
        if operator in ("==", "===", "~=", ">=", ">", "^", "~", "="):
            if not lower:
                kept.append(f"{operator if operator != '>' else '>='}{version}")
            lower = True
        elif operator in ("<", "<="):
            kept.append(piece if _allows(operator, found[2], version) else f"<{int(version.split('.')[0]) + 1}")
        elif found[2] != version:
            kept.append(piece)
    if not lower:
        kept.insert(0, f">={version}")
    separator = ", " if ", " in old else ","
    return separator.join(kept)


def _allows(operator: str, bound: str, version: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(bound) if operator == "<" else Version(version) <= Version(bound)
    except InvalidVersion:
        return False


def _places(path: str, text: str) -> Iterator[tuple[int, int, str, str, str]]:
    """(start, end, name, specifier, style) of every declared version in the text; start to end is the specifier."""
    name = path.rpartition("/")[2]
    try:
        if name == "pyproject.toml":
            yield from _in_pyproject(text)
        elif name == "package.json":
            yield from _in_package_json(text)
        elif name == "setup.py":
            yield from _in_setup_py(text)
        elif name == "setup.cfg":
            yield from _in_setup_cfg(text)
        else:
            for line in re.finditer(r"^[^\n]*", text, re.MULTILINE):
                if not re.match(r"\s*(?:#|-|$)", line[0]) and "://" not in line[0].partition("#")[0].partition(";")[0]:
                    yield from _requirement(re.sub(r"\s+(?:--hash.*|\\\s*)$", "", line[0].rstrip("\r")), line.start(), "requirements")
    except (ValueError, RecursionError, AttributeError, TypeError):
        return


def _requirement(text: str, offset: int, style: str) -> Iterator[tuple[int, int, str, str, str]]:
    found = _REQUIREMENT.fullmatch(text)
    if found:
        spec = found["spec"].rstrip()
        start = offset + found.start("spec") if spec else offset + found.end("head")
        yield start, start + len(spec), found["name"], spec, style


def _in_pyproject(text: str) -> Iterator[tuple[int, int, str, str, str]]:
    settings = tomllib.loads(text)
    project, tool = settings.get("project", {}), settings.get("tool", {})
    lists = [project.get("dependencies"), settings.get("build-system", {}).get("requires"), tool.get("uv", {}).get("dev-dependencies")]
    for groups in (project.get("optional-dependencies"), settings.get("dependency-groups"), tool.get("pdm", {}).get("dev-dependencies")):
        lists += list(groups.values()) if isinstance(groups, dict) else []
    wanted = {each for group in lists if isinstance(group, list) for each in group if isinstance(each, str)}
    found = [
        each
        for literal in re.finditer(r"""(["'])((?:(?!\1)[^\\\n])*)\1""", text)
        if literal[2] in wanted
        for each in _requirement(literal[2], literal.start(2), "python")
    ]
    poetry = tool.get("poetry", {})
    tables = (
        {
            "tool.poetry.dependencies",
            "tool.poetry.dev-dependencies",
            *(f"tool.poetry.group.{group}.dependencies" for group in poetry.get("group", {})),
        }
        if poetry
        else set()
    )
    section = ""
    for line in re.finditer(r"^[^\n]*", text, re.MULTILINE):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line[0]):
            section = header[1].strip()
        elif section in tables:
            simple = re.match(
                r"""\s*["']?([\w.-]+)["']?\s*=\s*(?:["']([^"'\n]*)["']|\{[^}\n]*?\bversion\s*=\s*["']([^"'\n]*)["'])""", line[0]
            )
            if simple and simple[1] != "python":
                index = 2 if simple[2] is not None else 3
                found.append((line.start() + simple.start(index), line.start() + simple.end(index), simple[1], simple[index], "poetry"))
    yield from sorted(found)


def _in_package_json(text: str) -> Iterator[tuple[int, int, str, str, str]]:
    data: dict[str, Any] = json.loads(text)
    for key in _NODE:
        entries = data.get(key)
        block = re.search(rf'"{key}"\s*:\s*\{{([^{{}}]*)\}}', text)
        if isinstance(entries, dict) and block:
            for each in re.finditer(r'"([^"\\]+)"\s*:\s*"([^"\\]*)"', block[1]):
                yield block.start(1) + each.start(2), block.start(1) + each.end(2), each[1], each[2], "node"


def _in_setup_py(text: str) -> Iterator[tuple[int, int, str, str, str]]:
    """Every literal with a version, and bare names in the lists of `install_requires` and its kin."""
    lists = [
        found.span()
        for found in re.finditer(r"\b(?:install_requires|setup_requires|tests_require)\s*=\s*\[(?:[^\[\]]|\[[^\[\]]*\])*\]", text)
    ]
    for found in re.finditer(r"""(["'])([A-Za-z0-9][\w.\[\],-]*\s*(?:[<>=~!]=?[^"'\n]*)?)\1""", text):
        bare = re.fullmatch(r"[\w.\[\],-]+", found[2]) is not None
        if not bare or any(start < found.start() < end for start, end in lists):
            yield from _requirement(found[2], found.start(2), "python")


def _in_setup_cfg(text: str) -> Iterator[tuple[int, int, str, str, str]]:
    section, key = "", ""
    for line in re.finditer(r"^[^\n]*", text, re.MULTILINE):
        body = line[0].rstrip("\r")
        if header := re.match(r"\[([^\]]+)\]", body):
            section, key = header[1], ""
            continue
        inline = re.match(r"([\w.-]+)\s*=\s*(.*)", body)
        if inline:
            key = inline[1]
        requires = (
            section == "options" and key in ("install_requires", "setup_requires", "tests_require")
        ) or section == "options.extras_require"
        if requires and inline and inline[2]:
            yield from _requirement(inline[2], line.start() + inline.start(2), "python")
        elif requires and not inline and body[:1] in (" ", "\t") and body.strip() and not body.lstrip().startswith("#"):
            yield from _requirement(body, line.start(), "python")


def _logical_line(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    found = re.compile(r"(?:[^\n]*\\\r?\n)*[^\n]*").match(text, start)
    return found[0] if found else ""


def _check(path: str, text: str, name: str) -> None:
    """The new text must parse as before and still declare the dependency, with valid specifiers."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if path.endswith(".toml"):
        tomllib.loads(text)
    if path.endswith(".json"):
        json.loads(text)
    for _, _, found, spec, style in _places(path, text):
        if canonical(found) == name and style in ("python", "requirements"):
            try:
                SpecifierSet(spec)
            except InvalidSpecifier as exc:
                raise ValueError(f"{spec!r} is not a valid version specifier") from exc

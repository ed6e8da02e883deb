"""Python source as bytes and as syntax: decoding without loss, definitions of a name, names a scope binds."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

BOM = "\ufeff"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Definition:
    """Where a name is bound. `scope` is the qualified name of what encloses it; `line` from 1, `column` in characters from 0."""

    path: str
    scope: str
    name: str
    kind: str
    line: int
    column: int
    local: bool

    @property
    def qualified(self) -> str:
        return f"{self.scope}.{self.name}" if self.scope else self.name


def word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def decode(data: bytes) -> tuple[str, str]:
    """The text, its line ends and byte order mark kept, and the encoding that gives the same bytes back. Raises `ValueError`."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as exc:
        raise ValueError(str(exc)) from exc
    if encoding == "utf-8-sig":
        encoding = "utf-8"
    text = data.decode(encoding)
    if text.encode(encoding) != data:
        raise ValueError("the encoding does not round-trip")
    return text, encoding


def parse(text: str) -> ast.Module | None:
    """The syntax tree, or None for what Python cannot read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text.removeprefix(BOM))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def definitions(path: str, tree: ast.Module, lines: list[str], name: str) -> Iterator[Definition]:
    """Every place that binds `name` as a function, class, variable, attribute of self or argument."""
    yield from _walk(path, tree, lines, name, [], False)


def _walk(path: str, node: ast.AST, lines: list[str], name: str, scope: list[str], local: bool) -> Iterator[Definition]:
    for child in ast.iter_child_nodes(node):
        kind = _binding_kind(child, name, bool(scope) and not local)
        if kind is not None:
            line = int(getattr(child, "lineno", 1))
            found = _locate(lines, line, int(getattr(child, "col_offset", 0)), name)
            if found is not None:
                attribute = isinstance(child, ast.Attribute)
                owner = scope[:-1] if attribute and local else scope
                is_local = (local and not attribute) or kind == "argument"
                yield Definition(path, ".".join(owner), name, kind, found[0], found[1], is_local)
        if isinstance(child, ast.ClassDef):
            yield from _walk(path, child, lines, name, [*scope, child.name], False)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(path, child, lines, name, [*scope, child.name], True)
        else:
            yield from _walk(path, child, lines, name, scope, local)


def _binding_kind(node: ast.AST, name: str, in_class: bool) -> str | None:
    if isinstance(node, ast.ClassDef) and node.name == name:
        return "class"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
        return "method" if in_class else "function"
    if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
        return "variable"
    if isinstance(node, ast.arg) and node.arg == name:
        return "argument"
    if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Store):
        return "attribute" if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls") else None
    return None


def _locate(lines: list[str], line: int, byte_column: int, name: str) -> tuple[int, int] | None:
    """The name's own line and column at or after the start of the node that binds it."""
    column = len(lines[line - 1].encode()[:byte_column].decode(errors="ignore")) if line <= len(lines) else 0
    pattern = word(name)
    for number in range(line, min(line + 200, len(lines)) + 1):
        found = pattern.search(lines[number - 1], column if number == line else 0)
        if found:
            return number, found.start()
    return None


def bindings(tree: ast.Module, name: str) -> list[tuple[int, int, bool]]:
    """The scopes that bind `name`, as (first line, last line, whether it is a class body); the module is (1, a very large line)."""
    found: list[tuple[int, int, bool]] = []

    def visit(node: ast.AST, scope: tuple[int, int, bool]) -> None:
        for child in ast.iter_child_nodes(node):
            if _binds(child, name):
                found.append(scope)
            if isinstance(child, _SCOPES):
                inner = (child.lineno, child.end_lineno or child.lineno, isinstance(child, ast.ClassDef))
                visit(child, inner)
            else:
                visit(child, scope)

    visit(tree, (1, 10**9, False))
    return found


def _binds(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0]) == name
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == name
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Store)
    return isinstance(node, ast.arg) and node.arg == name


def exported_strings(tree: ast.Module, name: str) -> Iterator[ast.Constant]:
    """The strings equal to `name` inside `__all__ = …`, `__all__ += …`, `__all__.append(…)` and the like."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            for constant in ast.walk(node):
                if isinstance(constant, ast.Constant) and constant.value == name:
                    yield constant

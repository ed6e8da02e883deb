"""Mentions in strings that certainly mean the symbol: `__all__`, its full dotted path, docstrings with their examples."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from workflows.recipes.tools.code_words import code_offsets
from workflows.recipes.tools.python_names import Definition, bindings, exported_strings, word
from workflows.recipes.tools.references import Places
from workflows.recipes.tools.source_files import Source

_PROMPT = re.compile(r"^[ \t]*(?:>>>|\.\.\.)[ \t]+(.+)$", re.MULTILINE)
_ROLE = r":(?:py:)?(?:func|class|data|obj|meth|attr|exc|const|any):`[~!.]*"
_Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def full_name(target: Definition, modules: set[str]) -> re.Pattern[str]:
    """The symbol named in full, itself or in front of a member's name; `old` is where its own name stands."""
    names = "|".join(sorted(map(re.escape, modules), key=len, reverse=True))
    scope = re.escape(target.scope + ".") if target.scope else ""
    return re.compile(rf"(?<![\w/:-])(?<![\w/)\]]\.)(?:{names})[.:]{scope}(?P<old>{re.escape(target.name)})(?![\w/-])")


def exact_strings(sources: dict[str, Source], places: Places, target: Definition, modules: set[str]) -> Places:
    """Strings that are the symbol's full dotted path or one below it (as in `mock.patch`), and its entries of `__all__`."""
    found: Places = {}
    full = full_name(target, modules)
    for path, source in sources.items():
        mentions = full.search(source.plain) is not None
        if not (mentions or (path in places and "__all__" in source.plain)) or not source.tree:
            continue
        for node in ast.walk(source.tree) if mentions else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.:]+", node.value):
                found.setdefault(path, set()).update(match.start("old") for match in full.finditer(source.plain, *source.span(node)))
        if path in places and not target.scope:
            for constant in exported_strings(source.tree, target.name):
                found.setdefault(path, set()).update(
                    match.start() for match in word(target.name).finditer(source.plain, *source.span(constant))
                )
    return found


def documented(sources: dict[str, Source], places: Places, target: Definition, modules: set[str], alone: bool) -> Places:
    """Mentions in docstrings: bare ones where the module binds the symbol. `alone`: no other definition has this name."""
    found: Places = {}
    names = _names_of_modules(sources, modules)
    full = full_name(target, modules)
    for path, source in sources.items():
        if (target.kind == "argument" and path != target.path) or source.tree is None:
            continue
        docstrings = [(owners, *source.span(text)) for owners, text in _docstrings(source.tree, []) if target.name in str(text.value)]
        at_top = path in places and any(last == 10**9 for _, last, _ in bindings(source.tree, target.name) if docstrings)
        for owners, first, last in docstrings:
            if target.kind == "argument":
                offsets = _of_argument(source, target, owners, first, last)
            else:
                offsets = {match.start("old") for match in full.finditer(source.plain, first, last)}
                offsets |= _of_symbol(source.plain, target, owners, first, last, modules, at_top)
                offsets |= _in_examples(source.plain, target, first, last, names, at_top, alone)
            if offsets:
                found.setdefault(path, set()).update(offsets)
    return found


def _names_of_modules(sources: dict[str, Source], modules: set[str]) -> set[str]:
    """What stands before `.name` in code that uses the modules: their names and how they are imported."""
    names = {name for full in modules for name in (full, full.rpartition(".")[2])}
    for source in sources.values():
        names |= {match[2] for match in re.finditer(r"\bimport ([\w.]+) as (\w+)", source.plain) if match[1] in modules}
    return names


def _docstrings(node: ast.AST, owners: list[_Scope]) -> Iterator[tuple[list[_Scope], ast.Constant]]:
    if isinstance(node, _Scope):
        owners = [*owners, node]
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            yield owners, first.value
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _docstrings(child, owners)


def _of_argument(source: Source, target: Definition, owners: list[_Scope], first: int, last: int) -> set[int]:
    """The argument in its function's docstring, or in the class's for `__init__`: field lists, sections, emphasis."""
    names = [owner.name for owner in owners if not isinstance(owner, ast.Module)]
    scope = target.scope.split(".")
    if names != scope and not (scope[-1] == "__init__" and names == scope[:-1]):
        return set()
    old = re.escape(target.name)
    pattern = re.compile(
        rf":(?:param|type|arg|argument|keyword|kwarg)(?: [^:\n]*?)? (?P<a>{old}):|^[ \t]+\**(?P<b>{old})(?=[ \t]*(?:\([^)\n]*\))?[ \t]*:)"
        rf"|(?<![\w`])`{{1,2}}(?P<c>{old})`{{1,2}}(?!\w)|(?<![\w*])\*(?P<d>{old})\*(?!\w)",
        re.MULTILINE,
    )
    return {match.start(match.lastgroup or 0) for match in pattern.finditer(source.plain, first, last)}


def _of_symbol(text: str, target: Definition, owners: list[_Scope], first: int, last: int, modules: set[str], at_top: bool) -> set[int]:
    old, scope = re.escape(target.name), target.scope.rpartition(".")[2]
    names = [owner.name for owner in owners if not isinstance(owner, ast.Module)]
    inside = bool(scope) and scope in names
    found: set[int] = set()
    for role in re.finditer(rf"{_ROLE}(?P<owner>(?:\w+\.)*)(?P<name>{old})(?:\(\))?`", text[first:last]):
        owner = role["owner"].rstrip(".")
        if _means(owner, scope, modules, at_top, inside):
            found.add(first + role.start("name"))
    shadowed = any(_takes(owner, target.name) for owner in owners)
    if not scope and at_top and not shadowed:
        literal = rf"(?<![\w`:])(?P<q>`{{1,2}})(?P<name>{old})(?:\([^`\n]*\))?(?P=q)(?![\w`])"
        found |= {first + match.start("name") for match in re.finditer(literal, text[first:last])}
    return found


def _means(owner: str, scope: str, modules: set[str], at_top: bool, inside: bool) -> bool:
    """Whether `owner.name` in a docstring is the symbol: by its class, by its module, or bare where it is bound."""
    if scope:
        return inside if not owner else owner.rpartition(".")[2] == scope
    return at_top if not owner else any(module == owner or module.endswith("." + owner) for module in modules)


def _takes(owner: _Scope, name: str) -> bool:
    if isinstance(owner, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = owner.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        return any(each is not None and each.arg == name for each in every)
    return False


def _in_examples(text: str, target: Definition, first: int, last: int, names: set[str], at_top: bool, alone: bool) -> set[int]:
    """Doctest lines are code: bare names where the module binds the symbol, names behind a module, members where no other has the name."""
    found: set[int] = set()
    examples = [match.span(1) for match in _PROMPT.finditer(text, first, last)]
    code = "\n".join(text[start:end] for start, end in examples)
    if re.search(rf"^\s*(?:{re.escape(target.name)}\s*=[^=]|(?:def|class)\s+{re.escape(target.name)}\b)", code, re.MULTILINE):
        return found
    for start, end in examples:
        for offset in code_offsets(text, target.name, start, end):
            owner = re.search(r"([\w.]*)\.$", text[start:offset])
            keyword = re.match(r"\s*=[^=]", text[offset + len(target.name) : end])
            if owner is None:
                chosen = not target.scope and at_top and not keyword
            elif target.scope:
                chosen = alone or owner[1].rpartition(".")[2] == target.scope.rpartition(".")[2]
            else:
                chosen = owner[1] in names
            if chosen:
                found.add(offset)
    return found

"""The symbols that source files define, by tree-sitter, and how widely each name is used. Runs inside the sandbox, in the workspace's root.

Standard input: {"files": [...], "asked": [words of the request, lower case], "parse": most files to parse, "seconds": most time}.
Standard output: {"files": [{"path", "symbols": [[name, in how many files it stands], ...]}, ...], "read": files looked at}.
A file that was not parsed is left out. Every file is looked at for names, as far as the time allows; parsed are those that speak most of
what was asked.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

FILE_BYTES = 1_000_000
PARSED_BYTES = 300_000
SYMBOLS = 40
LANGUAGES = {
    "c": (".c", ".h"),
    "c_sharp": (".cs",),
    "cpp": (".cc", ".cpp", ".cxx", ".hpp", ".hh"),
    "go": (".go",),
    "java": (".java",),
    "javascript": (".js", ".jsx", ".mjs", ".cjs"),
    "kotlin": (".kt", ".kts"),
    "php": (".php",),
    "python": (".py", ".pyi"),
    "ruby": (".rb",),
    "rust": (".rs",),
    "typescript": (".ts", ".mts", ".cts"),
    "tsx": (".tsx",),
}
_LANGUAGE_OF = {suffix: name for name, suffixes in LANGUAGES.items() for suffix in suffixes}
_FUNCTIONS = re.compile(r"\w*(function|method|constructor|operator)\w*_(definition|declaration|item|signature_item)|(singleton_)?method")
_HOLDERS = re.compile(
    r"(abstract_)?(class|interface|enum|record|struct|union|trait|object|type_alias|macro|mod|namespace|protocol)"
    r"_(definition|declaration|item|specifier)|type_spec|type_item|type_definition|class|module|internal_module"
)
_WORD = re.compile(rb"[A-Za-z_]\w{2,}")
_PIECE = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}")


def main() -> int:
    asked = json.load(sys.stdin)
    ends = time.monotonic() + float(asked["seconds"])
    words = set(asked["asked"])
    code = sorted((name for name in asked["files"] if suffix_of(name) in _LANGUAGE_OF), key=lambda name: (-spoken(name, words), name))
    used: Counter[bytes] = Counter()
    worth: dict[str, int] = {}
    for name in code:
        if time.monotonic() > ends:
            break
        data = content(name)
        if data is not None:
            names = set(_WORD.findall(data))
            used.update(names)
            worth[name] = 3 * spoken(name, words) + hits(names, words)
    ranked = sorted(worth, key=lambda name: (-worth[name], name.count("/"), name))
    files: list[dict[str, Any]] = []
    for name in ranked[: int(asked["parse"])]:
        if time.monotonic() > ends + float(asked["seconds"]):
            break
        found = dict.fromkeys(symbols(name, content(name) or b""))
        files.append({"path": name, "symbols": [[symbol, used[symbol.encode()]] for symbol in list(found)[:SYMBOLS]]})
    json.dump({"files": files, "read": len(worth)}, sys.stdout)
    return 0


def suffix_of(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def spoken(text: str, words: set[str]) -> int:
    """How many of the words a path is made of."""
    return len(words & {piece.lower() for piece in _PIECE.findall(text)})


def hits(names: set[bytes], words: set[str]) -> int:
    """How many of the words a file's names have in them."""
    everything = b" ".join(names).lower()
    return sum(word.encode() in everything for word in words)


def content(name: str) -> bytes | None:
    """A regular file's bytes, unless it is large or leads outside."""
    root = Path.cwd()
    path = root / name
    try:
        if not path.is_file() or path.stat().st_size > FILE_BYTES or not path.resolve().is_relative_to(root.resolve()):
            return None
        return path.read_bytes()
    except OSError:
        return None


@cache
def parser(language: str) -> Any:
    import tree_sitter

    module = import_module("tree_sitter_" + ("typescript" if language == "tsx" else language))
    make = getattr(module, "language", None) or getattr(module, f"language_{language}")
    return tree_sitter.Parser(tree_sitter.Language(make()))


def symbols(name: str, data: bytes) -> Iterator[str]:
    """The names a file defines for others, in their order: not what stands inside of functions."""
    if not data or len(data) > PARSED_BYTES or b"\0" in data[:8000]:
        return
    stack = [(parser(_LANGUAGE_OF[suffix_of(name)]).parse(data).root_node, 0)]
    while stack:
        node, depth = stack.pop()
        is_function = _FUNCTIONS.fullmatch(node.type) is not None
        if is_function or _HOLDERS.fullmatch(node.type) or (node.type == "variable_declarator" and depth <= 4):
            named = name_of(node)
            if named is not None:
                yield named.decode("utf-8", "replace")[:100]
        if not is_function and depth < 12:
            stack += [(child, depth + 1) for child in reversed(node.named_children)]


def name_of(node: Any) -> bytes | None:
    """The node's name; in C it is at the end of a chain of declarators."""
    while node is not None:
        if (named := node.child_by_field_name("name")) is not None:
            return bytes(named.text)
        node = node.child_by_field_name("declarator")
        if node is not None and node.type.endswith("identifier"):
            return bytes(node.text)
    return None


if __name__ == "__main__":
    sys.exit(main())

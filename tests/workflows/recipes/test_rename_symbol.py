"""What a rename reaches beyond plain references, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.recipes.port import ApplyReport, NotApplicable, RecipePlan
from shared.types import Plan, RiskLevel
from workflows.recipes.rename_symbol import RenameSymbol

Repository = Callable[[dict[str, str | bytes]], Any]


async def planned(workspace: Any, text: str) -> Any:
    match = RenameSymbol().parse(text)
    assert match is not None
    return await RenameSymbol().plan(match.slots, text, workspace)


async def renamed(workspace: Any, text: str) -> ApplyReport:
    outcome = await planned(workspace, text)
    assert isinstance(outcome, RecipePlan), outcome
    report = await RenameSymbol().apply(Plan.model_validate_json(outcome.plan.model_dump_json()), workspace)
    assert isinstance(report, ApplyReport)
    return report


async def text_of(workspace: Any, path: str) -> str:
    data: bytes = await workspace.read(path)
    return data.decode()


async def test_f_strings_of_several_lines(repository: Repository) -> None:
    workspace = repository({"a.py": 'def load(): return 1\n\n\nx = f"""é {{load}}\n {load()} {load!r:>{load()}} load"""\n'})
    await renamed(workspace, "rename load to fetch")
    assert await text_of(workspace, "a.py") == 'def fetch(): return 1\n\n\nx = f"""é {{load}}\n {fetch()} {fetch!r:>{fetch()}} load"""\n'


CORE = '''"""Take things: `take` and :func:`take`, ``take(1)``, not `retake`."""


def take(n):
    """Take some.

    >>> take(1)
    1
    >>> take(n=take(2))  # 'take'
    2
    """
    return n


def other(take):
    """Uses `take`, its argument.

    >>> from unittest import mock as pkg
    >>> "take", other(take=1)
    ('take', 1)
    """
    return take


def shadow():
    """
    >>> take = 3
    >>> take
    3
    """
'''


async def test_docstrings_and_examples_follow(repository: Repository) -> None:
    workspace = repository({"pkg/core.py": CORE, "pkg/__init__.py": "from .core import *\n"})
    await renamed(workspace, "rename pkg/core.py:take to grab")
    expected = CORE.replace("`take` and :func:`take`, ``take(1)``", "`grab` and :func:`grab`, ``grab(1)``").replace("def take", "def grab")
    expected = expected.replace(">>> take(1)", ">>> grab(1)").replace("take(n=take(2))", "grab(n=grab(2))")
    assert await text_of(workspace, "pkg/core.py") == expected


async def test_examples_behind_an_alias_of_a_package_that_exports_everything(repository: Repository) -> None:
    example = '"""\n>>> nx.Graph(1)\n>>> other.Graph(1)\n\nSee :class:`networkx.Graph`, `networkx.Graph.nodes` and Graph theory.\n"""\n'
    workspace = repository(
        {
            "networkx/__init__.py": "from networkx.classes import *\n",
            "networkx/classes/__init__.py": "from .graph import *\n",
            "networkx/classes/graph.py": "class Graph:\n    pass\n",
            "networkx/tests/test_a.py": "import networkx as nx\n\n\nclass TestA:\n    def setup_method(self): self.Graph = nx.Graph\n",
            "networkx/far.py": example,
        }
    )
    report = await renamed(workspace, "rename Graph to Net")
    assert await text_of(workspace, "networkx/far.py") == example.replace("nx.Graph(", "nx.Net(").replace("networkx.Graph", "networkx.Net")
    assert "self.Graph = nx.Net" in await text_of(workspace, "networkx/tests/test_a.py")
    assert any("TestA.Graph" in note for note in report.notes)


async def test_arguments_follow_in_calls_and_in_the_docstring(repository: Repository) -> None:
    before = (
        'def f(x, up=True):\n    """F.\n\n    :param up: `up` or down, up.\n    """\n    return up\n\n\nf(1, up=False)\ng = dict(up=1)\n'
    )
    workspace = repository({"a.py": before})
    await renamed(workspace, "rename the argument up to upper")
    after = before.replace("up=True", "upper=True").replace(":param up: `up`", ":param upper: `upper`").replace("return up", "return upper")
    assert await text_of(workspace, "a.py") == after.replace("f(1, up=", "f(1, upper=")


async def test_documents_follow_where_the_symbol_is_named_in_full(repository: Repository) -> None:
    index = "Use pkg.core.load or load, see http://x.org/pkg.core.load\r\n\r\n.. autofunction:: load\r\n\r\n"
    index += ".. currentmodule:: pkg.core\r\n\r\n.. autosummary::\r\n\r\n   load\r\n   reload\r\n"
    workspace = repository(
        {
            "pkg/core.py": "def load(): pass\n",
            "pkg/__init__.py": "",
            "docs/index.rst": index,
            "README.md": "`pkg.core.load()` or `pkg.core.loads` or `~.pkg.core.load`, not other.pkg.core.load\n",
            "CHANGES.rst": "pkg.core.load is new\n",
            "docs/kept.md": "pkg.core.load\n",
            ".persevere.yml": "never_touch: [docs/kept.md]\n",
        }
    )
    report = await renamed(workspace, "rename load to fetch")
    assert await text_of(workspace, "docs/index.rst") == index.replace("Use pkg.core.load", "Use pkg.core.fetch").replace(
        "\r\n   load", "\r\n   fetch"
    )
    assert (
        await text_of(workspace, "README.md") == "`pkg.core.fetch()` or `pkg.core.loads` or `~.pkg.core.fetch`, not other.pkg.core.load\n"
    )
    assert await text_of(workspace, "CHANGES.rst") == "pkg.core.load is new\n"
    assert await text_of(workspace, "docs/kept.md") == "pkg.core.load\n"
    assert any("CHANGES.rst (1)" in note for note in report.notes)


async def test_uses_of_unknown_type_are_counted_and_left_where_others_have_the_name(repository: Repository) -> None:
    workspace = repository(
        {
            "a.py": "class A:\n    def subs(self): pass\n\n\nclass B:\n    def subs(self): pass\n",
            "b.py": "def f(x, y): return x.subs(), y.subs()\n",
        }
    )
    outcome = await planned(workspace, "rename A.subs to substitute")
    assert isinstance(outcome, RecipePlan)
    assert outcome.risk.level is RiskLevel.MEDIUM
    assert any("2 uses `.subs` on objects of unknown type were left alone in: b.py (2)" in risk for risk in outcome.plan.risks)
    await renamed(workspace, "rename A.subs to substitute")
    assert "x.subs(), y.subs()" in await text_of(workspace, "b.py")


async def test_a_parenthesis_in_an_f_string_hides_nothing(repository: Repository) -> None:
    before = 'head = f"def {1}("\n\n\nclass A:\n    def stride(self): return 1\n\n\nclass B:\n    def stride(self): return A().stride()\n'
    workspace = repository({"a.py": before})
    await renamed(workspace, "rename A.stride to pace")
    assert await text_of(workspace, "a.py") == before.replace("stride", "pace", 1).replace("A().stride", "A().pace")


async def test_the_kind_that_was_said_decides(repository: Repository) -> None:
    workspace = repository({"a.py": "class A:\n    def evolve(self): pass\n", "b.py": "def evolve(): pass\n"})
    await renamed(workspace, "rename the function evolve to change")
    assert "def change" in await text_of(workspace, "b.py")
    await renamed(workspace, "rename the method evolve to change")
    assert "def change" in await text_of(workspace, "a.py")


async def test_a_module_is_refused_with_what_to_do(repository: Repository) -> None:
    workspace = repository({"pkg/core.py": "x = 1\n", "pkg/__init__.py": ""})
    outcome = await planned(workspace, "rename the module pkg.core to base")
    assert isinstance(outcome, NotApplicable)
    assert (outcome.code, "git mv" in outcome.next_step) == ("module_rename", True)


async def test_stubs_follow(repository: Repository) -> None:
    workspace = repository(
        {
            "pkg/__init__.py": "from ._funcs import evolve\n",
            "pkg/_funcs.py": "def evolve(x): pass\n",
            "pkg/__init__.pyi": "def evolve(x: int) -> int: ...\n",
        }
    )
    await renamed(workspace, "rename evolve to change")
    assert [await text_of(workspace, f"pkg/{name}") for name in ("__init__.py", "_funcs.py", "__init__.pyi")] == [
        "from ._funcs import change\n",
        "def change(x): pass\n",
        "def change(x: int) -> int: ...\n",
    ]


INHERITED = """class Base:
    @property
    def rank(self): return None


class A(Base):
    rank = None

    def subs(self): return self.rank.subs()
"""


async def test_an_attribute_that_rope_cannot_infer_counts_as_unknown(repository: Repository) -> None:
    """Rope 1.14 ends with an AttributeError at an attribute that overrides a property."""
    workspace = repository({"a.py": INHERITED})
    report = await renamed(workspace, "rename A.subs to substitute")
    assert "self.rank.substitute()" in await text_of(workspace, "a.py")
    assert any("1 use on an object of unknown type was renamed" in note for note in report.notes)


async def test_a_protected_file_refuses(repository: Repository) -> None:
    workspace = repository({"a.py": "def f(): pass\n", "gen/b.py": "from a import f\n", ".persevere.yml": "never_touch: [gen/]\n"})
    outcome = await planned(workspace, "rename f to g")
    assert isinstance(outcome, NotApplicable)
    assert (outcome.code, "`gen/b.py`" in outcome.reason) == ("protected_path", True)

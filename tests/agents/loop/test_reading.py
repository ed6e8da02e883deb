from __future__ import annotations

import pytest

from agents.loop.paths import clean
from agents.loop.reading import FOUND, LINES, Reader
from shared.errors import InvalidRequestError, NotFoundError
from tests.agents.conftest import MakeScene

LONG = "".join(f"line {number}\n" for number in range(1, 1001))
FILES = {"src/app.py": "import os\n\n\ndef load():\n    return 1\n", "src/long.txt": LONG, "readme.md": "Load it.\n"}


async def test_list_search_and_read_are_bounded(make_scene: MakeScene) -> None:
    scene = await make_scene(FILES)
    async with scene.context.workspaces.open("x") as workspace:
        reader = Reader(workspace)
        assert await reader.list_files() == "readme.md\nsrc/app.py\nsrc/long.txt"
        assert await reader.list_files("**/*.py") == "src/app.py"
        assert await reader.list_files("src/") == "src/app.py\nsrc/long.txt"
        assert "No file" in await reader.list_files("*.rs")
        assert await reader.search(r"def \w+") == "src/app.py:4:def load():"
        assert await reader.search("load", ignore_case=True, path="*.md") == "readme.md:1:Load it."
        found = (await reader.search("line")).splitlines()
        assert len(found) == FOUND + 1
        assert "narrow" in found[-1]
        assert await reader.read_file("src/app.py", 4, 5) == "    4\tdef load():\n    5\t    return 1\n[lines 4 to 5 of 5]"
        assert (await reader.read_file("src/long.txt")).endswith(f"[lines 1 to {LINES} of 1000]")
        with pytest.raises(InvalidRequestError, match="1000 lines"):
            await reader.read_file("src/long.txt", 5000)
        with pytest.raises(NotFoundError):
            await reader.read_file("nothing.py")
        with pytest.raises(InvalidRequestError, match="regular expression"):
            await reader.search("(")


async def test_a_pattern_that_takes_for_ever_is_stopped(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.loop.reading.SEARCH_S", 1.0)
    scene = await make_scene({"a.txt": "a" * 60 + "\n"})
    async with scene.context.workspaces.open("x") as workspace:
        with pytest.raises(InvalidRequestError, match="stopped"):
            await Reader(workspace).search("(a+)+b")


async def test_a_link_that_leads_out_is_neither_read_nor_searched(make_scene: MakeScene) -> None:
    scene = await make_scene({"a.txt": "x\n"}, links={"out": "/etc/passwd"})
    async with scene.context.workspaces.open("x") as workspace:
        reader = Reader(workspace)
        with pytest.raises((InvalidRequestError, NotFoundError)):
            await reader.read_file("out")
        assert "Nothing matches" in await reader.search("root")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "~/x", ".git/config", "a/.GIT/hooks/x", "a\0b", "a\nb", "."])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequestError):
        clean(path)


def test_a_path_has_one_name() -> None:
    assert clean(" ./src//app.py ") == "src/app.py"

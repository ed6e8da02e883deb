from __future__ import annotations

from agents.loop.reading import Reader
from agents.loop.repository_map import repository_map
from tests.agents.conftest import MakeScene

FILES = {f"pkg/part_{number}.py": f"def unused_{number}():\n    core_call()\n" for number in range(60)} | {
    "pkg/zcore.py": "class Core:\n    def core_call(self):\n        pass\n",
    "pkg/login.py": "def endpoint():\n    pass\n",
    "docs/guide.md": "text",
}


async def test_what_is_asked_for_comes_first_then_what_is_used_most_within_the_budget(make_scene: MakeScene) -> None:
    scene = await make_scene(FILES)
    async with scene.context.workspaces.open("x") as workspace:
        drawn = await repository_map(Reader(workspace), "Add error handling to the login endpoint", 300)
    lines = drawn.splitlines()
    assert lines[0] == "pkg/login.py: endpoint"
    assert lines[1] == "pkg/zcore.py: core_call, Core"
    assert len(drawn) < 400
    assert lines[-1].startswith("[5")
    assert "more files" in lines[-1]


async def test_an_empty_repository_has_a_map_too(make_scene: MakeScene) -> None:
    scene = await make_scene({"notes.txt": "x"})
    async with scene.context.workspaces.open("x") as workspace:
        assert await repository_map(Reader(workspace), "anything") == "notes.txt"

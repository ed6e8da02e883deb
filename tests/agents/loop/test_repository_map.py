from __future__ import annotations

import pytest

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


MANY_LANGUAGES = {
    "a.go": ("package a\nfunc (s *S) Method() {}\ntype Spec struct{}\n", {"Method", "Spec"}),
    "a.rs": ("impl S { pub fn method(&self) { fn inner() {} } }\ntrait Speaks {}\n", {"method", "Speaks"}),
    "a.ts": ("export interface Shape { a: number }\nexport const useShape = () => 1\n", {"Shape", "useShape"}),
    "a.tsx": ("export const Button = () => <b/>\n", {"Button"}),
    "a.js": ("class Stack { push() { const inner = 1 } }\nfunction* walk() {}\n", {"Stack", "push", "walk"}),
    "A.java": ("class A { int method() { return 1; } }\nrecord Point(int x) {}\n", {"A", "method", "Point"}),
    "a.rb": ("module M\n  class Stack\n    def self.make; end\n  end\nend\n", {"M", "Stack", "make"}),
    "a.cs": ("namespace N { class Stack { void Push() {} } }\n", {"N", "Stack", "Push"}),
    "a.kt": ("class Stack { fun push() = 1 }\nobject One\n", {"Stack", "push", "One"}),
    "a.c": ("struct node { int a; };\nstatic char *read_all(void) { return 0; }\n", {"node", "read_all"}),
    "a.cpp": ("namespace n { template<class T> T twice(T a) { return a; } }\nclass Stack {};\n", {"n", "twice", "Stack"}),
    "a.php": ("<?php\nclass Stack { public function push() {} }\ntrait Counts {}\n", {"Stack", "push", "Counts"}),
    "a.py": ("class Stack:\n    async def push(self):\n        def inner(): pass\nbroken = (\n", {"Stack", "push"}),
}


async def test_the_symbols_of_every_language(make_scene: MakeScene) -> None:
    scene = await make_scene({path: text for path, (text, _) in MANY_LANGUAGES.items()})
    async with scene.context.workspaces.open("x") as workspace:
        drawn = await repository_map(Reader(workspace), "anything")
    found = {path: set(names.split(", ")) for path, _, names in (line.partition(": ") for line in drawn.splitlines())}
    assert found == {path: names for path, (_, names) in MANY_LANGUAGES.items()}


@pytest.mark.slow
async def test_ten_thousand_files(make_scene: MakeScene) -> None:
    files = {
        f"src/area_{number % 100}/part_{number}.py": f"def unused_{number}():\n    return core_call()\n" * 20 for number in range(10_000)
    }
    scene = await make_scene({**files, "src/area_7/session.py": "class LoginSession:\n    def core_call(self):\n        pass\n"})
    async with scene.context.workspaces.open("x") as workspace:
        lines = (await repository_map(Reader(workspace), "Let a login expire")).splitlines()
    assert lines[0] == "src/area_7/session.py: core_call, LoginSession"
    assert lines[-1].endswith("more files; list or search to find them]")


async def test_an_empty_repository_has_a_map_too(make_scene: MakeScene) -> None:
    scene = await make_scene({"notes.txt": "x"})
    async with scene.context.workspaces.open("x") as workspace:
        assert await repository_map(Reader(workspace), "anything") == "notes.txt"

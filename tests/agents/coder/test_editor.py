"""The edit tools on a real checkout: what they refuse, and what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agents.coder.commands import Commands, find_links
from agents.coder.editor import Editor
from agents.coder.scope import PlanScope
from agents.context import OpenWorkspace
from agents.loop.changes import Changes
from agents.loop.reading import Reader
from shared.errors import InvalidRequestError, NotFoundError, TaskFailedError
from shared.types import Plan, PlanStep
from tests.agents.conftest import MakeScene, Scene

APP = "def load(path):\n    return path.upper()\n\n\ndef save(path):\n    return path.upper()\n"
FILES = {
    "app.py": APP,
    "other.py": "x = 1\n",
    "crlf.txt": "one\r\ntwo\r\n",
    "requirements.txt": "requests\n",
    ".github/workflows/ci.yml": "on: push\n",
    "secret.txt": "keep\n",
    ".persevere.yml": "never_touch: [secret.txt]\n",
}
PLANNED = ["app.py", "new/made.py", "crlf.txt", "requirements.txt", "link.py"]


@asynccontextmanager
async def opened(scene: Scene, summary: str = "change it") -> AsyncIterator[tuple[Editor, Commands, OpenWorkspace]]:
    plan = Plan(summary=summary, steps=[PlanStep(id="1", title="t", files=PLANNED)])
    async with scene.context.workspaces.open("x") as workspace:
        scope = PlanScope(plan, tuple(scene.context.config.never_touch), await find_links(workspace))
        changes = Changes()
        yield Editor(workspace, Reader(workspace), scope, changes), Commands(scene.context, workspace, scope, changes), workspace


@pytest.fixture
async def scene(make_scene: MakeScene) -> Scene:
    return await make_scene(FILES, links={"link.py": "other.py"})


async def test_an_exact_text_that_is_there_once_is_replaced(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        said = await editor.edit_file("./app.py", "def load(path):\n    return path.upper()", "def load(path):\n    return path")
        assert said == "Changed app.py in 1 place, first at line 1."
        assert (await workspace.diff()).stats["paths"] == ["app.py"]
        assert await editor.edit_file("app.py", "path", "p", every=True) == "Changed app.py in 4 places, first at line 1."


async def test_line_ends_of_the_file_are_kept(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await editor.edit_file("crlf.txt", "one\ntwo\n", "one\n2\n")
        assert await workspace.read("crlf.txt") == b"one\r\n2\r\n"


async def test_a_file_written_anew_keeps_its_line_ends(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await editor.create_file("crlf.txt", "1\n2\n", overwrite=True)
        assert await workspace.read("crlf.txt") == b"1\r\n2\r\n"
        await workspace.write("crlf.txt", b"one line")
        await editor.create_file("crlf.txt", "1\n2\n", overwrite=True)
        assert await workspace.read("crlf.txt") == b"1\n2\n"


async def test_what_is_no_text_can_be_removed(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await workspace.write("app.py", b"\x89PNG\0\0")
        assert await editor.delete_file("app.py") == "Removed app.py."
        await workspace.run(["mkdir", "-p", "new/made.py"])
        with pytest.raises(InvalidRequestError, match="could not be removed"):
            await editor.delete_file("new/made.py")


async def test_a_big_file_can_be_edited_but_not_made(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await workspace.write("app.py", b"x = 1\n" + b"#" * 500_000)
        await editor.edit_file("app.py", "x = 1\n", "x = 2\n")
        with pytest.raises(InvalidRequestError, match="too big"):
            await editor.edit_file("app.py", "x = 2\n", "y" * 60_000)
        with pytest.raises(InvalidRequestError, match="too big"):
            await editor.create_file("new/made.py", "#" * 400_001)


async def test_places_that_overlap_are_more_than_one(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await workspace.write("app.py", b"}\n}\n}\n")
        with pytest.raises(InvalidRequestError, match=r"2 times \(lines 1, 2\)"):
            await editor.edit_file("app.py", "}\n}\n", "}\n")
        assert await editor.edit_file("app.py", "}\n}\n", "]\n", every=True) == "Changed app.py in 1 place, first at line 1."


async def test_a_file_with_both_line_ends_keeps_those_of_the_place(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await workspace.write("crlf.txt", b"one\r\ntwo\nthree\nfour")
        await editor.edit_file("crlf.txt", "two\nthree", "2\n3")
        await editor.edit_file("crlf.txt", "one", "1\n1a")
        await editor.edit_file("crlf.txt", "four", "4\n5")
        assert await workspace.read("crlf.txt") == b"1\r\n1a\r\n2\n3\n4\r\n5"


async def test_bytes_that_are_no_utf_8_survive_an_edit_beside_them(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        await workspace.write("app.py", b"# -*- coding: latin-1 -*-\nname = '\xfc'\nx = 1\n")
        await editor.edit_file("app.py", "x = 1", "x = 2")
        await editor.apply_patch("--- a/app.py\n+++ b/app.py\n@@ -3 +3,2 @@\n x = 2\n+y = 3\n")
        assert await workspace.read("app.py") == b"# -*- coding: latin-1 -*-\nname = '\xfc'\nx = 2\ny = 3\n"


async def test_a_patch_makes_and_removes_empty_files_and_says_what_it_did_not_do(scene: Scene) -> None:
    head = "diff --git a/new/made.py b/new/made.py\n"
    async with opened(scene) as (editor, _, workspace):
        made = await editor.apply_patch(f"{head}new file mode 100755\nindex 0000000..e69de29\n")
        assert made == "Applied: new/made.py. new/made.py is not executable yet."
        assert await workspace.read("new/made.py") == b""
        await editor.apply_patch(f"{head}deleted file mode 100644\nindex e69de29..0000000\n")
        assert not await workspace.exists("new/made.py")


async def test_half_a_character_is_refused(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        for attempt in (editor.create_file("new/made.py", "\ud800"), editor.edit_file("app.py", "def load", "\ud800")):
            with pytest.raises(InvalidRequestError, match="cannot be written"):
                await attempt
        assert (await workspace.diff()).is_empty


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("    return path.upper()", r"2 times \(lines 2, 6\)"),
        ("def load(path):\n  return path.upper()", r"(?s)Only white space is different.*1\tdef load"),
        ("def lod(path):", r"(?s)most similar lines.*1\tdef load\(path\):"),
        ("nothing of the kind anywhere", r"is not in app.py; nothing was changed\.$"),
        ("", "empty"),
    ],
)
async def test_what_does_not_fit_is_told_and_changes_nothing(scene: Scene, old: str, said: str) -> None:
    async with opened(scene) as (editor, _, workspace):
        with pytest.raises(InvalidRequestError, match=said):
            await editor.edit_file("app.py", old, "x")
        assert (await workspace.diff()).is_empty


@pytest.mark.parametrize("path", ["other.py", ".github/workflows/ci.yml", "secret.txt", "../x.py", "/etc/x", ".git/config", "link.py"])
async def test_everything_outside_the_plan_is_refused_before_it_happens(scene: Scene, path: str) -> None:
    async with opened(scene) as (editor, _, workspace):
        patch = f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
        for attempt in (
            editor.edit_file(path, "x = 1", "x = 2"),
            editor.create_file(path, "x", overwrite=True),
            editor.delete_file(path),
            editor.apply_patch(patch),
        ):
            with pytest.raises(InvalidRequestError):
                await attempt
        assert (await workspace.diff()).is_empty
        assert await workspace.read("other.py") == b"x = 1\n"


async def test_files_are_made_replaced_and_removed(scene: Scene) -> None:
    async with opened(scene) as (editor, _, workspace):
        assert await editor.create_file("new/made.py", "a = 1\n") == "Made new/made.py with 1 lines."
        with pytest.raises(InvalidRequestError, match="exists"):
            await editor.create_file("new/made.py", "a = 2\n")
        assert (await editor.create_file("new/made.py", "a = 2\n", overwrite=True)).startswith("Replaced")
        assert await editor.delete_file("crlf.txt") == "Removed crlf.txt."
        with pytest.raises(NotFoundError):
            await editor.delete_file("crlf.txt")
        assert (await workspace.diff()).stats["paths"] == ["crlf.txt", "new/made.py"]


async def test_a_patch_is_applied_wholly_or_not_at_all(scene: Scene) -> None:
    good = "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n-def load(path):\n+def load(name):\n     return path.upper()\n"
    made = "--- /dev/null\n+++ b/new/made.py\n@@ -0,0 +1 @@\n+a = 1\n"
    async with opened(scene) as (editor, _, workspace):
        with pytest.raises(InvalidRequestError):
            await editor.apply_patch(good + "--- a/crlf.txt\n+++ b/crlf.txt\n@@ -1 +1 @@\n-nothing\n+x\n")
        assert (await workspace.diff()).is_empty
        assert await editor.apply_patch(good + made) == "Applied: app.py, new/made.py."
        assert (await workspace.diff()).stats["paths"] == ["app.py", "new/made.py"]


async def test_a_dependency_must_be_named_by_the_plan(scene: Scene) -> None:
    async with opened(scene) as (editor, _, _workspace):
        with pytest.raises(InvalidRequestError, match="new dependency evil"):
            await editor.edit_file("requirements.txt", "requests\n", "requests\nevil\n")
    async with opened(scene, "Add the dependency httpx") as (editor, _, _workspace):
        await editor.edit_file("requirements.txt", "requests\n", "requests\nhttpx>=1\n")


async def test_a_command_brings_no_dependency_in_either(scene: Scene) -> None:
    async with opened(scene) as (editor, commands, workspace):
        await editor.edit_file("requirements.txt", "requests\n", "requests>=2\n")
        said = await commands.run_command("echo evil >> requirements.txt; echo 2 > app.py")
        assert "does not name; that was undone (requirements.txt: evil)" in said
        assert "widen_plan" in said
        assert await workspace.read("requirements.txt") == b"requests>=2\n"
        tricks = {
            "echo evil > app.py; ln -sf app.py requirements.txt": "evil",
            "rm requirements.txt; mkdir requirements.txt": "no file any more",
        }
        for trick, told in tricks.items():
            assert f"(requirements.txt: {told}" in await commands.run_command(trick)
            assert await workspace.read("requirements.txt") == b"requests>=2\n"
        assert "undone" not in await commands.run_command("rm requirements.txt")
        assert "undone" not in await commands.run_command("echo requests > requirements.txt")
        await commands.check_dependencies()
        assert (await workspace.diff()).stats["paths"] == ["app.py"]
    async with opened(scene, "Add the dependency httpx") as (_, commands, workspace):
        assert "undone" not in await commands.run_command("echo httpx >> requirements.txt")
        await commands.check_dependencies()
        await workspace.write("requirements.txt", b"requests\nevil\n")
        with pytest.raises(TaskFailedError, match=r"approved plan does not name \(requirements.txt: evil\)"):
            await commands.check_dependencies()


async def test_more_files_are_asked_for_but_never_protected_ones(scene: Scene) -> None:
    async with opened(scene) as (editor, _, _workspace):
        with pytest.raises(InvalidRequestError, match="never be touched"):
            await editor.widen_plan(["secret.txt"], "because")
        assert editor.wanted is None
        await editor.widen_plan(["other.py"], "it is imported there")
        assert editor.wanted == {"files": ["other.py"], "reason": "it is imported there"}


async def test_what_a_command_changes_outside_the_plan_is_undone(scene: Scene) -> None:
    async with opened(scene) as (_, commands, workspace):
        said = await commands.run_command("echo 2 > app.py; echo 2 > other.py; rm secret.txt; touch stray.txt; echo done; exit 3")
        assert said.startswith("exit code 3")
        assert "done" in said
        assert "other.py, secret.txt, stray.txt" in said
        assert (await workspace.diff()).stats["paths"] == ["app.py"]
        assert await workspace.read("other.py") == b"x = 1\n"


async def test_modes_and_folders_are_brought_back_too(make_scene: MakeScene) -> None:
    scene = await make_scene({"app.py": APP, "run.sh": "#!/bin/sh\n", "gone.sh": "#!/bin/sh\n", "plain.txt": "x\n", "was.txt": "y\n"})
    async with opened(scene) as (_, commands, workspace):
        await commands.run_command(
            "echo 3 >> run.sh; rm gone.sh; chmod +x plain.txt; rm was.txt; mkdir was.txt; echo z > was.txt/in; chmod -x run.sh"
        )
        assert (await workspace.diff()).is_empty


async def test_the_output_of_a_command_is_bounded(scene: Scene) -> None:
    async with opened(scene) as (_, commands, _workspace):
        said = await commands.run_command("seq 1 100000")
        assert len(said) < 13_000
        assert "characters left out" in said
        assert "stopped (timeout)" in await commands.run_command("sleep 30", timeout_s=1)


async def test_a_link_that_a_command_makes_or_takes_away_is_known(scene: Scene) -> None:
    async with opened(scene) as (editor, commands, workspace):
        if not scene.context.isolated:
            pytest.skip("commands need a sandbox that isolates: install bubblewrap")
        await commands.run_command("ln -sf crlf.txt app.py; rm link.py; printf 'x = 1\\n' > link.py; printf 'a\\n' >> requirements.txt")
        with pytest.raises(InvalidRequestError, match="symbolic link"):
            await editor.create_file("app.py", "y = 1\n", overwrite=True)
        await editor.edit_file("link.py", "x = 1", "x = 2")
        assert await workspace.read("link.py") == b"x = 2\n"

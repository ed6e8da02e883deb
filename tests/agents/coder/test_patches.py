from __future__ import annotations

import pytest

from agents.coder.patches import apply, parse
from shared.errors import InvalidRequestError

TEXT = "one\ntwo\nthree\nfour\n"


def patched(hunks: str, text: str = TEXT) -> str:
    (file,) = parse(f"--- a/f.txt\n+++ b/f.txt\n{hunks}")
    return apply(text, file, "f.txt")


def test_hunks_are_applied_where_they_say() -> None:
    assert patched("@@ -1,2 +1,3 @@\n one\n+and a half\n two\n@@ -4 +5 @@\n-four\n+4\n") == "one\nand a half\ntwo\nthree\n4\n"


def test_wrong_line_numbers_do_not_matter_when_the_lines_are_there_once() -> None:
    assert patched("@@ -90,1 +90,1 @@\n-three\n+3\n") == "one\ntwo\n3\nfour\n"
    assert patched("@@\n-three\n+3\n") == "one\ntwo\n3\nfour\n"


def test_the_stated_place_decides_between_same_lines() -> None:
    assert patched("@@ -3 +3 @@\n-a\n+b\n", "a\nx\na\n") == "a\nx\nb\n"
    with pytest.raises(InvalidRequestError, match="2 times"):
        patched("@@ -2 +2 @@\n-a\n+b\n", "a\nx\na\n")


def test_lines_that_are_not_there_change_nothing() -> None:
    with pytest.raises(InvalidRequestError, match="is not in the file"):
        patched("@@ -1 +1 @@\n-ONE\n+1\n")


def test_new_and_removed_files_and_a_missing_line_end() -> None:
    made, gone = parse("--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+hello\n\\ No newline at end of file\n--- a/old.txt\n+++ /dev/null\n")
    assert (made.old, made.new, apply("", made, "new.txt")) == (None, "new.txt", "hello")
    assert (gone.old, gone.new) == ("old.txt", None)


def test_a_patch_without_a_last_line_end_joins_no_lines() -> None:
    assert patched("@@ -1 +1 @@\n-one\n+1") == "1\ntwo\nthree\nfour\n"
    assert patched("@@ -1,2 +1,2 @@\n-one\n+1\n two") == "1\ntwo\nthree\nfour\n"


def test_lines_behind_a_last_line_without_an_end() -> None:
    assert patched("@@ -1 +1,2 @@\n a\n+b\n", "a") == "a\nb\n"
    assert patched("@@ -1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n", "a") == "a\nb"
    assert patched("@@ -1,2 +1,2 @@\n-a\n+b\n c\n\\ No newline at end of file\n", "a\nc") == "b\nc"


def test_line_ends_are_those_of_the_file_unless_the_patch_says_otherwise() -> None:
    assert patched("@@ -1,2 +1,3 @@\n a\n-b\n+B\n+C\n", "a\r\nb\r\nd\r\n") == "a\r\nB\r\nC\r\nd\r\n"
    assert patched("@@ -2 +2 @@\n-b\r\n+b\n", "a\r\nb\r\n") == "a\r\nb\n"
    assert patched("@@ -2 +2 @@\n-b\n+B\n", "a\r\nb\nc\r\n") == "a\r\nB\nc\r\n"


@pytest.mark.parametrize("mark", ["\f", "\v", "\x1c", "\x85", "\u2028", "a\rb"])
def test_only_a_line_feed_ends_a_line(mark: str) -> None:
    assert patched(f"@@ -1,2 +1,3 @@\n {mark}\n+x{mark}y\n b\n", f"{mark}\nb\n") == f"{mark}\nx{mark}y\nb\n"


def test_files_without_content_as_git_says_them() -> None:
    empty = "diff --git a/p/__init__.py b/p/__init__.py\nnew file mode 100644\nindex 0000000..e69de29\n"
    gone = "diff --git a/old b/old\ndeleted file mode 100644\nindex e69de29..0000000\n"
    change = "diff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    for patch in (empty + change + gone, change + gone + empty, gone + empty + change):
        assert {(file.old, file.new, len(file.hunks)) for file in parse(patch)} == {
            (None, "p/__init__.py", 0),
            ("f", "f", 1),
            ("old", None, 0),
        }


def test_a_new_executable_file_and_unusual_names() -> None:
    script = "diff --git a/run b/run\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ b/run\n@@ -0,0 +1 @@\n+#!/bin/sh\n"
    quoted = 'diff --git "a/\\303\\274 1" "b/\\303\\274 1"\nnew file mode 100644\nindex 0..e69de29\n'
    quoted += '--- /dev/null\n+++ "b/\\303\\274 1"\n@@ -0,0 +1 @@\n+x\n'
    first, second = parse(script + quoted)
    assert (first.new, first.executable, second.new, second.executable) == ("run", True, "ü 1", False)


@pytest.mark.parametrize(
    "patch",
    [
        "",
        "hello",
        "@@ -1 +1 @@\n-a\n+b\n",
        "--- a/f\n+++ b/f\n",
        "rename from a\nrename to b\n",
        "old mode 100644\nnew mode 100755\n",
        "diff --git a/l b/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\nxyz\n",
    ],
)
def test_what_is_no_plain_diff_is_refused(patch: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse(patch)

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


@pytest.mark.parametrize(
    "patch",
    [
        "",
        "hello",
        "@@ -1 +1 @@\n-a\n+b\n",
        "--- a/f\n+++ b/f\n",
        "rename from a\nrename to b\n",
        "old mode 100644\nnew mode 100755\n",
        "--- a/f\n+++ b/f\n@@ -1 +1 @@\nxyz\n",
    ],
)
def test_what_is_no_plain_diff_is_refused(patch: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse(patch)

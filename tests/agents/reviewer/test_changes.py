"""Diffs as a reviewer reads them."""

from __future__ import annotations

from agents.reviewer.changes import read_changes, shown

PATCH = b"""diff --git a/app.py b/app.py
index 1..2 100644
--- a/app.py
+++ b/app.py
@@ -1,4 +1,4 @@ def load
 one
-two
+TWO
 three
 four
@@ -20,2 +20,3 @@
 twenty
+more
 end
diff --git a/gone.py b/gone.py
deleted file mode 100644
--- a/gone.py
+++ /dev/null
@@ -1,2 +0,0 @@
-a
---- b
diff --git a/new name.py b/new name.py
new file mode 100644
--- /dev/null
+++ b/new name.py
@@ -0,0 +1 @@
+x
\\ No newline at end of file
diff --git a/logo.png b/logo.png
index 1..2 100644
GIT binary patch
literal 3
KcmZ?wbhEHbWMp7uV&Y(6U~m8e

literal 0
HcmV?d00001

"""


def test_files_kinds_and_lines() -> None:
    changes = read_changes(PATCH)
    assert {path: change.kind for path, change in changes.items()} == {
        "app.py": "changed",
        "gone.py": "removed",
        "new name.py": "new",
        "logo.png": "changed, not text",
    }
    app = changes["app.py"]
    assert [line for line in range(1, 40) if app.has(line)] == [1, 2, 3, 4, 20, 21, 22]
    assert [line for line in range(1, 5) if changes["gone.py"].has(line)] == [1, 2]
    assert changes["gone.py"].rows[1] == ("-", 2, "--- b")
    assert changes["new name.py"].has(1)


def test_each_line_is_shown_with_its_number() -> None:
    text = read_changes(PATCH)["app.py"].shown()
    assert "     2 + TWO" in text
    assert "       - two" in text
    assert "    21 + more" in text
    assert "     2 - --- b" in read_changes(PATCH)["gone.py"].shown()


def test_a_diff_that_git_did_not_make() -> None:
    changes = read_changes(b"--- a/old.py\n+++ b/old.py\n@@ -3 +3,2 @@\n-x\n+y\n+z\n--- /dev/null\n+++ b/made.py\n@@ -0,0 +1 @@\n+1\n")
    assert {path: change.kind for path, change in changes.items()} == {"old.py": "changed", "made.py": "new"}
    assert [line for line in range(9) if changes["old.py"].has(line)] == [3, 4]
    removed = read_changes(b"--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n")
    assert (removed["old.py"].kind, removed["old.py"].has(1)) == ("removed", True)


def test_what_does_not_fit_is_named() -> None:
    hunk = b"".join(b"+" + b"x" * 90 + b"\n" for _ in range(600))
    files = [b"diff --git a/f%d b/f%d\n--- a/f%d\n+++ b/f%d\n@@ -0,0 +1,600 @@\n" % (n, n, n, n) + hunk for n in range(3)]
    text = shown(read_changes(b"".join(files)))
    assert len(text) < 70_000
    assert "[not shown here, read each with show_change: f1, f2]" in text
    assert "the rest of this file's change is left out" in text

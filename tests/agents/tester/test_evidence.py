"""What a patch says about tests."""

from __future__ import annotations

from agents.tester.evidence import inspect_patch


def patch(path: str, *lines: str, head: str = "") -> bytes:
    body = "\n".join(lines)
    return f"diff --git a/{path} b/{path}\n{head}--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n{body}\n".encode()


def test_an_ordinary_change_has_no_notes() -> None:
    assert inspect_patch(patch("calc.py", "-def test(a):", "+def test(b):")) == []
    assert inspect_patch(patch("tests/test_a.py", "-    old()", "+    new()", "+def test_more():")) == []
    assert inspect_patch(b"") == []


def test_a_binary_file_has_lines_of_any_kind_and_says_nothing() -> None:
    head = "diff --git a/tests/test_a.py b/tests/test_a.py\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 10\n"
    binary = f"{head}+@pytest.mark.skip\n-def test_a():\n\nliteral 0\nHcmV?d00001\n\n".encode()
    assert inspect_patch(binary) == []
    assert "skips tests" in inspect_patch(binary + patch("tests/test_a.py", "+@pytest.mark.skip"))[0]


def test_deleted_file() -> None:
    notes = inspect_patch(patch("tests/test_a.py", "-def test_a():", head="deleted file mode 100644\n"))
    assert notes == ["The change deletes the test file tests/test_a.py."]


def test_removed_test_but_not_a_renamed_or_moved_one() -> None:
    assert inspect_patch(patch("tests/test_a.py", "-def test_a():")) == ["The change removes tests from tests/test_a.py: test_a."]
    assert inspect_patch(patch("tests/test_a.py", "-def test_a():", "+def test_b():")) == []
    assert inspect_patch(patch("tests/test_a.py", "-def test_a():") + patch("tests/test_b.py", "+def test_a():")) == []


def test_newly_skipped() -> None:
    assert "skips tests" in inspect_patch(patch("tests/test_a.py", "+@pytest.mark.skip"))[0]
    assert "skips tests" in inspect_patch(patch("tests/test_a.py", "+    @unittest.skip('x')"))[0]
    assert "skips tests" in inspect_patch(patch("a_test.go", "+\tt.Skip()"))[0]
    assert "skips tests" in inspect_patch(patch("web/a.test.ts", "+it.skip('x', () => {})"))[0]
    assert inspect_patch(patch("tests/test_a.py", "-@pytest.mark.skip")) == []


def test_settings() -> None:
    for path, line in [
        ("pytest.ini", "+x"),
        ("tests/conftest.py", "+x"),
        ("tox.ini", "+x"),
        ("pyproject.toml", "+addopts = ''"),
        ("setup.cfg", "+[tool:pytest]"),
        (".persevere.yml", "-test: [x]"),
    ]:
        assert inspect_patch(patch(path, line)) == [f"The change touches test configuration: {path}."]
    assert inspect_patch(patch("pyproject.toml", '+version = "2"')) == []

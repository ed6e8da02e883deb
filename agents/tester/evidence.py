"""What a reviewer must know about a change before trusting its green tests. Pure: reads the patch only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath

from agents.tester.python_tests import is_python_test

_SETTINGS = frozenset(
    {"pytest.ini", ".pytest.ini", "conftest.py", "tox.ini", "noxfile.py", ".coveragerc", "sitecustomize.py", ".mocharc.json"}
)
_MIXED = {
    "pyproject.toml": r"pytest|tox|testpaths|addopts|\bcoverage\b",
    "setup.cfg": r"pytest|testpaths|addopts|tox:",
    "package.json": r"\"(test|pretest|posttest|jest|vitest|mocha)\"",
    "Makefile": r"\btest\b|pytest",
    ".persevere.yml": r"^\s*(test|setup)\s*:|pytest|\btest\b",
}
_TEST_NAME = re.compile(r"^\s*(?:async\s+)?(?:def (test\w*)\(|class (Test\w*)\b|func (Test\w+)\(|(?:it|test)\(\s*['\"](.+?)['\"])")
_SKIP = re.compile(
    r"@pytest\.mark\.(skip|skipif|xfail)\b|\bpytest\.(skip|xfail|importorskip)\(|@(unittest\.)?(skip|skipIf|skipUnless|expectedFailure)\b"
    r"|\bself\.skipTest\(|\bSkipTest\(|pytestmark\s*=.*skip|\bt\.Skip(Now|f)?\(|^\s*#\[ignore|\b(it|test|describe)\.(skip|todo|only)\(|\bx(it|describe)\("
    r"|\bcollect_ignore|--(deselect|ignore)\b"
)


def inspect_patch(patch: bytes) -> list[str]:
    """Sentences about deleted tests, newly skipped tests and changed test settings; empty for an ordinary change."""
    notes: list[str] = []
    removed: dict[str, list[str]] = defaultdict(list)
    added: dict[str, list[str]] = defaultdict(list)
    path, deleted, renamed_from = "", False, ""
    seen: set[tuple[str, str]] = set()

    def note(kind: str, sentence: str) -> None:
        if (kind, path) not in seen:
            seen.add((kind, path))
            notes.append(sentence)

    binary = False
    for line in patch.decode("utf-8", "replace").split("\n"):
        if line.startswith("diff --git "):
            path, deleted, renamed_from, binary = _path_of(line), False, "", False
        elif binary or line == "GIT binary patch":
            binary = True
        elif line.startswith("deleted file mode"):
            deleted = True
            if _is_test(path):
                note("deleted", f"The change deletes the test file {path}.")
        elif line.startswith("rename from "):
            renamed_from = line.removeprefix("rename from ")
        elif line.startswith("rename to ") and _is_test(renamed_from) and not _is_test(line.removeprefix("rename to ")):
            note("moved", f"The change moves the test file {renamed_from} to where no runner looks for it.")
        elif line.startswith(("+", "-")) and not line.startswith(("+++", "---")):
            body = line[1:]
            _settings_note(path, body, note)
            if _is_test(path) and not deleted and (match := _TEST_NAME.match(body)):
                (removed if line[0] == "-" else added)[path].append(next(filter(None, match.groups())))
            if line[0] == "+" and _SKIP.search(body) and (_is_test(path) or PurePosixPath(path).name in _SETTINGS):
                note("skip", f"The change skips tests in {path}: {body.strip()[:120]}")
    return notes + _lost_tests(removed, added)


def _settings_note(path: str, body: str, note: Callable[[str, str], None]) -> None:
    name = PurePosixPath(path).name
    if name in _SETTINGS or (name in _MIXED and re.search(_MIXED[name], body)):
        note("settings", f"The change touches test configuration: {path}.")


def _lost_tests(removed: dict[str, list[str]], added: dict[str, list[str]]) -> list[str]:
    """Tests taken away and not put back under the same name anywhere; as many new ones in the file count as renamed."""
    everywhere = {name for names in added.values() for name in names}
    notes = []
    for path, names in removed.items():
        lost = [name for name in names if name not in everywhere]
        new = [name for name in added.get(path, []) if name not in names]
        if len(lost) > len(new):
            notes.append(f"The change removes tests from {path}: {', '.join(lost[:10])}.")
    return notes


def _path_of(line: str) -> str:
    """The new path of a `diff --git` line; git quotes unusual names."""
    match = re.match(r'^diff --git (?:"?a/.*?"?) "?b/(.*?)"?$', line)
    return match[1] if match else ""


def _is_test(path: str) -> bool:
    name = PurePosixPath(path).name
    return (
        is_python_test(path)
        or name.endswith("_test.go")
        or bool(re.search(r"\.(test|spec)\.[cm]?[jt]sx?$", name))
        or (path.endswith(".rs") and path.startswith("tests/"))
    )

"""The tester's graph on real repositories, in a real sandbox."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    Bench = Any

GREEN = {
    "calc/__init__.py": "def add(a, b):\n    return a + b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n\n\n"
    "def test_zero():\n    assert add(0, 0) == 0\n",
}
BROKEN = {"calc/__init__.py": "def add(a, b):\n    return a + b + 1\n"}
HARMLESS = {"calc/__init__.py": "def add(first, second):\n    return first + second\n"}


async def test_green_is_passed_and_does_not_run_the_base(bench: Bench) -> None:
    results = await bench.test(GREEN, HARMLESS)
    assert (results.verdict, results.passed, results.failed) == ("passed", 2, 0), results
    assert results.commands == ["python -m pytest"]
    assert "base" not in bench.workspaces.opened
    assert bench.journal.fields["test_results"]["verdict"] == "passed"
    assert [name for name, _ in bench.journal.events] == ["test_results"]
    assert b"2 passed" in bench.journal.artifacts["test-output.txt"]


async def test_red_caused_by_the_change(bench: Bench) -> None:
    results = await bench.test(GREEN, BROKEN)
    assert (results.verdict, results.failed) == ("failed", 2), results
    assert results.newly_failing == ["tests.test_calc::test_add", "tests.test_calc::test_zero"]
    assert results.failing_before == []
    assert "assert" in results.failures[0].message


async def test_red_before_and_after_alike_blames_nothing(bench: Bench) -> None:
    files = {**GREEN, "tests/test_old.py": "def test_old():\n    assert False\n"}
    results = await bench.test(files, HARMLESS)
    assert (results.verdict, results.newly_failing) == ("failed", [])
    assert results.failing_before == ["tests.test_old::test_old"]


async def test_old_and_new_failures_are_told_apart(bench: Bench) -> None:
    files = {**GREEN, "tests/test_old.py": "def test_old():\n    assert False\n"}
    results = await bench.test(files, {"calc/__init__.py": "def add(a, b):\n    return a - b\n"})
    assert results.newly_failing == ["tests.test_calc::test_add"]
    assert results.failing_before == ["tests.test_old::test_old"]


async def test_import_error_at_collection_is_blamed_on_the_change(bench: Bench) -> None:
    results = await bench.test(GREEN, {"calc/__init__.py": "def plus(a, b):\n    return a + b\n"})
    assert results.verdict == "failed"
    assert results.newly_failing == ["tests.test_calc"]


async def test_no_tests(bench: Bench) -> None:
    results = await bench.test({"calc.py": "x = 1\n"}, {"calc.py": "x = 2\n"})
    assert (results.verdict, results.reason) == ("none", "No tests were found.")


async def test_the_base_commit_alone(bench: Bench) -> None:
    results = await bench.test({**GREEN, **BROKEN})
    assert (results.verdict, results.newly_failing, len(results.failing_before)) == ("failed", [], 2)


async def test_source_layout_and_spaces(bench: Bench) -> None:
    files = {
        "src/shop/__init__.py": "price = 3\n",
        "my tests/test_shop.py": "import shop\n\n\ndef test_price():\n    assert shop.price == 3\n",
    }
    assert (await bench.test(files, {"README.md": "hello\n"})).verdict == "passed"


async def test_unittest_only(bench: Bench) -> None:
    case = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n"
    case += "        from calc import add\n        self.assertEqual(add(1, 2), 3)\n"
    files = {"calc.py": "def add(a, b):\n    return a + b\n", "tests/test_calc.py": case, "tests/__init__.py": ""}
    results = await bench.test(files, {"calc.py": "def add(a, b):\n    return a\n"})
    assert (results.verdict, results.newly_failing) == ("failed", ["tests.test_calc.T.test_a"]), results
    assert "unittest" in results.commands[0]


async def test_a_hang_ends_at_the_limit(bench: Bench) -> None:
    bench.limits["test_timeout_s"] = 2
    hang = "import subprocess, time\n\n\ndef test_hang():\n"
    hang += "    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n    time.sleep(1000)\n"
    results = await bench.test({"test_hang.py": hang}, {"a.txt": "x\n"})
    assert results.verdict == "timeout"
    assert "time limit" in results.reason


async def test_a_fork_bomb_ends(bench: Bench) -> None:
    bench.limits["test_timeout_s"] = 4
    bomb = "import os\n\n\ndef test_bomb():\n    while True:\n        os.fork()\n"
    results = await bench.test({"test_bomb.py": bomb}, {"a.txt": "x\n"})
    assert results.verdict in ("failed", "error", "timeout"), results


async def test_gigabytes_of_output_end(bench: Bench) -> None:
    loud = "import sys\n\n\ndef test_loud(capfd):\n    with capfd.disabled():\n        while True:\n"
    loud += "            sys.stdout.write('x' * 1_000_000)\n"
    results = await bench.test({"test_loud.py": loud}, {"a.txt": "x\n"})
    assert results.verdict in ("error", "timeout"), results
    assert "stopped" in results.reason
    assert len(bench.journal.artifacts["test-output.txt"]) < 3_000_000


async def test_a_test_that_needs_the_network_says_so(bench: Bench) -> None:
    online = "import urllib.request\n\n\ndef test_online():\n    urllib.request.urlopen('http://example.org', timeout=5)\n"
    results = await bench.test({"test_online.py": online}, {"a.txt": "x\n"})
    assert (results.verdict, results.newly_failing) == ("failed", [])
    assert "the sandbox has none" in results.reason


@pytest.mark.parametrize(
    "cheat",
    [
        "import os\nos._exit(0)\n",
        "import sys\nsys.stdout.flush()\nimport atexit, os\natexit.register(os._exit, 0)\n"
        "def pytest_collection(session):\n    os._exit(0)\n",
    ],
)
async def test_exit_code_0_without_a_report_is_no_evidence(bench: Bench, cheat: str) -> None:
    results = await bench.test(GREEN, {"conftest.py": cheat})
    assert results.verdict == "failed", results
    assert "no evidence" in results.reason
    assert bench.notes == ["The change touches test configuration: conftest.py."]


async def test_a_crash_of_the_interpreter(bench: Bench) -> None:
    crash = "import os, signal\n\n\ndef test_crash():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    results = await bench.test({"test_crash.py": crash}, {"a.txt": "x\n"})
    assert (results.verdict, "SIGSEGV" in results.reason) == ("error", True), results


async def test_all_skipped_is_none(bench: Bench) -> None:
    skipped = "import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    pass\n"
    assert (await bench.test({"test_a.py": skipped}, {"a.txt": "x\n"})).verdict == "none"


async def test_options_of_a_missing_plugin(bench: Bench) -> None:
    files = {**GREEN, "pytest.ini": "[pytest]\naddopts = --unheard-of=3 -q\n"}
    results = await bench.test(files, HARMLESS)
    assert (results.verdict, results.passed) == ("passed", 2), results


BACKEND = """import importlib.util, zipfile

def build_editable(folder, *rest):
    assert importlib.util.find_spec("pluggy") is None, "the cached environment is in the way"
    name = "calc_tool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        about = "calc_tool-1.0.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: calc-tool\\nVersion: 1.0\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "entry_points.txt", "[console_scripts]\\ncalc-tool = calc:main\\n")
        wheel.writestr(about + "RECORD", "")
    return name
"""
PROJECT = '[project]\nname = "calc-tool"\nversion = "1.0"\n[project.scripts]\ncalc-tool = "calc:main"\n'
BUILT = PROJECT + '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
INSTALLED = {
    "calc/__init__.py": "def main():\n    print(3)\n",
    "tests/test_tool.py": "import subprocess\n\n\ndef test_tool():\n    assert subprocess.check_output(['calc-tool']) == b'3\\n'\n",
}
METADATA = "from importlib.metadata import version\n\n\ndef test_version():\n    assert version('calc-tool') == '1.0'\n"


@pytest.mark.parametrize("tests", [{}, {"tests/test_tool.py": METADATA}], ids=["its command", "its metadata"])
async def test_the_project_is_installed_where_its_tests_need_that(bench: Bench, tests: dict[str, str]) -> None:
    bench.seed("pytest", with_packages=("pytest", "pip"))
    results = await bench.test({**INSTALLED, **tests, "pyproject.toml": BUILT, "backend.py": BACKEND}, {"README.md": "calc\n"})
    assert (results.verdict, results.passed, results.failed) == ("passed", 1, 0), (results, bench.journal.lines)


async def test_a_project_that_cannot_be_built_hides_no_other_test(bench: Bench) -> None:
    bench.seed("pytest", with_packages=("pytest", "pip"))
    files = {**INSTALLED, "tests/test_calc.py": "def test_fine():\n    pass\n", "pyproject.toml": BUILT, "backend.py": "raise ValueError\n"}
    results = await bench.test(files, {"README.md": "calc\n"})
    assert (results.verdict, results.passed, results.failed, results.newly_failing) == ("failed", 1, 1, []), results
    assert "The project could not be installed: pip could not install" in results.reason


async def test_hostile_modules_of_the_repository_do_not_shadow_ours(bench: Bench) -> None:
    hostile = dict.fromkeys(("venv.py", "pip.py", "config/__init__.py", "shared/__init__.py"), "raise SystemExit(0)\n")
    assert (await bench.test({**GREEN, **hostile}, BROKEN)).verdict == "failed"


async def test_configured_commands_win(bench: Bench) -> None:
    files = {**GREEN, ".persevere.yml": "test:\n  - python -m pytest tests -k zero\n  - test -f calc/__init__.py\n"}
    bench.seed("pytest")
    results = await bench.test(files, HARMLESS)
    assert (results.verdict, results.passed) == ("passed", 1), results
    assert results.commands == ["python -m pytest tests -k zero", "test -f calc/__init__.py"]


async def test_set_up_commands_run_before(bench: Bench) -> None:
    files = {**GREEN, ".persevere.yml": "setup: ['echo 3 > made.txt']\ntest: ['grep 3 made.txt']\n"}
    assert (await bench.test(files, HARMLESS)).verdict == "passed"


async def test_make_test(bench: Bench) -> None:
    files = {"Makefile": "all:\n\ntest:\n\tgrep -q good data.txt\n", "data.txt": "good\n"}
    if shutil.which("make") is None:
        pytest.skip("install make: apt-get install make")
    results = await bench.test(files, {"data.txt": "bad\n"})
    assert results.verdict == "failed", results
    assert results.newly_failing == ["make test"]


async def test_node(bench: Bench) -> None:
    if shutil.which("npm") is None:
        pytest.skip("install node and npm: apt-get install nodejs npm")
    files = {
        "package.json": '{"name": "x", "version": "1.0.0", "scripts": {"test": "node --test"}}',
        "add.js": "exports.add = (a, b) => a + b;\n",
        "add.test.js": "const test = require('node:test');\nconst assert = require('node:assert');\nconst {add} = require('./add.js');\n"
        "test('adds', () => assert.strictEqual(add(1, 2), 3));\ntest('is there', () => assert.ok(add));\n",
    }
    results = await bench.test(files, {"add.js": "exports.add = (a, b) => a - b;\n"})
    assert (results.verdict, results.passed, results.failed) == ("failed", 1, 1), results
    assert results.newly_failing == ["adds"]


PACKAGE = '{"name": "x", "version": "1.0.0", "scripts": {"test": "node --test"}%s}'
UNINSTALLABLE = ', "devDependencies": {"NO SUCH NAME": "1.0.0"}'


@pytest.mark.parametrize("more", ["", ', "workspaces": ["packages/*"]'], ids=["cached", "in place"])
async def test_a_runner_that_cannot_be_installed_hides_no_other(bench: Bench, tmp_path: Path, more: str) -> None:
    """Its failure is remembered: neither the base commit nor the next task tries it again."""
    if shutil.which("npm") is None:
        pytest.skip("install node and npm: apt-get install nodejs npm")
    files = {**GREEN, "package.json": PACKAGE % (UNINSTALLABLE + more)}
    results = await bench.test(files, HARMLESS)
    assert (results.verdict, results.passed) == ("passed", 2), results
    assert "`npm test` could not be run: npm could not install" in results.reason
    assert "test-output-base.txt" not in bench.journal.artifacts
    notes = {path: path.stat().st_mtime_ns for path in bench.environments.glob("*.failed")}
    assert len(notes) == 1
    second = type(bench)(tmp_path / "second")
    second.environments = bench.environments
    results = await second.test(files, BROKEN)
    assert (results.verdict, len(results.newly_failing)) == ("failed", 2), results
    assert "tried again in" in results.reason
    assert {path: path.stat().st_mtime_ns for path in bench.environments.glob("*.failed")} == notes


async def test_a_change_that_makes_a_runner_uninstallable_fails(bench: Bench) -> None:
    if shutil.which("npm") is None:
        pytest.skip("install node and npm: apt-get install nodejs npm")
    node = {"a.test.js": "require('node:test')('is there', () => {});\n"}
    results = await bench.test({**GREEN, **node, "package.json": PACKAGE % ""}, {"package.json": PACKAGE % UNINSTALLABLE})
    assert (results.verdict, results.newly_failing, results.passed) == ("failed", ["npm test"], 2), results


async def test_a_runner_that_is_not_on_this_machine_hides_no_other(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "bwrap"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    results = await bench.test({**GREEN, "package.json": PACKAGE % ""}, HARMLESS)
    assert (results.verdict, results.passed) == ("passed", 2), results
    assert "npm is not installed on this machine" in results.reason


async def test_cargo(bench: Bench) -> None:
    if shutil.which("cargo") is None or subprocess.run(["cargo", "--version"], capture_output=True).returncode != 0:
        pytest.skip("install Rust: https://rustup.rs")
    library = "pub fn add(a: i32, b: i32) -> i32 { a + b }\n#[cfg(test)]\nmod tests {\n"
    library += "    #[test]\n    fn adds() { assert_eq!(super::add(1, 2), 3); }\n}\n"
    files = {"Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n', "src/lib.rs": library}
    results = await bench.test(files, {"src/lib.rs": library.replace("a + b }", "a - b }")})
    assert (results.verdict, results.newly_failing) == ("failed", ["tests::adds"]), results


async def test_go(bench: Bench) -> None:
    if shutil.which("go") is None:
        pytest.skip("install Go: apt-get install golang-go")
    files = {
        "go.mod": "module example.org/x\n\ngo 1.19\n",
        "x.go": "package x\n\nfunc Add(a, b int) int { return a + b }\n",
        "x_test.go": 'package x\n\nimport "testing"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(1, 2) != 3 {\n\t\tt.Fatal("wrong")\n\t}\n}\n',
    }
    results = await bench.test(files, {"x.go": "package x\n\nfunc Add(a, b int) int { return a - b }\n"})
    assert (results.verdict, results.newly_failing) == ("failed", ["example.org/x::TestAdd"]), results

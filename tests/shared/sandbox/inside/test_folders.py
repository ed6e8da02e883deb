"""Folders that their owner may not look into, looked into as their owner, whom root is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.sandbox.inside.folders import Rights, walk

_OWNER = """
import io, json, os, sys, tempfile, zlib
from shared.sandbox.inside import archive, work
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)

def ask(spec, told=b""):
    out, into = os.pipe()
    source, given = os.pipe()
    os.write(given, told); os.close(given)
    answer = work.perform(spec, source, into)
    os.close(into); os.close(source)
    with open(out, "rb") as file:
        return answer, file.read()

with tempfile.TemporaryDirectory() as top:
    folder = os.path.join(top, "folder")
    os.makedirs(folder + "/src/deep/er")
    for name in ("src/f", "src/deep/f", "src/deep/er/f"):
        with open(os.path.join(folder, name), "w") as file: file.write(name)
    _, before = ask({"kind": "list", "folder": folder})
    before = sorted(json.loads(zlib.decompress(before)))
    results = []
    for modes in json.loads(sys.argv[1]):
        for name, mode in modes: os.chmod(os.path.join(folder, name), mode)
        _, told = ask({"kind": "list", "folder": folder})
        listed = sorted(json.loads(zlib.decompress(told)))
        answer, stream = ask({"kind": "pack", "folder": folder}, zlib.compress(json.dumps(listed).encode()))
        copy = tempfile.mkdtemp(dir=top)
        archive.unpack(copy, io.BytesIO(stream).read, archive.Bounds(1 << 20, 100))
        texts = [open(os.path.join(copy, name)).read() for name in ("src/f", "src/deep/f", "src/deep/er/f")]
        kept = all(os.stat(os.path.join(folder, name)).st_mode & 0o777 == mode for name, mode in modes[-1:])
        for name, _ in reversed(modes): os.chmod(os.path.join(folder, name), 0o700)
        results.append([listed == before, answer, texts, kept])
    print(json.dumps(results))
"""


_LOCKED = (
    [("src", 0)],
    [("src", 0o400)],
    [("src", 0o100)],
    [("src/deep/er", 0), ("src/deep", 0o600), ("src", 0)],
    [("src/deep", 0), ("", 0)],
)


def test_what_its_owner_may_not_look_into_is_listed_and_packed_and_closed_again() -> None:
    done = subprocess.run([sys.executable, "-c", _OWNER, json.dumps(_LOCKED)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    everything = [True, {}, ["src/f", "src/deep/f", "src/deep/er/f"], True]
    assert json.loads(done.stdout) == [everything] * len(_LOCKED)


_STRANGER = """
import json, os, sys, tempfile
from shared.sandbox.inside import work
from shared.sandbox.inside.folders import walk
with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    os.makedirs(folder + "/theirs/deep")
    os.chmod(folder + "/theirs", 0o700)
    child = os.fork()
    if child == 0:
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        source, into = os.pipe()
        answer = work.perform({"kind": "list", "folder": folder}, source, into)
        print(json.dumps([answer, [path for path, _ in walk(folder)]]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="run the tests as root: the folder has to be somebody else's")
def test_somebody_elses_folder_is_an_error_not_an_empty_one() -> None:
    done = subprocess.run([sys.executable, "-c", _STRANGER], capture_output=True, text=True, check=True, timeout=60)
    answer, lenient = json.loads(done.stdout)
    assert answer["code"] == "sandbox_unavailable", done.stdout
    assert "Permission denied" in answer["message"]
    assert lenient == ["theirs"]


def test_what_vanishes_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    found = walk(str(tmp_path))
    next(found)
    (tmp_path / "there").rmdir()
    assert len(list(found)) == 1
    with Rights(str(tmp_path)) as rights:
        assert [rights.look(path) for path in ("there/deep", "file/deep", "x" * 300)] == [None] * 3
        assert rights.look("file") is not None

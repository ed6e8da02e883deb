"""Attempts to get out by what is left in the workspace: for the host that reads it, and for the git that takes the diff and commits."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from shared.errors import InvalidRequestError, NotFoundError
from shared.forge.local import LocalForge
from shared.forge.port import Commit
from shared.sandbox.port import Command, Limits, Sandbox, SandboxProvider, SandboxSpec
from tests.conformance.test_escapes import CANARY
from tests.conformance.test_sandbox import shell


async def test_a_link_swapped_while_the_host_reads_leads_nowhere(isolated: Sandbox | None, workspace: Path, tmp_path: Path) -> None:
    if isolated is None:
        return
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(CANARY)
    script = f"""
import os, time
os.mkdir("in"); open("in/secret", "w").write("mine"); open("plain", "w").write("mine")
os.symlink({str(outside)!r}, "out"); os.symlink({str(outside / "secret")!r}, "link")
os.symlink("in", "dir"); os.link("plain", "file"); print("ready", flush=True)
until = time.monotonic() + 4
while time.monotonic() < until:
    for target in ("in", "out"):
        os.symlink(target, "next"); os.rename("next", "dir")
    for target in ("plain", "link"):
        os.link(target, "next2", follow_symlinks=False); os.replace("next2", "file")
        if os.path.lexists("next2"): os.unlink("next2")
"""
    ready = asyncio.Event()

    async def sink(text: str) -> None:
        ready.set()

    running = asyncio.create_task(isolated.run(Command(argv=[isolated.system.python, "-I", "-S", "-c", script], timeout_s=20), sink))
    await asyncio.wait_for(ready.wait(), 15)
    while not running.done():
        for path in ("dir/secret", "file"):
            with suppress(InvalidRequestError, NotFoundError):
                assert CANARY.encode() not in await isolated.read(path)
            with suppress(InvalidRequestError, NotFoundError):
                await isolated.write("file", b"mine")
        await asyncio.sleep(0)
    result = await running
    assert result.exit_code == 0, result.stderr
    assert (outside / "secret").read_text() == CANARY


@pytest.fixture
async def commit(tmp_path: Path) -> tuple[LocalForge, str, str]:
    """A real repository and its first commit."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "a.py").write_text("a = 1\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *arguments], cwd=repo, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    forge = LocalForge(tmp_path / "data")
    return forge, str(repo), (await forge.inspect(str(repo))).head_commit


TRAPS = """
mark() { printf '#!/bin/sh\\ntouch "%s/%s"\\n' "$MARKS" "$1"; }
for hook in pre-commit post-commit post-checkout pre-push post-index-change reference-transaction fsmonitor-watchman applypatch-msg; do
  for place in .git/hooks hooks .githooks sub/.git/hooks; do mkdir -p "$place"; mark "$hook" >"$place/$hook"; chmod 755 "$place/$hook"; done
done
cat >config.evil <<END
[core]
  fsmonitor = touch '$MARKS/fsmonitor'
  hooksPath = $PWD/hooks
  sshCommand = touch '$MARKS/ssh'
  pager = touch '$MARKS/pager'
  editor = touch '$MARKS/editor'
  attributesFile = $PWD/.gitattributes
  worktree = /
[filter "evil"]
  clean = touch '$MARKS/clean'; cat
  smudge = touch '$MARKS/smudge'; cat
  process = touch '$MARKS/process'
  required = true
[diff "evil"]
  command = touch '$MARKS/diff'
  textconv = touch '$MARKS/textconv'; cat
[merge "evil"]
  driver = touch '$MARKS/merge'
[gpg]
  program = touch '$MARKS/gpg'
[commit]
  gpgSign = true
[include]
  path = $PWD/config.evil2
END
printf '[alias]\\n  diff = !touch "%s/alias"\\n' "$MARKS" >config.evil2
cp config.evil .git/config; cp config.evil sub/.git/config; cp config.evil .gitconfig; cp config.evil "$HOME/.gitconfig" 2>/dev/null
printf 'ref: refs/heads/main\\n' >.git/HEAD; mkdir -p .git/objects .git/refs sub/.git/objects sub/.git/refs; cp .git/HEAD sub/.git/HEAD
printf '* filter=evil diff=evil merge=evil ident text eol=crlf working-tree-encoding=UTF-16\\n*.py -diff\\n' >.gitattributes
mkdir -p .git/info; cp .gitattributes .git/info/attributes; echo '/etc' >.git/objects/info-alternates
printf '[submodule "x"]\\n  path = sub\\n  url = ext::sh -c touch%% %s/ext\\n  update = !touch %s/update\\n' "$MARKS" "$MARKS" >.gitmodules
mkdir file; printf 'gitdir: %s/sub/.git\\n' "$PWD" >file/.git; ln -s sub/.git linked.git
printf -- '--upload-pack=touch\\n' >"--upload-pack=touch $MARKS"; printf x >'-oProxyCommand=touch'
touch "$(printf 'new\\nline')" "$(printf 'esc\\033[31m')"
echo 'a = 2' >a.py; cp /bin/true tool; chmod 4755 tool; chmod 6755 tool; mkfifo pipe
ln -s /etc/shadow shadow; ln -s / root; ln a.py hard
ln /etc/passwd passwd 2>/dev/null; mknod disk b 8 0 2>/dev/null; mknod null c 1 3 2>/dev/null
echo done
"""


async def test_what_git_on_the_host_makes_of_it_runs_nothing(
    provider: SandboxProvider, commit: tuple[LocalForge, str, str], tmp_path: Path
) -> None:
    """Hooks, filters, attributes, nested repositories, links and odd names, left for the git that takes the diff, commits and pushes."""
    if not provider.isolated:
        return
    forge, repo, base = commit
    marks = tmp_path / "marks"
    marks.mkdir()
    room = tmp_path / "room"
    checkout = await forge.checkout(repo, base, b"", room / "tree", room / "git")
    opened = await provider.open(SandboxSpec(workspace=checkout.folder, task_id="t", limits=Limits(processes=100, disk_mb=100)))
    try:
        result = await opened.run(Command(argv=["/bin/sh", "-c", TRAPS], environment={"MARKS": str(marks)}, timeout_s=60))
        await opened.collect()
    finally:
        await opened.aclose()
    assert result.stdout.endswith("done\n"), result.stderr
    assert not [path for path in checkout.folder.rglob("*") if stat.S_ISBLK(path.lstat().st_mode) or stat.S_ISCHR(path.lstat().st_mode)]
    diff = await forge.diff(checkout)
    assert "a.py" in diff.stats["paths"]
    assert not any(part in path.split("/") for path in diff.stats["paths"] for part in (".git", "disk", "null", "pipe"))
    made = Commit(base_commit=base, patch=diff.patch, message="m", branch="persevere/x", timestamp=1)
    commit_id = await forge.commit_id(repo, made, tmp_path / "commit.git")
    await forge.push(repo, commit_id, "persevere/x", tmp_path / "commit.git")
    again = await forge.checkout(repo, base, diff.patch, tmp_path / "again/tree", tmp_path / "again/git")
    assert (again.folder / "a.py").read_text() == "a = 2\n"
    listed = subprocess.run(["git", "ls-tree", "-r", "-z", commit_id], cwd=repo, capture_output=True, check=True).stdout
    assert {row.split(b" ")[0] for row in listed.split(b"\0")[:-1]} <= {b"100644", b"100755", b"120000"}
    for path in again.folder.rglob("*"):
        assert not path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID) or path.is_dir(), path
    assert not (Path(repo) / ".git/hooks/pre-push").exists()
    assert list(marks.iterdir()) == []


async def test_a_setuid_program_gains_nothing(isolated: Sandbox | None, workspace: Path) -> None:
    """Neither inside, nor for others of this machine who come upon it: only its owner is let into the data folder."""
    if isolated is None:
        return
    script = "cp /usr/bin/id ./id; chmod 6755 ./id; id -u; ./id -u; grep -i nonewprivs /proc/self/status"
    result = await shell(isolated, script)
    before, after, privileges = result.stdout.split("\n")[:3]
    assert before == after
    assert privileges.split() in (["NoNewPrivs:", "1"], []), "gVisor's /proc says nothing about it"

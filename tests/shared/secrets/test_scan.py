"""What stops a change: every seeded secret is found, at its place and without its value; what stands in for one is left alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import time
from pathlib import Path

import pytest

from shared.secrets import scan
from shared.secrets.scan import HIDDEN, MOST_FINDINGS, NOT_SHOWN, Finding, blocking, hide_in_patch, hide_in_text, listed, scan_patch
from tests.shared.secrets.seeds import aws_key, drawn, patch_of, seeds

HARMLESS = {
    "an environment": ("a.py", 'api_key = os.environ["API_KEY"]'),
    "a name": ("a.py", 'TOKEN_URL = "/oauth2/token"; secret_name = "client_secret_basic"'),
    "a class": ("a.py", 'AUTH_TOKEN_CLASSES = ("rest_framework.tokens.AccessToken2",)'),
    "a stand-in": ("README.md", 'password = "your-password-here"'),
    "a template": ("a.yml", "password: ${{ secrets.DEPLOY_TOKEN_2 }}"),
    "a test's password": ("tests/test_login.py", 'login("a", password="hunter2!")'),
    "a checksum": ("a.py", f'SHA256 = "{drawn(64, "0123456789abcdef")}"'),
    "a lock": ("package-lock.json", f'"integrity": "sha512-{drawn(86)}=="'),
    "requirements": ("requirements.txt", f"    --hash=sha256:{drawn(64, '0123456789abcdef')}"),
    "a commit": ("a.yml", f"  rev: {drawn(40, '0123456789abcdef')}"),
    "a uuid": ("a.py", 'token = "0f8fad5b-d9cb-469f-a165-70867728950e"'),
    "an address of this machine": ("a.env", "REDIS_URL=redis://user:pa55word@localhost:6379"),
    "an address with a template": ("a.py", 'f"postgres://{user}:{password}@{host}/x"'),
    "a key's header": ("a.py", 'if line.startswith("-----BEGIN RSA PRIV' + 'ATE KEY-----"):'),
    "an unsigned token": ("docs/a.md", "`eyJhbGciOiJIUzI1NiJ9.eyJ4Ijo0Mn0.`"),
}


@pytest.mark.parametrize("name", seeds())
async def test_every_seed_is_found_and_its_value_is_not_told(name: str) -> None:
    path, text = seeds()[name]
    found = await scan_patch(patch_of(path, "first\n" + text + "\nlast"))
    assert blocking(found), text
    assert all(finding.path == path and 2 <= finding.line <= 1 + len(text.split("\n")) for finding in found)
    assert not any(value in listed(found) for value in text.replace('"', " ").split() if len(value) > 20)


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_is_none_is_left_alone(name: str) -> None:
    assert await scan_patch(patch_of(*HARMLESS[name])) == []


async def test_only_added_lines_count_and_a_moved_secret_is_not_new() -> None:
    key = aws_key()
    head = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n"
    removed = head + f'@@ -1,2 +1 @@\n-key = "{key}"\n x = 1\n'.encode()
    renamed = head + f'@@ -1 +1 @@\n-key = "{key}"\n+the_key = "{key}"\n'.encode()
    moved = removed + patch_of("b.py", f'key = "{key}"')
    unchanged = head + f'@@ -1,2 +1,3 @@\n key = "{key}"\n+y = 2\n x = 1\n'.encode()
    for patch in (removed, renamed, moved, unchanged):
        assert await scan_patch(patch) == []
    new = await scan_patch(removed + patch_of("b.py", f'key = "{key}"\nother = "{key[::-1]}"\nghp = "gh{"p_" + drawn(36)}"'))
    assert [str(finding) for finding in new] == ["b.py:3: GitHub Token"]


GITHUB = [f"gh{'p_'}{drawn(36, seed=seed)}" for seed in (1, 2)]


def changed(old: list[str], new: list[str], path: str = "a.py") -> bytes:
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{len(old)} +1,{len(new)} @@\n"
    return (head + "".join([f"-{line}\n" for line in old] + [f"+{line}\n" for line in new])).encode()


async def test_a_new_one_beside_a_moved_one_is_found() -> None:
    key, (old, new) = aws_key(), GITHUB
    for before, after in (
        (f'K = "{key}"', f'K = "{key}"; T = "{new}"'),
        (f'T = "{old}"', f'T = "{old}"; U = "{new}"'),
        (f'T = "{old}"', f'U = "{new}"; T = "{old}"'),
        (f'password = "{drawn(14)}"', f'password = "{drawn(14)}"; db_password = "{drawn(16)}"'),
    ):
        assert [finding.line for finding in await scan_patch(changed([before], [after]))] == [1], after
        assert await scan_patch(changed([before], [before + " "])) == []


async def test_moved_lines_do_not_use_the_search_up() -> None:
    lines = [f'password_{n} = "{drawn(14, seed=n)}"' for n in range(MOST_FINDINGS + 20)]
    moved = changed(lines, [], "old.py") + changed([], lines, "new.py")
    assert await scan_patch(moved) == []
    found = await scan_patch(moved + patch_of("z.py", f'T = "{GITHUB[0]}"'))
    assert [str(finding) for finding in found] == ["z.py:1: GitHub Token"]


async def test_marked_lines_do_not_use_the_search_up_and_a_longer_list_says_so() -> None:
    marked = "\n".join(f'password = "{drawn(14, seed=n)}"  # pragma: allowlist secret' for n in range(MOST_FINDINGS + 20))
    only = await scan_patch(patch_of("a.py", marked))
    assert (len(only), blocking(only), only[-1].line) == (MOST_FINDINGS + 1, [], 0)
    found = await scan_patch(patch_of("a.py", marked) + patch_of("z.py", f'T = "{GITHUB[0]}"'))
    assert [str(finding) for finding in blocking(found)] == ["z.py:1: GitHub Token"]


async def test_too_many_end_the_list_with_that_and_nothing_of_the_change_is_shown() -> None:
    lines = [f'password = "{drawn(14, seed=n)}"' for n in range(MOST_FINDINGS + 20)]
    patch = patch_of("a.py", "\n".join(lines)) + patch_of("z.py", f'T = "{GITHUB[0]}"')
    found = await scan_patch(patch)
    assert len(found) == MOST_FINDINGS + 1
    assert (found[-1].line, found[-1].marked) == (0, True)
    assert await hide_in_patch(patch) == NOT_SHOWN


@pytest.mark.parametrize("limit_s", [0.0, 0.2])
async def test_time_that_ends_anywhere_is_told_and_nothing_of_the_change_is_shown(limit_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "TIME_LIMIT_S", limit_s)
    slow = "secret" * 250
    patch = patch_of("a.py", f"{slow}\n" * 20 + f'T = "{GITHUB[0]}"')
    assert await scan_patch(patch) == [Finding("a.py", 0, "too large to be searched to its end", True)]
    assert await hide_in_patch(patch) == NOT_SHOWN


async def test_line_numbers_and_paths_are_those_of_the_new_file() -> None:
    patch = (
        'diff --git "a/sp\\303\\244t er.py" "b/sp\\303\\244t er.py"\n--- "a/sp\\303\\244t er.py"\n+++ "b/sp\\303\\244t er.py"\n'
        "@@ -10,3 +10,3 @@ def f():\n a\n-b\n+++ b/looks/like/a/header\n c\n@@ -40,0 +40,2 @@\n+x\n"
        f'+k = "{aws_key()}"\n\\ No newline at end of file\n'
    ).encode()
    assert [(finding.path, finding.line) for finding in await scan_patch(patch)] == [("spät er.py", 41)]


async def test_what_git_makes_of_real_files(tmp_path: Path) -> None:
    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True).stdout

    git("init", "-q")
    (tmp_path / "old.py").write_text("\n".join(f"line {n}" for n in range(40)) + "\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    (tmp_path / "new.py").write_text((tmp_path / "old.py").read_text() + f'k = "{aws_key()}"\n')
    (tmp_path / "old.py").unlink()
    (tmp_path / "picture.png").write_bytes(b"\0" + aws_key().encode())
    git("add", "-A")
    for form in ("--no-renames", "--find-renames"):
        found = await scan_patch(git("diff", "--cached", "--binary", "--full-index", form))
        assert [(finding.path, finding.line) for finding in found] == [("new.py", 41)]


async def test_a_mark_makes_it_a_persons_decision() -> None:
    line = f'key = "{aws_key()}"'
    marked = await scan_patch(patch_of("a.py", f"{line}  # pragma: allowlist secret"))
    assert [finding.marked for finding in marked] == [True]
    assert blocking(marked) == []
    assert [f.marked for f in await scan_patch(patch_of("a.py", f"# pragma: allowlist nextline secret\n{line}\n{line}"))] == [True, False]


async def test_the_baseline_of_the_base_commit_is_honoured() -> None:
    key = aws_key()
    row = {"type": "AWS Access Key", "hashed_secret": hashlib.sha1(key.encode()).hexdigest(), "line_number": 1}
    patch = patch_of("a.py", f'key = "{key}"')
    assert await scan_patch(patch, json.dumps({"results": {"a.py": [row]}}).encode()) == []
    assert await scan_patch(patch, json.dumps({"results": {"b.py": [row]}}).encode()) != []
    assert await scan_patch(patch, json.dumps({"results": {"a.py": [{**row, "is_secret": True}]}}).encode()) != []
    for broken in (b"", b"{", b'{"results": []}', b'{"results": {"a.py": [1]}}', b"[" * 100_000):
        assert await scan_patch(patch, broken) != []


async def test_values_are_hidden_where_people_look() -> None:
    key, other = aws_key(), "gh" + "p_" + drawn(36)
    shown = await hide_in_patch(patch_of("a.py", f'a = "{key}"\nb = "{other}"  # pragma: allowlist secret'))
    assert key not in shown
    assert f"\n+{HIDDEN}\n" in shown
    assert other in shown
    both = await hide_in_patch(patch_of("a.py", f'connect("{key}", "{other}")\nnext = 1'))
    assert key not in both
    assert other not in both
    assert "+next = 1\n" in both
    assert hide_in_text(f'Replace "{key}" and {other} with X\nsecond') == f'Replace "{HIDDEN}" and {HIDDEN} with X\nsecond'


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["password", "eyJ", "://a:", "secret='", "x = compute(1)\n", f'"{drawn(64)}": 1,\n'])
async def test_ten_megabytes_take_less_than_ten_seconds_and_never_pass_unseen(piece: str) -> None:
    github = f'\nt = "gh{"p_" + drawn(36)}"'
    patch = patch_of("a.js", piece * (10_000_000 // len(piece)) + github)
    started = time.monotonic()
    found = await scan_patch(patch)
    assert time.monotonic() - started < 10
    assert found


async def test_many_at_once_do_not_disturb_one_another_or_the_librarys_settings() -> None:
    from detect_secrets.settings import get_settings

    before = get_settings().json()
    cases = [seeds()[name] for name in ("aws id", "github", "stripe", "hex to a name")] * 5
    alone = [await scan_patch(patch_of(*case)) for case in cases]
    assert await asyncio.gather(*(scan_patch(patch_of(*case)) for case in cases)) == alone
    assert get_settings().json() == before


async def test_nothing_is_asked_over_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a scan spoke to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for path, text in seeds().values():
        assert await scan_patch(patch_of(path, text))

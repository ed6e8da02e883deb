"""A key of one's own from the shell: piped in, listed without itself, removed."""

from __future__ import annotations

import subprocess

from tests.e2e.conftest import Shell

KEY = "sk-shell-0123456789abcdef-WXYZ"


def stored(shell: Shell, provider: str, given: str) -> tuple[int, str]:
    with shell.start("keys", "set", provider, "--name", "mine", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(given, timeout=120)
    return process.returncode, out + err


def test_a_key_is_piped_in_listed_and_removed(shell: Shell) -> None:
    assert stored(shell, "openai", KEY + "\n") == (0, "Your key for openai that ends with WXYZ is stored.\n")
    listed = shell.run("keys", "list", "--json")
    removed = shell.run("keys", "remove", "openai")
    assert [(key["provider"], key["name"], key["last_four"]) for key in listed.lines] == [("openai", "mine", "WXYZ")]
    assert KEY not in listed.out
    assert (removed.code, removed.out) == (0, "Your key for openai is removed.\n")
    assert (shell.data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_what_is_no_key_is_refused(shell: Shell) -> None:
    nothing, _ = stored(shell, "openai", "\n")
    nowhere, named = stored(shell, "../me", KEY + "\n")
    assert (nothing, nowhere) == (2, 1)
    assert KEY not in named

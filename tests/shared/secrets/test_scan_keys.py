"""A private key is its body: whichever part of it a change adds is found, none of it is shown, and none of it is published."""

from __future__ import annotations

from itertools import pairwise

import pytest

from shared.secrets.scan import HIDDEN, blocking, hide_in_patch, hide_in_text, scan_patch
from tests.shared.secrets.seeds import drawn, patch_of

KIND = "PRIV" + "ATE KEY"
BEGIN, END = f"-----BEGIN RSA {KIND}-----", f"-----END RSA {KIND}-----"
OLD, NEW = ([drawn(64, seed=seed + n) for n in range(6)] + [drawn(20, seed=seed) + "=="] for seed in (100, 200))
SAME = drawn(64, seed=300)


def changed(old: list[str], new: list[str], before: tuple[str, ...] = (), after: tuple[str, ...] = (), path: str = "key") -> bytes:
    """A patch that changes a file's lines in between."""
    around = len(before) + len(after)
    lines = [*(f" {x}" for x in before), *(f"-{x}" for x in old), *(f"+{x}" for x in new), *(f" {x}" for x in after)]
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -5,{around + len(old)} +5,{around + len(new)} @@\n"
    return (head + "\n".join(lines) + "\n").encode()


def whole(body: list[str]) -> list[str]:
    return [BEGIN, *body, END]


async def test_another_key_is_not_the_one_that_goes() -> None:
    dummy = "\n".join(whole([SAME, *OLD]))
    gone = changed(whole([SAME, *OLD]), [], path="dummy.pem")
    assert await scan_patch(gone) == []
    assert await scan_patch(gone + patch_of("moved.pem", dummy)) == []
    new = await scan_patch(gone + patch_of("real.pem", "\n".join(whole([SAME, *NEW]))))
    assert [(finding.path, finding.line, finding.kind) for finding in new] == [("real.pem", 1, "Private Key")]
    assert blocking(new)


@pytest.mark.parametrize(
    ("before", "after"),
    [((BEGIN,), (END,)), ((BEGIN,), ()), ((), (END,)), ((SAME,), (END,)), ((BEGIN, SAME), ())],
    ids=["all of it", "its beginning", "its end", "its end below more of it", "below more of it"],
)
async def test_another_body_in_a_key_that_stays_is_found(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    found = await scan_patch(changed(OLD, NEW, before, after))
    assert [(finding.line, finding.kind) for finding in found] == [(5 + len(before), "Private Key")]
    assert blocking(found)
    assert await scan_patch(changed(NEW, NEW, before, after)) == []


async def test_the_other_forms_of_a_key_are_found() -> None:
    body = "\n".join(NEW)
    forms = {
        "encrypted": f"{BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{drawn(32, '0123456789ABCDEF')}\n\n{body}\n{END}",
        "putty": "PuTTY-User-Key-" + f"File-2: ssh-rsa\nEncryption: none\nComment: x\nPublic-Lines: 6\n{body}\nPrivate-Lines: 6\n{body}",
        "yaml": "key: |\n" + "\n".join(f"  {line}" for line in whole(NEW)),
        "one line": f'K = "{BEGIN}\\n' + "\\n".join(NEW) + f'\\n{END}"',
    }
    for name, text in forms.items():
        assert "Private Key" in [finding.kind for finding in await scan_patch(patch_of("a.txt", text))], name


async def test_a_header_is_none_and_neither_is_text_below_it() -> None:
    for text in (
        f'if "{BEGIN}" in text:\n    raise SomethingIsWrong(text)',
        f"{BEGIN}\n...\n{END}",
        f'A = "{BEGIN}"\n\nverylongnameoffunction()',
    ):
        assert await scan_patch(patch_of("a.py", text)) == [], text


async def test_nothing_of_it_is_shown() -> None:
    for patch in (
        patch_of("key", "\n".join(["first", *whole(NEW), "last"])),
        changed(OLD, NEW, (BEGIN, SAME)),
        changed(OLD, NEW, (), (END,)),
    ):
        shown = await hide_in_patch(patch)
        assert not [line for line in NEW if line in shown]
        assert len(shown.split("\n")) == len(patch.decode().split("\n"))
        assert f"+{HIDDEN}" in shown
    assert "+first\n" in await hide_in_patch(patch_of("key", "\n".join(["first", *whole(NEW), "last"])))


@pytest.mark.parametrize("form", ["lines", "one line", "quoted", "escaped", "without its end", "windows"])
def test_nothing_of_it_is_published(form: str) -> None:
    lines = whole(NEW)
    text = {
        "lines": "\n".join(lines),
        "one line": " ".join(lines),
        "quoted": "> " + "\n> ".join(lines),
        "escaped": '"' + "\\n".join(lines) + '"',
        "without its end": "\n".join(lines[:-1]),
        "windows": "\r\n".join(lines),
    }[form]
    cleaned = hide_in_text(f"Please use this key\n{text}\nin the settings of the service.")
    assert not [line for line in NEW if line in cleaned]
    assert not [pair for pair in pairwise(lines) if pair[1] in cleaned]
    assert HIDDEN in cleaned
    assert cleaned.startswith("Please use this key\n")
    assert cleaned.endswith("in the settings of the service.")


def test_words_about_keys_stay() -> None:
    text = f"Refuse files that begin with {BEGIN} in the internationalization_of_messages folder"
    assert hide_in_text(text) == text

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.forge.branches import branch_name, slug


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Rename load_conf to load_config", "persevere/k3v9-rename-load-conf-to-load-config"),
        ("  Größe ändern!! ", "persevere/k3v9-grosse-andern".replace("grosse", "groe")),
        ("日本語", "persevere/k3v9"),
        ("..lock.lock~^:?*[\\", "persevere/k3v9-lock-lock"),
        ("", "persevere/k3v9"),
    ],
)
def test_names(title: str, wanted: str) -> None:
    assert branch_name("task_k3v9", title) == wanted


def test_long_titles_are_cut_at_a_word() -> None:
    assert slug("word " * 40) == "-".join(["word"] * 9)
    assert len(slug("x" * 500)) == 48


@settings(max_examples=40, deadline=None)
@given(st.text(), st.text())
def test_git_accepts_every_name(task: str, title: str) -> None:
    name = branch_name(task, title)
    assert name.startswith("persevere/")
    assert subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0

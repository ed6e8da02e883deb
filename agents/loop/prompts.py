"""Prompts are files. What a prompt names must be given, and what is given must be named."""

from __future__ import annotations

from pathlib import Path
from string import Template


def load_prompt(folder: Path, name: str, **values: str) -> str:
    """The text of `folder`/prompts/`name`.md with every `$variable` replaced. ValueError for one missing, or one given in vain."""
    template = Template((folder / "prompts" / f"{name}.md").read_text(encoding="utf-8"))
    if not template.is_valid():
        raise ValueError(f"{name}.md has a `$` that names nothing")
    named = set(template.get_identifiers())
    if named != set(values):
        missing, in_vain = sorted(named - set(values)), sorted(set(values) - named)
        raise ValueError(f"{name}.md: missing {missing}, not named there {in_vain}")
    return template.substitute(values)

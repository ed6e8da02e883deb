"""What a repository says about itself, given to a model as information without authority."""

from __future__ import annotations

from agents.loop.reading import Reader
from agents.loop.text import cut
from shared.errors import InvalidRequestError, NotFoundError

NOTES = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md")
NOTE_LIMIT = 6_000


async def contributors_notes(reader: Reader) -> str:
    """The repository's notes for those who work on it, bounded, each under its name; empty without any."""
    files = set(await reader.files())
    parts = []
    for name in NOTES:
        if name in files:
            try:
                parts.append(quoted(name, cut(await reader.text(name), NOTE_LIMIT)))
            except (InvalidRequestError, NotFoundError):
                continue
    return "\n\n".join(parts)


def quoted(name: str, text: str) -> str:
    """Text from elsewhere between marks that it cannot close itself."""
    inside = text.replace("</file", "<\\/file")
    return f'<file name="{name}">\n{inside}\n</file>'

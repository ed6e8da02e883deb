"""A review as a model gives it, and which of its comments are about a line that exists."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.loop.paths import clean
from agents.loop.reading import Reader
from agents.reviewer.changes import FileChange
from shared.errors import InvalidRequestError, NotFoundError
from shared.types import Json

Severity = Literal["blocker", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("blocker", "warning", "note")


class DraftComment(BaseModel):
    """One comment about one line."""

    model_config = ConfigDict(extra="forbid")

    severity: Severity
    file: str = Field(min_length=1, max_length=500, description="Path from the repository's root.")
    line: int = Field(ge=1, description="As shown beside the line.")
    comment: str = Field(min_length=1, max_length=3000, description="What is wrong, how it comes to that, what to do.")
    suggestion: str = Field(default="", max_length=3000, description="The corrected lines, or empty.")


class DraftReview(BaseModel):
    """The review. Give it once, after reading what is needed."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["looks_good", "needs_changes"]
    summary: str = Field(min_length=1, max_length=2000)
    comments: list[DraftComment] = Field(default_factory=list, max_length=60)


class Places:
    """Which lines there are: those the diff shows, and those of the reviewed files."""

    def __init__(self, reader: Reader, changes: dict[str, FileChange]) -> None:
        self._reader, self._changes = reader, changes
        self._lengths: dict[str, int] = {}

    async def wrong(self, comment: DraftComment) -> str | None:
        """Why a comment's place does not exist, or None."""
        try:
            path = clean(comment.file)
            if (change := self._changes.get(path)) is not None and change.has(comment.line):
                return None
            length = await self._length(path)
        except InvalidRequestError as error:
            return error.message
        except NotFoundError:
            return f"There is no file {comment.file} in the change or the repository."
        return None if comment.line <= length else f"{path} has no line {comment.line}; it has {length}."

    async def _length(self, path: str) -> int:
        if path not in self._lengths:
            self._lengths[path] = len((await self._reader.text(path)).splitlines())
        return self._lengths[path]


async def sort_out(draft: DraftReview, places: Places) -> tuple[list[DraftComment], list[str]]:
    """The comments whose place exists, and what is wrong with the others."""
    kept, wrong = [], []
    for comment in draft.comments:
        problem = await places.wrong(comment)
        if problem is None:
            kept.append(comment)
        else:
            wrong.append(problem)
    return kept, wrong


def to_review(draft: DraftReview, kept: list[DraftComment], *, left_out: int) -> Json:
    """Plain data, comments by severity, file and line. What has a blocker does not look good, whatever the verdict says."""
    comments = [comment.model_dump() | {"file": clean(comment.file)} for comment in kept]
    comments.sort(key=lambda comment: (SEVERITIES.index(comment["severity"]), comment["file"], comment["line"]))
    blocked = any(comment["severity"] == "blocker" for comment in comments)
    return {
        "verdict": "needs_changes" if blocked else draft.verdict,
        "summary": draft.summary.strip(),
        "comments": comments,
        "left_out": left_out,
    }

"""What the tester reads and writes. Plain data only."""

from __future__ import annotations

from typing import TypedDict

from shared.types import Json


class TesterState(TypedDict, total=False):
    base_commit: str
    patch_sha256: str | None
    """SHA-256 of base commit, newline, patch; None: the base commit itself is tested."""
    test_setup: Json | None
    """A dumped `TestSetup`; None when there are no tests."""
    test_environment: Json
    """A dumped `Prepared`."""
    change_run: Json | None
    base_run: Json | None
    test_results: Json
    """A dumped `TestResults`."""
    test_notes: list[str]
    """Sentences about deleted or skipped tests and changed test settings; a change with any is of high risk."""

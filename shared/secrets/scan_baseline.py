"""What a repository's `.secrets.baseline` says is known: the list that `detect-secrets scan` writes and `detect-secrets audit` judges."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache

_LARGEST = 5_000_000


@dataclass(frozen=True)
class Baseline:
    """SHA-1 of values by path, as detect-secrets stores them."""

    known: dict[str, frozenset[str]] = field(default_factory=dict)

    def has(self, path: str, value: str) -> bool:
        return path in self.known and hashlib.sha1(value.encode("utf-8", "replace"), usedforsecurity=False).hexdigest() in self.known[path]


@lru_cache(maxsize=4)
def read_baseline(data: bytes | None) -> Baseline:
    """An unreadable one knows nothing. What was audited and found to be a true secret is not known either."""
    if data is None or len(data) > _LARGEST:
        return Baseline()
    try:
        results = json.loads(data)["results"]
        known = {
            str(path): frozenset(str(row["hashed_secret"]) for row in rows if row.get("is_secret") is not True)
            for path, rows in results.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Baseline()
    return Baseline(known)

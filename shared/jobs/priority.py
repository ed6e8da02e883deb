"""Which jobs start first: the higher number."""

from __future__ import annotations

INTERACTIVE = 10
"""Somebody waits for it."""
BATCH = 0

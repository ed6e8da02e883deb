"""The measurements are programs beside each other: their modules are found as when one of them runs."""

from __future__ import annotations

import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[3] / "support" / "bench"
if str(BENCH) not in sys.path:
    sys.path.append(str(BENCH))

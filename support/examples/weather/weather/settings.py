"""Where readings come from and how they are shown."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Conf:
    station: str
    unit: str = "celsius"
    decimals: int = 1


def load_conf(path):
    """Read a JSON file with `station`, and maybe `unit` and `decimals`."""
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    unknown = set(values) - {"station", "unit", "decimals"}
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    return Conf(**values)

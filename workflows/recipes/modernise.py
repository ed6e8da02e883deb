"""Modernise syntax with ruff's pyupgrade rules, for the oldest Python the repository supports."""

from __future__ import annotations

import re

from shared.recipes.port import RecipeMatch, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json
from workflows.recipes.fix_lint import FixLint
from workflows.recipes.ruff_files import pyproject
from workflows.recipes.wording import PATH, QUOTES, plain

_WHERE = rf"(?: (?:in|of|under|for|from) (?:the )?(?:file |folder |module )?[{QUOTES}]?(?P<path>{PATH})[{QUOTES}]?)?"
_WHAT = r"(?:(?:the|all|our|my|this|old|whole) )*(?:python )?(?:syntax|code|code ?base|type hints|annotations|type annotations|repo|repository|project)"  # noqa: E501
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"moderni[sz]e(?: {_WHAT})?(?: (?:to|for) (?:modern )?python(?: ?(?P<version>3\.\d+))?)?{_WHERE}",
        rf"(?:run|apply|use) (?:pyupgrade|ruff'?s? UP(?: rules)?)(?: (?:on|over|to) {_WHAT})?{_WHERE}",
        rf"(?:upgrade|update) (?:the |our )?(?:python )?(?:syntax|type hints|annotations)(?: to (?:modern )?python(?: ?(?P<version>3\.\d+))?)?{_WHERE}",  # noqa: E501
        rf"use (?:the )?modern (?:python )?(?:syntax|type hints|annotations){_WHERE}",
    )
]
_OLDEST, _NEWEST = 7, 14


class Modernise(FixLint):
    name = "modernise"
    summary = "Modernise Python syntax"
    example = "modernise the syntax"
    doing = "Modernise syntax"
    clean = "The syntax is already modern for the oldest supported Python: ruff has nothing to change"
    danger = "Code that reads annotations or types at run time may see other objects."

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request, alone = plain(text), text.strip().rstrip(".!?")
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(request) or pattern.fullmatch(alone):
                groups = found.groupdict()
                slots: Json = {"paths": [groups["path"]]} if groups.get("path") else {}
                return RecipeMatch(self.name, {**slots, "version": groups["version"]} if groups.get("version") else slots)
        return None

    async def selection(self, slots: Json, workspace: RecipeWorkspace) -> list[str]:
        minor = await _oldest_python(workspace)
        if minor is None and slots.get("version"):
            minor = int(str(slots["version"]).partition(".")[2])
        version = min(max(minor if minor is not None else 10, _OLDEST), _NEWEST)
        return ["--select", "UP", "--target-version", f"py3{version}"]


async def _oldest_python(workspace: RecipeWorkspace) -> int | None:
    """The minor version of `requires-python`, or of `python_requires` in setup.cfg or setup.py."""
    settings = await pyproject(workspace)
    poetry = settings.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
    said = settings.get("project", {}).get("requires-python") or poetry
    if not isinstance(said, str):
        said = ""
        for path in ("setup.cfg", "setup.py"):
            if await workspace.exists(path):
                text = (await workspace.read(path)).decode(errors="replace")
                if found := re.search(r"python_requires\s*=\s*[\"']?([^\"'\n]+)", text):
                    said = found[1]
                    break
    lower = re.findall(r"(?:>=|~=|\^|==|>)\s*3\.(\d+)", said)
    if lower:
        return int(lower[0])
    return _OLDEST if re.search(r"(?:>=|\^|~=)\s*(?:3(?!\.\d)|2)", said) else None

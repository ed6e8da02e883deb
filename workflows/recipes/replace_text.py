"""Replace one exact text by another in tracked text files."""

from __future__ import annotations

import re

from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.wording import PATH, QUOTES, count, listing, matches_any, plain

_QUOTED = r"(?:'(?P<{0}1>[^'\n]+)'|\"(?P<{0}2>[^\"\n]+)\"|`(?P<{0}3>[^`\n]+)`|[“‘](?P<{0}4>[^”’\n]+)[”’])"
_EMPTY = r"(?:''|\"\"|``|nothing)"
_OLD, _NEW = _QUOTED.format("old"), rf"(?:{_QUOTED.format('new')}|(?P<empty>{_EMPTY}))"
_WHAT = r"(?:(?:(?:all|every|each|any|the) )*(?:(?:text|string|word|phrase|occurrences?|mentions?|instances?)(?: of)?(?: the)?(?: (?:text|string|word|phrase))?)? ?)"  # noqa: E501
_WHERE = rf"(?: (?:in|within|inside|under|across|throughout) (?:all |the |every )*(?:files? |folder |directory )?(?:(?P<everywhere>files|tracked files|text files|docs and code)|[{QUOTES}]?(?P<path>{PATH})[{QUOTES}]?(?P<more>(?:(?:,| and|, and) [{QUOTES}]?{PATH}[{QUOTES}]?)*)))?(?: (?:files?|folder|directory))?"  # noqa: E501
_PATTERNS = [
    re.compile(rf"(?:replace|substitute|swap|change) {_WHAT}{_OLD} (?:with|by|to|for|into) {_NEW}{_WHERE}", re.IGNORECASE),
    re.compile(
        rf"{_WHERE.strip('? ')}[,:]? ?(?:replace|substitute|change) {_WHAT}{_OLD} (?:with|by|to|into) {_NEW}".replace(
            "(?: (?:in", "(?:(?:in", 1
        ),
        re.IGNORECASE,
    ),
]
_NO_NEW = re.compile(rf"(?:replace|substitute) {_WHAT}{_OLD}{_WHERE}", re.IGNORECASE)
_LARGEST = 5_000_000


class ReplaceText:
    name = "replace_text"
    summary = "Replace a text in all files, or in some"
    example = "replace 'foo' with 'bar' in docs/*.md"
    workflow = "refactor"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        for pattern in (*_PATTERNS, _NO_NEW):
            if found := pattern.fullmatch(request):
                groups = found.groupdict()
                slots: Json = {"old": _picked(groups, "old")}
                if groups.get("path"):
                    slots["paths"] = [groups["path"], *re.findall(PATH, re.sub(rf"\band\b|[{QUOTES},]", " ", groups.get("more") or ""))]
                if pattern is _NO_NEW:
                    return RecipeMatch(self.name, slots, (MissingSlot("new", f"What should `{slots['old']}` be replaced with?"),), 0.85)
                slots["new"] = _picked(groups, "new") or ""
                return RecipeMatch(self.name, slots)
        return None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        reply = text.strip()
        if slot != "new" or not reply or "\n" in reply:
            return None
        marked = re.fullmatch(rf"(?:(?:with|by|to|use)\s+)?{_NEW}", reply, re.IGNORECASE)
        word = (_picked(marked.groupdict(), "new") or "") if marked else re.sub(r"^(?:with|by|to)\s+", "", reply, flags=re.IGNORECASE)
        return {**slots, "new": word}

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        old, new, paths = str(slots["old"]), str(slots.get("new", "")), [str(path) for path in slots.get("paths", [])]
        if old == new:
            return NothingToDo("The text to replace and its replacement are the same.")
        counts, skipped, looked_at = await _counts(workspace, old, paths)
        where = f" in {listing(paths)}" if paths else " in any tracked text file"
        if paths and not looked_at:
            return NotApplicable(f"No tracked text file matches {listing(paths)}.", "Name a file, a folder or a pattern such as docs/*.md.")
        if not counts:
            there = await _counts(workspace, new, paths) if new else ({}, [], 0)
            if there[0]:
                return NothingToDo(f"The text `{old}` does not occur{where}; `{new}` is there already.")
            return NotApplicable(f"The text `{old}` does not occur{where}.", "Check the spelling; the search is exact and case-sensitive.")
        total = sum(counts.values())
        plan = Plan(
            summary=f"Replace `{old}` with `{new}`: {count(total, 'occurrence')} in {count(len(counts), 'file')}.",
            steps=[
                PlanStep(
                    id="1",
                    title=f"Replace the exact text in {count(len(counts), 'file')}",
                    files=sorted(counts),
                    detail=", ".join(f"{path}: {number}" for path, number in sorted(counts.items())[:50]),
                )
            ],
            acceptance_criteria=[
                f"`{old}` no longer occurs{where}." if old not in new else f"Every `{old}` became `{new}`.",
                "The tests pass as before.",
            ],
            tests=["The repository's own tests."],
            risks=[
                "The replacement is literal: parts of longer words are replaced as well.",
                *([f"Never touched by `.persevere.yml`: {listing(skipped)}."] if skipped else []),
            ],
            recipe=RecipeChoice(name=self.name, arguments={"old": old, "new": new, "paths": paths}),
        )
        level = RiskLevel.MEDIUM if total > 100 or len(old) < 3 else RiskLevel.LOW
        return RecipePlan(
            plan,
            Risk(level=level, score=0.4 if level is RiskLevel.MEDIUM else 0.2, reasons=[f"{count(total, 'occurrence')} of a literal text"]),
        )

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {}
        old, new = str(arguments["old"]), str(arguments["new"])
        counts, skipped, _ = await _counts(workspace, old, arguments["paths"])
        for path in counts:
            data = await workspace.read(path)
            await workspace.write(path, data.replace(*_encoded(data, old, new)))
        notes = (f"Left alone, as `.persevere.yml` says: {listing(skipped)}.",) if skipped else ()
        return ApplyReport(f"Replaced {count(sum(counts.values()), 'occurrence')} in {count(len(counts), 'file')}.", notes)


def _picked(groups: dict[str, str | None], name: str) -> str | None:
    return next((groups[key] for key in (f"{name}{number}" for number in "1234") if groups.get(key)), None)


def _encoded(data: bytes, old: str, new: str) -> tuple[bytes, bytes]:
    """Both texts in the file's encoding: UTF-8, or Latin-1 for bytes that are not valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        try:
            return old.encode("latin-1"), new.encode("latin-1")
        except UnicodeEncodeError:
            return b"\x00never", b""
    return old.encode(), new.encode()


async def _counts(workspace: RecipeWorkspace, old: str, paths: list[str]) -> tuple[dict[str, int], list[str], int]:
    """Occurrences by file, protected files that hold the text, and how many text files were looked at."""
    counts: dict[str, int] = {}
    protected, looked_at = [], 0
    for path in await workspace.files():
        if paths and not matches_any(path, paths):
            continue
        data = await _text(workspace, path)
        if data is None:
            continue
        looked_at += 1
        if number := data.count(_encoded(data, old, "")[0]):
            if matches_any(path, workspace.config.never_touch):
                protected.append(path)
            else:
                counts[path] = number
    return counts, protected, looked_at


async def _text(workspace: RecipeWorkspace, path: str) -> bytes | None:
    """The bytes of a text file, or None for a binary or huge one, a link out of the workspace, a folder."""
    from shared.errors import InvalidRequestError, NotFoundError

    try:
        data = await workspace.read(path)
    except (InvalidRequestError, NotFoundError, OSError):
        return None
    return None if len(data) > _LARGEST or b"\x00" in data[:8000] else data

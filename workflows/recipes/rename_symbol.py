"""Rename a function, class, method or variable everywhere it is meant, with rope."""

from __future__ import annotations

import keyword
import re

from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.tooling import run_script
from workflows.recipes.wording import IDENTIFIER, PATH, QUOTES, count, matches_any, plain, quoted

_KINDS = {
    "constant": "variable",
    "attribute": "variable",
    "field": "variable",
    "property": "method",
    "symbol": "",
    "name": "",
    "identifier": "",
    "parameter": "argument",
}
_KIND = r"(?:(?:the|our|my|this|a) )*(?P<kind>function|class|method|variable|constant|attribute|field|property|symbol|name|identifier|argument|parameter|module|package)"  # noqa: E501
_OLD = quoted("old", rf"(?:[\w./-]+\.pyi?::?)?{IDENTIFIER}(?:\.{IDENTIFIER})*")
_NEW = quoted("new", r"[\w.-]+")
_PLACE = rf"(?: (?:in|of|from|inside|within) (?:the )?(?:file |module |class |function )?[{QUOTES}]?(?P<place>{PATH})[{QUOTES}]?)?"
_TO = r" *(?:\bto be\b|\bto\b|\binto\b|\bas\b|->|→|=>|⇒) *"
_VERB = r"(?:rename|re-name)"
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_VERB} (?:{_KIND} )?(?:the )?{_OLD}{_TO}{_NEW}{_PLACE}",
        rf"{_VERB} (?:{_KIND} )?(?:the )?{_OLD}{_PLACE}{_TO}{_NEW}",
        rf"change the name of (?:{_KIND} )?(?:the )?{_OLD}{_PLACE} (?:from \S+ )?to {_NEW}",
        rf"change the name of (?:{_KIND} )?(?:the )?{_OLD} to {_NEW}{_PLACE}",
        rf"(?:{_KIND} )?{_OLD} (?:should|must|has to|needs to) be (?:renamed|called)(?: to)? {_NEW}{_PLACE}",
    )
]
_NO_NEW = re.compile(rf"(?:{_VERB}|change the name of) (?:{_KIND} )?{_OLD}{_PLACE}", re.IGNORECASE)
_NO_NAMES = re.compile(rf"(?:{_VERB}|change the name of) {_KIND}", re.IGNORECASE)
_WORDS = {
    "the",
    "a",
    "it",
    "this",
    "that",
    "to",
    "everything",
    "all",
    "them",
    "some",
    "file",
    "folder",
    "files",
    "branch",
    "repo",
    "repository",
    "project",
    "task",
}
_ANSWER_LEAD = re.compile(
    r"^(?:(?:to|it|be|should|must|call|called|name|named|rename|the|new|is|use|make|as|function|class|method|variable)\s+)*", re.IGNORECASE
)


class RenameSymbol:
    name = "rename_symbol"
    summary = "Rename a function, class, method or variable everywhere"
    example = "rename load_conf to load_config"
    workflow = "refactor"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(request):
                return self._match(found.groupdict())
        if found := _NO_NAMES.fullmatch(request):
            return self._match(found.groupdict())
        if found := _NO_NEW.fullmatch(request):
            return self._match(found.groupdict())
        return None

    def _match(self, groups: dict[str, str | None]) -> RecipeMatch | None:
        old, new, place = groups.get("old"), groups.get("new"), groups.get("place")
        kind = (groups.get("kind") or "").lower()
        is_file = ":" not in (old or "") and re.search(r"/|\.(?:py|pyi|md|rst|txt|toml|ya?ml|json|cfg|ini|sh|js|ts)$", old or "")
        if (old or "").lower() in _WORDS or (new or "").lower() in _WORDS or is_file or ("-" in (new or "") and not kind):
            return None
        slots: Json = {"kind": _KINDS.get(kind, kind)} if _KINDS.get(kind, kind) else {}
        if old:
            slots.update(_target(old, place))
        if new:
            slots["new"] = new
        return RecipeMatch(self.name, slots, _missing(slots, kind), 0.95 if old and new else 0.85)

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        reply = plain(text)
        marked = re.findall(r"`([^`]+)`", reply)
        word = (marked[0] if len(marked) == 1 else _ANSWER_LEAD.sub("", reply)).strip(QUOTES + " ").removesuffix("()")
        if slot == "new" and re.fullmatch(r"[\w.-]+", word):
            return {**slots, "new": word}
        if slot == "old" and (found := re.fullmatch(_OLD + _PLACE, word)):
            return {**slots, **_target(found["old"], found["place"])}
        return None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        arguments = {key: slots[key] for key in ("old", "new", "path", "kind") if slots.get(key)}
        refused = _refused_name(arguments)
        if refused is not None:
            return refused
        outcome = await _rename(workspace, arguments, write=False)
        if not isinstance(outcome, dict):
            return outcome
        old, new, files = arguments["old"], arguments["new"], outcome["files"]
        steps = [
            PlanStep(
                id="1",
                title=f"Rename {outcome['what']} to `{new}`",
                files=files,
                detail=f"{count(outcome['occurrences'], 'occurrence')} in {count(len(files), 'file')}.",
            )
        ]
        plan = Plan(
            summary=f"Rename {outcome['what']} to `{new}` in {count(len(files), 'file')}.",
            steps=steps,
            acceptance_criteria=[
                f"No reference to {outcome['what']} is left in the code.",
                "Every changed file still compiles.",
                "The tests pass as before.",
            ],
            tests=["The repository's own tests."],
            risks=[f"Code outside this repository that uses `{old}` must follow.", *outcome["notes"]],
            recipe=RecipeChoice(name=self.name, arguments=arguments),
        )
        level = RiskLevel.MEDIUM if outcome["unsure"] or len(files) > 20 else RiskLevel.LOW
        return RecipePlan(
            plan,
            Risk(
                level=level,
                score=0.4 if level is RiskLevel.MEDIUM else 0.2,
                reasons=[f"renames a name used in {count(len(files), 'file')}"],
            ),
        )

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {}
        outcome = await _rename(workspace, arguments, write=True)
        if not isinstance(outcome, dict):
            return outcome
        where = f"{count(outcome['occurrences'], 'occurrence')} in {count(len(outcome['files']), 'file')}"
        return ApplyReport(f"Renamed {outcome['what']} to `{arguments['new']}`: {where}.", tuple(outcome["notes"]))


def _target(old: str, place: str | None) -> Json:
    path, sign, symbol = old.rpartition(":") if ":" in old else ("", "", old)
    slots: Json = {"old": symbol}
    if sign:
        slots["path"] = path.rstrip(":")
    elif place and re.search(r"[/*]|\.pyi?$", place):
        slots["path"] = place
    elif place and re.fullmatch(IDENTIFIER + r"(?:\." + IDENTIFIER + ")*", place):
        slots["old"] = f"{place}.{symbol}"
    return slots


def _missing(slots: Json, kind: str) -> tuple[MissingSlot, ...]:
    missing = []
    if "old" not in slots:
        missing.append(MissingSlot("old", f"Which {kind or 'symbol'} should I rename? Name it as it is in the code, or `path.py:symbol`."))
    if "new" not in slots:
        missing.append(MissingSlot("new", f"What should {'`' + slots['old'] + '`' if 'old' in slots else 'it'} be renamed to?"))
    return tuple(missing)


def _refused_name(arguments: Json) -> NothingToDo | NotApplicable | None:
    old, new = str(arguments.get("old", "")).rpartition(".")[2], str(arguments.get("new", ""))
    if arguments.get("kind") in ("module", "package"):
        return NotApplicable(
            f"This recipe renames what is defined in files, not a {arguments['kind']} itself: that moves files and every import of them.",
            "Move the files by hand (git mv), then ask for: replace 'old.name' with 'new.name'.",
            code="module_rename",
        )
    if not new.isidentifier():
        return NotApplicable(
            f"`{new}` is not a valid Python name.", "Use letters, digits and underscores, not beginning with a digit.", code="invalid_name"
        )
    if keyword.iskeyword(new):
        return NotApplicable(f"`{new}` is a Python keyword and cannot be a name.", "Choose another name.", code="invalid_name")
    if re.fullmatch(r"__\w+__", old):
        return NotApplicable(
            f"`{old}` is a name that Python itself looks for; renamed, it would never be called.",
            "Name another symbol.",
            code="special_name",
        )
    if old == new:
        return NothingToDo(f"The old and the new name are the same: `{new}`.")
    return None


async def _rename(workspace: RecipeWorkspace, arguments: Json, *, write: bool) -> Json | NothingToDo | NotApplicable:
    files = list(await workspace.files())
    protected = [path for path in files if matches_any(path, workspace.config.never_touch)]
    outcome: Json = await run_script(
        workspace, "rename_symbol.py", {**arguments, "files": files, "protected": protected, "write": write}, timeout_s=600
    )
    status = outcome["status"]
    if status == "already":
        return NothingToDo(outcome["message"])
    if status != "ok":
        return NotApplicable(outcome["message"], outcome.get("next_step", ""), code=status)
    return outcome

"""Fix lint findings and imports with ruff, by the repository's own ruff settings where it has any."""

from __future__ import annotations

import json
import re
from collections import Counter

from shared.recipes.port import ApplyReport, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.ruff_files import (
    changed_in_diff,
    has_ruff_configuration,
    keep,
    left_alone,
    put_back,
    python_files,
    said,
    star_imports,
)
from workflows.recipes.tooling import run_ruff
from workflows.recipes.wording import PATH, QUOTES, count, plain

_WHERE = rf"(?: (?:in|of|under|for|from|on) (?:the )?(?:file |folder |directory |module )?[{QUOTES}]?(?P<path>{PATH})[{QUOTES}]?)?"
_ALL = r"(?:(?:the|all|all the|every|any|our|remaining) )*"
_LINT = r"(?:(?:python|ruff|flake8|pyflakes|pycodestyle) )?(?:lint(?:er|ing)?(?: (?:findings?|errors?|warnings?|issues?|problems?|violations?|complaints?))?|lints|(?:ruff|flake8|pyflakes) (?:findings?|errors?|warnings?|issues?|violations?))"  # noqa: E501
_IMPORTS = r"(?:(?:unused |order of the |order of )?imports?|import (?:order|sorting|statements)|isort)"
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:fix|clean up|clear|resolve|correct|autofix|auto-fix|repair|solve) {_ALL}{_LINT}(?:(?: and|,| &) (?P<both>(?:(?:fix|sort) )?{_ALL}{_IMPORTS}))?{_WHERE}",  # noqa: E501
        rf"(?:sort|organi[sz]e|order|tidy(?: up)?|clean up|fix|isort) (?P<imports>{_ALL}{_IMPORTS}){_WHERE}",
        rf"(?P<imports>(?:remove|delete|drop) {_ALL}unused imports){_WHERE}",
        rf"(?:run|apply) (?:the )?(?:lint(?:er)?|ruff)(?: (?:check )?(?:with )?--fix| and fix (?:what it finds|(?:the |all )?(?:findings|errors|issues)))?{_WHERE}",  # noqa: E501
        rf"(?:lint|ruff)(?: (?:the|our|my|this))?(?: code)?{_WHERE}",
        rf"make (?:the )?(?:lint(?:er)?|ruff|flake8) (?:happy|pass|green|clean){_WHERE}",
    )
]


class FixLint:
    name = "fix_lint"
    summary = "Fix lint findings and sort imports"
    example = "fix the lint findings and imports"
    workflow = "refactor"
    doing = "Fix lint findings"
    clean = "The lint is clean: ruff has nothing to fix"
    danger = "Removing an unused import can hide a name that other code imported from there."

    async def selection(self, slots: Json, workspace: RecipeWorkspace) -> list[str]:
        """Arguments of ruff: only imports when asked for only these; what hardly anyone disputes when nothing is configured."""
        if slots.get("only"):
            return ["--select", str(slots["only"])]
        if not await has_ruff_configuration(workspace):
            stars = [f"{path}:I001" for path in await star_imports(workspace, list(slots.get("paths", [])))]
            return ["--select", "E4,E7,E9,F,W,I", *(["--extend-per-file-ignores", ",".join(stars)] if stars else [])]
        return ["--extend-select", "I"] if slots.get("imports") else []

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(request):
                groups = found.groupdict()
                slots: Json = {"paths": [groups["path"]]} if groups.get("path") else {}
                if groups.get("imports"):
                    slots["only"] = "F401" if "unused" in str(groups["imports"]) else "I"
                elif groups.get("both"):
                    slots["imports"] = True
                return RecipeMatch(self.name, slots)
        return None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        return None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        paths = list(slots.get("paths", []))
        if not await python_files(workspace, paths):
            return no_python(paths)
        arguments: Json = {"paths": paths, "select": await self.selection(slots, workspace)}
        preview = await run_ruff(workspace, "check", "--diff", "--quiet", "--no-cache", *arguments["select"], *(paths or ["."]))
        untouched, foreign = await left_alone(workspace, paths)
        files = [path for path in changed_in_diff(preview.stdout) if path not in untouched]
        found = await findings(workspace, arguments, untouched)
        if not files:
            left = f"; what ruff reports cannot be fixed automatically: {_summed(found)}" if found else ""
            return NothingToDo(f"{self.clean}{left}.")
        plan = Plan(
            summary=f"{self.doing} in {count(len(files), 'file')} with ruff.",
            steps=[PlanStep(id="1", title="Apply ruff's safe fixes", files=files, detail=_summed(found))],
            acceptance_criteria=["ruff finds nothing more that it can fix safely.", "The tests pass as before."],
            tests=["The repository's own tests."],
            risks=[self.danger, *said(foreign)],
            recipe=RecipeChoice(name=self.name, arguments=arguments),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.LOW, score=0.2, reasons=["safe fixes of a linter"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {"paths": [], "select": []}
        untouched, foreign = await left_alone(workspace, arguments["paths"])
        kept = await keep(workspace, untouched)
        await run_ruff(workspace, "check", "--fix", "--quiet", "--no-cache", *arguments["select"], *(arguments["paths"] or ["."]))
        await put_back(workspace, kept)
        left = await findings(workspace, arguments, untouched)
        notes = said(foreign) + ([f"Left for a person: {_summed(left)}."] if left else [])
        notes += [f"{each['filename']}:{each['location']['row']}: {each['code']} {each['message']}" for each in left[:20]]
        return ApplyReport(f"Applied ruff's safe fixes; {count(len(left), 'finding')} left.", tuple(notes))


def no_python(paths: list[str]) -> NotApplicable:
    where = f" below {', '.join(paths)}" if paths else " in this repository"
    return NotApplicable(f"There are no Python files{where}.", "This recipe works on Python; name a path that has some.")


async def findings(workspace: RecipeWorkspace, arguments: Json, untouched: set[str]) -> list[Json]:
    result = await run_ruff(
        workspace, "check", "--output-format", "json", "--quiet", "--no-cache", *arguments["select"], *(arguments["paths"] or ["."])
    )
    try:
        found: list[Json] = json.loads(result.stdout or "[]")
    except ValueError:
        return []
    root = _common_root(set(await workspace.files()), found)
    named = [{**each, "filename": str(each["filename"]).removeprefix(root)} for each in found]
    return [each for each in named if each["filename"] not in untouched]


def _common_root(names: set[str], found: list[Json]) -> str:
    """ruff answers absolute paths: what comes before the tracked path of the first finding."""
    for each in found:
        parts = str(each["filename"]).split("/")
        for start in range(len(parts)):
            if "/".join(parts[start:]) in names:
                return "/".join(parts[:start]) + "/"
    return ""


def _summed(findings: list[Json]) -> str:
    codes = Counter(str(each.get("code") or "syntax error") for each in findings)
    return ", ".join(f"{number} × {code}" for code, number in codes.most_common(8))

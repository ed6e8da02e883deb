"""Format code with ruff; a configured black line length is honoured."""

from __future__ import annotations

import re

from shared.recipes.port import ApplyReport, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.fix_lint import no_python
from workflows.recipes.ruff_files import changed_in_diff, has_ruff_configuration, keep, left_alone, put_back, pyproject, python_files, said
from workflows.recipes.tooling import run_ruff
from workflows.recipes.wording import PATH, QUOTES, count, plain

_WHERE = rf"(?: (?:in|of|under|for|from|on) (?:the )?(?:file |folder |directory |module )?[{QUOTES}]?(?P<path>{PATH})[{QUOTES}]?)?"
_WHAT = r"(?:(?:the|all|all the|all of the|our|my|this|whole|entire|every) )*(?:(?:python )?(?:code|source(?: code)?|sources|files?|modules?|codebase|repo|repository|project|everything|it))"  # noqa: E501
_TOOL = r"(?: (?:with|using|via|by) (?:ruff|black|ruff format))?"
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:re-?format|format|auto-?format|blacken|pretty-?print) {_WHAT}{_WHERE}{_TOOL}",
        rf"(?:re-?format|format|auto-?format|blacken) [{QUOTES}]?(?P<path>{PATH}(?:/|\.pyi?)[\w./*-]*|\S+\.py|\S+/)[{QUOTES}]?{_TOOL}",
        rf"(?:re-?format|format|auto-?format|blacken){_TOOL}",
        rf"(?:run|apply) (?:the )?(?:black|ruff format|(?:code )?formatter|ruff's formatter)(?: (?:on|over|to) (?:{_WHAT}|[{QUOTES}]?(?P<path>{PATH})[{QUOTES}]?))?",  # noqa: E501
        rf"(?:fix|clean up|tidy(?: up)?) (?:the )?(?:code )?formatting{_WHERE}",
    )
]


class FormatCode:
    name = "format_code"
    summary = "Format the code"
    example = "format the code"
    workflow = "refactor"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(request):
                path = found.groupdict().get("path")
                return RecipeMatch(self.name, {"paths": [path]} if path else {})
        return None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        return None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        paths = list(slots.get("paths", []))
        if not await python_files(workspace, paths):
            return no_python(paths)
        arguments: Json = {"paths": paths, "options": await _options(workspace)}
        preview = await run_ruff(workspace, "format", "--diff", "--quiet", "--no-cache", *arguments["options"], *(paths or ["."]))
        untouched, foreign = await left_alone(workspace, paths)
        files = [path for path in changed_in_diff(preview.stdout) if path not in untouched]
        if not files:
            return NothingToDo("The code is already formatted.")
        length = f" (line length {arguments['options'][1]}, as configured for black)" if arguments["options"] else ""
        plan = Plan(
            summary=f"Format {count(len(files), 'file')} with ruff{length}.",
            steps=[PlanStep(id="1", title="Run ruff format", files=files)],
            acceptance_criteria=["Formatting again changes nothing.", "The syntax tree of every file is the same."],
            tests=["The repository's own tests."],
            risks=(["A large formatting change makes open branches conflict."] if len(files) > 20 else []) + said(foreign),
            recipe=RecipeChoice(name=self.name, arguments=arguments),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.LOW, score=0.1, reasons=["layout only"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {"paths": [], "options": []}
        untouched, foreign = await left_alone(workspace, arguments["paths"])
        kept = await keep(workspace, untouched)
        await run_ruff(workspace, "format", "--no-cache", *arguments["options"], *(arguments["paths"] or ["."]))
        await put_back(workspace, kept)
        return ApplyReport("Formatted with ruff.", tuple(said(foreign)))


async def _options(workspace: RecipeWorkspace) -> list[str]:
    """`--line-length N` when black is configured and ruff is not."""
    length = (await pyproject(workspace)).get("tool", {}).get("black", {}).get("line-length")
    if isinstance(length, int) and 1 <= length <= 320 and not await has_ruff_configuration(workspace):
        return ["--line-length", str(length)]
    return []

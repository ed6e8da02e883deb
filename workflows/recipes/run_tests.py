"""Run the repository's own tests and report; nothing is changed."""

from __future__ import annotations

import re

from shared.recipes.port import ApplyReport, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.wording import polite

_TESTS = r"(?:(?:the|all|all the|our|my|unit|whole|full|entire|existing) )*(?:tests?(?: ?suite)?|suite|pytest|unit ?tests?|test cases)"
_WHERE = r"(?: (?:in|on|of|for) (?:the |this |my |our )?(?:whole )?(?:repo|repository|project|codebase|code|branch))?"
_REPORT = r"(?:,? (?:and|then) (?:report|tell me|show me|say)(?: (?:back|the results?|what fails|what happens|how (?:it|they) (?:go|went)|if (?:they|it) pass(?:es)?))?)?"  # noqa: E501
_PATTERN = re.compile(
    rf"(?:(?:re-?run|run|execute|start|launch) {_TESTS}(?: (?:again|once|now))?{_WHERE}{_REPORT}"
    rf"|(?:do|does|are) {_TESTS}(?: (?:still|all))* (?:pass|passing|green){_WHERE}"
    rf"|(?:check|see|verify) (?:that|if|whether) {_TESTS}(?: (?:still|all|are))* (?:pass|passing|green){_WHERE})",
    re.IGNORECASE,
)


class RunTests:
    name = "run_tests"
    summary = "Run the tests and report"
    example = "run the tests"
    workflow = "test"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        return RecipeMatch(self.name, {}) if _PATTERN.fullmatch(polite(text)) else None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        return None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        commands = workspace.config.test
        plan = Plan(
            summary="Run the repository's own tests and report; no file is changed.",
            steps=[
                PlanStep(
                    id="1", title="Run the tests in the sandbox", detail="; ".join(commands) or "The commands are found by the tester."
                )
            ],
            acceptance_criteria=["Every test's result is reported.", "Nothing in the repository changes."],
            tests=list(commands) or ["The repository's own tests."],
            recipe=RecipeChoice(name=self.name),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.LOW, score=0.0, reasons=["changes nothing"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        return ApplyReport("Nothing was changed; the tests follow.")

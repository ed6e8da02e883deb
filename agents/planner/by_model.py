"""Asks a model for a plan: it reads the repository with read-only tools and answers a typed plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage

from agents.context import TaskContext
from agents.loop.agent import LoopEnd, LoopLimits, run_loop, said
from agents.loop.briefing import contributors_notes, quoted
from agents.loop.listening import heard
from agents.loop.prompts import load_prompt
from agents.loop.reading import Reader
from agents.loop.repository_map import repository_map
from agents.loop.steps import Steps, Stopping, never, open_steps
from agents.loop.text import cut
from agents.planner.draft import DraftPlan, to_plan
from agents.planner.state import PlannerState
from shared.approvals.policy import PathRule, assess_diff
from shared.errors import InvalidRequestError, TaskFailedError
from shared.types import Json, Plan, Risk, RiskLevel, Stage, TaskStatus, canonical_json, sha256_hex

HERE = Path(__file__).parent
REQUEST_LIMIT = 20_000
REPAIRS = 1
LIMITS = LoopLimits(model_calls=40, tool_calls=100)


async def ask_for_plan(context: TaskContext, state: PlannerState, stopping: Stopping = never) -> PlannerState:
    """The plan and its risk. TaskFailedError `plan_invalid` when it is still wrong after one repair."""
    assert context.models is not None
    await context.journal.update(Stage.PLANNING, TaskStatus.PLANNING, details=f"planning with {context.models.name}")
    about: Json = {"agent": "planner", **{name: state.get(name) for name in ("base_commit", "feedback", "plan")}}
    async with open_steps(context, about, stopping) as steps, context.workspaces.open("plan") as workspace:
        reader = Reader(workspace)
        messages = steps.opening or await _begin(context, state, reader, steps)
        plan = await _Asking(context, reader, steps).ask(messages)
        _refuse_the_same(state, plan)
    return {"plan": plan.model_dump(mode="json"), "risk": risk_of(plan, context).model_dump(mode="json"), "nothing_to_do": None}


class _Asking:
    """Ask, and let one wrong answer be repaired."""

    def __init__(self, context: TaskContext, reader: Reader, steps: Steps) -> None:
        self._context, self._reader, self._steps = context, reader, steps
        self._left = REPAIRS

    async def ask(self, messages: list[AnyMessage]) -> Plan:
        from langchain.agents.structured_output import ToolStrategy

        never = self._context.config.never_touch
        while True:
            end: LoopEnd = await run_loop(
                self._context,
                steps=self._steps,
                tools=self._reader.tools(),
                system=load_prompt(HERE, "system", never_touch=", ".join(never) or "none"),
                messages=messages,
                tell=_tell,
                answer=ToolStrategy(DraftPlan, handle_errors=self._malformed),
                limits=LIMITS,
            )
            if end.structured is None:
                problem = "the answer was no plan: it did not use the tool for one."
            else:
                try:
                    return to_plan(end.structured, never, may_change=self._context.may_change)
                except InvalidRequestError as error:
                    problem = f"{error.message} {error.next_step}".strip()
            messages = [*end.messages, HumanMessage(self._repair(problem))]

    def _malformed(self, error: Exception) -> str:
        return self._repair(" ".join(str(error).split())[:1000])

    def _repair(self, problem: str) -> str:
        if self._left <= 0:
            raise TaskFailedError(
                f"The model's plan is still not usable after a second try: {cut(problem, 400)}",
                "Retry with a hint (`persevere tasks retry TASK --hint ...`), or set another model.",
                code="plan_invalid",
            )
        self._left -= 1
        return load_prompt(HERE, "repair", problem=problem)


def _tell(calls: list[Json]) -> str:
    return said([call for call in calls if call["name"] != DraftPlan.__name__])


async def _begin(context: TaskContext, state: PlannerState, reader: Reader, steps: Steps) -> list[AnyMessage]:
    remarks = await context.remarks.all() if context.remarks is not None else []
    return steps.begin([HumanMessage(await _request(context, state, reader, remarks))], heard(context, remarks))


async def _request(context: TaskContext, state: PlannerState, reader: Reader, remarks: list[str]) -> str:
    criteria = context.task.request.get("acceptance_criteria") or []
    words = [text for text in (state.get("feedback"), context.task.request.get("hint"), *remarks) if text]
    comments = [f"The person says about it: {text}" for text in dict.fromkeys(words)]
    if state.get("plan") and state.get("feedback"):
        before = canonical_json(state["plan"]).decode()
        comments.insert(0, f"The plan before, which the person did not accept: {cut(before, 8000)}")
    return load_prompt(
        HERE,
        "request",
        request=cut(context.task.prompt, REQUEST_LIMIT),
        criteria="\n".join(["It is done when:", *(f"- {line}" for line in criteria)]) if criteria else "",
        comments="\n".join(comments),
        map=quoted("map of the repository", await repository_map(reader, context.task.prompt)),
        notes=await contributors_notes(reader),
    )


def _refuse_the_same(state: PlannerState, plan: Plan) -> None:
    before: Any = state.get("plan")
    made = canonical_json(plan.model_dump(mode="json"))
    if sha256_hex(made) in state.get("rejected", []) or (state.get("feedback") and before and made == canonical_json(before)):
        raise TaskFailedError(
            "The model made the same plan again although it was turned down, so there is nothing new to decide.",
            "Retry with a hint that says what should be different (`persevere tasks retry TASK --hint ...`), or send a new request.",
            code="same_content_again",
        )


def risk_of(plan: Plan, context: TaskContext) -> Risk:
    """Of what the plan is going to touch: a model's change is never of low risk."""
    assert context.models is not None
    base = Risk(level=RiskLevel.MEDIUM, score=0.5, reasons=[f"planned and written by a model ({context.models.name})"])
    rules = [PathRule(name=rule.name, paths=rule.paths, risk=rule.risk, approvers=rule.approvers) for rule in context.config.approvals]
    paths = sorted({path for step in plan.steps for path in step.files})
    return assess_diff(base, paths, lines=0, rules=rules)[0]

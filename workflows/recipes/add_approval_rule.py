"""Add an approval rule to `.persevere.yml`, keeping everything else in the file as it is."""

from __future__ import annotations

import re

from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import FILE_NAME, ApprovalRule, RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.approval_subjects import SUBJECTS, subject_rule
from workflows.recipes.policy_file import UnwritableError, with_rule
from workflows.recipes.wording import QUOTES, listing, plain

_HUMAN = r"(?P<human>(?:an? |the |explicit |mandatory )*(?:hitl|human[- ]in[- ]the[- ]loop|human|manual|person'?s?)[ -]*)?"
_APPROVAL = r"(?:an? |the )?(?:approvals?|sign-?offs?|approval (?:rules?|gates?|steps?|checks?|requirements?))"
_CHANGES = (
    r"(?:(?:any |all |every )?(?:changes?|edits?|modifications?) (?:to|in|of) |(?:running|executing|touching|changing) |any |all |every )?"
)
_ROLES = r"[\w@./-]+(?: (?:and|or) (?:the )?[\w@./-]+|, ?[\w@./-]+)*"
_BY = rf"(?:,? (?:(?:to be |and |must be |which is |that is )?(?:approved|reviewed|signed off|given) by|by|from) (?:the |an? |our )?(?P<roles>{_ROLES}?)(?: (?:roles?|team|group|members?|people))?)?"  # noqa: E501
_SUBJECT = r"(?P<subject>.+?)"
_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:add|introduce|set up|create|configure|enable|put in) {_HUMAN}{_APPROVAL} (?:for|on|before|to) {_CHANGES}{_SUBJECT}{_BY}",
        rf"(?:require|demand|ask for|need|enforce|make us ask for) {_HUMAN}{_APPROVAL}(?: (?:by|from) (?:the |an? )?(?P<first>{_ROLES}?)(?: (?:roles?|team|group))?)? (?:for|before|on|of) {_CHANGES}{_SUBJECT}{_BY}",  # noqa: E501
        rf"{_CHANGES}{_SUBJECT} (?:should |must |shall )?(?:needs?|requires?) {_HUMAN}{_APPROVAL}{_BY}",
        rf"{_CHANGES}{_SUBJECT} (?:must|should|has to|have to|needs? to) be (?:approved|signed off)(?: by (?:the |an? )?(?P<roles>{_ROLES}?)(?: (?:roles?|team|group|members?))?)?",  # noqa: E501
    )
]
_NO_SUBJECT = re.compile(rf"(?:add|introduce|create|configure|require) {_HUMAN}{_APPROVAL}", re.IGNORECASE)


class AddApprovalRule:
    name = "add_approval_rule"
    summary = "Require a person's approval for some changes or commands"
    example = "Add HITL approval for database migrations"
    workflow = "infrastructure"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        if "\n" in request or len(request) > 400:
            return None
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(request):
                groups = found.groupdict()
                subject = groups["subject"].strip(QUOTES + " ,")
                known = _is_known(subject, config)
                if not known and not (groups.get("human") and len(subject.split()) <= 4):
                    continue
                roles = groups.get("roles") or groups.get("first")
                slots: Json = {"subject": subject}
                if names := _names(roles):
                    slots["approvers"] = names
                return RecipeMatch(self.name, slots, confidence=0.95 if known else 0.8)
        if _NO_SUBJECT.fullmatch(request):
            question = "What should need approval? Name a subject or paths, for instance database migrations, deployments or infra/**."
            return RecipeMatch(self.name, {}, (MissingSlot("subject", question, ("database migrations", "deployments", "infra/**")),), 0.85)
        return None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        said = re.sub(r"^(?:for|on|before)\s+|^(?:changes? to|the)\s+", "", plain(text), flags=re.IGNORECASE).strip(QUOTES + " ")
        return {**slots, "subject": said} if slot == "subject" and said and _is_known(said, config) else None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        subject, approvers = str(slots["subject"]), [str(name) for name in slots.get("approvers", [])]
        found = subject_rule(subject, list(await workspace.files()), workspace.config)
        if found is None:
            return NotApplicable(
                f"Nothing in this repository was recognised as {subject}.", "Name its paths: require approval for changes to path/**"
            )
        name, paths, commands, guessed = found
        for rule in workspace.config.approvals:
            if (
                set(paths) <= set(rule.paths)
                and set(commands) <= set(rule.commands)
                and (not approvers or set(rule.approvers) == set(approvers))
            ):
                return NothingToDo(f"`{FILE_NAME}` already has the rule `{rule.name}` for {subject}.")
        taken = {rule.name for rule in workspace.config.approvals}
        name = next(each for each in (name, *(f"{name}-{number}" for number in range(2, 99))) if each not in taken)
        rule = ApprovalRule.model_validate(
            {
                "name": name,
                "paths": paths,
                "commands": commands,
                "gate": "diff" if paths else "command",
                "risk": "high",
                "approvers": approvers,
            }
        )
        arguments = rule.model_dump(mode="json")
        try:
            await _new_file(workspace, rule)
        except UnwritableError as exc:
            return NotApplicable(str(exc), f"Write the rule into `{FILE_NAME}` by hand, or use a block list under `approvals:`.")
        who = listing(approvers) if approvers else "any approver"
        what = listing(paths or commands)
        plan = Plan(
            summary=f"Require approval by {who} for {subject}: {what}.",
            steps=[
                PlanStep(
                    id="1",
                    title=f"Add the approval rule `{name}` to `{FILE_NAME}`",
                    files=[FILE_NAME],
                    detail=f"{'Paths' if paths else 'Commands'}: {', '.join(paths or commands)}. Approvers: {who}.",
                )
            ],
            acceptance_criteria=[f"`{FILE_NAME}` parses and holds the rule `{name}`.", "Every other line of the file stays as it is."],
            tests=["The repository's own tests."],
            risks=[
                "This changes who must approve what.",
                *([f"No {subject} were found yet: the rule covers their usual places."] if guessed else []),
            ],
            recipe=RecipeChoice(name=self.name, arguments=arguments),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.HIGH, score=0.8, reasons=["changes the approval policy"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        rule = ApprovalRule.model_validate(plan.recipe.arguments if plan.recipe else {})
        if rule in workspace.config.approvals:
            return NothingToDo(f"`{FILE_NAME}` already has the rule `{rule.name}`.")
        try:
            data = await _new_file(workspace, rule)
        except UnwritableError as exc:
            return NotApplicable(str(exc), f"Write the rule into `{FILE_NAME}` by hand, or use a block list under `approvals:`.")
        await workspace.write(FILE_NAME, data)
        return ApplyReport(
            f"Added the approval rule `{rule.name}` to `{FILE_NAME}`.", ("The rule applies to changes based on a commit that has it.",)
        )


async def _new_file(workspace: RecipeWorkspace, rule: ApprovalRule) -> bytes:
    return with_rule(await workspace.read(FILE_NAME) if await workspace.exists(FILE_NAME) else b"", rule)


def _names(roles: str | None) -> list[str]:
    words = re.split(r",\s*|\s+(?:and|or)\s+(?:the\s+)?", roles or "")
    return [word.strip("@ .") for word in words if word.strip("@ .").lower() not in ("", "any", "anyone", "someone", "human", "person")]


def _is_known(subject: str, config: RepositoryConfig | None) -> bool:
    words = subject.strip(QUOTES).split()
    paths = [word for word in words if word.lower() not in ("and", "or", ",")]
    if paths and all("/" in word or "*" in word or re.search(r"\w\.\w+[,]?$", word) for word in paths):
        return True
    if config and subject.lower() in config.commands:
        return True
    return any(pattern.fullmatch(subject) for pattern in SUBJECTS.values())

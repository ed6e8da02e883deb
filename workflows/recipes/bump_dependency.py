"""Bump one declared dependency in every place that declares it."""

from __future__ import annotations

import difflib
import re

from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.dependency_files import LOCKS, Declared, HashedFileError, bumped, canonical, declared, is_declaration
from workflows.recipes.wording import PATH, QUOTES, count, listing, matches_any, plain

_NAME = rf"[{QUOTES}]?(?P<name>@?[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?:\[[\w,. -]+\])?[{QUOTES}]?"
_ONE = r"(?:[<>=~^!]=?=?)? ?v?\d+(?:[.][\w*]+)*(?:[-+][\w.+-]+)?"
_VERSION = rf"[{QUOTES}]?(?:version )?(?P<version>{_ONE}(?:, ?{_ONE})*)[{QUOTES}]?"
_NOUN = r"(?:dependency|package|library|requirement|dep)"
_FROM = rf"(?: from (?:version )?[{QUOTES}]?[<>=~^v]*[\d.]\S*[{QUOTES}]?)?"
_IN = rf"(?: (?:in|of) (?:the )?[{QUOTES}]?(?P<path>{PATH})[{QUOTES}]?)?"
_STRICT = re.compile(
    rf"(?:bump|upgrade|downgrade|pin)(?: the)?(?: {_NOUN})? {_NAME}(?: (?:{_NOUN} ?)?(?:version)?)?{_FROM} (?:to|at|up to|->|→) ?{_VERSION}{_IN}",  # noqa: E501
    re.IGNORECASE,
)
_LOOSE = re.compile(
    rf"(?:update|set|change|move|raise|require)(?P<the> the)?(?P<noun> {_NOUN})? {_NAME}(?P<noun2> {_NOUN})?(?: version)?{_FROM} (?:to|at|->|→) ?{_VERSION}{_IN}",  # noqa: E501
    re.IGNORECASE,
)
_NO_VERSION = re.compile(rf"(?:bump|upgrade)(?: the)?(?: {_NOUN})? {_NAME}(?: (?P<noun>{_NOUN}))?(?: version)?{_IN}", re.IGNORECASE)
_NO_NAME = re.compile(rf"(?:bump|upgrade|update) (?:a|the|one|this) {_NOUN}(?: version)?(?: to {_VERSION})?", re.IGNORECASE)
_NOT_NAMES = {
    "version",
    "versions",
    "everything",
    "all",
    "deps",
    "dependencies",
    "packages",
    "python",
    "node",
    "it",
    "this",
    "that",
    "them",
    "something",
    "tests",
    "the",
    "a",
    "an",
    "syntax",
    "code",
    "requirements",
    "database",
    "timeout",
    "project",
    "release",
    "ci",
    "minor",
    "major",
    "patch",
    "lockfile",
    "lock",
}


class BumpDependency:
    name = "bump_dependency"
    summary = "Bump a dependency to a version"
    example = "bump requests to 2.32"
    workflow = "dependency_update"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        if re.search(r"\d$", request) and re.search(r"\d[.!?]*\s*$", text.strip()) is None and request in text:
            request = request.strip()
        for pattern in (_STRICT, _LOOSE, _NO_VERSION):
            found = pattern.fullmatch(request)
            if found is None or found["name"].lower() in _NOT_NAMES:
                continue
            groups = found.groupdict()
            if pattern is _LOOSE and not _surely_a_dependency(groups):
                continue
            slots: Json = {"name": found["name"]}
            if groups.get("path"):
                slots["path"] = groups["path"]
            if groups.get("version"):
                return RecipeMatch(self.name, {**slots, "version": re.sub(r"\s", "", groups["version"])}, confidence=0.95)
            return RecipeMatch(self.name, slots, (_version_question(found["name"]),), 0.85)
        if found := _NO_NAME.fullmatch(request):
            slots = {"version": found["version"]} if found["version"] else {}
            missing = [MissingSlot("name", "Which dependency should I bump?")] + ([] if slots else [_version_question("it")])
            return RecipeMatch(self.name, slots, tuple(missing), 0.8)
        return None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        reply = re.sub(r"^(?:to|use|at|make it|version)\s+", "", plain(text), flags=re.IGNORECASE)
        if slot == "version" and (found := re.fullmatch(_VERSION, reply, re.IGNORECASE)):
            return {**slots, "version": re.sub(r"\s", "", found["version"])}
        if slot == "name" and (found := re.fullmatch(_NAME, reply)) and reply.lower() not in _NOT_NAMES:
            return {**slots, "name": found["name"]}
        return None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        arguments: Json = {"name": slots["name"], "version": str(slots["version"]), "path": slots.get("path", "")}
        outcome = await _outputs(workspace, arguments)
        if not isinstance(outcome, tuple):
            return outcome
        outputs, changes = outcome
        locks = [path for path in await workspace.files() if path.rpartition("/")[2] in LOCKS]
        risks = [
            "The new version may change behaviour; the tests decide.",
            *([f"The lock {'file is' if len(locks) == 1 else 'files are'} not updated: {listing(locks)}."] if locks else []),
        ]
        plan = Plan(
            summary=f"Bump `{arguments['name']}` to {arguments['version']} in {count(len(outputs), 'file')}.",
            steps=[
                PlanStep(
                    id="1", title=f"Change the declared version of `{arguments['name']}`", files=sorted(outputs), detail="; ".join(changes)
                )
            ],
            acceptance_criteria=[
                f"Every declaration of `{arguments['name']}` says {arguments['version']}.",
                "Extras, markers and comments stay.",
                "The tests pass with it.",
            ],
            tests=["The repository's own tests, with the new version installed."],
            risks=risks,
            recipe=RecipeChoice(name=self.name, arguments=arguments),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.MEDIUM, score=0.4, reasons=["changes a dependency"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        outcome = await _outputs(workspace, plan.recipe.arguments if plan.recipe else {})
        if not isinstance(outcome, tuple):
            return outcome
        for path, data in outcome[0].items():
            await workspace.write(path, data)
        locks = tuple(
            f"`{path}` was not updated: run its lock command." for path in await workspace.files() if path.rpartition("/")[2] in LOCKS
        )
        return ApplyReport("; ".join(outcome[1]), locks)


def _surely_a_dependency(groups: dict[str, str | None]) -> bool:
    """ "update X to V" is only taken when it says so, or the version looks like one and no article comes before the name."""
    if groups.get("noun") or groups.get("noun2"):
        return True
    return not groups.get("the") and re.search(r"[.<>=~^]|^v", str(groups.get("version"))) is not None


def _version_question(name: str) -> MissingSlot:
    return MissingSlot(
        "version", f"To which version should I bump {'`' + name + '`' if name != 'it' else name}? For instance 2.32 or >=2.32."
    )


async def _outputs(workspace: RecipeWorkspace, arguments: Json) -> tuple[dict[str, bytes], list[str]] | NothingToDo | NotApplicable:
    """New bytes by file and what changed, one sentence a declaration."""
    name, version, where = canonical(str(arguments["name"])), str(arguments["version"]), str(arguments.get("path") or "")
    found: list[Declared] = []
    for path in await workspace.files():
        if is_declaration(path) and (not where or matches_any(path, [where])) and not matches_any(path, workspace.config.never_touch):
            found += declared(path, (await workspace.read(path)).decode("utf-8", errors="replace"))
    mine = [each for each in found if canonical(each.name) == name]
    if not mine:
        close = difflib.get_close_matches(name, sorted({canonical(each.name) for each in found}), n=3, cutoff=0.6)
        hint = (
            f"Did you mean {' or '.join(f'`{each}`' for each in close)}?"
            if close
            else "It bumps what pyproject.toml, requirements*.txt, setup.cfg, setup.py or package.json declare."
        )
        return NotApplicable(
            f"`{arguments['name']}` is not a declared dependency{f' in {where}' if where else ''}.", hint, code="no_such_dependency"
        )
    outputs, changes = {}, []
    for path in sorted({each.path for each in mine}):
        data = await workspace.read(path)
        try:
            new, sentences = bumped(path, data, name, version)
        except HashedFileError:
            return NotApplicable(
                f"`{path}` pins `{arguments['name']}` by hash; the new hashes need the package index.",
                "Run the tool that wrote the file (pip-compile, uv pip compile).",
                code="hashed_requirements",
            )
        except ValueError as exc:
            return NotApplicable(f"`{path}`: {exc}", "Change it by hand, or give another version.")
        if new != data:
            outputs[path] = new
            changes += sentences
    return (outputs, changes) if outputs else NothingToDo(f"`{arguments['name']}` is already declared as {version}.")

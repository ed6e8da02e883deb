"""Run a named command of `.persevere.yml`, behind a gate of high risk."""

from __future__ import annotations

import difflib
import re
import shlex

from shared.errors import TaskFailedError
from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import FILE_NAME, NamedCommand, RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.wording import QUOTES, listing, plain

_GENERIC = [
    "service",
    "services",
    "app",
    "apps",
    "application",
    "site",
    "website",
    "api",
    "backend",
    "frontend",
    "server",
    "system",
    "stack",
    "product",
    "environment",
    "target",
    "it",
    "this",
    "that",
    "project",
    "code",
    "one",
]
_FILLER = {
    "the",
    "our",
    "my",
    "to",
    "for",
    "on",
    "in",
    "with",
    "please",
    "only",
    "just",
    "a",
    "an",
    "command",
    "target",
    "lets",
    "go",
    "is",
    "use",
    "s",
    "do",
}
_KNOWN = re.compile(r"(?P<verb>re-?deploy|deploy|roll ?back)(?: (?P<rest>.*))?", re.IGNORECASE)
_NAMED = re.compile(
    rf"(?:run|execute|start|invoke|trigger) (?:the )?[{QUOTES}]?(?P<verb>[\w-]+)[{QUOTES}]? command(?: (?P<rest>.*))?", re.IGNORECASE
)
_TIMEOUT_S = 1800


class RunCommand:
    name = "run_command"
    summary = "Run a command that the repository configures, such as deploy"
    example = "deploy the orchestrator"
    workflow = "infrastructure"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        request = plain(text)
        if "\n" in request:
            return None
        for name, command in (config.commands if config else {}).items():
            spoken = "[- _]".join(re.escape(part) for part in re.split(r"[-_ ]+", name))
            found = re.fullmatch(
                rf"(?:(?:run|execute|start|do|trigger|invoke) )?(?:the |an? )?[{QUOTES}]?{spoken}[{QUOTES}]?(?: command)?(?: (?P<rest>.*))?",  # noqa: E501
                request,
                re.IGNORECASE,
            )
            if found:
                return self._configured(name, command, found["rest"] or "")
        found = _NAMED.fullmatch(request) or _KNOWN.fullmatch(request)
        if found is None or (found.re is _KNOWN and not _short(found["rest"] or "")):
            return None
        verb = re.sub(r"^re-?deploy$", "deploy", found["verb"].lower()).replace(" ", "")
        if config is not None and verb in config.commands:
            return self._configured(verb, config.commands[verb], found["rest"] or "")
        if config is None:
            return self._unknown_repository(verb, found["rest"] or "")
        return RecipeMatch(self.name, {"command": verb, "unconfigured": True}, (_how_to_configure(verb, config),), 0.85)

    def _configured(self, name: str, command: NamedCommand, rest: str) -> RecipeMatch | None:
        if not command.targets:
            return RecipeMatch(self.name, {"command": name}, confidence=0.95) if _short(rest) else None
        target = _target(rest, command.targets)
        words = [word for word in _words(rest) if word not in _GENERIC]
        if target is None and len(command.targets) == 1 and not words:
            target = command.targets[0]
        if target is not None:
            return RecipeMatch(self.name, {"command": name, "target": target}, confidence=0.95)
        if len(words) > 2:
            return None
        return RecipeMatch(self.name, {"command": name}, (_which(name, rest, tuple(command.targets), words),), 0.9)

    def _unknown_repository(self, verb: str, rest: str) -> RecipeMatch:
        words = [word for word in _words(rest) if word not in _GENERIC]
        slots: Json = {"command": verb, "target": " ".join(words)} if words else {"command": verb}
        return RecipeMatch(self.name, slots, () if words else (_which(verb, rest, (), []),), 0.8)

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        commands = config.commands if config else {}
        if slot == "command":
            name = _target(text, list(commands))
            return {"command": name} if name else None
        command = commands.get(str(slots.get("command")))
        if slot != "target":
            return None
        if command is None:
            words = _words(text)
            return {**slots, "target": " ".join(words)} if config is None and 0 < len(words) <= 2 else None
        target = _target(text, command.targets)
        return {**slots, "target": target} if target else None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        name = str(slots.get("command", ""))
        command = workspace.config.commands.get(name)
        if command is None:
            missing = _how_to_configure(name, workspace.config)
            return NotApplicable(f"No `{name}` command is configured in `{FILE_NAME}`.", missing.question, code="command_not_configured")
        target = _target(str(slots.get("target") or ""), command.targets)
        if command.targets and target is None and len(command.targets) == 1 and not slots.get("target"):
            target = command.targets[0]
        if command.targets and target is None:
            said = f"`{slots['target']}` is not a target of `{name}`" if slots.get("target") else f"`{name}` needs a target"
            return NotApplicable(
                f"{said}; configured are {listing(command.targets)}.",
                f"Ask again with one of them, for instance: {name} {command.targets[0]}",
                code="unknown_target",
            )
        argv = _argv(command, target)
        if not argv:
            return NotApplicable(f"The command `{name}` in `{FILE_NAME}` is empty.", "Give it a `run` line on the base branch.")
        risk = command.risk if command.risk.rank > RiskLevel.HIGH.rank else RiskLevel.HIGH
        on = f" for `{target}`" if target else ""
        plan = Plan(
            summary=f"Run the command `{name}`{on}: {shlex.join(argv)}",
            steps=[PlanStep(id="1", title=f"Run `{name}`{on} in the sandbox", detail=shlex.join(argv))],
            acceptance_criteria=["The command ends with exit code 0."],
            risks=[
                "A command may act outside the repository; what it did cannot be undone here.",
                *([command.description] if command.description else []),
            ],
            recipe=RecipeChoice(name=self.name, arguments={"command": name, "target": target, "argv": argv}),
        )
        return RecipePlan(plan, Risk(level=risk, score=0.9, reasons=[f"runs the repository's command `{name}`{on}"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {}
        command = workspace.config.commands.get(str(arguments.get("command")))
        target = arguments.get("target")
        if (
            command is None
            or (target not in command.targets if command.targets else target)
            or _argv(command, target) != arguments.get("argv")
        ):
            return NotApplicable(f"The planned command is not the one `{FILE_NAME}` configures.", "Plan it again.", code="command_changed")
        argv = list(arguments["argv"])
        result = await workspace.run(argv, timeout_s=_TIMEOUT_S)
        output = "\n".join(part.strip() for part in (result.stdout, result.stderr) if part.strip())
        if not result.ok:
            end = f"was stopped by its limit of {result.stopped_by}" if result.stopped_by else f"ended with exit code {result.exit_code}"
            raise TaskFailedError(
                f"`{shlex.join(argv)}` {end}: {output[-1500:] or 'no output'}",
                "Correct what it names, then retry the task.",
                code="command_failed",
            )
        on = f" for `{target}`" if target else ""
        return ApplyReport(f"Ran `{arguments['command']}`{on}: exit code 0.", answer=output or "The command printed nothing.")


def _argv(command: NamedCommand, target: str | None) -> list[str]:
    """The configured words with `{target}` filled in; no shell reads them. An unreadable line gives []."""
    try:
        words = shlex.split(command.run) if isinstance(command.run, str) else list(command.run)
    except ValueError:
        return []
    return [word.replace("{target}", target) if target is not None else word for word in words]


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[\w.-]+", text.lower()) if word not in _FILLER]


def _short(rest: str) -> bool:
    """At most one word that says something, besides articles and general nouns."""
    return len([word for word in _words(rest) if word not in _GENERIC]) <= 1 and len(_words(rest)) <= 3


def _target(text: str, targets: list[str]) -> str | None:
    """The one target a person means: exactly, as a word among others, or with a small spelling mistake."""
    said = _words(text)
    flat = {re.sub(r"[\W_]+", "", target.lower()): target for target in targets}
    whole = "".join(re.sub(r"[\W_]+", "", word) for word in said)
    if whole in flat:
        return flat[whole]
    every = {flat[key] for word in re.findall(r"[\w.-]+", text.lower()) if (key := re.sub(r"[\W_]+", "", word)) in flat}
    if len(every) > 1:
        return None
    named = {flat[key] for word in said if (key := re.sub(r"[\W_]+", "", word)) in flat}
    if len(named) == 1 and all(word in _GENERIC or re.sub(r"[\W_]+", "", word) in flat for word in said):
        return named.pop()
    rest = "".join(re.sub(r"[\W_]+", "", word) for word in said if word not in _GENERIC)
    if rest in flat:
        return flat[rest]
    close = difflib.get_close_matches(rest, list(flat), n=2, cutoff=0.8) if rest else []
    return flat[close[0]] if len(close) == 1 else None


def _which(name: str, rest: str, targets: tuple[str, ...], unknown: list[str]) -> MissingSlot:
    noun = next(
        (word for word in _words(rest) if word in _GENERIC and word not in ("it", "this", "that", "one")),
        "service" if "deploy" in name else "target",
    )
    first = f"`{' '.join(unknown)}` is not a configured target. " if unknown else ""
    choices = f" Configured: {', '.join(targets)}." if targets else ""
    return MissingSlot("target", f"{first}Before I {name}: which {noun.removesuffix('s')} should I {name}?{choices}", targets)


def _how_to_configure(name: str, config: RepositoryConfig) -> MissingSlot:
    name = name or "deploy"
    others = f" Configured are: {', '.join(config.commands)}." if config.commands else ""
    example = f'commands:\n  {name}:\n    run: [./scripts/{name}.sh, "{{target}}"]\n    targets: [api, worker]'
    question = f"No `{name}` command is configured for this repository.{others} To configure one, add to `{FILE_NAME}` on the base branch:\n\n```yaml\n{example}\n```"  # noqa: E501
    return MissingSlot("command", question, tuple(config.commands))

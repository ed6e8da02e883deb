"""Review a branch, a commit, a pull request, a pasted diff or some paths with static analysis; nothing is changed."""

from __future__ import annotations

import json
import re

from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.patch_text import PatchedFile, new_files
from workflows.recipes.ruff_files import python_files
from workflows.recipes.tooling import run_ruff
from workflows.recipes.wording import PATH, QUOTES, count, listing, polite

_DO = r"(?:(?:do|make|run|give me) (?:a|an) (?:code |static )?review (?:of|on|for)|(?:code[- ])?review|look over)"
_WHAT = r"(?:the |my |this |our |these |following )*"
_BRANCH = re.compile(
    rf"{_DO} {_WHAT}(?:(?:changes|diff|commits|work) (?:on|in|of|from) {_WHAT})?branch [{QUOTES}]?(?P<branch>[\w./#-]+)[{QUOTES}]?",
    re.IGNORECASE,
)
_OF = rf"(?:(?:changes|diff|patch) (?:of|in|from) {_WHAT})?"
_COMMIT = re.compile(
    rf"{_DO} {_WHAT}{_OF}(?:(?:last|latest|newest|most recent) commit|commit [{QUOTES}]?(?P<commit>[0-9a-f]{{7,64}})[{QUOTES}]?)",
    re.IGNORECASE,
)
_PULL = re.compile(
    rf"{_DO} {_WHAT}{_OF}(?:(?:open|last|latest|newest) )?(?:pull[- ]request|merge request|pr)(?: number)?(?: ?#?(?P<number>\d+))?",
    re.IGNORECASE,
)
_CURRENT = re.compile(
    rf"{_DO} {_WHAT}(?:current )?(?:diff|changes|branch|commits)(?: (?:on|in|of) (?:this|the current) branch)?", re.IGNORECASE
)
_DIFF = re.compile(
    rf"{_DO} {_WHAT}(?:(?:pasted|attached) )?(?:diff|patch|changes?|branch|code|codebase|repository|repo|project)(?: below| here)?",
    re.IGNORECASE,
)
_PATHS = re.compile(
    rf"{_DO} {_WHAT}(?:(?:code|files?) (?:in|of|under|below) (?:the )?)?(?:file |folder |directory )?[{QUOTES}]?(?P<path>(?=[^ ]*[/.*]){PATH})[{QUOTES}]?",  # noqa: E501
    re.IGNORECASE,
)
_THIS = re.compile(r"(?:review|code[- ]review)(?: this| it| that)?|(?:do|make) a (?:code )?review", re.IGNORECASE)
_PATCH = re.compile(r"^(?:diff --git .+|--- \S+.*\n\+\+\+ \S+.*)$", re.MULTILINE)
_RULES = "E4,E7,E9,F,B,S,PLE,T10,ASYNC"
_MANY = 200


class ReviewDiff:
    name = "review_diff"
    summary = "Review a diff, a branch or some files with static analysis"
    example = "review src/app.py"
    workflow = "code_review"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        if found := _PATCH.search(text):
            words = re.sub(r"```\w*\s*$|[\s:]+$", "", text[: found.start()]).strip()
            words = polite(re.sub(r"[\s:]+$", "", words))
            patch = re.sub(r"\n```\s*\Z", "\n", text[found.start() :])
            asks = _DIFF.fullmatch(words) or _THIS.fullmatch(words)
            return RecipeMatch(self.name, {"patch": patch if patch.endswith("\n") else patch + "\n"}, confidence=0.95) if asks else None
        request = polite(text)
        if found := _BRANCH.fullmatch(request):
            return RecipeMatch(self.name, {"branch": found["branch"]})
        if found := _COMMIT.fullmatch(request):
            return RecipeMatch(self.name, {"commit": found["commit"] or ""})
        if found := _PULL.fullmatch(request):
            return RecipeMatch(self.name, {"pull_request": int(found["number"] or 0)})
        if _CURRENT.fullmatch(request):
            return RecipeMatch(self.name, {"branch": ""}, confidence=0.85)
        if _DIFF.fullmatch(request):
            return RecipeMatch(self.name, {}, confidence=0.85)
        if found := _PATHS.fullmatch(request):
            return RecipeMatch(self.name, {"paths": [found["path"]]})
        if _THIS.fullmatch(request):
            question = "What should I review? Name a branch or a path, or paste a diff."
            return RecipeMatch(self.name, {}, (MissingSlot("against", question, ("the whole repository",)),), 0.7)
        return None

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        if slot != "against":
            return None
        said = polite(text)
        match = self.parse(text if _PATCH.search(text) and said.lower().startswith("review") else f"review {text.strip()}", config)
        if match is None and _PATCH.match(said):
            match = self.parse(f"review this diff:\n{text.strip()}\n", config)
        if match is not None and not match.missing:
            return {**match.slots, "against": "answered"}
        found = re.fullmatch(r"(?:the )?(?:branch )?([\w./-]+)", said)
        if re.fullmatch(r"(?:the )?(?:whole |entire )?(?:repository|repo|code|codebase|everything|all)", said, re.IGNORECASE):
            return {"against": "tree"}
        return {"branch": found[1], "against": "answered"} if found else None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        paths = [str(path) for path in slots.get("paths", [])]
        reviewed = slots.get("reviewed")
        if reviewed:
            files = sorted(reviewed["lines"])
            if not files:
                return NothingToDo(f"There is nothing to review: {reviewed['title']} changes nothing.")
            subject = f"{reviewed['title']} ({count(len(files), 'changed file')})"
        elif slots.get("patch"):
            changed = await new_files(str(slots["patch"]), workspace)
            files = sorted(changed)
            if not files:
                return NotApplicable("The pasted text holds no unified diff that could be read.", "Paste the output of `git diff`.")
            subject = f"the pasted diff of {count(len(files), 'file')}"
        else:
            files = await python_files(workspace, paths)
            if not files:
                where = f" below {listing(paths)}" if paths else ""
                return NotApplicable(f"There are no Python files{where} to analyse.", "Name a path with Python files, or paste a diff.")
            subject = f"{count(len(files), 'Python file')}{' below ' + listing(paths) if paths else ''}"
        plan = Plan(
            summary=f"Review {subject} with static analysis; no file is changed.",
            steps=[PlanStep(id="1", title="Analyse with ruff and report by severity", files=files[:_MANY])],
            acceptance_criteria=["Every finding is reported with severity, file and line.", "Nothing in the repository changes."],
            risks=["Static analysis sees mistakes of form and known traps, not whether the code does what is wanted."],
            recipe=RecipeChoice(
                name=self.name, arguments={"paths": paths, "patch": slots.get("patch", ""), **({"reviewed": reviewed} if reviewed else {})}
            ),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.LOW, score=0.0, reasons=["changes nothing"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {}
        findings: list[tuple[int, str, int, str]] = []
        if reviewed := arguments.get("reviewed"):
            lines = {path: _numbers(spans) for path, spans in reviewed["lines"].items()}
            there = [path for path in lines if path.endswith((".py", ".pyi")) and await workspace.exists(path)]
            findings = [each for each in await _in_files(workspace, sorted(there)) if each[2] in lines.get(each[1], ())]
            looked_at = f"{reviewed['title']}, {count(len(lines), 'changed file')},"
        elif arguments.get("patch"):
            changed = await new_files(str(arguments["patch"]), workspace)
            for path, file in sorted(changed.items()):
                findings += await _in_patched(workspace, path, file)
            looked_at = count(len(changed), "changed file")
        else:
            files = await python_files(workspace, arguments.get("paths", []))
            findings = await _in_files(workspace, files)
            looked_at = count(len(files), "file")
        findings.sort()
        answer = _worded(findings, looked_at)
        return ApplyReport(answer.partition("\n")[0], answer=answer, artifacts={"review.md": answer.encode()})


async def _in_files(workspace: RecipeWorkspace, files: list[str]) -> list[tuple[int, str, int, str]]:
    findings: list[tuple[int, str, int, str]] = []
    options = ("--isolated", "--no-cache", "--quiet", "--select", _RULES, "--output-format", "json", "--")
    for start in range(0, len(files), 400):
        some = files[start : start + 400]
        findings += _read((await run_ruff(workspace, "check", *options, *some)).stdout, some)
    return findings


def _numbers(spans: list[list[int]]) -> set[int]:
    return {number for first, last in spans for number in range(first, last + 1)}


async def _in_patched(workspace: RecipeWorkspace, path: str, file: PatchedFile) -> list[tuple[int, str, int, str]]:
    """Findings on added lines only."""
    marks = [
        (0, path, number, "conflict marker left in the file")
        for number, line in file.added.items()
        if re.match(r"(?:<{7}|>{7}|\|{7}) ", line)
    ]
    if not path.endswith((".py", ".pyi")) or file.content is None:
        return marks
    result = await run_ruff(
        workspace,
        "check",
        "--isolated",
        "--no-cache",
        "--quiet",
        "--select",
        _RULES,
        "--output-format",
        "json",
        "--stdin-filename",
        path,
        "-",
        stdin=file.content.encode(),
    )
    return marks + [each for each in _read(result.stdout, [path]) if each[2] in file.added]


def _read(output: str, files: list[str]) -> list[tuple[int, str, int, str]]:
    """(severity 0 to 2, file, line, sentence) of ruff's JSON; asserts in tests are as they should be."""
    found = []
    for each in json.loads(output or "[]"):
        name = str(each["filename"])
        path = next((path for path in files if name == path or name.endswith("/" + path)), name)
        code = str(each.get("code") or "syntax error")
        is_test = re.search(r"(?:^|/)(?:tests?|conftest\.py|test_[^/]*|[^/]*_test\.py)(?:/|$)", path)
        if not (is_test and code in ("S101", "S105", "S106", "S603", "S607")):
            found.append((_severity(code), path, int(each["location"]["row"]), f"{each['message']} ({code})"))
    return found


def _severity(code: str) -> int:
    if not re.match(r"[A-Z]+\d", code) or code.startswith(("E9", "F82", "F7", "F63", "PLE", "T10", "S602", "S605", "invalid")):
        return 0
    return 1 if code.startswith(("B", "S", "ASYNC", "F8", "E72", "E71")) else 2


def _worded(findings: list[tuple[int, str, int, str]], looked_at: str) -> str:
    if not findings:
        return f"Reviewed {looked_at} with static analysis: no findings."
    names = ("high", "medium", "low")
    totals = ", ".join(
        f"{number} {name}" for index, name in enumerate(names) if (number := sum(1 for each in findings if each[0] == index))
    )
    lines = [f"- **{names[level]}** `{path}:{line}` {sentence}" for level, path, line, sentence in findings[:_MANY]]
    more = [f"- … and {len(findings) - _MANY} more"] if len(findings) > _MANY else []
    return "\n".join([f"Reviewed {looked_at} with static analysis: {count(len(findings), 'finding')} ({totals}).", "", *lines, *more])

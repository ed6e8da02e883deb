"""Create one file with given content."""

from __future__ import annotations

import posixpath
import re

from shared.recipes.port import ApplyReport, MissingSlot, NotApplicable, NothingToDo, RecipeMatch, RecipePlan, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Json, Plan, PlanStep, RecipeChoice, Risk, RiskLevel
from workflows.recipes.wording import QUOTES, count, matches_any, plain

_KIND = r"(?:(?:new|empty|text|markdown|yaml|json|toml|python|config) )*"
_FILE = rf"[{QUOTES}]?(?P<path>(?:[\w@+~.-]*[/.])[\w./@+~-]*[\w]|[A-Z]{{4,}}|Makefile|Dockerfile)[{QUOTES}]?"
_VERB = r"(?:create|add|write|make)"
_HEAD = re.compile(
    rf"{_VERB} (?P<empty>an? |the )?(?P<kind>{_KIND})(?:(?P<file>file)(?: (?:called|named|at|under|as|in))? )?{_FILE}"
    r"(?P<rest>(?:[\s,:]|$).*)?",
    re.IGNORECASE | re.DOTALL,
)
_BARE = re.compile(rf"{_VERB} (?:an? |the )?{_KIND}file", re.IGNORECASE)
_CONTENT = re.compile(
    r"[\s,]*(?:(?:(?:and|which|that) )?(?:with|containing|contains|having|holding|has|saying|says|reading)(?: (?:the|this|following|exactly|just))*"  # noqa: E501
    r"(?: (?:contents?|text|lines?|body))?(?: (?:the|this|following|of))*\s*:?|contents?\s*:|:)\s*(?P<content>.*)",
    re.IGNORECASE | re.DOTALL,
)
_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)(?:\n)?(?P=fence)[ \t]*\Z", re.DOTALL)


class CreateFile:
    name = "create_file"
    summary = "Create a file with given content"
    example = "create a file docs/notes.md with the content: Hello"
    workflow = "documentation"

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        head, sign, body = text.strip().partition("\n")
        request = (plain(head) if not sign else _lead_only(head)) + sign + body
        if _BARE.fullmatch(plain(request)):
            missing = (MissingSlot("path", "Which file should I create? Give its path in the repository."), _content_question("the file"))
            return RecipeMatch(self.name, {}, missing, 0.8)
        found = _HEAD.fullmatch(request)
        if found is None:
            return None
        slots: Json = {"path": found["path"]}
        rest = found["rest"] or ""
        if not rest.strip(" ,.:\n"):
            if "empty" in found["kind"].lower():
                return RecipeMatch(self.name, {**slots, "content": ""})
            return RecipeMatch(self.name, slots, (_content_question(f"`{slots['path']}`"),), 0.8) if found["file"] else None
        content = _CONTENT.fullmatch(rest)
        exact = content is not None and (
            ":" in rest[: content.start("content")] or _FENCE.search(content["content"]) or content["content"][:1] in QUOTES
        )
        if content is None or not exact:
            return None
        value = _content(content["content"])
        if not value:
            return RecipeMatch(self.name, slots, (_content_question(f"`{slots['path']}`"),), 0.85)
        return RecipeMatch(self.name, {**slots, "content": value})

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        if slot == "content" and text.strip():
            found = _CONTENT.fullmatch(text.strip())
            return {**slots, "content": _content(found["content"] if found and ":" in text[: found.start("content")] else text)}
        if slot == "path" and (found := re.fullmatch(_FILE, plain(text))):
            return {**slots, "path": found["path"]}
        return None

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable:
        path, content = str(slots["path"]).removeprefix("./"), str(slots.get("content", ""))
        stopped = await _refused(workspace, path, content)
        if stopped is not None:
            return stopped
        lines = content.count("\n")
        plan = Plan(
            summary=f"Create `{path}` ({count(lines, 'line')}).",
            steps=[PlanStep(id="1", title=f"Create `{path}`", files=[path], detail=content[:2000])],
            acceptance_criteria=[f"`{path}` exists with exactly the given content.", "No other file changes."],
            tests=["The repository's own tests."],
            recipe=RecipeChoice(name=self.name, arguments={"path": path, "content": content}),
        )
        return RecipePlan(plan, Risk(level=RiskLevel.LOW, score=0.1, reasons=["one new file"]))

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable:
        arguments = plan.recipe.arguments if plan.recipe else {}
        path, content = str(arguments["path"]), str(arguments["content"])
        stopped = await _refused(workspace, path, content)
        if stopped is not None:
            return stopped
        await workspace.write(path, content.encode())
        return ApplyReport(f"Created `{path}`.")


def _lead_only(head: str) -> str:
    """The first line without its politeness; its tail belongs to the content."""
    return head if (short := plain(head + " x")) == head + " x" else short.removesuffix(" x")


def _content_question(what: str) -> MissingSlot:
    return MissingSlot("content", f"What should be in {what}? Send the text, in a fenced block if it has several lines.")


def _content(text: str) -> str:
    """The literal content: a fenced block's body, a quoted text, or the text itself, with a line end at its end."""
    if fenced := _FENCE.search(text.strip()):
        body = fenced["body"]
    else:
        body = text.strip("\n").rstrip()
        for opening, closing in (("'", "'"), ('"', '"'), ("`", "`"), ("“", "”")):
            if len(body) > 1 and body.startswith(opening) and body.endswith(closing) and opening not in body[1:-1]:
                body = body[1:-1]
    return body + "\n" if body and not body.endswith("\n") else body


async def _refused(workspace: RecipeWorkspace, path: str, content: str) -> NothingToDo | NotApplicable | None:
    clean = posixpath.normpath(path)
    if path.startswith(("/", "~")) or clean.startswith("..") or ".git" in clean.split("/") or "\x00" in path:
        return NotApplicable(
            f"`{path}` is not inside the repository.", "Give a path below the repository's root, without `..`.", code="path_outside"
        )
    if matches_any(clean, workspace.config.never_touch):
        return NotApplicable(f"`.persevere.yml` says never to touch `{clean}`.", "Choose another path.")
    files = set(await workspace.files())
    if any(name.startswith(clean + "/") for name in files):
        return NotApplicable(f"`{clean}` is a folder.", "Give the path of a file.")
    if not await workspace.exists(clean) and clean not in files:
        return None
    if clean in files and await workspace.read(clean) == content.encode():
        return NothingToDo(f"`{clean}` already exists with exactly this content.")
    return NotApplicable(
        f"`{clean}` already exists with other content.", "Choose another path, or ask to replace a text in it.", code="file_exists"
    )

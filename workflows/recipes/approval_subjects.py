"""What people name when they ask for approvals, and where a repository keeps it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.recipes.repository_config import RepositoryConfig
from workflows.recipes.wording import QUOTES

_LEAD = r"(?:(?:the|our|all|any|every|production|prod) )*"
SUBJECTS = {
    "database-migrations": re.compile(
        rf"{_LEAD}(?:(?:database|db|schema|sql|alembic|django|data) )*(?:migrations?|schema changes?)(?: files?| scripts?)?", re.IGNORECASE
    ),
    "deployments": re.compile(
        rf"{_LEAD}(?:deployments?|deploys?|deploying|releases?|rollbacks?)(?: commands?)?(?: to production)?", re.IGNORECASE
    ),
    "infrastructure": re.compile(
        rf"{_LEAD}(?:infrastructure|infra|terraform|kubernetes|helm)(?: (?:changes?|files?|code|charts?|manifests?))?", re.IGNORECASE
    ),
    "continuous-integration": re.compile(
        rf"{_LEAD}(?:ci|ci/cd|continuous integration|workflows?|github actions|pipelines?)(?: (?:changes?|files?|configs?|configuration))?",
        re.IGNORECASE,
    ),
    "dependencies": re.compile(
        rf"{_LEAD}(?:dependenc(?:y|ies)|requirements|lock ?files?)(?: (?:changes?|updates?|upgrades?|bumps?|files?))?", re.IGNORECASE
    ),
}
_PLACES = {
    "database-migrations": (
        r"^(.*/)?alembic/versions/", r"^(.*/)?migrations/", r"^(.*/)?db/migrate/", r"^(.*/)?prisma/migrations/", r"^(.*/)?flyway/",
        r"^(.*/)?(?=V\d+(?:[._]\d+)*__[^/]*\.sql$)",
    ),
    "deployments": (r"^(.*/)?deploy(?:ment|ments)?/", r"^(.*/)?(?:k8s|kubernetes|helm|charts)/"),
    "infrastructure": (r"^(.*/)?(?:infra|infrastructure|terraform|k8s|kubernetes|helm|charts)/", r"^(.*/)?(?=[^/]*\.tf$)"),
    "continuous-integration": (r"^\.github/workflows/", r"^\.ci/", r"^\.circleci/", r"^\.gitlab-ci\.yml$", r"^Jenkinsfile$", r"^azure-pipelines\.yml$"),  # noqa: E501
    "dependencies": (
        r"^(?:.*/)?pyproject\.toml$", r"^(?:.*/)?requirements[^/]*\.(?:txt|in|lock)$", r"^(?:.*/)?(?:poetry|uv|Pipfile|Cargo)\.lock$", r"^(?:.*/)?setup\.(?:py|cfg)$",  # noqa: E501
        r"^(?:.*/)?package(?:-lock)?\.json$", r"^(?:.*/)?(?:pnpm-lock\.yaml|yarn\.lock|go\.mod|go\.sum|Cargo\.toml)$",
    ),
}  # fmt: skip
_USUAL = {
    "database-migrations": ["**/migrations/**", "**/alembic/versions/**", "**/db/migrate/**"],
    "infrastructure": ["infra/**", "terraform/**", "**/*.tf"],
    "continuous-integration": [".github/workflows/**"],
    "dependencies": ["pyproject.toml", "requirements*.txt", "package.json"],
}
_COMMANDS = {"deployments": ("deploy", "release", "publish", "rollback", "roll-back"), "database-migrations": ()}
_MANY = 8


def subject_rule(subject: str, files: Sequence[str], config: RepositoryConfig) -> tuple[str, list[str], list[str], bool] | None:
    """The rule's name, paths, commands, and whether the paths are only the usual ones; None when nothing is recognised."""
    subject = subject.strip(QUOTES + " ")
    words = [word.strip(QUOTES + ",") for word in subject.split() if word.lower() not in ("and", "or")]
    if subject.lower() in config.commands:
        return _slug(subject), [], [subject.lower()], False
    for name, pattern in SUBJECTS.items():
        if pattern.fullmatch(subject):
            commands = [each for each in config.commands if each.lower().startswith(_COMMANDS.get(name, ()) or ("\0",))]
            if name == "deployments":
                usual = next((word for word in ("release", "rollback") if word in subject.lower()), "deploy")
                return name if usual == "deploy" else f"{usual}s", [], commands or [usual], not commands
            paths = _found(name, files)
            return name, paths or _USUAL.get(name, []), [], not paths
    if words and all("/" in word or "*" in word or re.search(r"\w\.\w+$", word) for word in words):
        return _slug(words[0]), [_below(word, files) for word in words], [], False
    folders = (
        sorted({path[: found.end()] for path in files if (found := re.match(rf"(?:.*/)?{re.escape(words[0])}/", path, re.IGNORECASE))})
        if words
        else []
    )
    return (_slug(subject), [f"{folder}**" for folder in folders[:_MANY]], [], False) if folders else None


def _found(name: str, files: Sequence[str]) -> list[str]:
    """Globs for the folders, or the files themselves, that hold the subject."""
    globs: set[str] = set()
    for pattern in _PLACES[name]:
        for path in files:
            if found := re.search(pattern, path):
                if found.end() == len(path):
                    globs.add(path)
                elif pattern.endswith("$)"):
                    globs.add(f"{path[: found.end()]}*.{path.rpartition('.')[2]}")
                else:
                    globs.add(f"{path[: found.end()]}**")
    kept = sorted(
        glob for glob in globs if not any(other != glob and other.endswith("**") and glob.startswith(other[:-2]) for other in globs)
    )
    if len(kept) <= _MANY:
        return kept
    return sorted(
        {
            f"**/{glob.removesuffix('/**').rpartition('/')[2]}/**" if glob.endswith("/**") else f"**/{glob.rpartition('/')[2]}"
            for glob in kept
        }
    )


def _below(path: str, files: Sequence[str]) -> str:
    """A folder's name becomes the glob of everything below it."""
    path = path.removeprefix("./")
    is_folder = path.endswith("/") or ("*" not in path and any(each.startswith(path + "/") for each in files))
    return path.rstrip("/") + "/**" if is_folder else path


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "rule"

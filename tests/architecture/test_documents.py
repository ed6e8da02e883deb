"""What the documents say is true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from agent_orchestrator.supervisor.graph import draw_supervisor
from config.settings import Settings, variable_name
from workflows.recipes.book import build_recipe_book

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_environment_lists_every_setting() -> None:
    listed = set(re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert listed == {variable_name(field) for field in Settings.model_fields} | {"PERSEVERE_URL"}


def test_the_readme_shows_the_graph_as_it_is() -> None:
    assert draw_supervisor().strip() in (ROOT / "README.md").read_text()


def test_the_readme_names_every_recipe() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [recipe.name for recipe in build_recipe_book().all() if f"| `{recipe.name}` | {recipe.summary} |" not in readme] == []


def test_links_of_the_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "support").rglob("*.md")]
    links = [(document, link) for document in documents for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text())]
    assert [(str(document), link) for document, link in links if not (document.parent / link).exists()] == []


def test_every_make_target_of_the_documents_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {word for path in ("README.md", "CONTRIBUTING.md") for word in re.findall(r"\bmake ([a-z-]+)\b", (ROOT / path).read_text())}
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert named & {"demo", "test", "serve", "lint", "types", "bench", "test-all", "lock", "format"} <= targets


def test_no_file_names_a_package_registry() -> None:
    hosts = [
        ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"), ("proxy", "golang", "org"))
    ]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    texts = {path: (ROOT / path).read_text(errors="ignore") for path in tracked if path and (ROOT / path).is_file()}
    assert {path: host for path, text in texts.items() for host in hosts if host in text} == {}

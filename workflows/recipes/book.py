"""The recipe book: every recipe in the order it is offered."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import NotFoundError
from shared.recipes.port import Recipe, RecipeBook, RecipeMatch
from shared.recipes.repository_config import RepositoryConfig

LONGEST_REQUEST = 200_000
"""Characters; a longer message is no request for rote work."""


class OrderedRecipeBook:
    """All recipes; the match with the highest confidence wins, the earlier recipe on a tie."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self._recipes = {recipe.name: recipe for recipe in recipes}

    def all(self) -> Sequence[Recipe]:
        return list(self._recipes.values())

    def get(self, name: str) -> Recipe:
        recipe = self._recipes.get(name)
        if recipe is None:
            raise NotFoundError(f"There is no recipe {name!r}.", f"Valid names: {', '.join(self._recipes)}.", code="recipe_not_found")
        return recipe

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        if len(text) > LONGEST_REQUEST:
            return None
        matches = [match for recipe in self._recipes.values() if (match := recipe.parse(text, config)) is not None]
        return max(matches, key=lambda match: match.confidence, default=None)


def build_recipe_book() -> RecipeBook:
    """The book of all recipes. The modules are imported here, not when `workflows` is."""
    from workflows.recipes.add_approval_rule import AddApprovalRule
    from workflows.recipes.bump_dependency import BumpDependency
    from workflows.recipes.create_file import CreateFile
    from workflows.recipes.fix_lint import FixLint
    from workflows.recipes.format_code import FormatCode
    from workflows.recipes.modernise import Modernise
    from workflows.recipes.rename_symbol import RenameSymbol
    from workflows.recipes.replace_text import ReplaceText
    from workflows.recipes.review_diff import ReviewDiff
    from workflows.recipes.run_command import RunCommand
    from workflows.recipes.run_tests import RunTests

    return OrderedRecipeBook(
        [
            RenameSymbol(),
            FixLint(),
            FormatCode(),
            Modernise(),
            BumpDependency(),
            ReplaceText(),
            CreateFile(),
            AddApprovalRule(),
            RunCommand(),
            RunTests(),
            ReviewDiff(),
        ]
    )

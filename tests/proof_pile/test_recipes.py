"""The recipes that ship: each loads, and the whole of Proof-Pile-2 is made of the parts and in Llemma's proportions."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof_pile.build.recipe import Recipe, load_recipe
from proof_pile.mixture import plan_mixture

RECIPES = sorted((Path(__file__).parents[2] / "proof_pile" / "recipes").glob("*.yml"))
PARTS = ("algebraic-stack", "arxiv", "open-web-math", "github", "stackexchange", "pile")


def shipped(name: str) -> Recipe:
    [path] = [path for path in RECIPES if path.stem == name]
    return load_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_loads_is_named_like_its_file_and_describes_its_sources(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert all(source.description and source.licence for source in recipe.sources)
    assert {name for group in recipe.mixture.groups.values() for name in group.sources} == {
        source.name for source in recipe.sources
    }


def test_sources_of_the_whole_are_those_of_the_parts_setting_by_setting() -> None:
    """Who changes a part's recipe changes the whole's, too: a recipe cannot include another."""
    parts = {source.name: source for name in PARTS for source in shipped(name).sources}
    assert {source.name: source for source in shipped("proof-pile-2").sources} == parts


def test_whole_has_the_published_mixture() -> None:
    """95 % Proof-Pile-2 with arXiv 2, OpenWebMath 4, code 1; 2 % Pile, 3 % code: math-lm's data_mixture.yml.

    There: arXiv 2, OpenWebMath 4, code and proof steps 1, Pile 0.147368, RedPajama's code 0.221053.  Tokens in billions
    as on Proof-Pile-2's card, of the last two more than is drawn.
    """
    tokens = {"arxiv": 29, "web": 15, "stack": 8, "repositories": 2, "proof-steps": 1, "pile": 5, "github": 7}
    plan = plan_mixture(shipped("proof-pile-2").mixture, {name: billions * 10**9 for name, billions in tokens.items()})
    weights = {source.name: source.weight for source in plan.sources}
    published = {"arxiv": 2, "web": 4, "code": 1, "pile": 0.147368, "github": 0.221053}
    total = sum(published.values())
    weights["code"] = sum(weights.pop(name) for name in ("stack", "repositories", "proof-steps"))
    assert weights == pytest.approx({name: part / total for name, part in published.items()}, abs=1e-5)
    epochs = {source.name: source.epochs for source in plan.sources}
    assert epochs["web"] == pytest.approx(7.2, abs=0.1) and epochs["arxiv"] == pytest.approx(1.9, abs=0.1)
    assert plan.warnings == ()


def test_rules_of_every_language_are_in_the_whole() -> None:
    asked = [
        language
        for source in shipped("proof-pile-2").sources
        for config in source.inputs
        for language in getattr(config, "languages", None) or ()
    ]
    assert len(asked) == len(set(asked)) == 17

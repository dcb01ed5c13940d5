"""A wrong recipe is refused with file, line and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.core.errors import ConfigError
from proof_pile.build.recipe import load_recipe


@pytest.fixture
def problems(recipe: Path) -> Callable[[str, str], list[str]]:
    """The problems that a replacement in the recipe leads to, as 'line: message'."""

    def change(old: str, new: str) -> list[str]:
        text = recipe.read_text()
        assert old in text
        recipe.write_text(text.replace(old, new))
        with pytest.raises(ConfigError) as caught:
            load_recipe(recipe)
        assert all(problem.path == str(recipe) for problem in caught.value.problems)
        return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]

    return change


def test_recipe_of_a_source_a_mixture_and_nothing_else_takes_defaults(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text(
        "name: n\nsources: [{name: s, inputs: [{kind: jsonl, path: d}]}]\n"
        "mixture: {groups: {g: {share: 1, sources: {s: 1}}}}\n"
    )
    recipe = load_recipe(path)
    assert recipe.deduplicate.near is not None
    banding = recipe.deduplicate.near.banding
    assert (banding.bands, banding.rows) == (21, 6)  # what a threshold of 0.7 asks for
    assert recipe.decontaminate.ngram == 13
    assert recipe.tokenizer.path is None


def test_recipe_with_a_misspelt_key_names_the_right_one(problems: Callable[..., list[str]]) -> None:
    assert problems("filters:", "filtres:") == ["8: unknown key 'filtres' (did you mean 'filters'?)"]


def test_recipe_with_several_faults_reports_all(recipe: Path) -> None:
    text = recipe.read_text().replace("licence: none", "license: none").replace("shard_bytes: 16384", "shard_bytes: 3")
    recipe.write_text(text.replace("name: little", "name: Little One"))
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe)
    assert [problem.line for problem in caught.value.problems] == [1, 5, 17]


def test_recipe_whose_mixture_names_no_source_suggests_one(problems: Callable[..., list[str]]) -> None:
    found = problems("sources: {alpha: 2, beta: 1}", "sources: {alpha: 2, betta: 1}")
    assert found == ["15: 'betta' is no source of this recipe (did you mean 'beta'?)"]


def test_recipe_with_a_source_twice_is_refused(problems: Callable[..., list[str]]) -> None:
    found = problems("  - name: beta", "  - name: alpha")
    assert found[0] == "6: the source 'alpha' stands twice: rename one"


def test_recipe_with_a_tokenizer_given_and_trained_is_refused(problems: Callable[..., list[str]]) -> None:
    found = problems("tokenizer: {train:", "tokenizer: {path: t.model, train:")
    assert found == ["12: 'tokenizer': give either 'path' or 'train', not both"]


def test_recipe_whose_splits_leave_nothing_for_training_is_refused(problems: Callable[..., list[str]]) -> None:
    found = problems("{validation: 0.1, test: 0.1}", "{validation: 0.6, test: 0.5}")
    assert found == ["11: 'split': validation and test together must leave a share for training"]


def test_recipe_with_an_unknown_kind_of_source_is_refused(problems: Callable[..., list[str]]) -> None:
    found = problems("{kind: jsonl, path: alpha}", "{kind: jsonnl, path: alpha}")
    assert found[0].startswith("4: ")
    assert "'jsonnl'" in found[0]
    assert "'jsonl'" in found[0]

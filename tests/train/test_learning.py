"""The learning proof in benchmarks/: what it makes of measured perplexities, and that its recipe plans."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llemma.cli import main

from .conftest import VOCAB

ROOT = Path(__file__).parents[2]
SOURCES = ("mathematics", "general-text", "general-code")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the benchmark, which is no package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import learning_curves
    import learning_recipes

    yield learning_curves, learning_recipes
    for name in ("learning_curves", "learning_recipes"):
        sys.modules.pop(name, None)


def test_learning_tables_of_known_perplexities_tell_factors_means_and_what_general_data_spared(
    benchmarks: Any, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    curves, _ = benchmarks
    measured = {  # seed: base, then the middle and the end of each arm
        1: {"general-5": (100.0, 300.0, 150.0), "general-0": (100.0, 500.0, 400.0)},
        2: {"general-5": (200.0, 500.0, 1200.0), "general-0": (200.0, 900.0, 1600.0)},
    }
    points = [
        curves.Point(seed=seed, arm=arm, source="general-text", tokens=tokens, perplexity=perplexity)
        for seed, arms in measured.items()
        for arm, perplexities in arms.items()
        for tokens, perplexity in zip((0, 1000, 2000), perplexities, strict=True)
    ]
    with_general, without = curves.changes(points[::-1])[::-1]
    assert (with_general.arm, without.arm) == ("general-5", "general-0")
    assert with_general.factors == {1: 1.5, 2: 6.0} and without.factors == {1: 4.0, 2: 8.0}
    # The geometric mean of 1.5 and 6 is 3; their logarithms are ln 2 from its own, so they deviate by ln 2 · √2.
    assert curves.mean_and_spread([1.5, 6.0]) == "3.00 (×÷ 2.665)"
    text = curves.tables(points, {seed: {"base": {"cpu_s": 180.4, "wall_s": 200.0}} for seed in measured})
    assert "| general-text: 5 % general data | 150.0 (× 1.50) | 1200.0 (× 6.00) | × 3.00 (×÷ 2.665) |" in text
    assert "| general-text: 5 % general data | 0.375 | 0.750 | 0.530 (×÷ 1.633) |" in text  # 150/400 and 1200/1600
    assert "| base | 180 / 200 | 180 / 200 |" in text
    curves.draw(points, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_learning_documents_cut_from_a_text_are_the_text_and_begin_after_blank_lines(benchmarks: Any) -> None:
    _, recipes = benchmarks
    text = "\n\n".join(f"paragraph {number} " + "x" * (number % 7 * 20) for number in range(200))
    cut = list(recipes.pieces(text, 500))
    assert "\n\n".join(cut) == text and len(cut) > 10
    assert all(piece.startswith("paragraph") and len(piece) < 700 for piece in cut)


def test_learning_recipe_plans_arms_that_begin_with_the_base(benchmarks: Any, data: Path, tmp_path: Path) -> None:
    _, recipes = benchmarks
    study = recipes.Study(sources=SOURCES, shares=(5.0, 0.0), base_tokens=6144, arm_tokens=8192)
    assert study.parts("general-5") == {"mathematics": 95, "general-text": 2, "general-code": 3}  # Llemma's
    assert study.parts("general-0") == {"mathematics": 100, "general-text": 0, "general-code": 0}
    (tmp_path / "training.yml").write_text(yaml.safe_dump(study.training_overlay(seed=7)))
    tiny = yaml.safe_load((ROOT / "neox_configs/models/tiny.yml").read_text()) | {"padded_vocab_size": VOCAB}
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump(tiny))  # for the tokenizer of the tests' data
    recipe = study.run_recipe(tmp_path / "training.yml") | {"model": str(tmp_path / "tiny.yml")}
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    words = [word for name in ("base", *study.arms) for word in ("--data", f"{name}={data / 'mixture.json'}")]
    assert main(["plan", str(tmp_path / "recipe.yml"), *words, "--out", str(tmp_path / "run")]) == 0
    stages = sorted((tmp_path / "run/stages").iterdir())
    assert [stage.name for stage in stages] == ["01-base", "02-general-5", "03-general-0"]
    plans = [json.loads((stage / "stage.json").read_text()) for stage in stages]
    assert [plan["iterations"] for plan in plans] == [3, 4, 4]
    assert [plan["start_from"] for plan in plans[1:]] == ["01-base", "01-base"]
    keys = [yaml.safe_load((stage / "neox.yml").read_text()) for stage in stages]
    assert [neox["seed"] for neox in keys] == [7, 8, 9]  # the planner's: no stage repeats another's order
    assert all(neox["checkpoint_factor"] == 1 and not neox.get("keep_last_n_checkpoints") for neox in keys)

"""Run directories: what stands in them, golden files, and that they are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from llemma.core.config import load_yaml
from llemma.core.errors import InputError
from llemma.core.schemas import RunRecord
from llemma.neox.config import NeoxConfig
from llemma.neox.overlays import render
from llemma.plan.compile import Plan, PlannedStage, Request, compile_plan
from llemma.plan.rundir import run_keys, write_run
from llemma.stages import CompiledStage
from neox_configs import config_names

GOLDEN = Path(__file__).with_name("golden")


def golden_path(recipe: str, plan: Plan, planned: PlannedStage) -> Path:
    """One file a recipe, or one for each of its stages."""
    return GOLDEN / (f"{recipe}.yml" if len(plan.stages) == 1 else f"{recipe}.{planned.directory}.yml")


@pytest.mark.parametrize("recipe", config_names("recipes"))
def test_rendered_stages_of_a_shipped_recipe_are_the_golden_ones(recipe: str) -> None:
    """Written anew with UPDATE_GOLDEN=1; then the difference is to be read before it is committed."""
    plan = compile_plan(Request(recipe=recipe))
    assert plan.problems == []
    for planned in plan.stages:
        text = render(run_keys(plan, planned, Path("/runs/golden")))
        path = golden_path(recipe, plan, planned)
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text(), path.name
        assert yaml.load(text, Loader=yaml.FullLoader) == load_yaml(path).value
        assert NeoxConfig.from_yaml(path).model_dump() == {
            **planned.config.model_dump(),
            "save": f"/runs/golden/train/{planned.directory}/checkpoints",
        }


def test_golden_files_are_of_recipes_that_ship() -> None:
    assert {path.name.split(".")[0] for path in GOLDEN.glob("*.yml")} == set(config_names("recipes"))


def test_run_directory_holds_what_both_engines_and_the_report_read(
    tmp_path: Path, data: Path, checkpoint: Path
) -> None:
    out = tmp_path / "run"
    plan = compile_plan(Request(recipe="demo", data=data, init_from=checkpoint))
    write_run(plan, out)
    record = RunRecord.read(out)
    assert Path(record.mixture) == data
    assert record.estimates["parameters"]["total"] == 3_344_064
    assert [stage.directory for stage in record.stages] == ["stages/01-math"]
    stage = CompiledStage.read(out / "stages/01-math/stage.json")
    assert (stage.start, stage.init_from, stage.iterations) == ("hf", str(checkpoint), 240)
    assert [source.test for source in stage.sources] == [None, None]  # no source has test documents
    config = NeoxConfig.from_yaml(out / "stages/01-math/neox.yml")
    assert config.save == str(out / "train/01-math/checkpoints")
    assert config.load is None
    assert config.train_data_paths == [str(data.parent / f"data/{name}/train") for name in ("arxiv", "web")]
    assert config.test_data_paths == config.valid_data_paths
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "run", "start"]


def test_run_directory_of_two_stages_starts_the_second_from_the_first(
    tmp_path: Path, data: Path, checkpoint: Path
) -> None:
    recipe = tmp_path / "two.yml"
    recipe.write_text(
        "title: T\nmodel: tiny\ntraining: smoke_cpu\ncluster: cpu\nstart: checkpoint\n"
        "stages:\n- {name: one}\n- {name: two, carry_optimizer: true}\n"
    )
    out = tmp_path / "run"
    write_run(compile_plan(Request(recipe=str(recipe), data=data, init_from=checkpoint)), out)
    starts = [CompiledStage.read(out / f"stages/{name}/stage.json") for name in ("01-one", "02-two")]
    assert [(stage.start, stage.init_from) for stage in starts] == [("hf", str(checkpoint)), ("stage", None)]
    assert [stage.carry_optimizer for stage in starts] == [False, True]
    second = NeoxConfig.from_yaml(out / "stages/02-two/neox.yml")
    assert (second.load, second.save) == (None, str(out / "train/02-two/checkpoints"))


def test_run_directory_is_never_written_over_another(tmp_path: Path, data: Path, checkpoint: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "kept.txt").write_text("kept")
    plan = compile_plan(Request(recipe="demo", data=data, init_from=checkpoint))
    with pytest.raises(InputError, match="exists already"):
        write_run(plan, out)
    assert [path.name for path in out.iterdir()] == ["kept.txt"]


def test_run_directory_whose_writing_fails_leaves_nothing(
    tmp_path: Path, data: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compile_plan(Request(recipe="demo", data=data, init_from=checkpoint))

    def full(self: RunRecord, run: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunRecord, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_run(plan, tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "start"]


def test_data_overlay_for_a_cluster_puts_every_path_under_its_root(
    make_data: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from llemma.cli import main

    mixture = make_data()
    out = mixture.parent / "neox" / "little_data.yml"
    assert main(["data-overlay", str(mixture), "--out", str(out), "--data-root", "/cluster/data"]) == 0
    values = load_yaml(out).value
    assert values == {
        "train_data_paths": ["/cluster/data/data/arxiv/train", "/cluster/data/data/web/train"],
        "train_data_weights": [0.5, 0.5],
        "valid_data_paths": ["/cluster/data/data/arxiv/validation", "/cluster/data/data/web/validation"],
        "valid_data_weights": [0.5, 0.5],
        "test_data_paths": ["/cluster/data/data/arxiv/validation", "/cluster/data/data/web/validation"],
        "test_data_weights": [0.5, 0.5],
        "data_impl": "mmap",
        "tokenizer_type": "SPMTokenizer",
        "vocab_file": "/cluster/data/tokenizer/tokenizer.model",
    }


def test_data_overlay_of_more_sources_than_neox_can_blend_is_refused(
    make_data: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from llemma.core.schemas import Mixture
    from llemma.neox.data_overlay import data_keys

    path = make_data()
    mixture = Mixture.read(path)
    source = mixture.sources[0]
    many = tuple(source.model_copy(update={"name": f"s{n}", "weight": 1 / 255}) for n in range(255))
    with pytest.raises(InputError, match="255 sources: NeoX blends at most 254"):
        data_keys(mixture.model_copy(update={"sources": many}), path)

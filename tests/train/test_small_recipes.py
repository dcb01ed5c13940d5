"""The shipped small recipes, planned and trained by the commands that a user has, with a smaller model still."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from llemma.cli import main

from .conftest import NEOX, SEQ_LENGTH, VOCAB
from .test_numbers import metric_lines

RECIPES = Path(__file__).parents[2] / "neox_configs/recipes"
OVERLAYS = Path(__file__).parents[2] / "neox_configs"
MODEL_KEYS = ("num_layers", "hidden_size", "num_attention_heads", "intermediate_size", "seq_length")
BATCH = 16


@pytest.fixture
def mixtures(data: Path, tmp_path: Path) -> Path:
    """A data build with a second mixture of its shards: general.json and math.json."""
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    value = json.loads((copy / "mixture.json").read_text())
    (copy / "general.json").write_text(json.dumps(value))
    for source, weight in zip(value["sources"], (0.4, 0.6), strict=True):
        source["weight"] = weight
    (copy / "math.json").write_text(json.dumps(value | {"name": "other weights"}))
    return copy


def write_recipe(name: str, folder: Path, shrink: int) -> tuple[Path, dict[str, Any]]:
    """A shipped recipe over a micro model, its tokens divided; returns the recipe as it was written too."""
    for kind, overlay, changes in (
        ("models", "tiny", {key: NEOX[key] for key in MODEL_KEYS}),
        ("training", "smoke_cpu", {"train_batch_size": BATCH, "eval_iters": 1}),
    ):
        values = yaml.safe_load((OVERLAYS / kind / f"{overlay}.yml").read_text()) | changes
        if kind == "models":
            values |= {"padded_vocab_size": VOCAB, "max_position_embeddings": SEQ_LENGTH}
        (folder / f"{overlay}.yml").write_text(yaml.safe_dump(values))
    recipe = yaml.safe_load((RECIPES / f"{name}.yml").read_text())
    recipe |= {"model": str(folder / "tiny.yml"), "training": str(folder / "smoke_cpu.yml")}
    for stage in recipe["stages"]:
        if "tokens" in stage:
            stage["tokens"] //= shrink
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(recipe))
    return path, recipe


def plan_and_train(recipe: Path, run: Path, data: list[str]) -> None:
    words = [word for item in data for word in ("--data", item)]
    assert main(["plan", str(recipe), *words, "--out", str(run)]) == 0
    assert main(["train", str(run), "--threads", "1", "--device", "cpu"]) == 0


def test_four_curricula_change_mixture_and_batch_and_carry_the_optimizer(mixtures: Path, tmp_path: Path) -> None:
    """MiniMATH's four stages."""
    from safetensors.numpy import load_file

    recipe, written = write_recipe("small_curricula", tmp_path, 1)
    names = [stage["name"] for stage in written["stages"]]
    data = [f"{name}={mixtures / ('general' if name == 'general' else 'math')}.json" for name in names]
    run = tmp_path / "run"
    plan_and_train(recipe, run, data)
    folders = [f"{number:02d}-{name}" for number, name in enumerate(names, 1)]
    total = sum(
        source["splits"]["train"]["num_tokens"]
        for source in json.loads((mixtures / "math.json").read_text())["sources"]
    )
    updates = 0
    for folder, stage in zip(folders, written["stages"], strict=True):
        lines = metric_lines(run, "train", folder)
        batch = stage.get("global_batch_size", BATCH)
        assert lines[0]["tokens"] == batch * SEQ_LENGTH
        assert len(lines) == max(1, round(stage["epochs"] * total / (batch * SEQ_LENGTH)))
        updates += len(lines)
        assert metric_lines(run, "validation", folder)[0]["by_source"].keys() == {"arxiv", "code"}
    last = sorted((run / "train" / folders[-1] / "checkpoints").glob("step_*"))[-1]
    assert load_file(last / "optimizer.safetensors")["step.model.norm.weight"] == updates
    weights = (run / "export/hf/model.safetensors").read_bytes()
    assert weights == (last / "model.safetensors").read_bytes()
    first, end = (metric_lines(run, "train", folder) for folder in (folders[0], folders[-1]))
    assert end[-1]["loss"] < first[0]["loss"] - 0.5


def test_warmup_stable_decay_leaves_one_stable_stage_in_two_branches(mixtures: Path, tmp_path: Path) -> None:
    """MiniCPM's WSD: a stable stage of 50 steps and two decays from its 40th, the second over another mixture."""
    recipe, written = write_recipe("small_wsd", tmp_path, 4096 // (BATCH * SEQ_LENGTH))
    run = tmp_path / "run"
    plan_and_train(recipe, run, [f"{mixtures / 'general.json'}", f"decay-with-sft={mixtures / 'math.json'}"])
    stable, *branches = (f"{number:02d}-{stage['name']}" for number, stage in enumerate(written["stages"], 1))
    peak = 0.002
    rates = [line["lr"] for line in metric_lines(run, "train", stable)]
    assert rates == pytest.approx([peak * min(1, max(1, step) / 5) for step in range(50)])
    for branch in branches:
        rates = [line["lr"] for line in metric_lines(run, "train", branch)]
        assert rates == pytest.approx([peak * 0.5 ** (step / 5) for step in range(20)])
    losses = {branch: [line["loss"] for line in metric_lines(run, "train", branch)] for branch in branches}
    assert losses[branches[0]] != losses[branches[1]]
    assert all(
        metric_lines(run, "validation", b)[-1]["loss"] < metric_lines(run, "validation", b)[0]["loss"] for b in branches
    )
    kept = sorted(path.name for path in (run / "train" / stable / "checkpoints").glob("step_*"))
    assert kept == ["step_00000040", "step_00000050"]

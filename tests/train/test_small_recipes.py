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
MODEL_KEYS = (
    "num_layers", "hidden_size", "num_attention_heads", "num_kv_heads", "intermediate_size", "seq_length",
    "rms_norm_epsilon",
)  # fmt: skip
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


def write_recipe(name: str, folder: Path, shrink: int, **training: Any) -> tuple[Path, dict[str, Any]]:
    """A shipped recipe over a micro model, its tokens divided; returns the recipe as it was written too.

    `training` are keys of the overlays; sequence lengths that a stage gives are shrunk to the micro model's.
    """
    recipe = yaml.safe_load((RECIPES / f"{name}.yml").read_text())
    model = yaml.safe_load((OVERLAYS / f"models/{recipe['model']}.yml").read_text())
    longest = max(stage.get("seq_length", model["seq_length"]) for stage in recipe["stages"])
    model |= {key: NEOX[key] for key in MODEL_KEYS} | {"padded_vocab_size": VOCAB, "rotary_emb_base": 10000}
    (folder / "model.yml").write_text(yaml.safe_dump(model | {"max_position_embeddings": SEQ_LENGTH}))
    recipe |= {"model": str(folder / "model.yml"), "cluster": "cpu"}
    for part in (recipe, *recipe["stages"]):
        if "training" in part:
            values = yaml.safe_load((OVERLAYS / f"training/{part['training']}.yml").read_text())
            values |= {"train_batch_size": BATCH, "eval_iters": 1} | training
            part["training"] = str(folder / f"{part['training']}.yml")
            Path(part["training"]).write_text(yaml.safe_dump(values))
        if "tokens" in part:
            part["tokens"] //= shrink
        if "seq_length" in part:
            part["seq_length"] = part["seq_length"] * SEQ_LENGTH // longest
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(recipe))
    return path, recipe


def plan_and_train(recipe: Path, run: Path, data: list[str], start: Path | None = None) -> None:
    words = [word for item in data for word in ("--data", item)]
    words += [] if start is None else ["--init-from", str(start)]
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


@pytest.mark.parametrize("name", ["small_sft_kto", "numinamath"])
def test_two_stages_of_fine_tuning_are_followed_by_kto_on_the_models_own_answers(
    name: str, conversations: Path, base_model: Path, tmp_path: Path
) -> None:
    """NuminaMath's three stages; small_sft_kto in fp32, numinamath itself in bf16."""
    recipe, written = write_recipe(name, tmp_path, 1, train_batch_size=8, train_micro_batch_size_per_gpu=4)
    lengths = [stage.get("seq_length", SEQ_LENGTH) for stage in written["stages"]]
    assert lengths == [SEQ_LENGTH, SEQ_LENGTH // 2, SEQ_LENGTH]
    for stage in written["stages"]:
        stage["learning_rate"]["peak"] = 2e-3 if stage["objective"] == "sft" else 1e-3
    recipe.write_text(yaml.safe_dump(written))
    run = tmp_path / "run"
    data = [f"{stage['name']}={conversations / stage['objective'] / 'mixture.json'}" for stage in written["stages"]]
    plan_and_train(recipe, run, data, base_model)
    for folder in ("01-cot", "02-tir", "03-kto"):
        first, last = (metric_lines(run, "validation", folder)[at] for at in (0, -1))
        assert last["loss"] < first["loss"] - (0.003 if folder == "03-kto" else 0.3)
        assert first["by_source"].keys() == {"chains", "more"}
    steps = metric_lines(run, "train", "03-kto")
    assert steps[0]["loss"] == pytest.approx(0.5, abs=1e-5)  # nothing differs yet from what the second stage ended in
    assert steps[0]["measures"]["policy_logp"] == steps[0]["measures"]["ref_logp"]
    assert steps[-1]["measures"]["reward_acc"] > 0.5
    assert (run / "export/hf/model.safetensors").is_file()


def test_longer_contexts_take_documents_by_their_lengths(data: Path, base_model: Path, tmp_path: Path) -> None:
    """small_long_context: two lengths at a new RoPE base, its shares of short and long documents held."""
    recipe, written = write_recipe(
        "small_long_context", tmp_path, 40, train_batch_size=4, train_micro_batch_size_per_gpu=4
    )
    assert [stage["seq_length"] for stage in written["stages"]] == [SEQ_LENGTH // 2, SEQ_LENGTH]
    shutil.copytree(data, tmp_path / "data")
    value = json.loads((data / "mixture.json").read_text())
    for source, name, weight in zip(value["sources"], ("short", "long"), (0.56, 0.44), strict=True):
        source |= {"name": name, "weight": weight}
    (tmp_path / "data/mixture.json").write_text(json.dumps(value))
    for stage in written["stages"]:
        for source, bounds in zip(stage["sources"], ([1, 89], [20, 90]), strict=True):
            source["document_tokens"] = bounds
    recipe.write_text(yaml.safe_dump(written))
    assert main(["convert", str(base_model), str(tmp_path / "start"), "--to", "hf", "--rope-base", "50000"]) == 0
    run = tmp_path / "run"
    plan_and_train(recipe, run, [str(tmp_path / "data/mixture.json")], tmp_path / "start")
    for number, stage in enumerate(written["stages"], 1):
        lines = metric_lines(run, "train", f"{number:02d}-{stage['name']}")
        assert lines[0]["tokens"] == 4 * stage["seq_length"]
    config = json.loads((run / "export/hf/config.json").read_text())
    assert config["rope_theta"] == 50_000

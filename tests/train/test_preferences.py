"""DPO and KTO here: GPT-NeoX's samples, the papers' losses, one start however often a run is resumed."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from llemma.cli import main
from llemma.core.indexed import IndexedReader, IndexedWriter
from llemma.neox.config import NeoxConfig
from llemma.train.keys import refusals

from .conftest import NEOX, SEQ_LENGTH
from .preferences import dpo_loss, drawn, kto_loss
from .test_numbers import metric_lines, train
from .test_resume import TIMES, handled
from .test_small_recipes import write_recipe

MakeStage = Callable[..., Path]
STEPS = 6


@pytest.fixture
def make_stage(conversations: Path, base_model: Path, tmp_path: Path) -> MakeStage:
    """Plans the one stage of small_dpo, or the last of small_sft_kto, and changes keys of its neox.yml."""

    def make(objective: str, name: str = "run", micro: int = 2, data: Path | None = None, **keys: Any) -> Path:
        folder = tmp_path / f"{name}-recipe"
        folder.mkdir()
        batch = {"train_batch_size": 4, "train_micro_batch_size_per_gpu": micro, "checkpoint_factor": 2}
        path, recipe = write_recipe("small_dpo" if objective == "dpo" else "small_sft_kto", folder, 1, **batch)
        recipe["stages"] = recipe["stages"][-1:]
        recipe["stages"][0] |= {"stop_iters": STEPS, "learning_rate": {"shape": "cosine", "peak": 2e-3}}
        path.write_text(yaml.safe_dump(recipe))
        run = tmp_path / name
        mixture = (data or conversations / objective) / "mixture.json"
        words = ["plan", str(path), "--data", str(mixture), "--init-from", str(base_model), "--out", str(run)]
        assert main(words) == 0
        change(run, **keys)
        return run

    return make


def change(run: Path, **keys: Any) -> None:
    (file,) = run.glob("stages/*/neox.yml")
    values = yaml.safe_load(file.read_text()) | keys
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def stage_of(run: Path) -> str:
    return next((run / "stages").iterdir()).name


def lines(run: Path) -> list[dict[str, Any]]:
    """All lines of the metrics without what a clock says."""
    found = map(json.loads, (run / "train" / stage_of(run) / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in TIMES} for line in found]


def last_weights(run: Path) -> bytes:
    return (run / "train" / stage_of(run) / f"checkpoints/step_{STEPS:08d}/model.safetensors").read_bytes()


def planned_samples(run: Path) -> int:
    (file,) = run.glob("stages/*/neox.yml")
    values = yaml.safe_load(file.read_text())
    return int(values["train_iters"] * 4)


# ---------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("objective", "micro", "keys"),
    [
        ("dpo", 2, {"dpo_beta": 0.3}),
        ("dpo", 4, {"dpo_reference_free": True}),
        ("kto", 4, {"kto_beta": 0.5}),
        ("kto", 2, {"kto_desirable_weight": 0.5, "kto_undesirable_weight": 2.0}),
    ],
)
def test_losses_and_gradients_of_preferences_are_those_of_a_plain_loop_over_transformers(
    objective: str, micro: int, keys: dict[str, Any], make_stage: MakeStage, conversations: Path, base_model: Path
) -> None:
    """Each answer alone and unpadded, the formula written down once more, AdamW of torch, six steps."""
    import torch
    from transformers import LlamaForCausalLM

    run = make_stage(objective, micro=micro, **keys)
    assert train(run) == 0
    found = metric_lines(run, "train", stage_of(run))
    policy, reference = (LlamaForCausalLM.from_pretrained(base_model, attn_implementation="eager") for _ in range(2))
    optimizer = torch.optim.AdamW(policy.parameters(), betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    samples = drawn(conversations / objective, "train", planned_samples(run), pairs=objective == "dpo")
    beta = keys.get(f"{objective}_beta", 0.1)
    weights = {1: keys.get("kto_desirable_weight", 1.0), -1: keys.get("kto_undesirable_weight", 1.0)}
    assert len(found) == STEPS
    for step, line in enumerate(found):
        losses = []
        for first in range(4 * step, 4 * step + 4, micro):
            chosen = samples[first : first + micro]
            if objective == "dpo":
                losses.append(dpo_loss(policy, None if keys.get("dpo_reference_free") else reference, chosen, beta))
            else:
                losses.append(kto_loss(policy, reference, chosen, beta, weights))
        loss = torch.stack(losses).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = line["lr"]
        optimizer.step()
        optimizer.zero_grad()
        assert line["loss"] == pytest.approx(loss.item(), abs=2e-5)
        assert line["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
    assert abs(found[-1]["loss"] - found[0]["loss"]) > 0.01  # or nothing would have been compared


def test_measures_of_a_pair_tell_how_its_loss_comes_about(make_stage: MakeStage) -> None:
    run = make_stage("dpo", micro=4, dpo_beta=0.2)
    assert train(run) == 0
    first, *_, last = (line["measures"] for line in metric_lines(run, "train", stage_of(run)))
    assert first["chosen_pos"] == first["ref_pos"] and first["margins"] == 0 == first["reward_acc"]
    for name, sign in (("chosen_rewards", "pos"), ("rejected_rewards", "neg")):
        assert last[name] == pytest.approx(0.2 * (last[f"chosen_{sign}"] - last[f"ref_{sign}"]), abs=1e-4)
    assert last["margins"] == pytest.approx(last["chosen_rewards"] - last["rejected_rewards"], abs=1e-5)
    assert last["margins"] > 0.05 and last["reward_acc"] >= 0.75


def test_validation_of_preferences_tells_the_objectives_loss_of_each_source(
    make_stage: MakeStage, conversations: Path, base_model: Path
) -> None:
    from transformers import LlamaForCausalLM

    run = make_stage("dpo", micro=4, dpo_reference_free=True, eval_interval=100)
    assert train(run) == 0
    model = LlamaForCausalLM.from_pretrained(base_model, attn_implementation="eager").eval()
    # NeoX plans one validation of 4 samples before the first iteration; behind them come those of the small source.
    samples = drawn(conversations / "dpo", "validation", 4, pairs=True)
    line = metric_lines(run, "validation", stage_of(run))[0]
    losses = [float(dpo_loss(model, None, [sample], 0.1)) for sample in samples]
    assert line["loss"] == pytest.approx(np.mean(losses), abs=2e-5)
    for name in ("chains", "more"):
        own = [loss for loss, (prefix, _) in zip(losses, samples, strict=True) if prefix.parent.name == name]
        assert line["by_source"][name] == pytest.approx(np.mean(own), abs=2e-5)


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_reference_in_bf16_says_what_the_model_says_before_its_first_step(
    objective: str, make_stage: MakeStage
) -> None:
    """Its matrices are kept in bf16: the rounding that every product makes of them anyway."""
    run = make_stage(objective, precision="bfloat16", zero_optimization={"stage": 1})
    assert train(run) == 0
    measures = metric_lines(run, "train", stage_of(run))[0]["measures"]
    names = ("chosen_pos", "ref_pos") if objective == "dpo" else ("policy_logp", "ref_logp")
    assert measures[names[0]] == measures[names[1]]


# ---------------------------------------------------------------------- samples


def neox_pairs(prefix: Path, num_samples: int, length: int, allow_chopped: bool) -> list[dict[str, np.ndarray]]:
    """Rows of GPT-NeoX's unpacked pairs, document by document as pairwise_dataset.py goes (slow)."""
    ends = {"pos": "", "pos_label": "_labels", "neg": "_rejected", "neg_label": "_rejected_labels"}
    readers = {name: IndexedReader(f"{prefix}{end}") for name, end in ends.items()}
    count = len(readers["pos"])
    shuffle = np.array([number % count for number in range(num_samples)])
    np.random.RandomState(seed=1234).shuffle(shuffle)
    documents: list[int] = []
    at = 0
    while len(documents) <= num_samples:
        too_long = any(readers[name].sizes[at] > length + 1 for name in ("pos", "neg"))
        unlabelled = any((readers[name].get(at)[:length] == -100).all() for name in ("pos_label", "neg_label"))
        if not unlabelled and (allow_chopped or not too_long):
            documents.append(at)
        at = (at + 1) % count
    rows = []
    for number in shuffle:
        row = {}
        for name, reader in readers.items():
            tokens = np.concatenate([reader.get(documents[number]), reader.get(documents[number + 1])[:1]])
            tokens = tokens[: length + 1].astype(np.int64)
            padding = -100 if "label" in name else 0
            row[name] = np.pad(tokens, (0, length + 1 - len(tokens)), constant_values=padding)
        rows.append(row)
    return rows


@pytest.mark.parametrize(("length", "allow_chopped"), [(SEQ_LENGTH, True), (14, True), (14, False)])
def test_pairs_are_drawn_in_the_order_of_neox(
    length: int, allow_chopped: bool, make_stage: MakeStage, conversations: Path, tmp_path: Path
) -> None:
    """Two epochs and more; at 14 tokens documents are cut, or passed over; one has no label, and is passed over too."""
    import torch

    from llemma.train.data.batch import BatchRules
    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    copy = tmp_path / "dpo"
    shutil.copytree(conversations / "dpo", copy)
    prefix = copy / "data/more/train"
    labels = [np.array(IndexedReader(f"{prefix}_rejected_labels").get(number)) for number in range(23)]
    labels[5][:] = -100
    with IndexedWriter(f"{prefix}_rejected_labels", np.int32) as writer:
        for item in labels:
            writer.add_document(item)
    run = make_stage("dpo", train_iters=50, exit_interval=STEPS, seq_length=length, allow_chopped=allow_chopped)
    text = next(run.glob("stages/*/neox.yml"))
    text.write_text(text.read_text().replace(str(conversations / "dpo"), str(copy)))
    samples = training_samples(read_settings(find_stages(run)[0]), 256)
    assert len(samples.blend) == 200
    for source, name in enumerate(("chains", "more")):
        numbers = list(map(int, np.flatnonzero(samples.blend.source_index == source)))
        asked = len(samples.blend.sources[source])
        rows = neox_pairs(copy / "data" / name / "train", asked, length, allow_chopped)
        for number in numbers:
            row = rows[samples.blend.place(number)[1]]
            batch = samples.batch([number], BatchRules())
            wanted = np.stack([row["pos_label"], row["neg_label"]])[:, 1:]
            assert torch.equal(batch.inputs, torch.from_numpy(np.stack([row["pos"], row["neg"]])[:, :-1]))
            assert torch.equal(batch.labels, torch.from_numpy(wanted))


# ---------------------------------------------------------------------- going on


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_interrupted_preferences_go_on_against_the_same_reference_and_no_other(
    objective: str,
    make_stage: MakeStage,
    base_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from safetensors.numpy import load_file, save_file

    from llemma.train import stage_run

    unbroken, run = make_stage(objective, "unbroken"), make_stage(objective)
    assert train(unbroken) == 0
    real, calls = stage_run.compute_gradients, []

    def signal_in_the_third(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    with monkeypatch.context() as patched, handled(signal.SIGTERM, signal.default_int_handler):
        patched.setattr(stage_run, "compute_gradients", signal_in_the_third)
        assert train(run) == 0
    assert lines(run)[-1]["iteration"] == 3

    other = tmp_path / "other"
    shutil.copytree(base_model, other)
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"][0] += 1e-3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    stage = run / "stages" / stage_of(run) / "stage.json"
    planned = stage.read_text()
    stage.write_text(planned.replace(str(base_model), str(other)))
    capsys.readouterr()
    assert train(run) == 2
    assert "reference was " in capsys.readouterr().err

    stage.write_text(planned)
    assert train(run) == 0
    assert last_weights(run) == last_weights(unbroken)
    assert lines(run) == lines(unbroken)


def test_bad_pairs_are_left_out_for_good_and_named_with_both_answers(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llemma.train import objective

    def poisoned(run: Path, bad_calls: range) -> int:
        real, calls = objective.dpo, []

        def dpo(*args: Any) -> Any:
            calls.append(1)
            found = real(*args)
            losses = found.losses * (math.nan if len(calls) in bad_calls else 1.0)
            return objective.Compared(losses=losses, measures=found.measures)

        with monkeypatch.context() as patched:
            patched.setattr(objective, "dpo", dpo)
            return train(run)

    keys = {"micro": 4, "valid_data_weights": None, "pos_valid_data_paths": None, "pos_valid_label_data_paths": None}
    keys |= {"neg_valid_data_paths": None, "neg_valid_label_data_paths": None}
    clean, returned, stopped = (make_stage("dpo", name, **keys) for name in ("clean", "returned", "stopped"))
    for run in (clean, returned, stopped):
        stage = run / "stages" / stage_of(run) / "stage.json"
        guard = {"max_skips_in_a_row": 2, "max_rollbacks": 1}
        stage.write_text(json.dumps(json.loads(stage.read_text()) | {"guard": guard}))
    folder = clean / "train" / stage_of(clean)
    folder.mkdir(parents=True)
    (folder / "excluded.json").write_text('{"schema": 1, "samples": [[12, 20]]}')
    assert train(clean) == 0
    assert poisoned(returned, range(4, 6)) == 0  # steps 4 and 5, which draw the samples 12 to 19; back to step 2
    assert last_weights(returned) == last_weights(clean)
    assert [line for line in lines(returned) if line["kind"] != "event"] == lines(clean)

    capsys.readouterr()
    assert poisoned(stopped, range(4, 99)) == 1
    said = capsys.readouterr().err
    assert "documents" in said and ": begins '" in said and ", rejected '" in said


# ---------------------------------------------------------------------- refusals

PATHS: dict[str, Any] = {
    "train_impl": "dpo", "dataset_impl": "pairwise", "pack_impl": "unpacked", "pos_train_data_paths": ["a"],
    "pos_train_label_data_paths": ["b"], "neg_train_data_paths": ["c"], "neg_train_label_data_paths": ["d"],
}  # fmt: skip
KTO: dict[str, Any] = {
    "train_impl": "kto", "pack_impl": "unpacked", "train_data_paths": ["a"], "train_label_data_paths": ["b"],
    "train_reward_data_paths": ["c"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (PATHS | {"neg_train_label_data_paths": None}, "'neg_train_label_data_paths' is missing: train_impl 'dpo'"),
        (PATHS | {"dataset_impl": "gpt2"}, "'dataset_impl' is 'gpt2', but train_impl 'dpo' reads 'pairwise'"),
        (PATHS | {"pack_impl": "pack_until_overflow"}, "'pack_impl' is 'pack_until_overflow', but dpo compares whole"),
        (PATHS | {"dpo_beta": 0.0}, "'dpo_beta' is 0.0, but must be above 0"),
        (PATHS | {"train_data_paths": ["x"]}, "'train_data_paths' stands there, but train_impl 'dpo' does not read it"),
        (
            PATHS | {f"{name}_data_paths": ["a"] for name in ("pos_valid", "pos_valid_label", "neg_valid_label")},
            "'neg_valid_data_paths' is missing",
        ),
        (PATHS | {"precompute_model_name": "before"}, "the reference model is held beside the one that is trained"),
        (KTO | {"train_reward_data_paths": None}, "'train_reward_data_paths' is missing: train_impl 'kto' needs it"),
        (KTO | {"kto_undesirable_weight": -1.0}, "'kto_undesirable_weight' is -1.0, but must be at least 0"),
        (KTO | {"train_micro_batch_size_per_gpu": 3}, "'train_micro_batch_size_per_gpu' is 3, but KTO compares"),
        ({"train_data_paths": ["a"], "train_reward_data_paths": ["b"]}, "train_impl 'normal' does not read it"),
        ({"train_data_paths": ["a"], "train_impl": "rm"}, "trains towards 'normal', 'dpo' and 'kto'"),
        ({}, "'train_data_paths' is missing: it names the data to train on"),
    ],
)
def test_keys_that_do_not_make_an_objective_are_refused(keys: dict[str, Any], said: str) -> None:
    values = {key: value for key, value in (NEOX | keys).items() if value is not None}
    told = refusals(NeoxConfig.from_values(values))
    assert len(told) == 1
    assert said in told[0][1]


@pytest.mark.parametrize("keys", [PATHS, KTO])
def test_keys_that_make_an_objective_are_honoured(keys: dict[str, Any]) -> None:
    assert refusals(NeoxConfig.from_values(NEOX | keys | {"dpo_fp32": False, "kto_fp32": False})) == []


@pytest.mark.parametrize(
    ("objective", "name", "like", "said"),
    [
        ("kto", "train_rewards", "train_labels", "these rewards do not go, document by document, with the tokens"),
        ("dpo", "train_rejected", "validation_rejected", "rejected answers, but "),
        ("dpo", "train_rejected_labels", "train_labels", "these labels do not go, document by document, with the"),
    ],
)
def test_companions_of_other_documents_are_refused(
    objective: str,
    name: str,
    like: str,
    said: str,
    make_stage: MakeStage,
    conversations: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(conversations / objective, copy)
    run = make_stage(objective, data=copy)
    for end in ("bin", "idx"):
        shutil.copyfile(copy / f"data/more/{like}.{end}", copy / f"data/more/{name}.{end}")
    assert train(run) == 1
    assert said in capsys.readouterr().err


def test_comparing_with_noise_is_refused(make_stage: MakeStage, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_stage("kto")
    stage = run / "stages" / stage_of(run) / "stage.json"
    stage.write_text(json.dumps(json.loads(stage.read_text()) | {"start": "noise", "init_from": None}))
    assert train(run) == 2
    assert "kto compares with the model that the stage begins with, but it begins with noise" in capsys.readouterr().err

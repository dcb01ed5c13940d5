"""Every kind of stage that the planner knows, trained here: branches, isolated packing, masked prompts, lengths."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from llemma.core.indexed import IndexedReader, IndexedWriter

from .conftest import EOD, NEOX, SEQ_LENGTH, MakeRun
from .reference import load_weights, token_losses
from .test_numbers import drawn, metric_lines, train
from .test_refusals import copied_data
from .test_small_recipes import plan_and_train, write_recipe


def change_stage(run: Path, stage: str, values: dict[str, Any], **keys: Any) -> None:
    """Changes stage.json and neox.yml of one stage."""
    for name, changes in (("stage.json", values), ("neox.yml", keys)):
        path = run / "stages" / stage / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ---------------------------------------------------------------------- packing


def test_isolated_packing_gives_each_document_the_losses_that_it_has_alone(
    make_run: MakeRun, data: Path, base_model: Path
) -> None:
    """`packing: isolated` was passed over: tokens attended to documents that have nothing to do with theirs."""
    keys: dict[str, Any] = {"train_iters": 1, "lr_decay_iters": 1, "warmup": 0, "checkpoint_factor": 1}
    run = make_run(stage={"packing": "isolated"}, **keys)
    assert train(run) == 0
    tokens, _ = drawn(data, "train", 8, 8)
    weights = load_weights(base_model)
    losses = []
    for row in tokens:
        begins = [0, *(np.flatnonzero(row[:-1] == EOD) + 1)]
        for begin, end in zip(begins, [*begins[1:], len(row) - 1], strict=True):
            if end > begin:
                losses += list(token_losses(weights, row[None, begin : end + 1])[0])
    assert len(losses) == 8 * SEQ_LENGTH
    found = metric_lines(run, "train")[0]["loss"]
    assert found == pytest.approx(np.mean(losses), abs=1e-5)
    assert abs(found - token_losses(weights, tokens).mean()) > 1e-4  # documents that may cross lose otherwise


# ---------------------------------------------------------------------- fine-tuning


@pytest.fixture
def make_sft(make_run: MakeRun, data: Path, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A run over shards with labels that leave the first half of each document, and document 3 whole, out."""

    def make(stage: dict[str, Any] | None = None, **keys: Any) -> tuple[Path, Path]:
        run, copy = copied_data(make_run, data, tmp_path, stage={"objective": "sft"} | (stage or {}), **keys)
        places: dict[str, list[str]] = {"train": [], "validation": []}
        for split, paths in places.items():
            for name in ("arxiv", "code"):
                reader = IndexedReader(copy / "data" / name / split)
                paths.append(str(copy / "data" / name / f"{split}_label"))
                with IndexedWriter(paths[-1], np.int32) as writer:
                    for number in range(len(reader)):
                        labels = reader.get(number).astype(np.int32)
                        labels[: len(labels) if number == 3 else len(labels) // 2] = -100
                        writer.add_document(labels)
        named = {"train_label_data_paths": places["train"], "valid_label_data_paths": places["validation"]}
        change_stage(run, "01-math", {}, **named)
        return run, copy

    return make


def neox_rows(folder: Path, num_samples: int, length: int, packing: str, seed: int) -> list[tuple[Any, Any]]:
    """Tokens and labels of GPT-NeoX's samples of one data set, document by document as gpt2_dataset.py goes (slow)."""
    tokens, labels = IndexedReader(folder), IndexedReader(f"{folder}_label")
    random = np.random.RandomState(seed=seed)
    shuffle = np.arange(num_samples)
    random.shuffle(shuffle)
    documents: list[int] = []
    starts: list[int] = []
    if packing == "unpacked":
        at = 0
        while len(documents) <= num_samples:
            if not np.all(labels.get(at)[:length] == -100):
                documents.append(at)
            at = (at + 1) % len(tokens)
        starts = list(range(num_samples + 1))
    else:
        order = np.arange(len(tokens))
        random.shuffle(order)
        at = running = 0
        while len(starts) < num_samples:
            document = order[at]
            if not np.all(labels.get(document)[: length + 1] == -100):
                size = tokens.sizes[document]
                if running == 0 or running + size > length + 1:
                    starts.append(len(documents))
                    running = 0
                running += size
                documents.append(document)
            at += 1
            if at == len(order):
                at = 0
                random.shuffle(order)
        starts.append(len(documents))
    rows = []
    for number in shuffle:
        held = documents[starts[number] : starts[number + 1]]
        last = (documents + documents[:1])[starts[number + 1]]  # the repair `last-row`: behind the last, the first
        pair = []
        for reader, padding in ((tokens, 0), (labels, -100)):
            row = np.concatenate([*(reader.get(document) for document in held), reader.get(last)[:1]])[: length + 1]
            pair.append(np.pad(row.astype(np.int64), (0, length + 1 - len(row)), constant_values=padding))
        rows.append((pair[0], pair[1]))
    return rows


@pytest.mark.parametrize(
    ("packing", "length"), [("pack_until_overflow", 160), ("pack_until_overflow", 64), ("unpacked", 64)]
)
def test_conversations_are_packed_in_the_order_of_neox(
    make_sft: Callable[..., tuple[Path, Path]], packing: str, length: int
) -> None:
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    run, copy = make_sft(pack_impl=packing, seq_length=length, max_position_embeddings=length)
    samples = training_samples(read_settings(find_stages(run)[0]), 256)
    assert len(samples.blend) == 96
    for source, (name, count) in enumerate((("arxiv", 87), ("code", 10))):  # of 96 samples, half a percent more
        rows = neox_rows(copy / "data" / name / "train", count, length, packing, 1234)
        for number in map(int, np.flatnonzero(samples.blend.source_index == source)):
            tokens, labels = rows[samples.blend.place(number)[1]]
            batch = samples.batch([number], BatchRules())
            np.testing.assert_array_equal(samples.tokens([number])[0], tokens)
            np.testing.assert_array_equal(batch.labels[0], labels[1:])


def test_masked_prompts_do_not_count_in_the_loss(make_sft: Callable[..., tuple[Path, Path]], base_model: Path) -> None:
    """Conversations isolated from each other, prompts masked: the mean over what the labels leave, by a numpy Llama."""
    run, _ = make_sft(
        stage={"packing": "isolated"}, pack_impl="pack_until_overflow", seq_length=96, max_position_embeddings=96,
        train_iters=1, lr_decay_iters=1, warmup=0, checkpoint_factor=1,
    )  # fmt: skip
    assert train(run) == 0
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    samples = training_samples(read_settings(find_stages(run)[0]), 256)
    weights = load_weights(base_model)
    means = []
    for half in (range(4), range(4, 8)):
        total, count = 0.0, 0
        for number in half:
            row, labels = samples.tokens([number])[0], samples.batch([number], BatchRules()).labels[0].numpy()
            begins = [0, *(np.flatnonzero(row[:-1] == EOD) + 1)]
            for begin, end in zip(begins, [*begins[1:], len(row) - 1], strict=True):
                counted = labels[begin:end] != -100
                if counted.any():
                    total += token_losses(weights, row[None, begin : end + 1])[0][counted].sum()
                    count += int(counted.sum())
        means.append(total / count)
    assert metric_lines(run, "train")[0]["loss"] == pytest.approx(np.mean(means), abs=1e-5)


def test_fine_tuning_on_built_conversations_counts_the_answers_alone(
    conversations: Path, base_model: Path, tmp_path: Path
) -> None:
    """The first loss by transformers, each conversation alone; a prompt is 8 tokens: a heading, four words, a heading.

    Two sources, whole conversations in a row, none of which sees another.
    """
    import torch
    from transformers import LlamaForCausalLM

    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    recipe, written = write_recipe("small_sft_kto", tmp_path, 1, train_batch_size=8, train_micro_batch_size_per_gpu=4)
    recipe.write_text(yaml.safe_dump(written | {"stages": [written["stages"][0] | {"stop_iters": 1}]}))
    run = tmp_path / "run"
    plan_and_train(recipe, run, [str(conversations / "sft/mixture.json")], base_model)
    samples = training_samples(read_settings(find_stages(run)[0]), 256)
    model = LlamaForCausalLM.from_pretrained(base_model, attn_implementation="eager")
    means, sources = [], set()
    for half in (range(4), range(4, 8)):
        losses: list[float] = []
        for number in half:
            sources.add(samples.source_name(number))
            row = samples.tokens([number])[0].tolist()
            while EOD in row:
                document, row = row[: row.index(EOD) + 1], row[row.index(EOD) + 1 :]
                with torch.no_grad():
                    logps = model(torch.tensor([document])).logits[0].log_softmax(-1)
                losses += [-float(logps[at - 1, document[at]]) for at in range(8, len(document))]
        assert len(losses) > 4 * 6
        means.append(np.mean(losses))
    assert sources == {"chains", "more"}
    assert metric_lines(run, "train", "01-cot")[0]["loss"] == pytest.approx(np.mean(means), abs=2e-5)


def test_labels_of_other_documents_are_refused(
    make_sft: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, copy = make_sft(pack_impl="pack_until_overflow")
    for end in ("bin", "idx"):
        shutil.copyfile(copy / f"data/arxiv/validation_label.{end}", copy / f"data/arxiv/train_label.{end}")
    assert train(run) == 1
    assert "train_label: these labels do not go, document by document, with the tokens" in capsys.readouterr().err


# ---------------------------------------------------------------------- stages that begin with others


def test_branches_begin_with_the_checkpoint_and_the_optimizer_that_the_plan_names(make_run: MakeRun) -> None:
    """Every stage began with the last checkpoint of the one before it, whatever `start_from` said."""
    from safetensors.numpy import load_file

    keys: dict[str, Any] = {"eval_interval": 12, "keep_last_n_checkpoints": None, "lr_decay_style": "constant"}
    run = make_run(stages=3, **keys)
    branch = {"start_from": "01-math", "start_iteration": 8, "carry_optimizer": True}
    for stage in ("02-math", "03-math"):
        change_stage(run, stage, branch, warmup=0)
    assert train(run) == 0
    # A stage at the same rate over the same data from step 8 on equals what the first did from there, but for the data.
    begin = [metric_lines(run, "validation", stage)[0]["loss"] for stage in ("02-math", "03-math")]
    end = metric_lines(run, "validation", "01-math")[-1]["loss"]
    assert begin[0] == begin[1] != end
    state = load_file(run / "train/03-math/checkpoints/step_00000012/optimizer.safetensors")
    assert state["step.model.norm.weight"] == 8 + 12
    ends = [
        (run / f"train/{stage}/checkpoints/step_00000012/model.safetensors").read_bytes()
        for stage in ("02-math", "03-math")
    ]
    assert ends[0] == ends[1]


def test_branch_from_a_checkpoint_that_is_gone_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(stages=2)
    change_stage(run, "02-math", {"start_from": "01-math", "start_iteration": 7})
    assert train(run) == 2
    assert (
        "begins with iteration 7 of 01-math, which has no checkpoint of it (there are: 4, 8, 12)"
        in capsys.readouterr().err
    )


def test_later_stage_changes_length_batch_and_rope_base(make_run: MakeRun, base_model: Path) -> None:
    """A stage with another RoPE base than the one before was refused as a checkpoint of another model."""
    run = make_run(stages=2, eval_interval=12)
    micro: dict[str, Any] = {"seq_length": 64, "max_position_embeddings": 64, "train_micro_batch_size_per_gpu": 2}
    change_stage(run, "02-math", {}, rotary_emb_base=50_000, gradient_accumulation_steps=3, **micro)
    assert train(run) == 0
    lines = metric_lines(run, "train", "02-math")
    assert lines[0]["tokens"] == 64 * 6
    config = json.loads((run / "export/hf/config.json").read_text())
    assert config["rope_theta"] == 50_000 and config["max_position_embeddings"] == 64

    # The first loss by a numpy Llama of the first stage's weights, turned by the new base.
    from llemma.train.data.samples import training_samples
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings

    tokens = training_samples(read_settings(find_stages(run)[1]), 256).tokens(range(6))
    weights = load_weights(run / "train/01-math/checkpoints/step_00000012")
    wanted = token_losses(weights, tokens, base=50_000.0).mean()
    assert lines[0]["loss"] == pytest.approx(wanted, abs=1e-5)
    assert abs(token_losses(weights, tokens).mean() - wanted) > 1e-4
    assert NEOX["rotary_emb_base"] == 10_000

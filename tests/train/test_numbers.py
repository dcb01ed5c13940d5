"""The trainer's numbers against slow references: losses, updates, decay groups, accumulation, masks, validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llemma.cli import main
from llemma.core.indexed.blending import Blend

from .conftest import EOD, SEQ_LENGTH, MakeRun
from .reference import adamw, load_weights, token_losses


def metric_lines(run: Path, kind: str, stage: str = "01-math") -> list[dict[str, Any]]:
    lines = (run / "train" / stage / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def train(run: Path, *words: str) -> int:
    return main(["train", str(run), "--threads", "1", "--device", "cpu", *words])


def drawn(data: Path, split: str, num_samples: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and source numbers of the first samples that NeoX draws."""
    prefixes = [(data / "data" / name / split, weight) for name, weight in (("arxiv", 0.9), ("code", 0.1))]
    blend = Blend.build(prefixes, num_samples, SEQ_LENGTH, 1234)
    pairs = [blend.sample(number) for number in range(first)]
    return np.stack([tokens for tokens, _ in pairs]), np.array([source for _, source in pairs])


def test_first_loss_and_first_validation_equal_a_numpy_llama(make_run: MakeRun, data: Path, base_model: Path) -> None:
    run = make_run()
    assert train(run) == 0
    weights = load_weights(base_model)
    tokens, _ = drawn(data, "train", 12 * 8, 8)
    assert metric_lines(run, "train")[0]["loss"] == pytest.approx(token_losses(weights, tokens).mean(), abs=1e-5)

    # (12 // 4 + 1) validations of 8 samples each: so many samples NeoX plans for, and the first 8 are ours.
    tokens, sources = drawn(data, "validation", 32, 32)
    losses = token_losses(weights, tokens).mean(axis=1)
    line = metric_lines(run, "validation")[0]
    assert line["iteration"] == 0
    assert line["loss"] == pytest.approx(losses[:8].mean(), abs=1e-5)
    arxiv, code = (np.flatnonzero(sources == number) for number in (0, 1))
    assert line["by_source"]["arxiv"] == pytest.approx(losses[arxiv[:8]].mean(), abs=1e-5)
    assert line["by_source"]["code"] == pytest.approx(losses[code[:8]].mean(), abs=1e-5)


def test_training_lowers_the_loss_on_every_source(make_run: MakeRun) -> None:
    run = make_run(train_iters=40, lr_decay_iters=40, eval_interval=40, checkpoint_factor=40)
    assert train(run) == 0
    first, last = metric_lines(run, "validation")
    assert last["loss"] < first["loss"] - 1.0
    assert all(last["by_source"][name] < first["by_source"][name] for name in ("arxiv", "code"))


@pytest.mark.parametrize(("micro", "accumulation"), [(8, 1), (1, 8)])
def test_accumulation_gives_the_losses_of_any_other_split_of_the_batch(
    make_run: MakeRun, micro: int, accumulation: int
) -> None:
    keys: dict[str, Any] = {"train_iters": 6, "lr_decay_iters": 6, "checkpoint_factor": 6, "eval_iters": 0}
    halves = make_run("halves", **keys)
    other = make_run("other", train_micro_batch_size_per_gpu=micro, gradient_accumulation_steps=accumulation, **keys)
    assert train(halves) == train(other) == 0
    for one, two in zip(metric_lines(halves, "train"), metric_lines(other, "train"), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-4)


def test_data_parallel_processes_are_summed_up_in_one(make_run: MakeRun) -> None:
    """Four processes of NeoX draw the same samples in a step as one process that accumulates four times more."""
    keys: dict[str, Any] = {"train_iters": 3, "lr_decay_iters": 3, "checkpoint_factor": 3, "eval_iters": 0}
    one = make_run("one", train_micro_batch_size_per_gpu=1, gradient_accumulation_steps=8, **keys)
    four = make_run("four", train_micro_batch_size_per_gpu=1, gradient_accumulation_steps=2, global_num_gpus=4, **keys)
    assert train(one) == train(four) == 0
    losses = [[line["loss"] for line in metric_lines(run, "train")] for run in (one, four)]
    assert losses[0] == losses[1]


def test_loss_with_eod_masked_leaves_out_what_follows_an_end_of_document(
    make_run: MakeRun, data: Path, base_model: Path
) -> None:
    run = make_run(eod_mask_loss=True, train_iters=1, lr_decay_iters=1, warmup=0, checkpoint_factor=1)
    assert train(run) == 0
    tokens, _ = drawn(data, "train", 8, 8)
    losses, counts = token_losses(load_weights(base_model), tokens), tokens[:, :-1] != EOD
    halves = [losses[rows][counts[rows]].mean() for rows in (slice(0, 4), slice(4, 8))]
    assert metric_lines(run, "train")[0]["loss"] == pytest.approx(np.mean(halves), abs=1e-5)
    assert not counts.all()


def test_bf16_losses_stay_near_those_of_fp32(make_run: MakeRun) -> None:
    keys: dict[str, Any] = {"train_iters": 6, "lr_decay_iters": 6, "checkpoint_factor": 6, "eval_interval": 6}
    exact = make_run("exact", **keys)
    rounded = make_run("rounded", precision="bfloat16", zero_optimization={"stage": 1}, **keys)
    assert train(exact) == train(rounded) == 0
    one, two = ([line["loss"] for line in metric_lines(run, "train")] for run in (exact, rounded))
    assert one == pytest.approx(two, abs=0.03)
    assert one != two


def test_metrics_tell_tokens_and_rates_of_every_step(make_run: MakeRun) -> None:
    run = make_run()
    assert train(run) == 0
    lines = metric_lines(run, "train")
    assert [line["iteration"] for line in lines] == list(range(1, 13))
    assert [line["tokens"] for line in lines] == [256 * step for step in range(1, 13)]
    # Warm-up over 3 of 12 iterations: the first two run at the same rate, as in NeoX.
    assert [line["lr"] for line in lines[:4]] == pytest.approx([0.001, 0.001, 0.002, 0.003])
    assert [line["iteration"] for line in metric_lines(run, "validation")] == [0, 4, 8, 12]


def test_rates_follow_a_decay_given_as_a_fraction(make_run: MakeRun) -> None:
    """The trainer looked for lr_decay_fraction among the keys without a field, and it had got one."""
    run = make_run(lr_decay_iters=None, lr_decay_fraction=0.5, warmup=1 / 3, lr_decay_style="linear", min_lr=0.0)
    assert train(run) == 0
    # Warm-up over 2 of the 6 iterations that the decay lasts, then 4 down to nothing.
    rates = [0.0015, 0.0015, 0.003, 0.00225, 0.0015, 0.00075] + [0.0] * 6
    assert [line["lr"] for line in metric_lines(run, "train")] == pytest.approx(rates)


def test_weight_decay_spares_norms_and_biases_but_not_embeddings() -> None:
    """NeoX: get_params_for_weight_decay_optimization, megatron/model/utils.py at ea7aefd8."""
    from torch import nn
    from transformers import LlamaConfig, LlamaForCausalLM

    from llemma.train.row import weight_decay_groups

    config = LlamaConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=8)
    decayed, free = weight_decay_groups(LlamaForCausalLM(config), 0.1)
    assert free == [
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.norm.weight",
    ]
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.up_proj.weight"} < set(decayed)
    assert len(decayed) == 2 + 7
    assert weight_decay_groups(nn.Sequential(nn.Linear(2, 2)), 0.1) == (["0.weight"], ["0.bias"])
    assert weight_decay_groups(LlamaForCausalLM(config), 0.0)[0] == []


@pytest.mark.parametrize("clip", [0.0, 0.5, 100.0])
def test_update_equals_adamw_by_hand_with_the_norm_clipped(base_model: Path, clip: float) -> None:
    import torch

    from llemma.neox.config import NeoxConfig
    from llemma.train.data.batch import BatchRules, make_batch
    from llemma.train.model.weights import load_model
    from llemma.train.optimizer import Optimizer
    from llemma.train.step import compute_gradients

    from .conftest import NEOX

    model = load_model(base_model, torch.device("cpu"))
    optimizer = Optimizer(model, NeoxConfig.from_values(NEOX))
    tokens = torch.randint(3, 256, (2, SEQ_LENGTH + 1), generator=torch.Generator().manual_seed(0))
    gradients = compute_gradients(model, optimizer, [make_batch(tokens, BatchRules())], 1, "fp32")
    before = {name: parameter.detach().double().numpy().copy() for name, parameter in model.named_parameters()}
    grads = {name: parameter.grad.double().numpy().copy() for name, parameter in model.named_parameters()}
    norm = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
    assert gradients.grad_norm == pytest.approx(norm, rel=1e-5)
    optimizer.update(0.01, gradients.clip_scale(clip))
    scale = min(1.0, clip / norm) if clip else 1.0
    for name, parameter in model.named_parameters():
        decay = 0.0 if "norm" in name else 0.1
        wanted = adamw(before[name], grads[name] * scale, 0.01, (0.9, 0.95), 1e-8, decay)
        # Where a gradient is about as small as eps, its sign is all that rounding leaves of the update.
        clear = np.abs(grads[name] * scale) > 1e-5
        assert np.abs(parameter.detach().numpy() - wanted)[clear].max() < 2e-5, name
        assert not parameter.grad.any()

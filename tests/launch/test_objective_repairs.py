"""Three repairs of GPT-NeoX's fine-tuning: the last packed row, KTO's reward, and the model compared with."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs.kto_reward import whole_rewards
from llemma.neox_engine.repairs.last_row import with_an_end
from llemma.neox_engine.repairs.preference_losses import with_one_mask
from llemma.neox_engine.repairs.reference_model import from_the_start

DOCUMENTS = [[11, 12, 13], [21, 22], [31, 32, 33], [41]]


def packed_map(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    """Three rows of these documents, in GPT-NeoX's form (megatron/data/gpt2_dataset.py:335)."""
    doc_idx = np.array([2, 0, 1, 3])
    return doc_idx, np.array([[0, 0], [1, 0], [3, 0], [4, 0]]), np.array([2, 0, 1])


def read_row(maps: tuple[Any, Any, Any], number: int) -> list[int]:
    """GPT-NeoX's reading (megatron/data/gpt2_dataset.py:96-160): the documents of a row, and a token of the next."""
    doc_idx, sample_idx, shuffle_idx = maps
    at = shuffle_idx[number]
    first, last = sample_idx[at][0], sample_idx[at + 1][0]
    row = [token for place in range(first, last) for token in DOCUMENTS[doc_idx[place]]]
    return row + DOCUMENTS[doc_idx[last]][:1]


def test_last_packed_row_cannot_be_read_and_with_the_repair_can() -> None:
    with pytest.raises(IndexError):
        read_row(packed_map(), 0)
    mended = with_an_end(packed_map)()
    assert [read_row(mended, number) for number in range(3)] == [[41, 31], [31, 32, 33, 11], [11, 12, 13, 21, 22, 41]]
    assert [read_row(packed_map(), number) for number in (1, 2)] == [read_row(mended, number) for number in (1, 2)]


def test_map_that_has_an_end_stays_as_it_is() -> None:
    maps = np.arange(5), np.array([[0, 0], [2, 3], [4, 1]]), np.arange(2)
    assert with_an_end(lambda: maps)()[0] is maps[0]


def kto_loss(log_ratios: Any, rewards: Any, beta: float = 0.1) -> float:
    """GPT-NeoX's arithmetic (megatron/training.py:758-797) with weights of 1; log_ratios [b], rewards [b, s]."""
    import torch

    ratio1, ratio2 = torch.chunk(log_ratios, 2)
    reward1, reward2 = torch.chunk(rewards, 2)
    kl1, kl2 = ratio1.clamp(min=0).mean(), ratio2.clamp(min=0).mean()
    loss = 0.5 * (1 - torch.sigmoid(beta * reward1.mean(-1) * (ratio1 - kl2)))
    return float((loss + 0.5 * (1 - torch.sigmoid(beta * reward2.mean(-1) * (ratio2 - kl1)))).mean())


def test_reward_shrinks_with_the_padding_and_with_the_repair_does_not() -> None:
    """The expected loss is written out by hand after arXiv 2402.01306, equation 8, with the KL of the other half."""
    torch = pytest.importorskip("torch")
    log_ratios, signs, lengths = [3.0, -2.0, 1.0, -4.0], [1, -1, -1, 1], [8, 2, 4, 1]
    rewards = torch.tensor([[float(sign)] * n + [0.0] * (8 - n) for sign, n in zip(signs, lengths, strict=True)])
    kl = [0.5, 0.5, 1.5, 1.5]  # of the other half: (1 + 0) / 2 and (3 + 0) / 2
    expected = sum(
        1 - 1 / (1 + math.exp(-0.1 * sign * (ratio - other)))
        for ratio, sign, other in zip(log_ratios, signs, kl, strict=True)
    )
    *_, mended, reference = whole_rewards(lambda: ("tokens", rewards, None))()
    assert reference is None and mended.shape == rewards.shape
    assert kto_loss(torch.tensor(log_ratios), mended) == pytest.approx(expected / 4, rel=1e-6)
    assert abs(kto_loss(torch.tensor(log_ratios), rewards) - expected / 4) > 0.01


@pytest.mark.parametrize(("num_masks", "expected"), [(2, 1), (4, 4), (1, 1)])
def test_masks_of_two_pairs_do_not_fit_their_four_answers_and_with_the_repair_do(num_masks: int, expected: int) -> None:
    torch = pytest.importorskip("torch")
    tokens, scores = torch.zeros(4, 3, dtype=torch.int64), torch.zeros(4, 2, 3, 3)
    causal = torch.tril(torch.ones(3, 3)).expand(num_masks, 1, 3, 3) < 0.5

    def upstream() -> tuple[Any, ...]:
        return tokens, tokens, torch.ones(4, 3), causal, tokens, None

    if num_masks == 2:
        with pytest.raises(RuntimeError, match="must match"):
            scores.masked_fill(causal, -1.0)
    mask = with_one_mask(upstream)()[3]
    assert len(mask) == expected
    assert torch.equal(scores.masked_fill(mask, -1.0) < 0, causal[:1].expand(4, 2, 3, 3))


def test_reference_of_a_resumed_stage_is_the_interrupted_model_and_with_the_repair_the_start(tmp_path: Path) -> None:
    def upstream(*, neox_args: Any, model: dict[str, Any], iteration: int | None, **kwargs: Any) -> int:
        """GPT-NeoX's (megatron/checkpointing.py:376)."""
        model.update(of=neox_args.load, iteration=iteration, has_optimizer=not neox_args.finetune)
        return 0 if neox_args.finetune else 7

    context = EngineContext(
        neox_dir=tmp_path, config_path=tmp_path, values={}, stage={}, start="/start", start_iteration=3
    )
    for load, expected in ((upstream, "/own"), (from_the_start(upstream, context), "/start")):
        neox_args = SimpleNamespace(load="/own", finetune=False)
        trained: dict[str, Any] = {}
        reference: dict[str, Any] = {}
        assert load(neox_args=neox_args, model=trained, iteration=None) == 7
        load(neox_args=neox_args, model=reference, iteration=None)
        assert trained == {"of": "/own", "iteration": None, "has_optimizer": True}
        assert (reference["of"], reference["has_optimizer"]) == (expected, expected == "/own")
        assert (neox_args.load, neox_args.finetune) == ("/own", False)
        load(neox_args=neox_args, model=trained, iteration=None)  # the guard goes back
        assert trained["of"] == "/own"
    assert reference["iteration"] == 3

"""Three small repairs of GPT-NeoX: an empty loss mask, true counts, and batches that are let go."""

from __future__ import annotations

import gc
import itertools
import math
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from neox_runs import call_inside, needs_neox

from llemma.neox_engine.repairs.counts import counted_log, counted_step
from llemma.neox_engine.repairs.empty_loss_mask import safe_loss
from llemma.neox_engine.repairs.loader_cache import repeat


def neox_loss(output: Any, labels: Any, _fp16: bool = False) -> Any:
    """GPT-NeoX's own arithmetic (megatron/model/gpt2_model.py:77), one process."""
    import torch

    losses = torch.nn.functional.cross_entropy(output.transpose(1, 2), labels[0], reduction="none")
    mask = labels[1].view(-1)
    return torch.sum(losses.view(-1) * mask) / mask.sum()


def test_loss_of_an_empty_mask_is_nan_and_with_the_repair_nothing() -> None:
    torch = pytest.importorskip("torch")
    output = torch.randn(2, 3, 5, requires_grad=True)
    labels = torch.randint(5, (2, 3))
    empty, some = torch.zeros(2, 3), torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    assert math.isnan(neox_loss(output, (labels, empty)).item())
    mended = safe_loss(neox_loss)
    loss = mended(output, (labels, empty))
    loss.backward()
    assert loss.item() == 0 and not output.grad.any()
    assert mended(output, (labels, some)).item() == neox_loss(output, (labels, some)).item()


def test_loss_that_is_nan_by_itself_stays_so() -> None:
    """The guard must see it: only the division is mended."""
    torch = pytest.importorskip("torch")
    output = torch.full((1, 2, 3), math.nan)
    assert math.isnan(safe_loss(neox_loss)(output, (torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2))).item())


@needs_neox
def test_neox_loss_of_an_empty_mask_is_nan_and_with_the_repair_nothing(make_run: Callable[..., Path]) -> None:
    body = """
from megatron.model import gpt2_model
output = torch.randn(2, 3, 8)
labels = torch.randint(8, (2, 3))
for name, function in (("training", training.cross_entropy), ("model", gpt2_model.cross_entropy)):
    found[name] = [str(function(output, (labels, mask)).item()) for mask in (torch.zeros(2, 3), torch.ones(2, 3))]
"""
    run = make_run()
    assert {values[0] for values in call_inside(run, body).values()} == {"nan"}
    mended = call_inside(run, body, ["empty-loss-mask"])
    assert {float(values[0]) for values in mended.values()} == {0.0}
    assert all(float(values[1]) > 0.5 for values in mended.values())


def upstream_log(**kwargs: Any) -> None:
    """What GPT-NeoX counts (megatron/logging.py:254-272)."""
    totals, skipped = kwargs["total_loss_dict"], kwargs["skipped_iter"]
    totals["skipped iterations"] = totals.get("skipped iterations", 0) + skipped
    is_nan = skipped and any(not math.isfinite(value) for value in kwargs["loss_dict"].values())
    totals["got nan"] = totals.get("got nan", 0) + int(is_nan)


def counts_of(steps: list[tuple[float, int]], log: Callable[..., Any]) -> tuple[int, int]:
    """(skipped, NaN) after steps of (loss, skipped)."""
    totals: dict[str, int] = {}
    for loss, skipped in steps:
        log(loss_dict={"lm_loss": loss}, total_loss_dict=totals, skipped_iter=skipped)
    return totals["skipped iterations"], totals["got nan"]


def test_count_of_nan_iterations_misses_those_not_skipped_and_with_the_repair_does_not() -> None:
    pytest.importorskip("torch")
    steps = [(3.0, 0), (math.nan, 0), (math.nan, 1), (math.inf, 0), (2.0, 1)]
    assert counts_of(steps, upstream_log) == (2, 1)
    assert counts_of(steps, counted_log(upstream_log)) == (2, 3)


def test_loss_of_an_interval_that_was_skipped_as_a_whole_is_not_told_as_0() -> None:
    """GPT-NeoX begins an interval with a sum of 0.0, and its line divides that by the steps."""
    torch = pytest.importorskip("torch")
    for summed, is_told in ((0.0, False), (torch.tensor(5.5), True)):
        totals = {"lm_loss": summed, "skipped iterations": 0}
        counted_log(upstream_log)(loss_dict={"lm_loss": math.nan}, total_loss_dict=totals, skipped_iter=1)
        assert ("lm_loss" in totals, totals["skipped iterations"]) == (is_told, 1)


def test_count_of_skipped_iterations_is_the_engines_own() -> None:
    engine = types.SimpleNamespace(skipped_steps=4)

    def step(*, model: Any, does_skip: bool) -> tuple[dict[str, float], int]:
        model.skipped_steps += does_skip
        return {"lm_loss": 1.0}, 0  # as GPT-NeoX says in bf16

    assert [counted_step(step)(model=engine, does_skip=skips)[1] for skips in (True, False, True)] == [1, 0, 1]


class Batch:
    """Something that a weak reference can be held to."""


class Loader:
    """Five batches a pass, and how many of all that it gave are still held by somebody."""

    def __init__(self) -> None:
        self.given: list[weakref.ref[Batch]] = []

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(5):
            batch = Batch()
            self.given.append(weakref.ref(batch))
            yield batch
            del batch

    def num_held(self) -> int:
        gc.collect()
        return sum(reference() is not None for reference in self.given)


@pytest.mark.parametrize(("loop", "num_held"), [(itertools.cycle, 5), (repeat, 1)])
def test_loop_over_a_loader_keeps_every_batch_and_with_the_repair_the_last(
    loop: Callable[[Iterable[Batch]], Iterator[Batch]], num_held: int
) -> None:
    loader = Loader()
    batches = loop(loader)
    for _ in range(5):
        next(batches)
    assert loader.num_held() == num_held
    assert isinstance(next(batches), Batch)  # a second pass


def test_loop_over_a_loader_that_gives_nothing_ends() -> None:
    assert list(repeat([])) == []


@needs_neox
def test_neox_keeps_every_batch_and_with_the_repair_the_last(make_run: Callable[..., Path]) -> None:
    body = """
import gc, weakref
from types import SimpleNamespace
from megatron.data import data_utils
class Batch: pass
class Loader:
    def __init__(self): self.given, self.batch_sampler = [], SimpleNamespace(start_iter=0)
    def __len__(self): return 2
    def __iter__(self):
        for _ in range(5):
            batch = Batch()
            self.given.append(weakref.ref(batch))
            yield batch
            del batch
loader = Loader()
neox_args.iteration = 0
batches = data_utils.shift_and_wrap_data_loaders(neox_args, {"train": loader, "valid": None, "test": None})[0]
for _ in range(5): next(batches)
gc.collect()
found["held"] = sum(reference() is not None for reference in loader.given)
"""
    run = make_run()
    assert call_inside(run, body) == {"held": 5}
    assert call_inside(run, body, ["loader-cache"]) == {"held": 1}

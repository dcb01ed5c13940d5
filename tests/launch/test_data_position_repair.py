"""A stage goes on with the sample after the last one, and a stage that carries its optimizer begins at 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from neox_runs import NEOX_PYTHON, call_python, drawn_samples, log_lines, needs_neox, set_stage, train

from llemma.guard.exclusions import Exclusions
from llemma.neox_engine.position import BatchNumbers, DataPosition, order_fingerprint


def neox_batches(num_samples: int, batch_size: int, rank: int, world_size: int, start_iter: int) -> list[list[int]]:
    """One pass of GPT-NeoX's DistributedBatchSampler (megatron/data/samplers.py:136), rank by rank."""
    batches = [list(range(at, at + batch_size)) for at in range(0, num_samples - batch_size + 1, batch_size)]
    part = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
    return [batch[part] for batch in batches[start_iter:]]


def take(numbers: BatchNumbers, count: int) -> list[list[int]]:
    return [batch for batch, _ in zip(numbers, range(count), strict=False)]


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (0, 2), (1, 2), (2, 4)])
@pytest.mark.parametrize("start_iter", [0, 3])
def test_order_of_an_undisturbed_run_is_neox_own(rank: int, world_size: int, start_iter: int) -> None:
    numbers = BatchNumbers(
        num_samples=50, batch_size=8, rank=rank, world_size=world_size, position=8 * start_iter, exclusions=Exclusions()
    )
    expected = neox_batches(50, 8, rank, world_size, start_iter)
    assert take(numbers, len(expected)) == expected


def test_batch_size_that_changes_on_the_way_moves_neox_place_but_not_ours() -> None:
    """Three steps of two micro-batches of 4, then steps of four: NeoX goes on at micro-batch 12, which is sample 48."""
    place = DataPosition()
    place.begin(0, None, 8)
    assert place.samples_at(3) == 24
    assert neox_batches(100, 4, 0, 1, 3 * 4)[0] == [48, 49, 50, 51]
    numbers = BatchNumbers(
        num_samples=100, batch_size=4, rank=0, world_size=1, position=place.samples_at(3), exclusions=Exclusions()
    )
    assert take(numbers, 1) == [[24, 25, 26, 27]]
    place.begin(3, 24, 16)
    assert place.samples_at(5) == 24 + 2 * 16


def test_ranks_together_draw_each_sample_once_and_pass_over_the_excluded() -> None:
    exclusions = Exclusions([(5, 9), (20, 21)])
    drawn = []
    for rank in range(4):
        numbers = BatchNumbers(
            num_samples=100, batch_size=8, rank=rank, world_size=4, position=0, exclusions=exclusions
        )
        drawn += [number for batch in take(numbers, 4) for number in batch]
    kept = [number for number in range(100) if number not in {5, 6, 7, 8, 20}]
    assert sorted(drawn) == kept[:32]


def test_data_set_that_is_drawn_to_its_end_begins_anew() -> None:
    numbers = BatchNumbers(num_samples=5, batch_size=2, rank=0, world_size=1, position=3, exclusions=Exclusions())
    assert take(numbers, 3) == [[3, 4], [0, 1], [2, 3]]


def test_excluded_samples_are_not_drawn_in_a_second_pass() -> None:
    numbers = BatchNumbers(
        num_samples=6, batch_size=2, rank=0, world_size=1, position=0, exclusions=Exclusions([(1, 3)])
    )
    assert take(numbers, 4) == [[0, 3], [4, 5], [0, 3], [4, 5]]


def test_place_of_a_checkpoint_stays_true_when_samples_before_it_are_excluded() -> None:
    """Ten steps of four drew 0 to 39. Counted in positions alone, leaving 36 to 43 out would lose 44 to 47, too."""
    saved = DataPosition(num_samples=100)
    saved.begin(0, None, 4)
    assert (saved.samples_at(10), saved.next_sample(10)) == (40, 40)
    exclusions = Exclusions([(36, 44)])
    assert exclusions.number_at(saved.samples_at(10)) == 48
    later = DataPosition(num_samples=100, exclusions=exclusions)
    later.begin(10, exclusions.position_of(saved.next_sample(10), 100), 4)
    assert later.drawn_at(10) == ((44, 48),)
    assert [later.next_sample(iteration) for iteration in (10, 11, 12)] == [36, 48, 52]


def a_set(seed: int = 0, epochs: int = 1) -> SimpleNamespace:
    """A data set with NeoX's three indexes."""
    random = np.random.default_rng(seed)
    return SimpleNamespace(
        doc_idx=random.permutation(40 * epochs).astype(np.int32),
        sample_idx=np.arange(2 * 60 * epochs, dtype=np.int32).reshape(-1, 2),
        shuffle_idx=random.permutation(60 * epochs).astype(np.uint32),
    )


def test_fingerprint_of_the_order_tells_seeds_epochs_and_weights_apart() -> None:
    blend = SimpleNamespace(datasets=[a_set(), a_set(1)], dataset_index=np.array([0, 1] * 8, dtype=np.uint8))
    other = SimpleNamespace(datasets=[a_set(), a_set(1)], dataset_index=np.array([0, 0, 0, 1] * 4, dtype=np.uint8))
    found = [order_fingerprint(item) for item in (a_set(), a_set(1), a_set(epochs=2), blend, other)]
    assert len(set(found)) == 5
    assert order_fingerprint(a_set()) == found[0]


@pytest.fixture
def six_steps(training: str) -> str:
    text = training.replace("train_iters: 2", "train_iters: 6").replace("decay_iters: 2", "decay_iters: 6")
    return text.replace("eval_interval: 2", "eval_interval: 100").replace(
        "checkpoint_factor: 2", "checkpoint_factor: 3"
    )


def double_the_batch(run: Path) -> None:
    path = run / "stages/01-one/neox.yml"
    text = path.read_text()
    for key, old, new in (("train_batch_size", 4, 8), ("gradient_accumulation_steps", 2, 4)):
        assert f"{key}: {old}\n" in text
        text = text.replace(f"{key}: {old}\n", f"{key}: {new}\n")
    path.write_text(text)


@needs_neox
def test_neox_with_another_batch_size_loses_its_place_and_with_the_repair_keeps_it(
    make_run: Callable[..., Path], six_steps: str, tmp_path: Path
) -> None:
    run = make_run(training=six_steps)
    assert train(run, {"kill": 5}).returncode != 0  # iteration 3 is saved: samples 0 to 11 are consumed
    double_the_batch(run)
    plan = {"kill": 5}
    for name, without in (("upstream", ["data-position"]), ("mended", [])):
        train(run, {**plan, "drawn": str(tmp_path / name)}, without=without)
    assert drawn_samples(tmp_path / "upstream")[4][0] == 3 * 4 * 2  # micro-batch 12 of two samples
    assert drawn_samples(tmp_path / "mended")[4] == list(range(12, 20))


@needs_neox
def test_neox_stage_that_carries_its_optimizer_begins_at_iteration_0_of_its_own_schedule(
    make_run: Callable[..., Path], six_steps: str
) -> None:
    run = make_run(training=six_steps)
    first = train(run)
    assert first.returncode == 0, first.stderr[-3000:]
    (run / "train").rename(run / "before")
    set_stage(run, carry_optimizer=True, start="stage")
    done = train(run, start_from=run / "before/01-one/checkpoints")
    assert done.returncode == 0, done.stderr[-3000:]
    rates = [{step: line["lr"] for step, line in log_lines(one.stdout).items()} for one in (first, done)]
    assert rates[0] == rates[1] and set(rates[1]) == set(range(1, 7))
    state = run / "train/01-one/checkpoints/global_step6/mp_rank_00_model_states.pt"
    code = (
        "import json, torch\n"
        f"state = torch.load({str(state)!r}, weights_only=False)['optimizer']['state']\n"
        "print(json.dumps(sorted({int(item['step']) for item in state.values()})))"
    )
    assert json.loads(call_python(NEOX_PYTHON, code)) == [12]  # Adam's moments went on from the stage before
    assert json.loads((state.parent / "llemma_state.json").read_text())["data-position"]["next_sample"] == 24

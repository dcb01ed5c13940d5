"""The planner's memory of the embedded trainer against the tensors that the trainer really holds."""

from __future__ import annotations

from typing import Any

import pytest

from llemma.neox.config import NeoxConfig
from llemma.plan.compile import Request, compile_plan
from llemma.plan.embedded_memory import embedded_memory

torch = pytest.importorskip("torch")

from torch.multiprocessing.reductions import StorageWeakRef  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402


def little(**changes: object) -> NeoxConfig:
    """A Llama with no two sizes alike, so that no term can stand in for another."""
    values = compile_plan(Request(recipe="demo")).stages[0].values
    sizes: dict[str, object] = {
        "hidden_size": 96, "num_attention_heads": 6, "intermediate_size": 3 * 256, "seq_length": 40,
        "max_position_embeddings": 40, "train_micro_batch_size_per_gpu": 2, "train_batch_size": 4,
        "gradient_accumulation_steps": 2, "num_layers": 2, "attention_config": [[["global"], 2]],
        "padded_vocab_size": 300,
    }  # fmt: skip
    return NeoxConfig.from_values({**values, **sizes, **changes}, "little")


class Made(TorchDispatchMode):
    """Every piece of memory that a tensor was made in: who holds it still, its type and shape, its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[StorageWeakRef, torch.dtype, tuple[int, ...], int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.seen[storage._cdata] = (
                    StorageWeakRef(storage), tensor.dtype, tuple(tensor.shape), storage.nbytes()
                )  # fmt: skip
        return made

    def alive(self) -> dict[int, tuple[StorageWeakRef, torch.dtype, tuple[int, ...], int]]:
        return {place: entry for place, entry in self.seen.items() if not entry[0].expired()}


def held_by_the_trainer(config: NeoxConfig) -> dict[str, int]:
    """One real step, and then a forward pass after which every tensor that somebody still holds is counted."""
    from llemma.train.data.batch import BatchRules, make_batch
    from llemma.train.model.loss import mean_loss
    from llemma.train.model.weights import random_model
    from llemma.train.optimizer import Optimizer
    from llemma.train.step import compute_gradients

    precision = "bfloat16" if config.precision == "bfloat16" else "fp32"
    model = random_model(config, torch.device("cpu"))
    with Made() as made:
        optimizer = Optimizer(model, config)  # the weights move into its row
    state = made.alive()
    tokens = torch.randint(0, config.vocab_rows, (config.train_micro_batch_size_per_gpu, config.seq_length + 1))
    batch = make_batch(tokens, BatchRules())
    matrices = {tuple(p.shape) for p in model.parameters() if p.dim() == 2}
    with Made() as made:
        gradients = compute_gradients(model, optimizer, [batch], 1, precision)
        optimizer.update(1e-3, gradients.clip_scale(1.0))
        with model.weights_held():
            loss = mean_loss(model, batch, precision)
            alive = made.alive()
    held = [entry for place, entry in alive.items() if place not in {*state, tokens.untyped_storage()._cdata}]
    casts = sum(size for _, kind, shape, size in held if kind == torch.bfloat16 and {shape, shape[::-1]} & matrices)
    return {
        "state": sum(size for *_, size in state.values()),
        "cast_weights": casts,
        "forward": sum(size for *_, size in held) - casts - loss.nbytes + tokens.nbytes,
    }


@pytest.mark.parametrize("precision", ["fp32", "bfloat16"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_kv_heads": 2},
        {"no_weight_tying": False},
        {"num_layers": 3, "attention_config": [[["global"], 3]]},
        {"seq_length": 24, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 4},
        {"intermediate_size": 3 * 512, "padded_vocab_size": 511},
    ],
    ids=["multi-head", "grouped-query", "tied", "deeper", "shorter", "wider"],
)
def test_memory_of_the_embedded_trainer_is_what_it_holds_byte_for_byte(
    changes: dict[str, object], precision: str
) -> None:
    mixed = {"precision": "bfloat16", "bf16": {"enabled": True}, "zero_optimization": {"stage": 0}}
    config = little(**changes, **(mixed if precision == "bfloat16" else {}))
    planned, held = embedded_memory(config), held_by_the_trainer(config)
    # Each parameter begins at a multiple of 64 numbers: the rows have some bytes to spare.
    most = 64 * 4 * (9 * config.num_layers + 4)
    assert 0 <= held["state"] - (planned.weights + planned.gradients + planned.optimizer) <= 4 * most
    assert held["cast_weights"] == planned.cast_weights
    assert held["forward"] == planned.activations + planned.loss


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bfloat16"])
def test_memory_of_preferences_counts_the_frozen_model_and_both_answers(precision: str, tied: bool) -> None:
    from llemma.train.model.weights import random_model
    from llemma.train.objective import frozen

    mixed = {"precision": "bfloat16", "bf16": {"enabled": True}, "zero_optimization": {"stage": 0}}
    changes = {"no_weight_tying": not tied, **(mixed if precision == "bfloat16" else {})}
    dpo = {"train_impl": "dpo", "dataset_impl": "pairwise"}
    config = little(**changes, **dpo)
    reference = frozen(random_model(config, torch.device("cpu")), "bfloat16" if precision == "bfloat16" else "fp32")
    held = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in reference.parameters()}
    memory = embedded_memory(config)
    assert memory.reference == sum(held.values())
    assert embedded_memory(little(**changes, **dpo, dpo_reference_free=True)).reference == 0
    twice = {"train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 1}
    assert memory.activations == embedded_memory(little(**changes, **twice)).activations


def test_copy_that_a_checkpoint_takes_is_counted() -> None:
    from llemma.train.model.weights import random_model
    from llemma.train.optimizer import Optimizer

    config = little()
    model = random_model(config, torch.device("cpu"))
    with Made() as made:
        optimizer = Optimizer(model, config)
        optimizer.update(1e-3)
        before = made.alive()
        held = optimizer.snapshot()
        new = [entry for place, entry in made.alive().items() if place not in before]
    assert held is not None
    copied = sum(size for *_, size in new if size > 4)  # and counts of updates
    assert 0 <= copied - embedded_memory(config).checkpoint_copy <= 3 * 64 * 4 * (9 * config.num_layers + 4)


def test_memory_of_the_embedded_trainer_adds_up() -> None:
    memory = embedded_memory(little())
    assert memory.total == (
        memory.weights + memory.gradients + memory.optimizer + memory.reference + memory.cast_weights
        + memory.activations + memory.loss + memory.checkpoint_copy
    )  # fmt: skip

"""The planner's memory of the embedded trainer against the tensors that the trainer really holds."""

from __future__ import annotations

import pytest

from llemma.neox.config import NeoxConfig
from llemma.plan.compile import Request, compile_plan
from llemma.plan.embedded_memory import EmbeddedMemory, embedded_memory

torch = pytest.importorskip("torch")


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


def held_by_the_trainer(config: NeoxConfig) -> EmbeddedMemory:
    """One real step, and then a forward pass in which torch is asked for each tensor that it keeps."""
    from llemma.train.batch import BatchRules, make_batch
    from llemma.train.model import random_model, token_losses
    from llemma.train.optimizer import make_optimizer
    from llemma.train.step import apply_update, compute_gradients

    precision = "bfloat16" if config.precision == "bfloat16" else "fp32"
    model = random_model(config, torch.device("cpu"))
    optimizer = make_optimizer(model, config)
    tokens = torch.randint(0, config.vocab_rows, (config.train_micro_batch_size_per_gpu, config.seq_length + 1))
    batch = make_batch(tokens, BatchRules())
    gradients = compute_gradients(model, [batch], precision)
    gradient_bytes = sum(p.grad.untyped_storage().nbytes() for p in model.parameters())
    apply_update(model, optimizer, gradients, 1.0, 1e-3)
    state = [value for entry in optimizer.state.values() for value in entry.values()]
    weights = {p.untyped_storage().data_ptr(): p for p in model.parameters()}
    matrices = {tuple(p.shape) for p in model.parameters() if p.dim() == 2}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # kept alive, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        token_losses(model, batch, precision, "mean")
    activations = casts = logits = 0
    for pointer, tensor in kept.items():
        size, shape = tensor.untyped_storage().nbytes(), tuple(tensor.shape)
        if pointer in weights:
            continue
        if tensor.dtype == torch.bfloat16 and (shape in matrices or shape[::-1] in matrices):
            casts += size
        elif config.vocab_rows in shape or shape == ():
            logits += size
        else:
            activations += size
    return EmbeddedMemory(
        weights=sum(p.untyped_storage().nbytes() for p in weights.values()),
        gradients=gradient_bytes,
        optimizer=sum(value.untyped_storage().nbytes() for value in state),
        cast_weights=casts,
        activations=activations,
        logits=logits,
    )


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
    assert embedded_memory(config) == held_by_the_trainer(config)


def test_memory_of_the_embedded_trainer_adds_up() -> None:
    memory = embedded_memory(little())
    assert memory.total == (
        memory.weights + memory.gradients + memory.optimizer + memory.cast_weights + memory.activations + memory.logits
    )

from __future__ import annotations

import pytest

from llemma.neox.config import NeoxConfig
from llemma.plan import estimate
from llemma.plan.compile import Request, compile_plan


def config_of(recipe: str, **changes: object) -> NeoxConfig:
    values = compile_plan(Request(recipe=recipe)).stages[0].values
    return NeoxConfig.from_values({**values, **changes}, recipe)


@pytest.mark.parametrize(
    ("recipe", "hours", "tokens", "mfu"),
    [("llemma_7b", 23_000, 200e9, 0.357), ("llemma_34b", 47_000, 50e9, 0.209), ("llemma_7b", 23_000, 176e9, 0.314)],
)
def test_published_gpu_hours_give_the_published_utilization(
    recipe: str, hours: float, tokens: float, mfu: float
) -> None:
    """Llemma's A100-hours (arXiv 2310.10631, appendix A) over 312 TFLOP/s, with the whole attention square."""
    flops = estimate.flops_per_token(config_of(recipe)).square
    assert estimate.gpu_hours(tokens, flops, mfu, 312) == pytest.approx(hours, rel=3e-3)


@pytest.mark.parametrize(
    ("recipe", "hours", "tokens", "mfu"),
    [("llemma_7b", 23_000, 200e9, "35.7%"), ("llemma_34b", 47_000, 50e9, "20.9%")],
)
def test_utilization_of_the_published_gpu_hours_is_the_known_share(
    recipe: str, hours: float, tokens: float, mfu: str
) -> None:
    """2,415 and 295 tokens/s on an A100 (arXiv 2310.10631, appendix A), whose bfloat16 peak is 312 TFLOP/s."""
    flops = estimate.flops_per_token(config_of(recipe)).square
    assert f"{estimate.utilization(tokens, flops, hours, 312):.1%}" == mfu


@pytest.mark.parametrize(("recipe", "gflops"), [("llemma_7b", 46.1), ("llemma_34b", 220.2)])
def test_flops_per_token_are_the_known_ones(recipe: str, gflops: float) -> None:
    assert estimate.flops_per_token(config_of(recipe)).square / 1e9 == pytest.approx(gflops, abs=0.06)


def test_flops_per_token_equal_a_count_of_every_matrix_product() -> None:
    """Forward pass of one sequence, product by product: 2·m·n·k each, backward twice the forward."""
    config = config_of("llemma_34b")
    length, width, heads, head = config.seq_length, config.hidden_size, config.num_attention_heads, config.head_dim
    kv = config.num_kv_heads_or_all * head
    forward = 0
    for _ in range(config.num_layers):
        for inputs, outputs in ((width, width), (width, kv), (width, kv), (width, width)):
            forward += 2 * length * inputs * outputs
        forward += 2 * (2 * heads * length * length * head)  # scores, and their sum over values
        for inputs, outputs in ((width, 22016), (width, 22016), (22016, width)):
            forward += 2 * length * inputs * outputs
    forward += 2 * length * width * config.vocab_rows
    flops = estimate.flops_per_token(config)
    assert flops.square * length == 3 * forward
    assert flops.causal == flops.matrices + flops.attention_square / 2


@pytest.mark.parametrize(
    ("changes", "forward_passes"),
    [
        ({}, 3),  # a backward pass costs two
        ({"train_impl": "kto"}, 4),  # and the frozen model one
        ({"train_impl": "dpo"}, 8),  # for each of two answers
        ({"train_impl": "dpo", "dpo_reference_free": True}, 6),
    ],
    ids=["language-modelling", "kto", "dpo", "reference-free"],
)
def test_flops_of_preferences_count_both_answers_and_the_frozen_model(
    changes: dict[str, object], forward_passes: int
) -> None:
    plain = estimate.flops_per_token(config_of("llemma_7b"))
    assert 3 * estimate.flops_per_token(config_of("llemma_7b", **changes)).square == forward_passes * plain.square


def test_memory_state_of_an_unsplit_fp32_model_is_four_four_and_eight_bytes_a_parameter() -> None:
    config = config_of("demo")
    total = estimate.count_parameters(config).total
    memory = estimate.memory_per_gpu(config)
    assert (memory.weights, memory.gradients, memory.optimizer) == (4 * total, 4 * total, 8 * total)
    assert memory.allowance == 0


def test_memory_state_of_the_7b_is_split_as_zero_1_splits_it() -> None:
    config = config_of("llemma_7b")
    memory = estimate.memory_per_gpu(config)
    local = estimate.parameters_per_gpu(config)
    norms = 65 * 4096
    assert local == (6_738_546_688 - norms) // 2 + norms  # norms stand on both ranks
    assert (memory.weights, memory.gradients) == (2 * local, 4 * local)
    assert memory.optimizer == 12 * -(-local // 128)
    assert memory.total < 40 * estimate.GIB


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"), [(0, 1, 1, 1), (1, 1, 1, 8), (2, 1, 8, 8), (3, 8, 8, 8)]
)
def test_memory_state_under_each_zero_stage_is_divided_where_that_stage_divides(
    stage: int, weights: int, gradients: int, optimizer: int
) -> None:
    config = config_of("demo", global_num_gpus=8, train_batch_size=128, zero_optimization={"stage": stage})
    total = estimate.count_parameters(config).total  # divisible by 8
    memory = estimate.memory_per_gpu(config)
    assert (memory.weights, memory.gradients) == (4 * total // weights, 4 * total // gradients)
    assert memory.optimizer == 8 * total // optimizer


def test_memory_of_recomputed_activations_is_one_boundary_a_layer_and_one_layer_inside() -> None:
    plain = config_of("demo")
    recomputed = config_of("demo", checkpoint_activations=True)
    boundary = 16 * 256 * 192 * 4
    inside = estimate.memory_per_gpu(plain).activations // 4
    assert estimate.memory_per_gpu(recomputed).activations == 4 * boundary + inside


def test_memory_of_activations_covers_what_torch_keeps_for_the_backward_pass() -> None:
    """torch is asked which tensors it saves for one layer without flash attention; the estimate must be near."""
    torch = pytest.importorskip("torch")
    width, ffn, heads, batch, length = 64, 256, 4, 2, 32
    config = config_of(
        "demo",
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=3 * ffn,
        seq_length=length,
        train_micro_batch_size_per_gpu=batch,
        train_batch_size=batch,
        num_layers=1,
        attention_config=[[["global"], 1]],
        padded_vocab_size=32,
    )
    kept: dict[int, int] = {}

    def keep(tensor: object) -> object:
        storage = tensor.untyped_storage()  # type: ignore[attr-defined]
        kept[storage.data_ptr()] = storage.nbytes()
        saved.append(tensor)
        return tensor

    saved: list[object] = []

    def norm(x: object, gain: object) -> object:
        return torch.nn.functional.rms_norm(x, (width,), gain)

    weights = [
        torch.randn(n, m, requires_grad=True)
        for m, n in ((width, 3 * width), (width, width), (width, 2 * ffn), (ffn, width))
    ]
    gains = [torch.ones(width, requires_grad=True) for _ in range(2)]
    x = torch.randn(batch, length, width, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        q, k, v = (norm(x, gains[0]) @ weights[0].T).view(batch, length, heads, -1).transpose(1, 2).chunk(3, dim=-1)
        scores = torch.softmax(q @ k.transpose(-1, -2) / 4, dim=-1)
        mixed = (scores @ v).transpose(1, 2).reshape(batch, length, width)
        y = x + mixed @ weights[1].T
        gate, up = (norm(y, gains[1]) @ weights[2].T).chunk(2, dim=-1)
        out = y + (torch.nn.functional.silu(gate) * up) @ weights[3].T
    out.sum().backward()
    parameters = {w.untyped_storage().data_ptr() for w in (*weights, *gains)}
    found = sum(size for pointer, size in kept.items() if pointer not in parameters)
    estimated = estimate.memory_per_gpu(config).activations
    assert found == pytest.approx(estimated, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "reference", "sequences"),
    [
        ({"train_impl": "dpo"}, 1, 2),
        ({"train_impl": "dpo", "dpo_reference_free": True}, 0, 2),
        ({"train_impl": "kto"}, 1, 1),
        ({"train_impl": "kto", "precompute_model_name": "reference"}, 0, 1),
    ],
    ids=["dpo", "reference-free", "kto", "precomputed"],
)
def test_memory_of_preferences_counts_the_frozen_model_and_both_answers(
    changes: dict[str, object], reference: int, sequences: int
) -> None:
    plain, preferring = (
        estimate.memory_per_gpu(config_of("demo")),
        estimate.memory_per_gpu(config_of("demo", **changes)),
    )
    assert preferring.reference == reference * plain.weights
    assert preferring.activations == sequences * plain.activations
    assert (preferring.gradients, preferring.optimizer) == (plain.gradients, plain.optimizer)


def test_checkpoint_sizes_count_those_that_are_saved_for_branches() -> None:
    config = compile_plan(Request(recipe="small_wsd")).stages[0].config
    assert config.other["extra_save_iters"] == [40]
    assert estimate.checkpoint_sizes(config).kept == 2  # 40 and 50


def test_checkpoint_sizes_of_the_7b_count_every_checkpoint_that_is_kept() -> None:
    sizes = estimate.checkpoint_sizes(config_of("llemma_7b"))
    assert sizes.weights == 2 * 6_738_546_688
    assert sizes.each == 14 * 6_738_546_688
    assert (sizes.kept, estimate.checkpoint_sizes(config_of("llemma_7b", keep_last_n_checkpoints=5)).kept) == (96, 5)

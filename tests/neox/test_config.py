from __future__ import annotations

from pathlib import Path

import pytest

from llemma.core.errors import ConfigError
from llemma.neox.config import NeoxConfig

TINY = """\
num_layers: 4
hidden_size: 192
num_attention_heads: 6
intermediate_size: 1536
seq_length: 256
max_position_embeddings: 256
padded_vocab_size: 4096
make_vocab_size_divisible_by: 1
norm: rmsnorm
rms_norm_epsilon: 1e-5
pos_emb: rotary
no_weight_tying: true
activation: swiglu
use_bias_in_norms: false
use_bias_in_attn_linear: false
use_bias_in_mlp: false
optimizer: {type: Adam, params: {lr: 1e-3, betas: [0.9, 0.95], eps: 1e-8}}
train_iters: 300
lr_decay_iters: 300
lr_decay_style: cosine
warmup: 0.1
train_micro_batch_size_per_gpu: 8
gradient_accumulation_steps: 2
distributed_backend: gloo
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "neox.yml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        NeoxConfig.from_yaml(write(tmp_path, text))
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


def test_config_of_a_tiny_model_speaks_true_units(tmp_path: Path) -> None:
    config = NeoxConfig.from_yaml(write(tmp_path, TINY))
    assert (config.true_ffn_width, config.head_dim, config.num_kv_heads_or_all) == (512, 32, 6)
    assert (config.warmup_iters, config.decay_iters, config.lr) == (30, 300, 1e-3)
    assert (config.dp_size, config.global_batch_size, config.tokens_per_iteration) == (1, 16, 4096)
    assert config.attention_kinds == ("global",) * 4
    assert config.llama_problems() == []
    assert (config.last_iteration, config.zero_stage, config.grad_accum_dtype) == (300, 0, "fp32")


def test_config_with_a_key_without_field_keeps_it_as_other(tmp_path: Path) -> None:
    config = NeoxConfig.from_yaml(write(tmp_path, TINY + "use_mup: true\nsave-base-shapes: true\n"))
    assert config.other == {"use_mup": True, "save_base_shapes": True}


def test_config_with_an_exit_interval_ends_there(tmp_path: Path) -> None:
    assert NeoxConfig.from_yaml(write(tmp_path, TINY + "exit_interval: 200\n")).last_iteration == 200


def test_config_with_a_decay_fraction_ends_its_decay_where_neox_does(tmp_path: Path) -> None:
    """The planner took no notice of the key and printed a schedule that neither engine would run."""
    text = TINY.replace("lr_decay_iters: 300", "lr_decay_fraction: 0.5")
    config = NeoxConfig.from_yaml(write(tmp_path, text))
    assert (config.train_iters, config.decay_iters, config.warmup_iters) == (300, 150, 15)


@pytest.mark.parametrize("layers", ["4000000000000", "4\nattention_config: [[[global], 4000000000000]]"])
def test_config_with_a_monstrous_number_of_layers_is_refused_and_not_counted_out(tmp_path: Path, layers: str) -> None:
    """Every layer was listed by name before their number was looked at, until the memory was full."""
    assert len(problems(tmp_path, TINY.replace("num_layers: 4", f"num_layers: {layers}"))) == 1


def test_config_in_hyphens_is_read_like_neox_reads_it(tmp_path: Path) -> None:
    assert NeoxConfig.from_yaml(write(tmp_path, TINY.replace("train_iters", "train-iters"))).train_iters == 300


def test_config_with_several_faults_reports_all_of_them_with_their_lines(tmp_path: Path) -> None:
    text = TINY.replace("seq_length: 256", "seq_lenght: 256").replace("warmup: 0.1", "warmup: '0.1'")
    found = problems(tmp_path, text + "lr: 0.1\nzero_stage: 1\n")
    assert found == [
        "5: unknown key 'seq_lenght' (did you mean 'seq_length'?)",
        "21: 'warmup' is '0.1', but must be of type float",
        "25: 'lr' is overwritten by NeoX: write optimizer.params.lr",
        "26: 'zero_stage' is overwritten by NeoX: write zero_optimization.stage",
    ]


def test_config_with_keys_of_upstreams_llemma_files_is_told_what_says_the_same_now(tmp_path: Path) -> None:
    """configs/llemma/*.yml at ea7aefd8 do not load in the NeoX that ships them."""
    found = problems(tmp_path, TINY + "decay_lr_to: 0.033\nwarmup_iters: 500\nattention_type: groupedquery\n")
    assert found == [
        "25: unknown key 'decay_lr_to' (write min_lr, an absolute rate)",
        "26: unknown key 'warmup_iters' (write warmup, a share of lr_decay_iters)",
        "27: unknown key 'attention_type' (num_kv_heads alone selects grouped-query attention)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("hidden_size: 192", "hidden_size: 193", "2: 'hidden_size' is 193, but num_attention_heads (6) must divide it"),
        (
            "num_attention_heads: 6",
            "num_attention_heads: 6\nnum_kv_heads: 4",
            "4: 'num_kv_heads' is 4, but must divide num_attention_heads (6)",
        ),
        (
            "intermediate_size: 1536",
            "intermediate_size: 512",
            "4: intermediate_size is 512, but must be 3 x the true width, a multiple of 256 (NeoX takes two thirds of "
            "it and halves them): write 1536 if 512 is the true width",
        ),
        (
            "max_position_embeddings: 256",
            "max_position_embeddings: 255",
            "6: 'max_position_embeddings' is 255, but must be at least seq_length (256)",
        ),
        (
            "gradient_accumulation_steps: 2",
            "gradient_accumulation_steps: 2\ntrain_batch_size: 8",
            "24: 'train_batch_size' is 8, but micro-batch 8 x accumulation 2 x data-parallel 1 makes 16",
        ),
        (
            "warmup: 0.1",
            "warmup: 0.1\nmin_lr: 0.1",
            "22: 'min_lr' is 0.1, but must be at most optimizer.params.lr (0.001)",
        ),
        (
            "distributed_backend: gloo",
            "precision: bfloat16",
            "24: 'precision' is bfloat16, but NeoX needs a zero_optimization block with bfloat16",
        ),
        (
            "distributed_backend: gloo",
            "attention_config: [[[flash], 3]]",
            "24: 'attention_config' is [[['flash'], 3]], but must name 4 layers, as [[[global], 4]]",
        ),
        (
            "distributed_backend: gloo",
            "train_data_paths: [a]\ntrain_data_weights: [1.0, 2.0]",
            "25: 'train_data_weights' has 2 entries, 'train_data_paths' 1",
        ),
    ],
)
def test_config_with_values_that_cannot_stand_together_is_refused(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert problems(tmp_path, TINY.replace(old, new)) == [expected]


def test_config_with_parallel_sizes_that_do_not_divide_names_each(tmp_path: Path) -> None:
    found = problems(tmp_path, TINY + "model_parallel_size: 5\n")
    assert [line.split(":")[1].split("'")[1] for line in found] == [
        "num_attention_heads",
        "padded_vocab_size",
        "intermediate_size",
        "global_num_gpus",
    ]


def test_config_with_neox_default_biases_is_no_llama(tmp_path: Path) -> None:
    config = NeoxConfig.from_yaml(write(tmp_path, TINY.replace("use_bias_in_mlp: false\n", "")))
    assert [key for key, _ in config.llama_problems()] == ["use_bias_in_mlp"]


def test_config_weight_decay_inside_the_optimizer_is_refused_because_neox_passes_it_twice(tmp_path: Path) -> None:
    found = problems(tmp_path, TINY.replace("eps: 1e-8", "eps: 1e-8, weight_decay: 0.1"))
    assert found == ["17: unknown key 'weight_decay'"]

"""Every shipped configuration, found by looking, loaded and checked; numbers against independent ones."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import pytest
import yaml

import neox_configs
from llemma.core.config import YamlFile, load_config, load_yaml
from llemma.core.errors import ConfigError
from llemma.neox.config import NeoxConfig, key_problems
from llemma.neox.keytable import known_keys
from llemma.neox.overlays import render
from llemma.plan.compile import Request, compile_plan
from llemma.plan.estimate import count_parameters
from llemma.plan.stage_keys import Place, apply_cluster
from llemma.stages import Cluster, Recipe, Stage
from neox_configs import config_names, config_path

ROOT = Path(neox_configs.__file__).parent
OVERLAYS = [(kind, name) for kind in ("models", "data", "training") for name in config_names(kind)]

# What a configuration file does not say but NeoX asks for: enough of a run to read a model overlay alone.
A_RUN = {
    "optimizer": {"type": "Adam", "params": {"lr": 1e-4}},
    "train_iters": 10,
    "train_micro_batch_size_per_gpu": 1,
}
# (layers, width, heads, kv heads, FFN, vocabulary rows, RoPE base, length), from the models' published config.json.
SHAPES = {
    "tiny": (4, 192, 6, 6, 512, 4096, 10_000, 256),
    "codellama_7b": (32, 4096, 32, 32, 11008, 32016, 1_000_000, 16384),
    "codellama_13b": (40, 5120, 40, 40, 13824, 32016, 1_000_000, 16384),
    "codellama_34b": (48, 8192, 64, 8, 22016, 32000, 1_000_000, 16384),
    "llemma_7b": (32, 4096, 32, 32, 11008, 32016, 10_000, 4096),
    "llemma_34b": (48, 8192, 64, 8, 22016, 32000, 1_000_000, 4096),
    "llama2_7b": (32, 4096, 32, 32, 11008, 32000, 10_000, 4096),
    "llama3_8b": (32, 4096, 32, 8, 14336, 128256, 500_000, 8192),
    "deepseek_math_7b": (30, 4096, 32, 32, 11008, 102400, 10_000, 4096),
    "minicpm_1b": (52, 1536, 24, 8, 3840, 73440, 10_000, 4096),
    "minimath_1b5": (28, 1536, 12, 2, 8960, 151936, 10_000, 4096),
}
TIED = {"minicpm_1b", "minimath_1b5"}  # embedding and output are one matrix
TRUE_COUNTS = {
    "codellama_7b": 6_738_546_688,
    "llemma_7b": 6_738_546_688,
    "codellama_34b": 33_743_970_304,
    "llemma_34b": 33_743_970_304,
    "codellama_13b": 13_016_028_160,
    "llama2_7b": 6_738_415_616,
    "llama3_8b": 8_030_261_248,
    "deepseek_math_7b": 6_910_365_696,
    "minicpm_1b": 1_247_442_432 + 73_440 * 1536,  # arXiv 2404.06395, table 2, counts without the embedding
    "minimath_1b5": 1_543_714_304 - 28 * (1536 + 2 * 256),  # Qwen2 1.5B less the biases of its attention
}


def model(name: str) -> NeoxConfig:
    return NeoxConfig.from_values({**load_yaml(config_path("models", name)).value, **A_RUN}, name)


def test_shipped_files_are_all_found_by_name() -> None:
    found = {(kind, name) for kind in neox_configs.KINDS for name in config_names(kind)}
    assert {(path.parent.name, path.stem) for path in ROOT.rglob("*.yml")} == found
    assert len(found) >= 17


@pytest.mark.parametrize(("kind", "name"), OVERLAYS)
def test_shipped_overlay_holds_only_keys_and_types_that_neox_takes(kind: str, name: str) -> None:
    assert key_problems(load_yaml(config_path(kind, name))) == []


@pytest.mark.parametrize(("kind", "name"), OVERLAYS)
def test_shipped_overlay_reads_alike_for_pyyaml_as_neox_calls_it(kind: str, name: str) -> None:
    """PyYAML takes `1e-4` for a word; NeoX then refuses the value, or worse."""
    path = config_path(kind, name)
    assert yaml.load(path.read_text(), Loader=yaml.FullLoader) == load_yaml(path).value


def test_shipped_overlay_file_names_are_unique_over_all_folders() -> None:
    assert [name for name, count in Counter(name for _, name in OVERLAYS).items() if count > 1] == []


def test_no_key_stands_in_overlays_of_two_kinds() -> None:
    kinds: dict[str, set[str]] = {}
    for kind, name in OVERLAYS:
        for key in load_yaml(config_path(kind, name)).value:
            kinds.setdefault(key, set()).add(kind)
    assert {key: sorted(found) for key, found in kinds.items() if len(found) > 1} == {}
    assert kinds.keys() <= known_keys().keys()


@pytest.mark.parametrize("name", config_names("models"))
def test_shipped_model_has_the_shape_of_the_published_one(name: str) -> None:
    config = model(name)
    assert config.llama_problems() == []
    assert SHAPES[name] == (
        config.num_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.num_kv_heads_or_all,
        config.true_ffn_width,
        config.vocab_rows,
        config.rotary_emb_base,
        config.seq_length,
    )


@pytest.mark.parametrize("name", config_names("models"))
def test_shipped_model_has_as_many_parameters_as_its_tensors_listed_one_by_one(name: str) -> None:
    layers, width, heads, kv_heads, ffn, rows, _, _ = SHAPES[name]
    head = width // heads
    shapes = [(rows, width), (width,)] + [(rows, width)] * (name not in TIED)  # embedding, last norm, output
    for _ in range(layers):
        shapes += [(width, width), (kv_heads * head, width), (kv_heads * head, width), (width, width)]
        shapes += [(ffn, width), (ffn, width), (width, ffn), (width,), (width,)]
    counted = 0
    for shape in shapes:
        size = 1
        for side in shape:
            size *= side
        counted += size
    assert count_parameters(model(name)).total == counted
    assert counted == TRUE_COUNTS.get(name, counted)


@pytest.mark.parametrize("name", ["tiny", "codellama_7b", "llemma_34b", "llama3_8b", "minicpm_1b"])
def test_shipped_model_has_as_many_parameters_as_transformers_llama(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    layers, width, heads, kv_heads, ffn, rows, _, length = SHAPES[name]
    config = transformers.LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=ffn,
        vocab_size=rows,
        max_position_embeddings=length,
        tie_word_embeddings=name in TIED,
    )
    with torch.device("meta"):
        llama = transformers.LlamaForCausalLM(config)
    parts = count_parameters(model(name))
    assert parts.total == sum(parameter.numel() for parameter in llama.parameters())
    norms = sum(p.numel() for key, p in llama.named_parameters() if "norm" in key)
    feed_forward = sum(p.numel() for key, p in llama.named_parameters() if ".mlp." in key)
    assert (parts.norms, parts.feed_forward) == (norms, feed_forward)


@pytest.mark.parametrize("name", config_names("clusters"))
def test_shipped_cluster_loads_and_its_parallel_sizes_divide(name: str) -> None:
    cluster = load_config(config_path("clusters", name), Cluster)
    assert cluster.num_gpus % (cluster.tensor_parallel * max(1, cluster.pipeline_parallel)) == 0


@pytest.mark.parametrize("name", config_names("recipes"))
def test_shipped_recipe_compiles_without_a_problem(name: str) -> None:
    assert load_config(config_path("recipes", name), Recipe).stages
    assert compile_plan(Request(recipe=name)).problems == []


# Too little memory, or a layout of another model: nothing else may be wrong with a cluster.
OF_THE_CLUSTER = (
    "GiB a GPU", "'accumulation'", "does not divide", "'num_attention_heads' is", "'num_kv_heads' is",
    "'precision' is", "must divide",
)  # fmt: skip


@pytest.mark.parametrize("recipe", config_names("recipes"))
def test_every_recipe_on_every_cluster_compiles_or_says_why_not(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("llemma.plan.compile", "llemma.neox.overlays"):  # the same few files, again and again
        monkeypatch.setattr(f"{module}.load_yaml", functools.cache(load_yaml))
    own = compile_plan(Request(recipe=recipe))
    batches = [stage.config.tokens_per_iteration for stage in own.stages]
    for cluster in config_names("clusters"):
        plan = compile_plan(Request(recipe=recipe, cluster=cluster))
        if plan.problems:
            unknown = [text for text in plan.problems if not any(part in text for part in OF_THE_CLUSTER)]
            assert unknown == [], cluster
        else:
            assert [stage.config.tokens_per_iteration for stage in plan.stages] == batches, cluster


@functools.cache
def keys_of(kind: str, name: str) -> dict[str, object]:
    return load_yaml(config_path(kind, name)).value


@functools.cache
def clusters() -> dict[str, Cluster]:
    return {name: load_config(config_path("clusters", name), Cluster) for name in config_names("clusters")}


@pytest.mark.parametrize("name", config_names("models"))
def test_every_overlay_combination_holds_neox_keys_alone_and_the_true_parameter_count(name: str) -> None:
    """Model x training x cluster, each typed and counted; the last is rendered and read back too."""
    place = Place(YamlFile("recipe", {}, {}), 0)
    for training in config_names("training"):
        parts = (keys_of("models", name), keys_of("training", training))
        assert not parts[0].keys() & parts[1].keys()
        for cluster_name, cluster in clusters().items():
            values = {**parts[0], **parts[1]}
            faults = apply_cluster(values, cluster, Path(cluster_name), Stage(name="any"), place)
            file = YamlFile(f"{name} x {training} x {cluster_name}", values, {})
            assert key_problems(file) == [], file.path
            try:
                config = NeoxConfig.from_yaml_file(file)
            except ConfigError as error:
                faults += [problem.message for problem in error.problems]
            else:
                assert count_parameters(config).total == TRUE_COUNTS.get(name, 3_344_064), file.path
            assert [fault for fault in faults if not any(part in fault for part in OF_THE_CLUSTER)] == [], file.path
    assert yaml.load(render(values), Loader=yaml.CSafeLoader) == values


@pytest.mark.parametrize("name", config_names("clusters"))
def test_shipped_cluster_of_several_hosts_says_how_slurm_is_asked(name: str) -> None:
    cluster = load_config(config_path("clusters", name), Cluster)
    assert (cluster.slurm is not None) == (cluster.nodes > 1)
    if cluster.slurm is not None:
        assert cluster.slurm.time_s == 86_400
        assert cluster.slurm.gres in ("gpu:a100:8", "gpu:h100:8")


@pytest.mark.parametrize(
    ("recipe", "peak", "iterations", "tensor", "micro", "accumulation", "base"),
    [("llemma_7b", 1e-4, 48_000, 2, 4, 2, 10_000), ("llemma_34b", 5e-5, 12_000, 8, 2, 16, 1_000_000)],
)
def test_published_recipe_has_the_published_numbers(
    recipe: str, peak: float, iterations: int, tensor: int, micro: int, accumulation: int, base: int
) -> None:
    """EleutherAI/math-lm, branch blog, pretraining/; arXiv 2310.10631, section 2.4."""
    plan = compile_plan(Request(recipe=recipe))
    config = plan.stages[0].config
    assert (config.lr, config.train_iters, config.decay_iters) == (peak, iterations, iterations)
    assert config.min_lr == pytest.approx(peak / 30, rel=1e-12)
    assert config.warmup_iters == 500
    assert config.lr_decay_style == "cosine"
    assert (config.tokens_per_iteration, config.seq_length, config.global_num_gpus) == (4_194_304, 4096, 256)
    assert (config.model_parallel_size, config.train_micro_batch_size_per_gpu) == (tensor, micro)
    assert config.gradient_accumulation_steps == accumulation
    assert config.rotary_emb_base == base
    assert (config.zero_stage, config.precision, config.grad_accum_dtype) == (1, "bfloat16", "fp32")
    assert config.fp32_allreduce
    assert set(config.attention_kinds) == {"flash"}
    assert config.optimizer.params.betas == (0.9, 0.95)
    assert (config.optimizer.params.eps, config.weight_decay, config.gradient_clipping) == (1e-8, 0.1, 1.0)


def test_config_path_of_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match="there are: codellama_13b, codellama_34b"):
        config_path("models", "llemma_70b")

"""One flat GPT-NeoX configuration (`neox.yml`) as typed facts in true units.

Both engines read the same file: NeoX itself, and the embedded trainer and the converter through `NeoxConfig`:

    config = NeoxConfig.from_yaml("RUN/stages/01-math/neox.yml")
    config.true_ffn_width, config.head_dim, config.num_kv_heads_or_all, config.warmup_iters, config.lr, config.dp_size

What the planner renders, by group (fields below; NeoX's spelling and NeoX's units):
  model      num_layers hidden_size num_attention_heads num_kv_heads intermediate_size (3 x true width) mlp_multiple_of
             seq_length max_position_embeddings padded_vocab_size make_vocab_size_divisible_by norm rms_norm_epsilon
             pos_emb rotary_pct rotary_emb_base no_weight_tying gpt_j_residual activation use_bias_in_*
             output_layer_parallelism attention_config init_method output_layer_init_method init_method_std
             hidden_dropout attention_dropout
  optimizer  optimizer{type, params{lr, betas, eps}} weight_decay gradient_clipping zero_optimization{stage ...}
  schedule   train_iters lr_decay_iters lr_decay_style min_lr (absolute) warmup (share of the decay) exit_interval
  precision  precision bf16 fp32_allreduce data_types
  batch      train_batch_size (sequences a step) train_micro_batch_size_per_gpu gradient_accumulation_steps
             global_num_gpus model_parallel_size pipe_parallel_size
  data       {train,valid,test}_data_{paths,weights} tokenizer_type vocab_file data_impl num_workers
  run        save load finetune seed eval_interval eval_iters log_interval checkpoint_factor keep_last_n_checkpoints
             distributed_backend checkpoint_activations ...
A key that NeoX knows and that has no field here stands in `config.other`: an engine that cannot honour one of them
must refuse it by name. A key that NeoX does not know, or of a type that NeoX refuses, is an error with file and line.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, TypeVar

import pydantic

from llemma.core.config import Config, YamlFile, check_config, did_you_mean, load_yaml
from llemma.core.errors import ConfigError, InputError, Problem
from llemma.neox import units
from llemma.neox.keytable import known_keys
from llemma.schedules import DecayStyle, Schedule

Precision = Literal["fp32", "bfloat16", "fp16"]
C = TypeVar("C", bound="NeoxConfig")

# Keys that NeoX knows but computes itself: what a person writes there is overwritten without a word.
DERIVED_KEYS = {
    "lr": "write optimizer.params.lr",
    "optimizer_type": "write optimizer.type",
    "batch_size": "write train_micro_batch_size_per_gpu",
    "clip_grad": "write gradient_clipping",
    "zero_stage": "write zero_optimization.stage",
    "dynamic_loss_scale": "write loss_scale",
    "is_pipe_parallel": "write pipe_parallel_size",
}


class OptimizerParams(Config):
    """`optimizer.params`. Weight decay is a key of its own in NeoX: `weight_decay` at the top level."""

    lr: float = pydantic.Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = pydantic.Field(default=1e-8, gt=0)


class Optimizer(Config):
    """`optimizer`. NeoX's type `Adam` is decoupled weight decay, that is AdamW."""

    type: str
    params: OptimizerParams


class NeoxConfig(Config):
    """A flat NeoX configuration: NeoX's keys as fields, true units as properties."""

    # model
    num_layers: int = pydantic.Field(gt=0, le=10_000)  # chosen by us: a slip of the hand must not fill the memory
    hidden_size: int = pydantic.Field(gt=0)
    num_attention_heads: int = pydantic.Field(gt=0)
    num_kv_heads: int | None = pydantic.Field(default=None, gt=0)
    intermediate_size: int = pydantic.Field(gt=0)
    mlp_multiple_of: int = pydantic.Field(default=1, gt=0)
    seq_length: int = pydantic.Field(gt=0)
    max_position_embeddings: int = pydantic.Field(gt=0)
    padded_vocab_size: int | None = pydantic.Field(default=None, gt=0)
    make_vocab_size_divisible_by: int = pydantic.Field(default=128, gt=0)
    norm: str = "layernorm"
    rms_norm_epsilon: float = 1e-8
    pos_emb: str = "learned"
    rotary_pct: float = 1.0
    rotary_emb_base: int = pydantic.Field(default=10000, gt=0)
    no_weight_tying: bool = False
    gpt_j_residual: bool = False
    activation: str = "gelu"
    use_bias_in_norms: bool = True
    use_bias_in_attn_linear: bool = True
    use_bias_in_mlp: bool = True
    output_layer_parallelism: str = "column"
    attention_config: list[Any] | None = None
    init_method: str = "normal"
    output_layer_init_method: str = "scaled_normal"
    init_method_std: float = 0.02
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    # optimizer
    optimizer: Optimizer
    weight_decay: float = pydantic.Field(default=0.1, ge=0)
    gradient_clipping: float = pydantic.Field(default=1.0, ge=0)
    zero_optimization: dict[str, Any] | None = None
    # schedule
    train_iters: int = pydantic.Field(gt=0)
    lr_decay_iters: int | None = pydantic.Field(default=None, gt=0)
    lr_decay_fraction: float | None = pydantic.Field(default=None, gt=0)
    lr_decay_style: DecayStyle = "linear"
    min_lr: float = pydantic.Field(default=0.0, ge=0)
    warmup: float = pydantic.Field(default=0.01, ge=0, le=1)
    exit_interval: int | None = pydantic.Field(default=None, gt=0)
    # precision
    precision: Precision = "fp32"
    bf16: dict[str, Any] | None = None
    fp32_allreduce: bool = False
    data_types: dict[str, Any] | None = None
    # batch
    train_batch_size: int | None = pydantic.Field(default=None, gt=0)
    train_micro_batch_size_per_gpu: int = pydantic.Field(gt=0)
    gradient_accumulation_steps: int = pydantic.Field(default=1, gt=0)
    global_num_gpus: int = pydantic.Field(default=1, gt=0)
    model_parallel_size: int = pydantic.Field(default=1, gt=0)
    pipe_parallel_size: int = pydantic.Field(default=0, ge=0)
    # activation recomputation
    checkpoint_activations: bool = False
    checkpoint_num_layers: int = pydantic.Field(default=1, gt=0)
    partition_activations: bool = False
    synchronize_each_layer: bool = False
    # data
    train_data_paths: list[str] | None = None
    valid_data_paths: list[str] | None = None
    test_data_paths: list[str] | None = None
    train_data_weights: list[float] | None = None
    valid_data_weights: list[float] | None = None
    test_data_weights: list[float] | None = None
    tokenizer_type: str = "GPT2BPETokenizer"
    vocab_file: str | None = None
    data_impl: str = "infer"
    num_workers: int = pydantic.Field(default=2, ge=0)
    # run
    save: str | None = None
    load: str | None = None
    finetune: bool = False
    seed: int = pydantic.Field(default=1234, gt=0)
    eval_interval: int = pydantic.Field(default=1000, gt=0)
    eval_iters: int = pydantic.Field(default=100, ge=0)
    log_interval: int = pydantic.Field(default=100, gt=0)
    checkpoint_factor: int | None = pydantic.Field(default=None, gt=0)
    keep_last_n_checkpoints: int | None = pydantic.Field(default=None, gt=0)
    distributed_backend: str = "nccl"

    # every other key that NeoX knows, as written
    other: dict[str, Any] = pydantic.Field(default_factory=dict)

    @classmethod
    def from_yaml(cls: type[C], path: str | Path) -> C:
        """Reads one flat neox.yml. Raises InputError or ConfigError with all problems, each with its line."""
        return cls.from_yaml_file(load_yaml(path))

    @classmethod
    def from_yaml_file(cls: type[C], file: YamlFile) -> C:
        """The typed view of a file that has been read."""
        problems = key_problems(file)
        if problems:
            raise ConfigError(problems)
        names = {key: key.replace("-", "_") for key in file.value}
        typed = {names[key]: value for key, value in file.value.items() if names[key] in _FIELDS}
        other = {names[key]: value for key, value in file.value.items() if names[key] not in _FIELDS}
        if typed.get("precision") is None:
            typed["precision"] = _precision_of_blocks(typed | other)
        lines = {(names.get(str(path[0]), path[0]), *path[1:]): line for path, line in file.lines.items()}
        config = check_config(YamlFile(file.path, typed, lines), cls).model_copy(update={"other": other})
        faults = [Problem(file.path, _line(lines, key), message) for key, message in config.cross_field_problems()]
        if faults:
            raise ConfigError(faults)
        return config

    @classmethod
    def from_values(cls: type[C], values: dict[str, Any], name: str = "configuration") -> C:
        """The typed view of merged overlays; problems are reported under `name`, without lines."""
        return cls.from_yaml_file(YamlFile(name, values, {}))

    # ------------------------------------------------------------------ model, in true units
    @property
    def true_ffn_width(self) -> int:
        """Width of the feed-forward layer (Hugging Face's intermediate_size)."""
        return units.true_ffn_width(self.intermediate_size)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def num_kv_heads_or_all(self) -> int:
        """Key/value heads: `num_kv_heads`, or all heads where it is not given (multi-head attention)."""
        return self.num_kv_heads or self.num_attention_heads

    @property
    def is_grouped_query(self) -> bool:
        """True where key/value heads are shared by several query heads."""
        return self.num_kv_heads_or_all < self.num_attention_heads

    @property
    def vocab_rows(self) -> int:
        """Rows of the embedding. Raises InputError where the configuration does not say them."""
        if self.padded_vocab_size is None:
            raise InputError("the configuration does not give padded_vocab_size, the number of vocabulary rows")
        return self.padded_vocab_size

    @property
    def tie_embeddings(self) -> bool:
        """True where the output layer shares the embedding's weights."""
        return not self.no_weight_tying

    @property
    def attention_kinds(self) -> tuple[str, ...]:
        """NeoX's attention type of each layer: `global` or `flash`."""
        if self.attention_config is None:
            return ("global",) * self.num_layers
        kinds: list[str] = []
        for entry in self.attention_config:
            if isinstance(entry, str):  # one name a layer
                kinds.append(entry)
                continue
            names, times = entry
            count = (self.num_layers - len(kinds)) // len(names) if times == "all" else int(times)
            if count > self.num_layers:
                raise ValueError(f"attention_config repeats {names} {count} times, for {self.num_layers} layers")
            kinds += list(names) * count
        return tuple(kinds)

    # ------------------------------------------------------------------ schedule, in true units
    @property
    def lr(self) -> float:
        """Peak learning rate."""
        return self.optimizer.params.lr

    @property
    def decay_iters(self) -> int:
        """Iterations over which the learning rate falls, warm-up included (megatron/training.py:1118-1125)."""
        if self.lr_decay_iters is None and self.lr_decay_fraction is not None:
            return max(1, math.floor(self.train_iters * self.lr_decay_fraction))
        return self.lr_decay_iters or self.train_iters

    @property
    def warmup_iters(self) -> float:
        """Iterations of warm-up; whole where NeoX's fraction was written from a whole number."""
        return units.warmup_iters(self.warmup, self.decay_iters)

    @property
    def last_iteration(self) -> int:
        """The iteration at which the run ends: train_iters, or exit_interval where that comes first."""
        return min(self.train_iters, self.exit_interval or self.train_iters)

    def schedule(self) -> Schedule:
        """The learning rate as these keys say it. Raises ValueError where they do not make one."""
        return Schedule(
            peak_lr=self.lr,
            min_lr=self.min_lr,
            warmup_iters=self.warmup_iters,
            decay_iters=self.decay_iters,
            style=self.lr_decay_style,
        )

    # ------------------------------------------------------------------ batch and machine
    @property
    def dp_size(self) -> int:
        """Data-parallel size."""
        return self.global_num_gpus // (self.model_parallel_size * max(1, self.pipe_parallel_size))

    @property
    def global_batch_size(self) -> int:
        """Sequences in one step of the optimizer."""
        return self.train_micro_batch_size_per_gpu * self.gradient_accumulation_steps * self.dp_size

    @property
    def tokens_per_iteration(self) -> int:
        """Tokens in one step of the optimizer."""
        return self.global_batch_size * self.seq_length

    @property
    def zero_stage(self) -> int:
        """ZeRO stage, 0 where none is configured."""
        return int((self.zero_optimization or {}).get("stage", 0))

    @property
    def grad_accum_dtype(self) -> Precision:
        """Type in which gradients are summed over micro-batches."""
        chosen = (self.data_types or {}).get("grad_accum_dtype")
        named: dict[Any, Precision] = {"fp32": "fp32", "bf16": "bfloat16", "fp16": "fp16"}
        return named.get(chosen, self.precision)

    @property
    def data_prefixes(self) -> list[str]:
        """Every `.bin/.idx` prefix that these keys name, each once: tokens, labels, rewards and pairs of answers."""
        keys = [key.format(split) for split in ("train", "valid", "test") for key in ("{}_data_paths", *_PATHS_BESIDE)]
        keys += [f"pos_{split}_data_paths" for split in ("train", "valid", "test")]
        return list(dict.fromkeys(path for key in keys for path in self._paths(key)))

    def _paths(self, key: str) -> list[str]:
        return list((getattr(self, key) if key in _FIELDS else self.other.get(key)) or [])

    # ------------------------------------------------------------------ checks
    def cross_field_problems(self) -> list[tuple[str, str]]:
        """(key, message) for every pair of values that cannot stand together."""
        found: list[tuple[str, str]] = []

        def check(right: bool, key: str, message: str) -> None:
            if not right:
                found.append((key, f"'{key}' is {getattr(self, key)}, but {message}"))

        heads, kv_heads, tensor = self.num_attention_heads, self.num_kv_heads_or_all, self.model_parallel_size
        check(self.hidden_size % heads == 0, "hidden_size", f"num_attention_heads ({heads}) must divide it")
        check(heads % kv_heads == 0, "num_kv_heads", f"must divide num_attention_heads ({heads})")
        check(heads % tensor == 0, "num_attention_heads", f"model_parallel_size ({tensor}) must divide it")
        check(
            not self.is_grouped_query or kv_heads % tensor == 0,
            "num_kv_heads",
            f"model_parallel_size ({tensor}) must divide it",
        )
        check(
            self.max_position_embeddings >= self.seq_length,
            "max_position_embeddings",
            f"must be at least seq_length ({self.seq_length})",
        )
        if self.padded_vocab_size is not None:
            multiple = self.make_vocab_size_divisible_by * tensor
            check(
                self.padded_vocab_size % multiple == 0,
                "padded_vocab_size",
                f"make_vocab_size_divisible_by x model_parallel_size ({multiple}) must divide it",
            )
        try:
            width = self.true_ffn_width
            check(width % tensor == 0, "intermediate_size", f"model_parallel_size ({tensor}) must divide {width}")
            check(
                width % self.mlp_multiple_of == 0,
                "mlp_multiple_of",
                f"must divide the true feed-forward width ({width}), or NeoX rounds that up",
            )
        except ValueError as error:
            found.append(("intermediate_size", str(error)))
        try:
            right = len(self.attention_kinds) == self.num_layers
        except (TypeError, ValueError, ZeroDivisionError):
            right = False
        check(right, "attention_config", f"must name {self.num_layers} layers, as [[[global], {self.num_layers}]]")
        check(self.min_lr <= self.lr, "min_lr", f"must be at most optimizer.params.lr ({self.lr:g})")
        parallel = tensor * max(1, self.pipe_parallel_size)
        check(
            self.global_num_gpus % parallel == 0,
            "global_num_gpus",
            f"model_parallel_size x pipe_parallel_size ({parallel}) must divide it",
        )
        if not found and self.train_batch_size is not None:
            check(
                self.train_batch_size == self.global_batch_size,
                "train_batch_size",
                f"micro-batch {self.train_micro_batch_size_per_gpu} x accumulation {self.gradient_accumulation_steps}"
                f" x data-parallel {self.dp_size} makes {self.global_batch_size}",
            )
        for block, precision in _PRECISION_BLOCKS.items():
            value = self.bf16 if block == "bf16" else self.other.get(block)
            says = value.get("enabled") if isinstance(value, dict) else None
            if isinstance(says, bool) and says != (self.precision == precision):
                found.append((block, f"'{block}' says enabled: {str(says).lower()}, but precision is {self.precision}"))
        if self.precision == "bfloat16":
            check(self.zero_optimization is not None, "precision", "NeoX needs a zero_optimization block with bfloat16")
        for split in ("train", "valid", "test"):
            weights = getattr(self, f"{split}_data_weights")
            name = f"pos_{split}_data_paths" if f"pos_{split}_data_paths" in self.other else f"{split}_data_paths"
            paths = self._paths(name)
            if weights is not None and len(weights) != len(paths):
                message = f"'{split}_data_weights' has {len(weights)} entries, '{name}' {len(paths)}"
                found.append((f"{split}_data_weights", message))
            for beside in (key.format(split) for key in _PATHS_BESIDE):
                if beside in self.other and len(self._paths(beside)) != len(paths):
                    message = f"'{beside}' has {len(self._paths(beside))} entries, '{name}' {len(paths)}"
                    found.append((beside, message))
        return found

    def llama_problems(self) -> list[tuple[str, str]]:
        """(key, message) for every value that makes this no Llama: norm, positions, activation, biases, residual."""
        wanted: dict[str, Any] = {
            "norm": "rmsnorm",
            "pos_emb": "rotary",
            "rotary_pct": 1,
            "activation": "swiglu",
            "gpt_j_residual": False,
            "use_bias_in_norms": False,
            "use_bias_in_attn_linear": False,
            "use_bias_in_mlp": False,
        }
        return [
            (key, f"'{key}' is {getattr(self, key)}, but must be {value} in a Llama model")
            for key, value in wanted.items()
            if getattr(self, key) != value
        ]


_PRECISION_BLOCKS: dict[str, Precision] = {"fp16": "fp16", "bf16": "bfloat16"}
_FIELDS = frozenset(NeoxConfig.model_fields) - {"other"}
# Data that must go, shard by shard, with the tokens (or the chosen answers) of a split; {} is train, valid or test.
_PATHS_BESIDE = (
    "{}_label_data_paths", "{}_reward_data_paths", "pos_{}_label_data_paths", "neg_{}_data_paths",
    "neg_{}_label_data_paths",
)  # fmt: skip


def _precision_of_blocks(values: dict[str, Any]) -> Precision:
    """What NeoX takes where `precision` is not given (megatron/neox_arguments/arguments.py:967-1011)."""
    for block, precision in _PRECISION_BLOCKS.items():
        value = values.get(block)
        if isinstance(value, dict) and value.get("enabled"):
            return precision
    return "fp32"


def key_problems(file: YamlFile) -> list[Problem]:
    """Keys that NeoX does not know, computes itself, or would refuse for their type: each with its line."""
    problems = []
    table = known_keys()
    for key, value in file.value.items():
        name = key.replace("-", "_")
        if name not in table:
            problems.append(file.problem((key,), f"unknown key '{key}'{_remedy(name, list(table))}"))
        elif name in DERIVED_KEYS:
            problems.append(file.problem((key,), f"'{key}' is overwritten by NeoX: {DERIVED_KEYS[name]}"))
        elif complaint := table[name].complaint(value):
            problems.append(file.problem((key,), f"'{key}' {complaint}"))
        elif isinstance(value, float) and not math.isfinite(value):
            problems.append(file.problem((key,), f"'{key}' is {value}, but must be finite"))
    return problems


# Keys of older NeoX branches that stand in published configurations, and what says the same now.
_FORMER_KEYS = {
    "decay_lr_to": "write min_lr, an absolute rate",
    "warmup_iters": "write warmup, a share of lr_decay_iters",
    "attention_type": "num_kv_heads alone selects grouped-query attention",
}


def _remedy(name: str, known: list[str]) -> str:
    if name in _FORMER_KEYS:
        return f" ({_FORMER_KEYS[name]})"
    return did_you_mean(name, known)


def _line(lines: dict[tuple[str | int, ...], int], key: str) -> int | None:
    return lines.get((key,))

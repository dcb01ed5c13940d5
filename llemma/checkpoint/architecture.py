"""The facts of a Llama model that both layouts must agree on, read from and written to either configuration.

Sizes are true ones. GPT-NeoX's own units (its `intermediate_size` is three times the true width) are translated by
`llemma.neox.units` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llemma.core.errors import ConfigError, InputError, Problem
from llemma.neox import units
from llemma.rope import read_base, write_base

_LARGEST = 2**31 - 1
_MOST_LAYERS = 10_000  # chosen by us, so that a damaged number does not keep us listing tensors for hours


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A Llama model's sizes; `vocab_size` counts real rows only, without padding."""

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    ffn_width: int
    vocab_size: int
    max_positions: int
    rms_norm_eps: float
    rope_base: float
    is_tied: bool

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def is_grouped_query(self) -> bool:
        """True where several query heads share one key/value head."""
        return self.num_kv_heads != self.num_heads

    def sizes(self) -> dict[str, int]:
        """Lengths of the named axes that mapping.py speaks of."""
        return {
            "vocab": self.vocab_size,
            "hidden": self.hidden_size,
            "q": self.num_heads * self.head_dim,
            "kv": self.num_kv_heads * self.head_dim,
            "ffn": self.ffn_width,
        }

    def differences(self, other: Architecture) -> list[str]:
        """Facts in which two models differ, in words; the RoPE base and the vocabulary are not among them."""
        names = ("num_layers", "hidden_size", "num_heads", "num_kv_heads", "ffn_width", "rms_norm_eps", "is_tied")
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"{name} {mine} against {theirs}" for name, mine, theirs in pairs if mine != theirs]


class Reader:
    """Takes values out of a mapping and keeps a list of all that is wrong with them."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values = values
        self.place = place
        self.problems: list[Problem] = []

    def complain(self, message: str) -> None:
        self.problems.append(Problem(self.place, None, message))

    def integer(self, key: str, default: int | None = None, most: int = _LARGEST) -> int:
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            self.complain(f"'{key}' is missing")
            return 1
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            self.complain(f"'{key}' is {value!r}, but must be a whole number from 1 to {most}")
            return 1
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            self.complain(f"'{key}' is {value!r}, but must be a number above 0")
            return default
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.complain(f"'{key}' is {value!r}, but must be true or false")
            return default
        return value

    def want(self, key: str, wanted: object, default: object, why: str) -> None:
        value = self.values.get(key, default)
        if value != wanted:
            self.complain(f"'{key}' is {value!r}, but must be {wanted!r}: {why}")

    def done(self, architecture: Architecture) -> Architecture:
        """The architecture, if nothing is wrong with it; raises ConfigError with all that is."""
        hidden, heads, kv_heads = architecture.hidden_size, architecture.num_heads, architecture.num_kv_heads
        if not self.problems:
            if hidden % heads or (hidden // heads) % 2:
                self.complain(f"the hidden size {hidden} does not make {heads} attention heads of an even width")
            if heads % kv_heads:
                self.complain(f"{kv_heads} key/value heads do not divide {heads} attention heads")
        if self.problems:
            raise ConfigError(self.problems)
        return architecture


def architecture_from_hf(config: Any, place: str) -> Architecture:
    """The architecture in a config.json. Raises ConfigError with everything that is wrong or no plain Llama."""
    if not isinstance(config, dict):
        raise InputError(f"{place}: this is not the configuration of a model")
    read = Reader(config, place)
    read.want("model_type", "llama", None, "only Llama models (Llama, Code Llama, Llemma) can be converted")
    read.want("hidden_act", "silu", "silu", "GPT-NeoX's swiglu is made of it")
    read.want("attention_bias", False, False, "the layout has no room for biases")
    read.want("mlp_bias", False, False, "the layout has no room for biases")
    heads, hidden = read.integer("num_attention_heads"), read.integer("hidden_size")
    if config.get("head_dim") is not None:
        read.want("head_dim", hidden // heads, None, "GPT-NeoX's heads are hidden_size / num_attention_heads wide")
    try:
        base = read_base(config, place)
    except InputError as error:
        read.complain(str(error).removeprefix(f"{place}: "))
        base = 2.0
    return read.done(
        Architecture(
            num_layers=read.integer("num_hidden_layers", most=_MOST_LAYERS),
            hidden_size=hidden,
            num_heads=heads,
            num_kv_heads=read.integer("num_key_value_heads", heads),
            ffn_width=read.integer("intermediate_size"),
            vocab_size=read.integer("vocab_size"),
            max_positions=read.integer("max_position_embeddings", 2048),
            rms_norm_eps=read.number("rms_norm_eps", 1e-6),
            rope_base=base,
            is_tied=read.truth("tie_word_embeddings", False),
        )
    )


def hf_config(architecture: Architecture, carried: Mapping[str, Any], dtype: str | None) -> dict[str, Any]:
    """A config.json that transformers 4 and 5 read alike; `carried` gives what the architecture does not say."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **carried,
        "hidden_act": "silu",
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.ffn_width,
        "max_position_embeddings": architecture.max_positions,
        "num_attention_heads": architecture.num_heads,
        "num_hidden_layers": architecture.num_layers,
        "num_key_value_heads": architecture.num_kv_heads,
        "rms_norm_eps": architecture.rms_norm_eps,
        "tie_word_embeddings": architecture.is_tied,
        "vocab_size": architecture.vocab_size,
    }
    if dtype is not None:  # transformers 4 reads torch_dtype, transformers 5 writes dtype
        config["torch_dtype"] = config["dtype"] = dtype
    return write_base(config, architecture.rope_base)


# What a NeoX configuration must say to be a Llama: key, value, NeoX's default (megatron/neox_arguments at ea7aefd8).
_NEOX_LLAMA = (
    ("norm", "rmsnorm", "layernorm"),
    ("pos_emb", "rotary", "learned"),
    ("rotary_pct", 1, 1),
    ("activation", "swiglu", "gelu"),
    ("gpt_j_residual", False, False),
    ("use_bias_in_attn_linear", False, True),
    ("use_bias_in_mlp", False, True),
    ("output_layer_parallelism", "column", "column"),
    ("sliding_window_width", None, None),
)


def architecture_from_neox(values: Mapping[str, Any], place: str, vocab_size: int) -> Architecture:
    """The architecture in NeoX keys (underscores); the vocabulary is not among them.

    Raises ConfigError with everything that is wrong or no Llama.
    """
    read = Reader(values, place)
    for key, wanted, default in _NEOX_LLAMA:
        read.want(key, wanted, default, "a Llama model has this")
    size = read.integer("intermediate_size")
    try:
        width = units.true_ffn_width(size)
    except ValueError as error:
        width = 1
        read.complain(str(error))
    if width % read.integer("mlp_multiple_of", 1):
        read.complain(f"'mlp_multiple_of' is {values['mlp_multiple_of']}, but must divide the true width {width}")
    heads = read.integer("num_attention_heads")
    has_positions = values.get("max_position_embeddings") is not None
    return read.done(
        Architecture(
            num_layers=read.integer("num_layers", most=_MOST_LAYERS),
            hidden_size=read.integer("hidden_size"),
            num_heads=heads,
            num_kv_heads=read.integer("num_kv_heads", heads),
            ffn_width=width,
            vocab_size=vocab_size,
            max_positions=read.integer("max_position_embeddings" if has_positions else "seq_length"),
            rms_norm_eps=read.number("rms_norm_epsilon", 1e-8),
            rope_base=read.number("rotary_emb_base", 10_000),
            is_tied=not read.truth("no_weight_tying", False),
        )
    )


def neox_values(architecture: Architecture, tensor_parallel: int, rows: int, divisible_by: int) -> dict[str, Any]:
    """NeoX's keys for the architecture, every one that the loading of the checkpoint depends on.

    Raises InputError for a model that NeoX's keys cannot say: a base that is no whole number, an odd width.
    """
    if architecture.rope_base != int(architecture.rope_base):
        raise InputError(f"the RoPE base is {architecture.rope_base}, but GPT-NeoX takes whole numbers only")
    try:
        intermediate_size = units.intermediate_size(architecture.ffn_width)
    except ValueError as error:
        raise InputError(f"this model cannot be loaded by GPT-NeoX: {error}") from None
    values: dict[str, Any] = {
        "num_layers": architecture.num_layers,
        "hidden_size": architecture.hidden_size,
        "num_attention_heads": architecture.num_heads,
        "intermediate_size": intermediate_size,
        "mlp_multiple_of": units.FFN_GRANULE,
        "activation": "swiglu",
        "use_bias_in_mlp": False,
        "use_bias_in_attn_linear": False,
        "use_bias_in_norms": False,
        "norm": "rmsnorm",
        "rms_norm_epsilon": architecture.rms_norm_eps,
        "gpt_j_residual": False,
        "pos_emb": "rotary",
        "rotary_pct": 1.0,
        "rotary_emb_base": int(architecture.rope_base),
        "max_position_embeddings": architecture.max_positions,
        "padded_vocab_size": rows,
        "make_vocab_size_divisible_by": divisible_by,
        "no_weight_tying": not architecture.is_tied,
        "output_layer_parallelism": "column",
        "model_parallel_size": tensor_parallel,
        "pipe_parallel_size": 0,
    }
    if architecture.is_grouped_query:
        values["num_kv_heads"] = architecture.num_kv_heads
    return values

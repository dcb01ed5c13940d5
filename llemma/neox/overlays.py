"""Overlays: several stock NeoX files merged into one set of keys, and that set rendered as one flat file.

A key belongs to one overlay. Refused, all together and each with file and line: a key that stands in two overlays,
a key that NeoX does not know, a value that NeoX would refuse, two overlays with one file name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llemma.core.config import load_yaml
from llemma.core.errors import ConfigError, Problem
from llemma.neox.config import key_problems


@dataclass(frozen=True, kw_only=True)
class Overlays:
    """Merged overlays: NeoX's keys, and for each the file and line that it was written at."""

    values: dict[str, Any]
    origins: dict[str, tuple[str, int | None]]


def merge_overlays(paths: Sequence[str | Path]) -> Overlays:
    """The keys of several overlays. Raises InputError (a file is missing) or ConfigError with all problems."""
    values: dict[str, Any] = {}
    origins: dict[str, tuple[str, int | None]] = {}
    problems: list[Problem] = []
    names: dict[str, str] = {}
    for path in map(Path, paths):
        if path.name in names:
            message = f"this file has the name of {names[path.name]}: NeoX wants each overlay under a name of its own"
            problems.append(Problem(str(path), None, message))
        names.setdefault(path.name, str(path))
        try:
            file = load_yaml(path)
        except ConfigError as error:
            problems += error.problems
            continue
        problems += key_problems(file)
        for key, value in file.value.items():
            name = key.replace("-", "_")
            if name in origins:
                first_path, first_line = origins[name]
                problems.append(file.problem((key,), f"the key '{key}' already stands in {first_path}:{first_line}"))
                continue
            values[name] = value
            origins[name] = (file.path, file.line((key,)))
    if problems:
        raise ConfigError(problems)
    return Overlays(values=values, origins=origins)


# Groups of keys in the order in which a person reads them; keys of no group come last, by name.
_ORDER = (
    ("model", (
        "num_layers", "hidden_size", "num_attention_heads", "num_kv_heads", "intermediate_size", "mlp_multiple_of",
        "activation", "norm", "rms_norm_epsilon", "use_bias_in_mlp", "use_bias_in_attn_linear", "use_bias_in_norms",
        "gpt_j_residual", "pos_emb", "rotary_pct", "rotary_emb_base", "seq_length", "max_position_embeddings",
        "padded_vocab_size", "make_vocab_size_divisible_by", "no_weight_tying", "output_layer_parallelism",
        "hidden_dropout", "attention_dropout", "attention_config",
    )),
    ("batch and machine", (
        "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "global_num_gpus",
        "model_parallel_size", "pipe_parallel_size", "distributed_backend",
    )),
    ("optimizer and schedule", (
        "optimizer", "weight_decay", "gradient_clipping", "train_iters", "exit_interval", "lr_decay_iters",
        "lr_decay_style", "min_lr", "warmup",
    )),
    ("precision and memory", (
        "precision", "bf16", "fp32_allreduce", "data_types", "zero_optimization", "checkpoint_activations",
        "checkpoint_num_layers", "partition_activations", "synchronize_each_layer",
    )),
    ("objective", (
        "train_impl", "dataset_impl", "pack_impl", "allow_chopped", "dpo_beta", "dpo_fp32", "dpo_reference_free",
        "kto_beta", "kto_fp32", "kto_desirable_weight", "kto_undesirable_weight",
    )),
    ("data", (*(
        key.format(split)
        for split in ("train", "valid", "test")
        for key in (
            "{}_data_paths", "pos_{}_data_paths", "{}_label_data_paths", "pos_{}_label_data_paths",
            "neg_{}_data_paths", "neg_{}_label_data_paths", "{}_reward_data_paths", "{}_data_weights",
        )
    ), "data_impl", "tokenizer_type", "vocab_file", "num_workers")),
    ("run", (
        "load", "finetune", "save", "checkpoint_factor", "extra_save_iters", "keep_last_n_checkpoints",
        "eval_interval", "eval_iters", "log_interval", "seed",
    )),
)  # fmt: skip


def render(values: Mapping[str, Any], header: Iterable[str] = ()) -> str:
    """One flat neox.yml that NeoX's own PyYAML and our strict reader read alike."""
    left = dict(values)
    lines = [f"# {line}".rstrip() for line in header]
    for title, keys in (*_ORDER, ("other", tuple(sorted(values)))):
        group = {key: left.pop(key) for key in keys if key in left}
        if group:
            lines += ["", f"# {title}", _dump(group).rstrip()]
    return "\n".join(lines).lstrip("\n") + "\n"


class _Dumper(yaml.SafeDumper):
    """Lists of scalars on one line, floats so that YAML 1.1 takes them for numbers, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    text = repr(value)
    if "e" in text and "." not in text:  # 1e-08: PyYAML reads it as a word
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    short = not any(isinstance(item, str | dict) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=short)


_Dumper.add_representer(float, _float)
_Dumper.add_representer(list, _list)


def _dump(values: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        dict(values), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=110, allow_unicode=True
    )
    return text

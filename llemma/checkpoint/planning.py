"""Planning a conversion: reading configurations and headers, and refusing what cannot be done; nothing is written."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llemma.checkpoint.architecture import (
    Architecture,
    architecture_from_hf,
    architecture_from_neox,
    hf_config,
    neox_values,
)
from llemma.checkpoint.hf_files import CARRIED_NAMES, CONFIG_NAME, SHARD_BYTES, HfSource
from llemma.checkpoint.mapping import Layout
from llemma.checkpoint.neox_files import (
    FIRST_STEP,
    HF_FOLDER,
    LATEST_NAME,
    NeoxSource,
    find_step,
    read_neox_values,
)
from llemma.checkpoint.tensors import TensorFacts
from llemma.core.errors import InputError
from llemma.core.files import read_json
from llemma.neox import units
from llemma.rope import BaseChange, change_base

LayoutName = Literal["hf", "neox"]
RECORD_NAME = "conversion.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for; None where it is to be found out."""

    source: Path
    out: Path
    to: LayoutName | None = None
    tensor_parallel: int | None = None
    vocab_divisible_by: int | None = None
    config: Path | None = None
    step: str | None = None
    rope_base: float | None = None
    vocab_size: int | None = None
    hf_files: Path | None = None
    shard_bytes: int = SHARD_BYTES


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A conversion that has been checked and can be done: everything but the bytes."""

    request: Request
    source: HfSource | NeoxSource
    source_layout: LayoutName
    target_layout: LayoutName
    facts: list[TensorFacts]
    architecture: Architecture
    rope: BaseChange
    layout: Layout | None
    vocab_divisible_by: int
    carried: list[Path]
    hf_config: dict[str, Any]
    neox_values: dict[str, Any]
    earlier: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What will be done, for a person."""
        model = self.architecture
        parameters = sum(fact.num_bytes // (4 if fact.dtype == "float32" else 2) for fact in self.facts)
        kind = "grouped-query" if model.is_grouped_query else "multi-head"
        lines = [
            f"{_LONG_NAMES[self.source_layout]} -> {_LONG_NAMES[self.target_layout]}: {self.source.place}",
            f"  {parameters:,} parameters in {len(self.facts)} tensors, {common_dtype(self.facts) or 'several types'}",
            f"  {model.num_layers} layers, {kind} attention ({model.num_heads}/{model.num_kv_heads}), "
            f"feed-forward width {model.ffn_width}",
        ]
        if self.rope.is_change:
            lines.append(f"  RoPE base {self.rope.before:g} -> {self.rope.after:g} (asked for with --rope-base)")
        else:
            lines.append(f"  RoPE base {self.rope.after:g}, kept")
        if self.layout is not None:
            padding = self.layout.rows - model.vocab_size
            lines.append(
                f"  {self.layout.tensor_parallel} tensor-parallel rank(s); vocabulary {model.vocab_size} "
                f"+ {padding} rows of padding = {self.layout.rows}"
            )
        elif isinstance(self.source, NeoxSource):
            removed = self.source.layout.rows - model.vocab_size
            lines.append(f"  vocabulary {model.vocab_size}; {removed} rows of padding removed")
        return [*lines, *(f"  note: {warning}" for warning in self.warnings)]


_LONG_NAMES = {"hf": "Hugging Face", "neox": "GPT-NeoX"}


def plan_conversion(request: Request) -> Conversion:
    """Reads configurations and tensor headers and checks that the conversion can be done; writes nothing.

    Raises InputError or ConfigError naming what was found, what was wanted, and the remedy.
    """
    request = dataclasses.replace(request, out=Path(os.path.abspath(request.out)))  # `.` has no name to rename to
    _check_out(request.out)
    source_layout = _layout_of(request.source)
    target_layout: LayoutName = request.to or ("neox" if source_layout == "hf" else "hf")
    for name, value in (("--tensor-parallel", request.tensor_parallel), ("--vocab-size", request.vocab_size)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}, but must be at least 1")
    if target_layout == "hf" and request.tensor_parallel is not None:
        raise InputError("--tensor-parallel is for GPT-NeoX's layout; a Hugging Face checkpoint is in one piece")
    earlier = _earlier_record(request.source)
    source: HfSource | NeoxSource
    if source_layout == "hf":
        source, extras = HfSource(request.source), request.hf_files or request.source
        if request.vocab_size is not None and request.vocab_size != source.architecture.vocab_size:
            raise InputError(
                f"{request.source / CONFIG_NAME}: 'vocab_size' is {source.architecture.vocab_size}, but --vocab-size "
                f"is {request.vocab_size}: a Hugging Face checkpoint has no padding to remove"
            )
    else:
        source, earlier = _open_neox(request, earlier)
        extras = request.hf_files or source.place.parent / HF_FOLDER
    facts = source.facts()
    given = _given_config(extras, source.architecture)
    rope = change_base(source.architecture.rope_base, request.rope_base)
    architecture = dataclasses.replace(source.architecture, rope_base=rope.after)
    carried = [extras / name for name in CARRIED_NAMES if (extras / name).is_file()]
    warnings = []
    if not any(path.name.startswith("tokenizer") for path in carried):
        warnings.append(f"no tokenizer files in {extras}: none go with the weights (name a folder with --hf-files)")
    named = architecture_from_hf(given, str(extras / CONFIG_NAME)).rope_base if given is not None else None
    if source_layout == "neox" and named not in (None, architecture.rope_base):
        warnings.append(f"{extras / CONFIG_NAME} has the RoPE base {named:g}; {architecture.rope_base:g} is written")
    layout: Layout | None = None
    divisible_by, values = 1, dict[str, Any]()
    if target_layout == "neox":
        layout, divisible_by, values = _neox_target(request, source_layout, architecture)
    return Conversion(
        request=request,
        source=source,
        source_layout=source_layout,
        target_layout=target_layout,
        facts=facts,
        architecture=architecture,
        rope=rope,
        layout=layout,
        vocab_divisible_by=divisible_by,
        carried=carried,
        hf_config=hf_config(architecture, given or {}, common_dtype(facts)),
        neox_values=values,
        earlier=earlier,
        warnings=warnings,
    )


def common_dtype(facts: Iterable[TensorFacts]) -> str | None:
    """The one type that all tensors have; None if they have several."""
    dtypes = {fact.dtype for fact in facts}
    return dtypes.pop() if len(dtypes) == 1 else None


def _check_out(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out}: this is a file, but the converted checkpoint becomes a folder: choose another name")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: this folder is not empty, and nothing is ever overwritten: choose another name")
    parent = next(path for path in out.parents if path.exists())
    if not parent.is_dir():
        raise InputError(f"{parent}: this is a file, so that {out} cannot be written: choose another name")


def _layout_of(folder: Path) -> LayoutName:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder" if not folder.exists() else f"{folder}: not a folder")
    if (folder / CONFIG_NAME).is_file():
        return "hf"
    if (folder / LATEST_NAME).is_file() or any(folder.glob("global_step*")) or any(folder.glob("mp_rank_*")):
        return "neox"
    raise InputError(
        f"{folder}: holds neither {CONFIG_NAME} (a Hugging Face checkpoint) nor "
        f"'{LATEST_NAME}' and global_step folders (one of GPT-NeoX)"
    )


def _earlier_record(folder: Path) -> dict[str, Any]:
    """The record of the conversion that made the source, {} if it was not made by one."""
    path = folder / RECORD_NAME
    if not path.is_file():
        return {}
    record = read_json(path)
    return record if isinstance(record, dict) else {}


def _open_neox(request: Request, earlier: dict[str, Any]) -> tuple[NeoxSource, dict[str, Any]]:
    """The source and the record that belongs to its step ({} for a step that was trained later)."""
    step = find_step(request.source, request.step)
    folder = request.source
    if step == request.source:
        folder = step.parent
        earlier = _earlier_record(folder)
    values, place = read_neox_values(folder, step, request.config)
    vocab_size = request.vocab_size or _known_vocab_size(folder, request.hf_files, earlier)
    if vocab_size is None:
        raise InputError(
            f"{folder}: nothing tells how many vocabulary rows are real and how many padding: name the folder of the "
            "Hugging Face model that the training began with (--hf-files FOLDER), or give the number (--vocab-size N)"
        )
    source = NeoxSource(folder, step, values, place, vocab_size)
    if step.name != FIRST_STEP:
        earlier = {key: value for key, value in earlier.items() if key != "tensors"}
    rope = earlier.get("rope")
    written = rope.get("base_after") if isinstance(rope, dict) else None
    if written is not None and written != source.architecture.rope_base:
        raise InputError(
            f"{place}: 'rotary_emb_base' is {source.architecture.rope_base:g}, but {folder / RECORD_NAME} says that "
            f"these weights were written for the RoPE base {written:g}: correct the configuration; a deliberate "
            "change is made with --rope-base"
        )
    return source, earlier


def _known_vocab_size(folder: Path, extras: Path | None, earlier: dict[str, Any]) -> int | None:
    """Real vocabulary rows, from the Hugging Face files named or carried, or from the record."""
    if extras is not None and not (extras / CONFIG_NAME).is_file():
        raise InputError(
            f"{extras / CONFIG_NAME}: there is no such file; --hf-files names a Hugging Face model's folder"
        )
    for path in (extras, folder / HF_FOLDER):
        if path is not None and (path / CONFIG_NAME).is_file():
            return architecture_from_hf(read_json(path / CONFIG_NAME), str(path / CONFIG_NAME)).vocab_size
    vocabulary = earlier.get("vocabulary")
    size = vocabulary.get("size") if isinstance(vocabulary, dict) else None
    return size if isinstance(size, int) and size > 0 else None


def _given_config(extras: Path, architecture: Architecture) -> dict[str, Any] | None:
    """The config.json whose other values are carried along; it must be that of the same model."""
    path = extras / CONFIG_NAME
    if not path.is_file():
        return None
    config: dict[str, Any] = read_json(path)
    different = architecture_from_hf(config, str(path)).differences(architecture)
    if different:
        raise InputError(f"{path}: this is another model than the checkpoint's: {', '.join(different)}")
    return config


def _neox_target(
    request: Request, source_layout: LayoutName, architecture: Architecture
) -> tuple[Layout, int, dict[str, Any]]:
    """The layout to write, NeoX's vocabulary divisor, and NeoX's keys."""
    wanted: dict[str, Any] = {}
    if request.config is not None and source_layout == "hf":
        wanted, place = read_neox_values(request.config.parent, request.config.parent, request.config)
        asked = architecture_from_neox(wanted, place, architecture.vocab_size)
        different = asked.differences(architecture)
        if different:
            raise InputError(f"{place}: this is not the configuration of {request.source}: {', '.join(different)}")
        if asked.rope_base != architecture.rope_base:
            raise InputError(
                f"{place}: 'rotary_emb_base' is {asked.rope_base:g}, but {request.source} has the RoPE base "
                f"{architecture.rope_base:g}: correct it, or change the base deliberately with --rope-base "
                f"{asked.rope_base:g}"
            )
    ranks = request.tensor_parallel or _positive(wanted, "model_parallel_size", request, 1)
    divisible_by = request.vocab_divisible_by or _positive(wanted, "make_vocab_size_divisible_by", request, 1)
    if divisible_by < 1:
        raise InputError(f"--vocab-divisible-by is {divisible_by}, but must be at least 1")
    rows = units.padded_vocab_rows(architecture.vocab_size, divisible_by, ranks)
    if _positive(wanted, "padded_vocab_size", request, rows) != rows:
        raise InputError(
            f"{request.config}: 'padded_vocab_size' is {wanted['padded_vocab_size']}, but {architecture.vocab_size} "
            f"pieces, padded to a multiple of {divisible_by} x {ranks}, make {rows} rows"
        )
    layout = Layout(architecture=architecture, tensor_parallel=ranks, rows=rows)
    problems = layout.problems()
    if problems:
        raise InputError(
            f"{request.source}: cannot be split over {ranks} tensor-parallel ranks: {'; '.join(problems)}: "
            "choose another --tensor-parallel"
        )
    return layout, divisible_by, neox_values(architecture, ranks, rows, divisible_by)


def _positive(values: dict[str, Any], key: str, request: Request, default: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{request.config}: '{key}' is {value!r}, but must be a whole number above 0")
    return value

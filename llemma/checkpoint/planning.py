"""Planning a conversion: reading configurations and headers, and refusing what cannot be done; nothing is written."""

from __future__ import annotations

import dataclasses
import os
import shutil
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
from llemma.checkpoint.hf_files import CARD_NAMES, CARRIED_NAMES, CONFIG_NAME, SHARD_BYTES
from llemma.checkpoint.mapping import Form, Layout
from llemma.checkpoint.meta_files import MetaSource
from llemma.checkpoint.neox_files import FIRST_STEP, NeoxSource, read_neox_values
from llemma.checkpoint.optimizer_state import OptimizerState, read_optimizer
from llemma.checkpoint.sources import LONG_NAMES, AnySource, Hints, LayoutName, layout_of, open_source
from llemma.checkpoint.tensors import TensorFacts
from llemma.core.errors import InputError
from llemma.core.files import TEMPORARY_PREFIX, read_json
from llemma.neox import units
from llemma.rope import BaseChange, change_base

SYNC_BYTES = 1_000_000_000
"""How much is written between two points from which a killed conversion goes on (chosen by us)."""


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
    max_positions: int | None = None
    hf_files: Path | None = None
    optimizer: Literal["drop", "keep"] = "drop"
    shard_bytes: int = SHARD_BYTES
    sync_bytes: int = SYNC_BYTES


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A conversion that has been checked and can be done: everything but the bytes."""

    request: Request
    source: AnySource
    source_layout: LayoutName
    target_layout: LayoutName
    facts: list[TensorFacts]
    architecture: Architecture
    rope: BaseChange
    layout: Layout | None
    vocab_divisible_by: int
    carried: dict[str, Path]
    hf_config: dict[str, Any]
    neox_values: dict[str, Any]
    earlier: dict[str, Any]
    optimizer: OptimizerState | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def step_name(self) -> str:
        """Name of the step folder to write: the source's where its training goes on."""
        return self.source.place.name if self.optimizer is not None else FIRST_STEP

    def lines(self) -> list[str]:
        """What will be done, for a person."""
        model = self.architecture
        parameters = sum(fact.num_bytes // (4 if fact.dtype == "float32" else 2) for fact in self.facts)
        kind = "grouped-query" if model.is_grouped_query else "multi-head"
        lines = [
            f"{LONG_NAMES[self.source_layout]} -> {LONG_NAMES[self.target_layout]}: {self.source.place}",
            f"  {parameters:,} parameters in {len(self.facts)} tensors, {common_dtype(self.facts) or 'several types'}",
            f"  {model.num_layers} layers, {kind} attention ({model.num_heads}/{model.num_kv_heads}), "
            f"feed-forward width {model.ffn_width}",
        ]
        if self.rope.is_change:
            lines.append(f"  RoPE base {self.rope.before:g} -> {self.rope.after:g} (asked for with --rope-base)")
        else:
            lines.append(f"  RoPE base {self.rope.after:g}, kept")
        if self.layout is not None and self.target_layout == "meta":
            lines.append(f"  {self.layout.tensor_parallel} model-parallel rank(s); vocabulary {model.vocab_size}")
        elif self.layout is not None:
            padding = self.layout.rows - model.vocab_size
            lines.append(
                f"  {self.layout.tensor_parallel} tensor-parallel rank(s); vocabulary {model.vocab_size} "
                f"+ {padding} rows of padding = {self.layout.rows}"
            )
        else:
            lines.append(f"  vocabulary {model.vocab_size}")
        if isinstance(self.source, NeoxSource):
            removed = self.source.layout.rows - model.vocab_size
            lines[-1] += f"; {removed} rows of padding removed"
        return [*lines, *(f"  note: {warning}" for warning in self.warnings)]


def plan_conversion(request: Request) -> Conversion:
    """Reads configurations and tensor headers and checks that the conversion can be done; writes nothing.

    Raises InputError or ConfigError naming what was found, what was wanted, and the remedy.
    """
    request = dataclasses.replace(request, out=Path(os.path.abspath(request.out)))  # `.` has no name to rename to
    _check_out(request.out)
    source_layout = layout_of(request.source)
    target_layout: LayoutName = request.to or ("neox" if source_layout == "hf" else "hf")
    for name, value in (
        ("--tensor-parallel", request.tensor_parallel),
        ("--vocab-size", request.vocab_size),
        ("--max-positions", request.max_positions),
    ):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}, but must be at least 1")
    if target_layout == "hf" and request.tensor_parallel is not None:
        raise InputError("--tensor-parallel is for GPT-NeoX's layout; a Hugging Face checkpoint is in one piece")
    if target_layout != "neox" and request.vocab_divisible_by is not None:
        raise InputError(f"--vocab-divisible-by is for GPT-NeoX's layout; {LONG_NAMES[target_layout]}'s has no padding")
    opened = open_source(
        request.source,
        Hints(
            config=request.config if source_layout == "neox" else None,
            step=request.step,
            vocab_size=request.vocab_size,
            max_positions=request.max_positions,
            hf_files=request.hf_files,
        ),
    )
    source, extras, warnings = opened.source, opened.extras, list[str]()
    facts = source.facts()
    given = _given_config(extras, source.architecture)
    rope = change_base(source.architecture.rope_base, request.rope_base)
    architecture = dataclasses.replace(source.architecture, rope_base=rope.after)
    carried = {name: extras / name for name in CARRIED_NAMES if (extras / name).is_file()}
    carried |= {
        name: extras / found
        for name, choices in CARD_NAMES.items()
        for found in reversed(choices)
        if (extras / found).is_file() and not (found == "README.md" and opened.earlier)
    }
    if not any(name.startswith("tokenizer") for name in carried):
        warnings.append(f"no tokenizer files in {extras}: none go with the weights (name a folder with --hf-files)")
    named = architecture_from_hf(given, str(extras / CONFIG_NAME)).rope_base if given is not None else None
    if source_layout != "hf" and named not in (None, architecture.rope_base):
        warnings.append(f"{extras / CONFIG_NAME} has the RoPE base {named:g}; {architecture.rope_base:g} is written")
    if given is None:
        warnings.append(
            f"no {CONFIG_NAME} in {extras}: the ids of special tokens are not known, Llama 1's and 2's (1 and 2) hold"
        )
    layout: Layout | None = None
    divisible_by, values = 1, dict[str, Any]()
    if target_layout == "neox":
        layout, divisible_by, values = _neox_target(request, source, architecture)
    elif target_layout == "meta":
        layout = _meta_target(request, source, architecture)
    optimizer = _optimizer(request, source, target_layout, warnings)
    num_bytes = sum(fact.num_bytes for fact in facts) + (optimizer.num_bytes if optimizer is not None else 0)
    _check_room(request.out, num_bytes + 2 * max(fact.num_bytes for fact in facts))  # one is put together at a time
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
        earlier=opened.earlier,
        optimizer=optimizer,
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


def _optimizer(
    request: Request, source: AnySource, target_layout: LayoutName, warnings: list[str]
) -> OptimizerState | None:
    """The optimizer's state that is to be kept, and a note of what becomes of it. Raises InputError if it cannot be."""
    files = source.optimizer_files if isinstance(source, NeoxSource) else []
    if request.optimizer == "drop":
        if files:
            remedy = "; to train on from the result set 'finetune: true', so that GPT-NeoX does not look for it"
            left_out = f"the optimizer state in {len(files)} file(s) is left out"
            warnings.append(left_out + (remedy if target_layout == "neox" else ""))
        return None
    if not isinstance(source, NeoxSource) or not files:
        raise InputError(f"--optimizer keep: {source.place} holds no optimizer state: leave the option out")
    if target_layout != "neox":
        raise InputError(f"--optimizer keep: {LONG_NAMES[target_layout]}'s layout has no place for optimizer state")
    state = read_optimizer(source)
    pieces = len(state.files[0])
    warnings.append(
        f"the optimizer state goes along ({', '.join(state.rows)}; {state.num_bytes / 1e9:,.2f} GB): {pieces} "
        "data-parallel piece(s) of each rank become one, which `llemma launch` cuts for the processes that it starts"
    )
    return state


def _check_room(out: Path, num_bytes: int) -> None:
    """Raises InputError where the disk has less room than the weights take; what a killed run left counts as room."""
    folder = next(path for path in out.parents if path.is_dir())
    left_over = partial_folder(out)
    taken = sum(path.stat().st_blocks * 512 for path in left_over.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free + taken
    if free < num_bytes:
        raise InputError(
            f"{folder}: {free / 1e9:,.1f} GB are free there, but the conversion takes {num_bytes / 1e9:,.1f} GB: "
            "free some space or choose another folder"
        )


def partial_folder(out: Path) -> Path:
    """Where a conversion's files lie until all of them are whole."""
    return out.parent / f"{TEMPORARY_PREFIX}{out.name}"


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


def _neox_target(request: Request, source: AnySource, architecture: Architecture) -> tuple[Layout, int, dict[str, Any]]:
    """The layout to write, NeoX's vocabulary divisor, and NeoX's keys."""
    # A run that goes on with other ranks pads its vocabulary by the same rule as before.
    wanted = _padding_rule(source) if isinstance(source, NeoxSource) else dict[str, Any]()
    if request.config is not None and not isinstance(source, NeoxSource):
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


def _padding_rule(source: NeoxSource) -> dict[str, Any]:
    """NeoX's make_vocab_size_divisible_by of a checkpoint, where the rows that it has are made by it."""
    divisible_by = source.values.get("make_vocab_size_divisible_by", 128)  # NeoX's default
    if isinstance(divisible_by, bool) or not isinstance(divisible_by, int) or divisible_by < 1:
        return {}
    layout = source.layout
    rows = units.padded_vocab_rows(layout.architecture.vocab_size, divisible_by, layout.tensor_parallel)
    return {"make_vocab_size_divisible_by": divisible_by} if rows == layout.rows else {}


def _meta_target(request: Request, source: AnySource, architecture: Architecture) -> Layout:
    """Meta's layout; a source of Meta's keeps its ranks and its way with the embedding."""
    mine = source.layout if isinstance(source, MetaSource) else None
    ranks = request.tensor_parallel or (mine.tensor_parallel if mine is not None else 1)
    form: Form = mine.form if mine is not None else "meta"
    layout = Layout(architecture=architecture, tensor_parallel=ranks, rows=architecture.vocab_size, form=form)
    problems = layout.problems()
    if problems:
        raise InputError(
            f"{request.source}: cannot be split over {ranks} model-parallel ranks: {'; '.join(problems)}: "
            "choose another --tensor-parallel (Meta's layout has no padding of the vocabulary)"
        )
    return layout


def _positive(values: dict[str, Any], key: str, request: Request, default: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{request.config}: '{key}' is {value!r}, but must be a whole number above 0")
    return value

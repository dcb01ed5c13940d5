"""Opening a folder as what it is: Hugging Face's, GPT-NeoX's or Meta's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llemma.checkpoint.architecture import Architecture, architecture_from_hf
from llemma.checkpoint.hf_files import CONFIG_NAME, HfSource
from llemma.checkpoint.meta_files import PARAMS_NAME, MetaSource, rank_numbers
from llemma.checkpoint.neox_files import (
    FIRST_STEP,
    HF_FOLDER,
    LATEST_NAME,
    NeoxSource,
    find_step,
    read_neox_values,
)
from llemma.core.errors import InputError
from llemma.core.files import read_json

LayoutName = Literal["hf", "neox", "meta"]
AnySource = HfSource | NeoxSource | MetaSource
RECORD_NAME = "conversion.json"
LONG_NAMES: dict[LayoutName, str] = {"hf": "Hugging Face", "neox": "GPT-NeoX", "meta": "Meta"}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A source, the folder of the Hugging Face files that belong to it, and the record of how it was made ({})."""

    source: AnySource
    extras: Path
    earlier: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a person says about a source that its files do not; None where nothing is said."""

    config: Path | None = None
    step: str | None = None
    vocab_size: int | None = None
    max_positions: int | None = None
    hf_files: Path | None = None


def layout_of(folder: Path) -> LayoutName:
    """Whose layout a folder has. Raises InputError if it is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder" if not folder.exists() else f"{folder}: not a folder")
    if (folder / CONFIG_NAME).is_file():
        return "hf"
    if (folder / LATEST_NAME).is_file() or any(folder.glob("global_step*")) or any(folder.glob("mp_rank_*")):
        return "neox"
    if (folder / PARAMS_NAME).is_file():
        return "meta"
    if rank_numbers(folder):
        raise InputError(f"{folder}: has consolidated files, but no {PARAMS_NAME}: it comes with them from Meta")
    raise InputError(
        f"{folder}: holds neither {CONFIG_NAME} (a Hugging Face checkpoint) nor '{LATEST_NAME}' and global_step "
        f"folders (one of GPT-NeoX) nor {PARAMS_NAME} (one of Meta's)"
    )


def open_source(folder: Path, hints: Hints) -> Opened:
    """Opens a checkpoint, its headers read and its tensors mapped."""
    layout = layout_of(folder)
    if layout == "neox":
        return _open_neox(folder, hints)
    earlier = earlier_record(folder)
    source: AnySource
    if layout == "hf":
        source, extras, what = HfSource(folder), hints.hf_files or folder, f"{folder / CONFIG_NAME}: 'vocab_size'"
    else:
        extras = hints.hf_files or (folder / HF_FOLDER if (folder / HF_FOLDER).is_dir() else folder)
        named = _named_architecture(hints.hf_files, folder)
        source = MetaSource(
            folder,
            hints.max_positions or (named.max_positions if named is not None else None),
            named is not None and named.is_tied,
        )
        what = f"{folder}: the vocabulary"
    if hints.vocab_size is not None and hints.vocab_size != source.architecture.vocab_size:
        raise InputError(
            f"{what} is {source.architecture.vocab_size}, but --vocab-size is {hints.vocab_size}: "
            f"a checkpoint in {LONG_NAMES[layout]}'s layout has no padding to remove"
        )
    if hints.max_positions is not None and layout == "hf":
        raise InputError(f"--max-positions is for Meta's layout; {folder / CONFIG_NAME} tells it")
    _check_base(earlier, source.architecture.rope_base, str(folder), folder)
    return Opened(source=source, extras=extras, earlier=earlier)


def earlier_record(folder: Path) -> dict[str, Any]:
    """The record of the conversion that made a folder, {} if it was not made by one."""
    path = folder / RECORD_NAME
    if not path.is_file():
        return {}
    record = read_json(path)
    return record if isinstance(record, dict) else {}


def _open_neox(given: Path, hints: Hints) -> Opened:
    """The source and the record that belongs to its step (without tensors for a step that was trained later)."""
    step = find_step(given, hints.step)
    folder = step.parent if step == given else given
    earlier = earlier_record(folder)
    if hints.max_positions is not None:
        raise InputError("--max-positions is for Meta's layout; GPT-NeoX's configuration tells it")
    values, place = read_neox_values(folder, step, hints.config)
    vocab_size = hints.vocab_size
    if vocab_size is None:
        named = _named_architecture(hints.hf_files, folder)
        vocab_size = named.vocab_size if named is not None else _recorded_vocab_size(earlier)
    if vocab_size is None:
        raise InputError(
            f"{folder}: nothing tells how many vocabulary rows are real and how many padding: name the folder of the "
            "Hugging Face model that the training began with (--hf-files FOLDER), or give the number (--vocab-size N)"
        )
    source = NeoxSource(folder, step, values, place, vocab_size)
    if step.name != FIRST_STEP:
        earlier = {key: value for key, value in earlier.items() if key not in ("tensors", "weights_sha256")}
    _check_base(earlier, source.architecture.rope_base, f"{place}: 'rotary_emb_base'", folder)
    return Opened(source=source, extras=hints.hf_files or folder / HF_FOLDER, earlier=earlier)


def _check_base(earlier: dict[str, Any], found: float, what: str, folder: Path) -> None:
    """Raises InputError where a configuration has another RoPE base than its weights were written for."""
    rope = earlier.get("rope")
    written = rope.get("base_after") if isinstance(rope, dict) else None
    if written is not None and written != found:
        raise InputError(
            f"{what} is {found:g}, but {folder / RECORD_NAME} says that these weights were written for the RoPE base "
            f"{written:g}: correct the configuration; a deliberate change is made with --rope-base"
        )


def _named_architecture(extras: Path | None, folder: Path) -> Architecture | None:
    """The model of the Hugging Face files named or carried along."""
    if extras is not None and not (extras / CONFIG_NAME).is_file():
        raise InputError(
            f"{extras / CONFIG_NAME}: there is no such file; --hf-files names a Hugging Face model's folder"
        )
    for path in (extras, folder / HF_FOLDER):
        if path is not None and (path / CONFIG_NAME).is_file():
            return architecture_from_hf(read_json(path / CONFIG_NAME), str(path / CONFIG_NAME))
    return None


def _recorded_vocab_size(earlier: dict[str, Any]) -> int | None:
    vocabulary = earlier.get("vocabulary")
    size = vocabulary.get("size") if isinstance(vocabulary, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None

"""Doing a conversion that has been planned, and its record.

OUT/conversion.json beside the weights is the record (see llemma.core.records), with:
    source          {folder, layout, step}
    target          {layout, tensor_parallel, vocab_divisible_by}
    architecture    true sizes
    rope            {base_before, base_after, contracted}
    vocabulary      {size, rows, padding}: real rows, rows in the target, rows of zeros among them
    tensors         {Hugging Face name: {dtype, shape, sha256}}, the same in whichever layout
    weights_sha256  SHA-256 of lines "name dtype sha256" of all tensors, sorted by name
    averaged        tensors that the ranks of the source held in different versions, and the largest difference
    optimizer       {row: {Hugging Face name: sha256}} of the optimizer's state, where it was kept
    history         the same of the conversions before this one, without their tensors
    outputs         every file with its size and SHA-256
OUT/README.md is the model card; a step of GPT-NeoX has its manifest.json, which a launch holds it to.
Until all is done the files lie in .partial-OUT beside OUT, with the journal of what is finished: a conversion that was
killed goes on from there when the same command is given again, to the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from llemma.checkpoint.card import CARD_NAME, card_text
from llemma.checkpoint.hf_files import CONFIG_NAME, HfSink
from llemma.checkpoint.journal import FORMAT, JOURNAL_NAME, Journal
from llemma.checkpoint.meta_files import PARAMS_NAME, meta_params, meta_sink
from llemma.checkpoint.neox_files import HF_FOLDER, LATEST_NAME, NeoxSource, neox_sink
from llemma.checkpoint.optimizer_state import OptimizerSink, states_around
from llemma.checkpoint.planning import Conversion, partial_folder
from llemma.checkpoint.rank_files import RankSource
from llemma.checkpoint.sources import RECORD_NAME, AnySource
from llemma.checkpoint.tensors import Buffer, Sink, TensorFacts, refuse, tensor_bytes, tensor_sha256
from llemma.core.errors import DamagedFileError, LlemmaError
from llemma.core.files import TEMPORARY_PREFIX, stable_hash, sync_file, sync_folder, write_json, write_text
from llemma.core.progress import progress
from llemma.core.records import file_entry, write_record
from llemma.guard.manifest import MANIFEST_NAME, write_manifest
from llemma.neox.saved_keys import MODEL_NAME

if TYPE_CHECKING:
    import torch

_BUFFER_NAME = f"{TEMPORARY_PREFIX}tensor"
_TOKENIZER_MODEL = "tokenizer.model"
_HASHING_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Move:
    """One tensor's way: how it is read, its room in the target where it lies there in one piece, how it is written."""

    key: str
    fact: TensorFacts
    source: AnySource | RankSource
    place: Callable[[TensorFacts], torch.Tensor | None]
    write: Callable[[str, torch.Tensor], None]


def convert(plan: Conversion) -> Path:
    """Does what the plan says and returns the record's path; the folder appears whole, at the end, or not at all.

    Raises InputError or DamagedFileError where a source turns out to be unfit; nothing is left behind then. After any
    other end (a kill, a full disk) what was finished stays in .partial-OUT for the same command to go on from.
    """
    started = time.perf_counter()
    out = plan.request.out
    scratch = partial_folder(out)
    journal = Journal(scratch, _plan_hash(plan))
    try:
        tensors = _write_tensors(plan, journal)
        _write_beside(plan, scratch, tensors)
        _write_record(plan, scratch, tensors, journal, time.perf_counter() - started)
    except LlemmaError:
        journal.abandon()
        raise
    except BaseException:
        if not journal.done:
            journal.abandon()
        raise
    journal.finish()
    for folder in (scratch / HF_FOLDER, scratch):
        if folder.is_dir():
            sync_folder(folder)
    if out.exists():
        out.rmdir()  # plan_conversion saw that it is empty
    scratch.rename(out)
    sync_folder(out.parent)
    return out / RECORD_NAME


def _plan_hash(plan: Conversion) -> str:
    """All that decides the bytes: what is asked for, the source's files, the format of what is left half done."""
    source = plan.source.place
    files = sorted(path for path in source.iterdir() if path.is_file())
    request = dataclasses.asdict(plan.request) | {"source": str(source.resolve()), "out": "", "sync_bytes": 0}
    return stable_hash(
        {
            "format": FORMAT,
            "request": {key: _plain(value) for key, value in request.items()},
            "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
            "config": plan.hf_config,
            "neox": plan.neox_values,
            "tensors": [[fact.name, list(fact.shape), fact.dtype] for fact in plan.facts],
        }
    )


def _sink_of(plan: Conversion, folder: Path) -> Sink:
    if plan.layout is None:
        return HfSink(folder, plan.facts, plan.request.shard_bytes)
    if plan.target_layout == "meta":
        return meta_sink(folder, plan.facts, plan.layout)
    around = []
    if plan.optimizer is not None and isinstance(plan.source, NeoxSource):
        around = states_around(plan.source, plan.optimizer, plan.layout, plan.neox_values)
    return neox_sink(folder / plan.step_name, plan.facts, plan.layout, plan.neox_values, around)


def _moves(plan: Conversion, sink: Sink, state: OptimizerSink | None) -> Iterator[Move]:
    """All tensors, those of the optimizer's state behind the weights, row by row."""
    for fact in plan.facts:
        yield Move(key=fact.name, fact=fact, source=plan.source, place=sink.place, write=sink.write)
    if plan.optimizer is None or state is None:
        return
    for row, facts in plan.optimizer.facts.items():
        for fact in facts:
            yield Move(
                key=_row_key(row, fact.name),
                fact=fact,
                source=plan.optimizer.rows[row],
                place=_nowhere,
                write=functools.partial(state.write, row),
            )


def _row_key(row: str, name: str) -> str:
    return f"{row} of {name}"


def _nowhere(_: TensorFacts) -> None:
    """Tensors of rank files are put together in the buffer."""


def _write_tensors(plan: Conversion, journal: Journal) -> dict[str, dict[str, Any]]:
    """Moves every tensor and returns what each of the weights was, with its SHA-256."""
    sink = _sink_of(plan, journal.folder)
    refuse(plan.source.place, "tensors of several types", sink.problems(), "The target keeps each of these as one.")
    state = None
    if plan.optimizer is not None and plan.layout is not None:
        state = OptimizerSink(journal.folder / plan.step_name, plan.optimizer, plan.layout)
    sinks: list[Sink | OptimizerSink] = [sink, state] if state is not None else [sink]
    if not journal.has_room:
        for one in sinks:
            one.make_room()
        journal.room_is_made()
    for one in sinks:
        one.open()
    moves = list(_moves(plan, sink, state))
    # What was put together stands in a file, not in memory, for the largest tensor of a model can be 2 GB.
    buffer = Buffer(journal.folder / _BUFFER_NAME, max(move.fact.num_bytes for move in moves))
    total = sum(move.fact.num_bytes for move in moves)
    with progress("converting", total, "B") as bar, ThreadPoolExecutor(1) as hashing:
        unsaved: dict[str, dict[str, Any]] = {}
        waiting = 0
        for move in moves:
            fact = move.fact
            if move.key in journal.done:
                bar.advance(fact.num_bytes)
                continue
            bar.note(move.key)
            room = move.place(fact)
            tensor = move.source.read(fact.name, room if room is not None else buffer.room(fact))
            sha256 = hashing.submit(tensor_sha256, tensor_bytes(tensor))
            move.write(fact.name, tensor)
            if move.source is plan.source:
                _check_recorded(plan, fact, sha256.result())
            unsaved[move.key] = {"sha256": sha256.result()}
            if isinstance(move.source, RankSource) and fact.name in move.source.averaged:
                unsaved[move.key]["averaged"] = move.source.averaged[fact.name]
            waiting += fact.num_bytes
            if waiting >= plan.request.sync_bytes:
                for one in sinks:
                    one.sync()
                journal.add(unsaved)
                unsaved, waiting = {}, 0
            bar.advance(fact.num_bytes)
        bar.note("")
    for one in sinks:
        one.close()
    journal.add(unsaved)
    buffer.close()
    return {
        fact.name: {"dtype": fact.dtype, "shape": list(fact.shape), "sha256": journal.done[fact.name]["sha256"]}
        for fact in plan.facts
    }


def _check_recorded(plan: Conversion, fact: TensorFacts, sha256: str) -> None:
    """Raises DamagedFileError where a tensor is not what the record of its own conversion says."""
    recorded = plan.earlier.get("tensors")
    before = recorded.get(fact.name) if isinstance(recorded, dict) else None
    if isinstance(before, dict) and before.get("sha256") not in (None, sha256):
        raise DamagedFileError(
            f"{plan.source.place}: {fact.name} is not what {RECORD_NAME} says was written (SHA-256 differs): "
            f"the file is damaged; if you changed the weights yourself, delete {RECORD_NAME} and try again"
        )


def _write_beside(plan: Conversion, scratch: Path, tensors: dict[str, dict[str, Any]]) -> None:
    """Configuration, tokenizer, card: everything but the weights and the record."""
    extras = scratch if plan.target_layout == "hf" else scratch / HF_FOLDER
    extras.mkdir(exist_ok=True)
    for name, path in plan.carried.items():
        shutil.copyfile(path, extras / name)
        sync_file(extras / name)
    write_json(extras / CONFIG_NAME, plan.hf_config)
    if plan.target_layout == "neox":
        write_text(scratch / MODEL_NAME, _overlay_text(plan))
        write_text(scratch / LATEST_NAME, plan.step_name)
        if plan.optimizer is not None:
            _carry_step_files(plan.source.place, scratch / plan.step_name)
    elif plan.target_layout == "meta":
        write_json(scratch / PARAMS_NAME, meta_params(plan.architecture))
        if _TOKENIZER_MODEL in plan.carried:  # Meta's program looks for it beside the weights
            shutil.copyfile(plan.carried[_TOKENIZER_MODEL], scratch / _TOKENIZER_MODEL)
            sync_file(scratch / _TOKENIZER_MODEL)
    num_parameters = sum(math.prod(fact.shape) for fact in plan.facts)
    write_text(scratch / CARD_NAME, card_text(plan, weights_sha256(tensors), num_parameters))


def _carry_step_files(source: Path, target: Path) -> None:
    """What else the training left in its step: not its configuration, which is that of the other ranks."""
    for path in source.iterdir():
        if path.is_file() and path.suffix != ".pt" and path.name != MANIFEST_NAME:
            shutil.copyfile(path, target / path.name)
            sync_file(target / path.name)


def weights_sha256(tensors: dict[str, dict[str, Any]]) -> str:
    """One hash for all weights, the same in whichever layout they lie."""
    lines = "".join(f"{name} {facts['dtype']} {facts['sha256']}\n" for name, facts in sorted(tensors.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _write_record(
    plan: Conversion,
    scratch: Path,
    tensors: dict[str, dict[str, Any]],
    journal: Journal,
    seconds: float,
) -> None:
    rows = plan.layout.rows if plan.layout is not None else plan.architecture.vocab_size
    step = plan.source.place.name if isinstance(plan.source, NeoxSource) else None
    facts = {
        "source": {"folder": str(plan.request.source.resolve()), "layout": plan.source_layout, "step": step},
        "target": {
            "layout": plan.target_layout,
            "tensor_parallel": plan.layout.tensor_parallel if plan.layout is not None else None,
            "vocab_divisible_by": plan.vocab_divisible_by if plan.target_layout == "neox" else None,
        },
        "rope": {
            "base_before": plan.rope.before,
            "base_after": plan.rope.after,
            "contracted": plan.rope.is_change,
        },
        "vocabulary": {
            "size": plan.architecture.vocab_size,
            "rows": rows,
            "padding": rows - plan.architecture.vocab_size,
        },
    }
    history = list(plan.earlier.get("history", [])) if isinstance(plan.earlier.get("history", []), list) else []
    if plan.earlier:
        history.append({key: plan.earlier[key] for key in facts if key in plan.earlier})
    write_record(
        scratch / RECORD_NAME,
        kind="checkpoint conversion",
        config={key: _plain(value) for key, value in dataclasses.asdict(plan.request).items()},
        inputs=[path for path in (plan.request.source / CONFIG_NAME, plan.request.config) if path and path.is_file()],
        outputs=_output_entries(plan, scratch),
        counts={"tensors": len(tensors), "bytes": sum(fact.num_bytes for fact in plan.facts)},
        seconds=round(seconds, 3),
        **facts,
        architecture=dataclasses.asdict(plan.architecture),
        averaged={name: entry["averaged"] for name, entry in journal.done.items() if "averaged" in entry},
        optimizer={
            row: {fact.name: journal.done[_row_key(row, fact.name)]["sha256"] for fact in facts}
            for row, facts in (plan.optimizer.facts.items() if plan.optimizer is not None else ())
        },
        weights_sha256=weights_sha256(tensors),
        tensors=tensors,
        history=history,
    )


def _output_entries(plan: Conversion, scratch: Path) -> list[dict[str, Any]]:
    """Every file with its size and SHA-256, read once; a step of GPT-NeoX gets its manifest.json from that."""
    manifest = scratch / plan.step_name / MANIFEST_NAME
    left_out = (scratch / JOURNAL_NAME, scratch / RECORD_NAME, manifest)
    paths = sorted(path for path in scratch.rglob("*") if path.is_file() and path not in left_out)
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        entries = list(pool.map(lambda path: file_entry(path, scratch), paths))
    if plan.target_layout == "neox":
        step = f"{plan.step_name}/"
        inside = [entry for entry in entries if entry["path"].startswith(step)]
        write_manifest(manifest.parent, [{**entry, "path": entry["path"].removeprefix(step)} for entry in inside])
        entries.append(file_entry(manifest, scratch))
    return entries


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _overlay_text(plan: Conversion) -> str:
    assert plan.layout is not None
    keys = "".join(yaml.safe_dump({key: value}) for key, value in plan.neox_values.items())
    return (
        "# GPT-NeoX keys that these weights were made for; written by `llemma convert`.\n"
        f"# Rows from {plan.architecture.vocab_size} on are padding: the tokenizer must have "
        f"{plan.architecture.vocab_size} pieces.\n{keys}"
    )

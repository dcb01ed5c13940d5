"""Doing a conversion that has been planned, and its record.

OUT/conversion.json beside the weights is the record (see llemma.core.records), with:
    source        {folder, layout, step}
    target        {layout, tensor_parallel, vocab_divisible_by}
    architecture  true sizes
    rope          {base_before, base_after, contracted}
    vocabulary    {size, rows, padding}: real rows, rows in the target, rows of zeros among them
    tensors       {Hugging Face name: {dtype, shape, sha256}}, the same in whichever layout
    averaged      tensors that the ranks of the source held in different versions, and the largest difference
    history       the same of the conversions before this one, without their tensors
    outputs       every file with its size and SHA-256
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from llemma.checkpoint.hf_files import CONFIG_NAME, HfSink
from llemma.checkpoint.neox_files import HF_FOLDER, NeoxSink, NeoxSource
from llemma.checkpoint.planning import RECORD_NAME, Conversion
from llemma.checkpoint.tensors import Sink, tensor_bytes, tensor_sha256
from llemma.core.errors import DamagedFileError
from llemma.core.files import TEMPORARY_PREFIX, sync_file, sync_folder, write_json, write_text
from llemma.core.progress import progress
from llemma.core.records import write_record
from llemma.neox.saved_keys import MODEL_NAME


def convert(plan: Conversion) -> Path:
    """Does what the plan says and returns the record's path; the folder appears whole, at the end, or not at all."""
    started = time.perf_counter()
    out = plan.request.out
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.parent / f"{TEMPORARY_PREFIX}{out.name}"
    shutil.rmtree(scratch, ignore_errors=True)  # left by a conversion of the same name that was killed
    scratch.mkdir()
    try:
        tensors = _write_tensors(plan, scratch)
        extras = scratch if plan.target_layout == "hf" else scratch / HF_FOLDER
        extras.mkdir(exist_ok=True)
        for path in plan.carried:
            shutil.copyfile(path, extras / path.name)
            sync_file(extras / path.name)
        write_json(extras / CONFIG_NAME, plan.hf_config)
        if plan.target_layout == "neox":
            write_text(scratch / MODEL_NAME, _overlay_text(plan))
        _write_record(plan, scratch, tensors, time.perf_counter() - started)
        for folder in (extras, scratch):
            sync_folder(folder)
        if out.exists():
            out.rmdir()  # plan_conversion saw that it is empty
        scratch.rename(out)
        sync_folder(out.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return out / RECORD_NAME


def _write_tensors(plan: Conversion, scratch: Path) -> dict[str, dict[str, Any]]:
    """Moves every tensor and returns what each was, with its SHA-256."""
    sink: Sink
    if plan.layout is None:
        sink = HfSink(scratch, plan.facts, plan.request.shard_bytes)
    else:
        sink = NeoxSink(scratch, plan.facts, plan.layout, plan.neox_values)
    recorded = plan.earlier.get("tensors")
    tensors: dict[str, dict[str, Any]] = {}
    with progress("converting", sum(fact.num_bytes for fact in plan.facts), "B") as bar:
        for fact in plan.facts:
            bar.note(fact.name)
            tensor = plan.source.read(fact.name)
            sha256 = tensor_sha256(tensor_bytes(tensor))
            before = recorded.get(fact.name) if isinstance(recorded, dict) else None
            if isinstance(before, dict) and before.get("sha256") not in (None, sha256):
                raise DamagedFileError(
                    f"{plan.source.place}: {fact.name} is not what {RECORD_NAME} says was written (SHA-256 differs): "
                    f"the file is damaged; if you changed the weights yourself, delete {RECORD_NAME} and try again"
                )
            sink.write(fact.name, tensor)
            tensors[fact.name] = {"dtype": fact.dtype, "shape": list(fact.shape), "sha256": sha256}
            bar.advance(fact.num_bytes)
    sink.close()
    return tensors


def _write_record(plan: Conversion, scratch: Path, tensors: dict[str, dict[str, Any]], seconds: float) -> None:
    rows = plan.layout.rows if plan.layout is not None else plan.architecture.vocab_size
    step = plan.source.place.name if isinstance(plan.source, NeoxSource) else None
    facts = {
        "source": {"folder": str(plan.request.source.resolve()), "layout": plan.source_layout, "step": step},
        "target": {
            "layout": plan.target_layout,
            "tensor_parallel": plan.layout.tensor_parallel if plan.layout is not None else None,
            "vocab_divisible_by": plan.vocab_divisible_by if plan.layout is not None else None,
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
        outputs=sorted(path for path in scratch.rglob("*") if path.is_file()),
        counts={"tensors": len(tensors), "bytes": sum(fact.num_bytes for fact in plan.facts)},
        seconds=round(seconds, 3),
        **facts,
        architecture=dataclasses.asdict(plan.architecture),
        averaged=plan.source.averaged if isinstance(plan.source, NeoxSource) else {},
        tensors=tensors,
        history=history,
    )


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

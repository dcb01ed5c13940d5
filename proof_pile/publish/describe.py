"""Step function: one file of documents, as it was read, consolidated and tokenized -> texts, tallies and samples.

<split>.parquet   the documents of that split (only with params text), zstd:
    id string (32 hex digits) · source string · name string · text large_string · meta string (JSON) · num_tokens int64
tally.json        {"languages": {language: {"documents", "tokens", "bytes"}}, "licences": {licence: documents},
                   "lengths": {n: documents of 2**(n-1) to 2**n - 1 tokens}}
samples.jsonl     Sample lines: of kept documents, and of removed ones by reason, those whose ids hash lowest, so that
                  the samples of many files put together are a sample of all

params: text, samples, seed.   task.args: splits, the splits of these in their order.
task.inputs: consolidated documents, read documents, dropped documents, removed ones, then one .documents.arrow a split.
counts: documents, tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.config import Config
from llemma.core.errors import DamagedFileError
from llemma.core.files import write_json, write_text
from llemma.core.steps import Task
from proof_pile.words import text_batches

VERSION = 1
EXCERPT_CHARS = 2000  # chosen by us: enough to judge a document by
LICENCE_KEYS = ("licence", "license", "licences", "licenses")
UNKNOWN = ""  # language or licence of a document that does not say


class Sample(Config):
    """A document to read: kept, or removed for `reason` with `evidence` (JSON, where there is any)."""

    source: str
    id: str
    name: str
    reason: str | None = None
    evidence: str = ""
    num_bytes: int
    text: str


def texts_schema() -> pa.Schema:
    """The Arrow schema of published texts."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("name", pa.string()),
            ("text", pa.large_string()),
            ("meta", pa.string()),
            ("num_tokens", pa.int64()),
        ]
    )


def draw(id_: bytes, seed: int) -> int:
    """The number by which samples are chosen: a hash of the document's id."""
    digest = hashlib.blake2b(id_, digest_size=8, key=b"sample" + seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Describes one file of documents."""
    consolidated, read, dropped, removed = (item.path for item in task.inputs[:4])
    sides = dict(zip(task.args["splits"], (item.path for item in task.inputs[4:]), strict=True))
    lengths = {split: _lengths(path) for split, path in sides.items()}
    tally = _Tally()
    chosen = _Chosen(params["samples"], params["seed"])
    with contextlib.ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}
        columns = ("id", "source", "name", "text", "meta", "split")
        for _, batch in text_batches(consolidated, columns):
            splits = batch.column("split").to_pylist()
            ids = batch.column("id").to_pylist()
            tokens = [_length(lengths, split, id_, consolidated) for split, id_ in zip(splits, ids, strict=True)]
            sizes = [value.as_buffer().size for value in batch.column("text").cast(pa.large_binary())]
            tally.add(batch.column("meta").to_pylist(), tokens, sizes)
            chosen.offer_batch(batch, None)
            if params["text"]:
                for split in sorted(set(splits)):
                    if split not in writers:
                        path = out / f"{split}.parquet"
                        writers[split] = stack.enter_context(pq.ParquetWriter(path, texts_schema(), compression="zstd"))
                    writers[split].write_table(_texts(batch, splits, tokens, split))
    for split, rest in lengths.items():
        if rest:
            raise DamagedFileError(f"{sides[split]}: names more documents than {consolidated} holds")
    _sample_dropped(chosen, dropped)
    _sample_removed(chosen, removed, read)
    write_json(out / "tally.json", tally.as_json())
    write_text(out / "samples.jsonl", "".join(sample.model_dump_json() + "\n" for sample in chosen.samples()))
    return {"documents": tally.documents, "tokens": tally.tokens}


def _lengths(path: str) -> dict[bytes, int]:
    """Tokens of each document of a shard by its id; a shard may be shuffled."""
    table = pa.ipc.open_file(pa.memory_map(path)).read_all()
    return dict(zip(table.column("id").to_pylist(), table.column("num_tokens").to_pylist(), strict=True))


def _length(lengths: dict[str, dict[bytes, int]], split: str, id_: bytes, path: str) -> int:
    try:
        return lengths[split].pop(id_)
    except KeyError:
        raise DamagedFileError(f"{path}: holds {split} documents that were not tokenized ({id_.hex()})") from None


def _texts(batch: pa.RecordBatch, splits: list[str], tokens: list[int], split: str) -> pa.Table:
    rows = [number for number, of in enumerate(splits) if of == split]
    part = batch.take(pa.array(rows, pa.int64()))
    columns = [
        pa.array([value.hex() for value in part.column("id").to_pylist()], pa.string()),
        part.column("source"),
        part.column("name"),
        part.column("text").cast(pa.large_string()),
        part.column("meta"),
        pa.array([tokens[row] for row in rows], pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=texts_schema())


# ---------------------------------------------------------------- tallies


@dataclass
class _Tally:
    """Documents, tokens and bytes by language, documents by licence and by length."""

    documents: int = 0
    tokens: int = 0
    languages: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    licences: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, metas: list[str], tokens: list[int], sizes: list[int]) -> None:
        """Counts a batch of documents."""
        for meta, num_tokens, size in zip(metas, tokens, sizes, strict=True):
            known = json.loads(meta)
            language = known.get("language")
            of_language = self.languages[language if isinstance(language, str) else UNKNOWN]
            of_language.update(documents=1, tokens=num_tokens, bytes=size)
            self.licences[licence_of(known)] += 1
            self.lengths[num_tokens.bit_length()] += 1
            self.documents += 1
            self.tokens += num_tokens

    def as_json(self) -> dict[str, Any]:
        """The tally as it is written."""
        return {
            "languages": {name: dict(self.languages[name]) for name in sorted(self.languages)},
            "licences": {name: self.licences[name] for name in sorted(self.licences)},
            "lengths": {str(number): self.lengths[number] for number in sorted(self.lengths)},
        }


def licence_of(meta: dict[str, Any]) -> str:
    """What a document's metadata say of its licence, several ones joined by " / "; "" where they say nothing."""
    for key in LICENCE_KEYS:
        value = meta.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return " / ".join(sorted(value))
    return UNKNOWN


# ---------------------------------------------------------------- samples


@dataclass(frozen=True, kw_only=True, order=True)
class _Offer:
    """A document that may become a sample; the highest draw is the first to go again."""

    rank: int  # minus the draw: heapq keeps the smallest in front
    id: bytes
    sample: Sample = field(compare=False)


class _Chosen:
    """The documents with the lowest draws, so many of each reason."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._heaps: dict[tuple[str, str | None], list[_Offer]] = defaultdict(list)

    def wants(self, source: str, reason: str | None, id_: bytes) -> bool:
        """True if a document of that id would be among the samples so far."""
        heap = self._heaps[source, reason]
        return len(heap) < self._size or (bool(heap) and -draw(id_, self._seed) > heap[0].rank)

    def lowest(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows (each with an "id") of the lowest draws, as many as are asked for."""
        return heapq.nsmallest(self._size, rows, key=lambda row: draw(row["id"], self._seed))

    def offer_batch(self, batch: pa.RecordBatch, reasons: list[str] | None) -> None:
        """Offers the documents of a batch, kept ones (None) or dropped ones with their reasons."""
        ids, sources = batch.column("id").to_pylist(), batch.column("source").to_pylist()
        for row, (id_, source) in enumerate(zip(ids, sources, strict=True)):
            reason = reasons[row] if reasons else None
            if self.wants(source, reason, id_):
                self.offer(
                    source, reason, id_, batch.column("name")[row].as_py(), batch.column("text")[row].as_py(), ""
                )

    def offer(self, source: str, reason: str | None, id_: bytes, name: str, text: str, evidence: str) -> None:
        """Takes a document, and lets the one go that is now too many."""
        sample = Sample(
            source=source,
            id=id_.hex(),
            name=name,
            reason=reason,
            evidence=evidence,
            num_bytes=len(text.encode()),
            text=text[:EXCERPT_CHARS],
        )
        offer = _Offer(rank=-draw(id_, self._seed), id=id_, sample=sample)
        heap = self._heaps[source, reason]
        (heapq.heappush if len(heap) < self._size else heapq.heappushpop)(heap, offer)

    def samples(self) -> Iterator[Sample]:
        """The samples, by source and reason, lowest draw first."""
        for key in sorted(self._heaps, key=lambda key: (key[0], key[1] or "")):
            yield from (offer.sample for offer in sorted(self._heaps[key], reverse=True))


def merge_samples(samples: Iterator[Sample], size: int, seed: int) -> list[Sample]:
    """Of the samples of many files the `size` lowest draws of each source and reason, in the order of one file."""
    groups: dict[tuple[str, str | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.source, sample.reason].append(sample)
    merged = []
    for key in sorted(groups, key=lambda key: (key[0], key[1] or "")):
        by_draw = sorted(groups[key], key=lambda sample: (draw(bytes.fromhex(sample.id), seed), sample.id))
        merged += by_draw[:size]
    return merged


def _sample_dropped(chosen: _Chosen, path: str) -> None:
    for _, batch in text_batches(path, ("id", "source", "name", "text", "reason")):
        chosen.offer_batch(batch, batch.column("reason").to_pylist())


def _sample_removed(chosen: _Chosen, removed: str, read: str) -> None:
    """Removed documents have no text in their record: those that are chosen are looked up where they were read."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in pq.read_table(removed).to_pylist():
        groups[row["source"], row["reason"]].append(row)
    wanted: dict[bytes, list[dict[str, Any]]] = defaultdict(list)
    for rows in groups.values():
        for row in chosen.lowest(rows):
            wanted[row["id"]].append(row)
    if not wanted:
        return
    for _, batch in text_batches(read, ("id", "text")):
        for number, id_ in enumerate(batch.column("id").to_pylist()):
            for row in wanted.pop(id_, ()):
                text = batch.column("text")[number].as_py()
                chosen.offer(row["source"], row["reason"], id_, row["name"], text, row["evidence"])

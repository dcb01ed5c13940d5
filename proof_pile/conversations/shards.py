"""All examples of all sources as shards for one objective, in a folder of its own.

    OUT/mixture.json                    llemma.core.schemas.Mixture: shards with what goes with them
    OUT/data/<source>/<split>.bin, .idx                 tokens, one document a conversation, its last token eod
                      <split>_labels.bin, .idx          int32: each token, or -100 where the loss does not count
                      <split>_rewards.bin, .idx         kto: int32, 1 for a wanted answer, -1 for an unwanted one
                      <split>_rejected.bin, .idx        dpo: the same conversation with the answer that lost
                      <split>_rejected_labels.bin, .idx dpo: its labels
    OUT/tokenizer/<file>                the tokenizer
    OUT/quarantine.jsonl                records that could not be read: path, line, reason, excerpt
    OUT/record.json                     what was asked for, the inputs with their hashes, counts

Splits are train and validation; a conversation's is decided by its question, so that several answers to one question
never lie on both sides. A conversation that does not fit into the sequence is dropped or cut; one of which nothing
would be left to learn is dropped either way, for GPT-NeoX's packing (megatron/data/gpt2_dataset.py:309 at ea7aefd8)
runs past the end of its list where the last document of a pass is such a one.

The documents stand in the order of the inputs: GPT-NeoX shuffles what it draws. One pass, memory for one batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from llemma.core.errors import InputError
from llemma.core.files import atomic_folder, sha256_file
from llemma.core.indexed import IndexedWriter, best_dtype
from llemma.core.progress import progress
from llemma.core.records import write_record
from llemma.core.schemas import CompanionShard, Mixture, MixtureSource, Objective, Shard
from llemma.core.text.tokenizers import Tokenizer, load_tokenizer
from proof_pile.conversations.chat_format import ChatFormat, Run, Writer
from proof_pile.conversations.encode import Encoded, Encoder
from proof_pile.conversations.records import Example, Keys, list_files, read_examples
from proof_pile.documents import Quarantined
from proof_pile.mixture import tokenizer_info
from proof_pile.sources.inputs import SourceFile, is_remote

SPLITS = ("train", "validation")
_BATCH = 512  # conversations encoded at once
_BESIDE = {"sft": ("labels",), "kto": ("labels", "rewards"), "dpo": ("labels", "rejected", "rejected_labels")}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to make: sources by name, each a path, folder, glob or URL."""

    objective: Objective
    sources: Mapping[str, str]
    base: Path
    tokenizer: str
    eod: str | int | None = None
    chat_format: ChatFormat
    keys: Keys = field(default_factory=Keys)
    seq_length: int
    longer: Literal["drop", "cut"] = "drop"
    only_last: bool = False
    validation_share: float = 0.01
    seed: int = 1234
    weights: Mapping[str, float] = field(default_factory=dict)  # relative; left out: as large as the source


@dataclass(kw_only=True)
class SourceCounts:
    """What became of a source's records."""

    documents: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    said: int = 0  # tokens of the training split that the loss counts
    cut: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made: counts by source, and the first conversation as (text, is it said)."""

    counts: dict[str, SourceCounts]
    first: list[tuple[str, bool]]


def make_shards(order: Order, out: Path) -> Made:
    """Makes OUT, whole or not at all. Raises InputError where an input, the tokenizer or the format cannot be used."""
    started = time.monotonic()
    files = {name: list_files(path, order.base) for name, path in order.sources.items()}
    tokenizer = load_tokenizer(order.base / order.tokenizer, order.eod)
    writer = Writer(order.chat_format, tokenizer, order.only_last)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: this exists already: give a new folder as --out")
    with atomic_folder(out) as scratch:
        with open(scratch / "quarantine.jsonl", "w", encoding="utf-8") as quarantine:
            work = _Work(order, tokenizer, writer, scratch, quarantine)
            sources = {name: work.source(name, of_source) for name, of_source in files.items()}
        copied = scratch / "tokenizer" / tokenizer.path.name
        copied.parent.mkdir()
        shutil.copyfile(tokenizer.path, copied)
        mixture = _mixture(order, tokenizer, copied.relative_to(scratch).as_posix(), sources, out.name)
        mixture.write(scratch / "mixture.json")
        _write_record(order, files, work.counts, scratch, time.monotonic() - started)
    return Made(counts=work.counts, first=work.first)


class _Work:
    """One pass over all sources."""

    def __init__(self, order: Order, tokenizer: Tokenizer, writer: Writer, root: Path, quarantine: TextIO) -> None:
        self.order, self.writer, self.root, self.quarantine = order, writer, root, quarantine
        self.encoder = Encoder(tokenizer)
        self.dtype = best_dtype(tokenizer.vocab_size)
        self.counts: dict[str, SourceCounts] = {}
        self.first: list[tuple[str, bool]] = []

    def source(self, name: str, files: Sequence[SourceFile]) -> dict[str, Shard]:
        """Writes the shards of one source."""
        counts = self.counts[name] = SourceCounts()
        prefixes = {split: self.root / "data" / name / split for split in SPLITS}
        with contextlib.ExitStack() as stack:
            pairs = {split: _Pairs(path, self.dtype, self.order.objective, stack) for split, path in prefixes.items()}
            with progress(name, unit="records") as shown:
                examples = self._examples(files, counts)
                while batch := list(itertools.islice(examples, _BATCH)):
                    self._write(batch, pairs, counts)
                    shown.advance(len(batch))
        shards = {split: pairs[split].shard(self.root) for split in SPLITS}
        counts.documents = {split: shard.num_documents for split, shard in shards.items()}
        counts.tokens = {split: shard.num_tokens for split, shard in shards.items()}
        if not counts.documents["train"]:
            why = ", ".join(f"{reason} {count:,}" for reason, count in counts.dropped.most_common())
            if counts.documents["validation"]:
                why = f"{counts.documents['validation']:,} fell to validation: lower --validation-share"
            raise InputError(
                f"{self.order.sources[name]}: nothing of '{name}' can be trained on ({why or 'no records'})"
            )
        return shards

    def _examples(self, files: Sequence[SourceFile], counts: SourceCounts) -> Iterator[Example]:
        for file in files:
            for item in read_examples(file, self.order.objective, self.order.keys):
                if isinstance(item, Quarantined):
                    counts.dropped[item.reason.split(":")[0]] += 1
                    self.quarantine.write(json.dumps(item.as_json(), ensure_ascii=False) + "\n")
                else:
                    yield item

    def _write(self, examples: Sequence[Example], pairs: dict[str, _Pairs], counts: SourceCounts) -> None:
        runs = [self.writer.runs(example.turns) for example in examples]
        if not self.first:
            self.first = _shown(runs[0])
        encoded = self.encoder.encode(runs)
        is_pairs = self.order.objective == "dpo"
        rejected = self.encoder.encode([self.writer.runs(e.rejected) for e in examples]) if is_pairs else encoded
        for example, won, lost in zip(examples, encoded, rejected, strict=True):
            fitting = self._fit(won, lost, counts)
            if fitting is None:
                continue
            split = self._split(example)
            counts.said += fitting[0].num_said if split == "train" else 0
            pairs[split].add(*fitting, example.wanted)

    def _fit(self, won: Encoded, lost: Encoded, counts: SourceCounts) -> tuple[Encoded, Encoded] | None:
        """The documents as they fit into a sequence, which reads one token more than its length."""
        room = self.order.seq_length + 1
        is_long = max(len(won.ids), len(lost.ids)) > room
        if is_long and self.order.longer == "drop":
            counts.dropped["longer-than-the-sequence"] += 1
            return None
        won, lost = won.cut(room), lost.cut(room)
        if not won.num_said or not lost.num_said:
            counts.dropped["answer-behind-the-cut"] += 1
            return None
        counts.cut += is_long
        return won, lost

    def _split(self, example: Example) -> str:
        digest = hashlib.blake2b(f"{self.order.seed}\0{example.question}".encode(), digest_size=8).digest()
        return "validation" if int.from_bytes(digest) < self.order.validation_share * 2**64 else "train"


class _Pairs:
    """The open .bin/.idx pairs of one source and split."""

    def __init__(self, prefix: Path, dtype: Any, objective: Objective, stack: contextlib.ExitStack) -> None:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        self._tokens = stack.enter_context(IndexedWriter(prefix, dtype))
        self._beside = {
            name: stack.enter_context(
                IndexedWriter(f"{prefix}_{name}", dtype if name == "rejected" else np.dtype(np.int32))
            )
            for name in _BESIDE[objective]
        }

    def add(self, won: Encoded, lost: Encoded, wanted: bool | None) -> None:
        """Adds one conversation to all of them."""
        self._tokens.add_document(won.ids)
        parts = {
            "labels": won.labels,
            "rewards": np.array([1 if wanted else -1], np.int32),
            "rejected": lost.ids,
            "rejected_labels": lost.labels,
        }
        for name, writer in self._beside.items():
            writer.add_document(parts[name])

    def shard(self, root: Path) -> Shard:
        """What was written, once all are closed."""
        beside: dict[str, Any] = {name: _described(writer, root) for name, writer in self._beside.items()}
        return Shard(**_described(self._tokens, root).model_dump(), **beside)


def _described(writer: IndexedWriter, root: Path) -> CompanionShard:
    return CompanionShard(
        path=writer.prefix.relative_to(root).as_posix(),
        num_documents=writer.num_documents,
        num_tokens=writer.num_tokens,
        bin_sha256=sha256_file(f"{writer.prefix}.bin"),
        idx_sha256=sha256_file(f"{writer.prefix}.idx"),
    )


def _shown(runs: Sequence[Run]) -> list[tuple[str, bool]]:
    return [(run.content if isinstance(run.content, str) else f"<id {run.content}>", run.is_said) for run in runs]


def _mixture(
    order: Order, tokenizer: Tokenizer, tokenizer_path: str, sources: Mapping[str, Mapping[str, Shard]], name: str
) -> Mixture:
    """The mixture; a source without a weight of its own is as large as what GPT-NeoX counts of it."""
    if not any(splits["validation"].num_documents for splits in sources.values()):
        raise InputError(
            f"no conversation fell to validation, which GPT-NeoX wants some of: raise --validation-share "
            f"({order.validation_share:g})"
        )
    # Packed, a source's share is one of tokens; unpacked (dpo, kto), a sample is a conversation, however short.
    sizes = {
        source: splits["train"].num_tokens if order.objective == "sft" else splits["train"].num_documents
        for source, splits in sources.items()
    }
    parts = {source: order.weights.get(source, size) for source, size in sizes.items()}
    planned, whole = sum(splits["train"].num_tokens for splits in sources.values()), sum(parts.values())
    return Mixture(
        name=name,
        tokenizer=tokenizer_info(tokenizer, tokenizer_path),
        planned_tokens=planned,
        sources=tuple(
            MixtureSource(
                name=source,
                group=order.objective,
                weight=parts[source] / whole,
                epochs=parts[source] / whole * sum(sizes.values()) / sizes[source],
                splits=dict(splits),
            )
            for source, splits in sources.items()
        ),
    )


def _write_record(
    order: Order,
    files: Mapping[str, Sequence[SourceFile]],
    counts: Mapping[str, SourceCounts],
    root: Path,
    seconds: float,
) -> None:
    asked = asdict(order) | {"chat_format": order.chat_format.model_dump(mode="json"), "base": str(order.base)}
    local = [path for of_source in files.values() for file in of_source for path in file.paths if not is_remote(path)]
    write_record(
        root / "record.json",
        kind="conversations",
        config=asked,
        inputs=[Path(path).resolve() for path in local],
        outputs=[root / "mixture.json", root / "quarantine.jsonl"],
        seconds=round(seconds, 2),
        sources={name: {**vars(of_source), "dropped": dict(of_source.dropped)} for name, of_source in counts.items()},
    )

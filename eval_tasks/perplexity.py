"""Perplexity of texts: which documents are scored, and what their losses sum up to (run/scorer.py asks the model).

A document's loss is the sum of -ln p(token) over its tokens, each scored once. For a benchmark only the tokens of the
worked solution count, with the problem before them as context.

documents.jsonl, written while the model is asked: first {"key": hash of model and settings}, then a line a document
{"source", "id", "sha", "nats", "tokens", "bytes"}, where sha is of what was scored.  perplexity.json has the fields of
`Totals.as_dict` for each source and for all of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.data_files import SUFFIXES, read_rows
from eval_tasks.documents import load_documents
from llemma.core.errors import InputError, Problem
from llemma.core.indexed.layout import bin_path, idx_path
from llemma.core.indexed.reader import IndexedReader
from llemma.core.schemas import Mixture

NUM_RESAMPLES = 1_000  # chosen by us
_DOCUMENTS_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True)
class Text:
    """One document: either its text (after `context`, which is not scored) or its tokens."""

    source: str
    id: str
    text: str = ""
    context: str = ""
    tokens: np.ndarray | None = None

    @property
    def sha(self) -> str:
        """Hash of what is scored: a document of the same name may have changed since an earlier run."""
        content = (
            f"{self.context}\0{self.text}".encode() if self.tokens is None else self.tokens.astype("<i8").tobytes()
        )
        return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class DocumentLoss:
    """What a model made of one document."""

    source: str
    id: str
    sha: str
    nats: float
    tokens: int
    bytes: int


def texts_of_file(path: Path, split: str, text_key: str = "text", limit: int | None = None) -> Iterator[Text | Problem]:
    """The documents of a .bin/.idx pair, of a mixture.json (one split of each source), or of a file of texts.

    At most `limit` of them, of a mixture at most so many of each source.

    Texts: .txt (one document), or rows with the key `text_key`; a row's source is its `source`, or `meta.source`, or
    the file's name.
    """
    if idx_path(prefix := path.with_suffix("") if path.suffix in (".bin", ".idx") else path).is_file():
        yield from islice(_texts_of_pair(prefix, prefix.name), limit)
    elif path.name == "mixture.json":
        for source in Mixture.read(path).sources:
            if split not in source.splits:
                known = ", ".join(source.splits)
                raise InputError(f"{path}: the source '{source.name}' has no split '{split}', known are {known}")
            yield from islice(_texts_of_pair(path.parent / source.splits[split].path, source.name), limit)
    elif path.suffix == ".txt" and path.is_file():
        yield Text(source=path.stem, id=path.name, text=path.read_text(encoding="utf-8", errors="replace"))
    elif path.is_file() and path.name.endswith(SUFFIXES):
        for number, row in enumerate(islice(read_rows(path), limit), start=1):
            yield row if isinstance(row, Problem) else _text_of_row(path, number, row, text_key)
    else:
        raise InputError(
            f"{path}: wanted is the prefix of a .bin/.idx pair ({bin_path(path).name} and {idx_path(path).name}), "
            f"a mixture.json, a .txt or one of {', '.join(SUFFIXES)}"
        )


def texts_of_benchmark(name: str, data_dir: Path | None, split: str | None) -> Iterator[Text]:
    """The worked solutions of a benchmark, each after its problem."""
    facts = BENCHMARKS.get(name)
    if facts is None:
        raise InputError(f"there is no benchmark '{name}': known are {', '.join(BENCHMARKS)}")
    # A subset that is chosen from others' files holds no problem of its own.
    subsets = [subset for subset in facts.subsets if facts.sources(subset) == (subset,)]
    for subset in subsets:
        for item in load_documents(name, subset, data_dir, split).items:
            if not item.solution:
                raise InputError(f"{name}: the problem {item.id} has no worked solution, so there is no text to score")
            yield Text(
                source=name, id=item.id, context=f"Problem:\n{item.problem}\n\nSolution:", text=f" {item.solution}"
            )


def _texts_of_pair(prefix: Path, source: str) -> Iterator[Text]:
    reader = IndexedReader(prefix)
    starts = reader.document_index
    for number in range(reader.num_documents):
        pieces = [reader.get(int(i)) for i in range(starts[number], starts[number + 1])]
        yield Text(source=source, id=str(number), tokens=np.concatenate(pieces) if pieces else np.zeros(0, np.int64))


def _text_of_row(path: Path, number: int, row: dict[str, Any], key: str) -> Text | Problem:
    text = row.get(key)
    if not isinstance(text, str) or not text:
        return Problem(str(path), number, f"the row has no text under '{key}'")
    meta = row.get("meta")
    source = row.get("source") or (meta.get("source") if isinstance(meta, dict) else None) or path.name.split(".")[0]
    return Text(source=str(source), id=f"{path.name}/{number}", text=text.encode("utf-8", "replace").decode("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The losses of several documents together; `interval` is of the perplexity per token, resampling documents."""

    documents: int
    tokens: int
    bytes: int
    nats: float
    interval: tuple[float, float]

    def as_dict(self) -> dict[str, object]:
        """Perplexity per token and byte, bits per byte, nats per document; None where there is nothing to divide by."""
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "nats": self.nats,
            "token_perplexity": _exp(self.nats, self.tokens),
            "token_perplexity_bootstrap95": list(self.interval),
            "byte_perplexity": _exp(self.nats, self.bytes),
            "bits_per_byte": self.nats / self.bytes / math.log(2) if self.bytes else None,
            "nats_per_document": self.nats / self.documents if self.documents else None,
        }


def total(losses: Sequence[DocumentLoss]) -> Totals:
    """The losses of documents together."""
    return Totals(
        documents=len(losses),
        tokens=sum(one.tokens for one in losses),
        bytes=sum(one.bytes for one in losses),
        nats=math.fsum(one.nats for one in losses),
        interval=_interval(losses),
    )


def by_source(losses: Iterable[DocumentLoss]) -> dict[str, list[DocumentLoss]]:
    """The documents of each source, sources in the order in which they came."""
    found: dict[str, list[DocumentLoss]] = {}
    for one in losses:
        found.setdefault(one.source, []).append(one)
    return found


def _exp(nats: float, count: int) -> float | None:
    return math.exp(min(nats / count, 700.0)) if count else None


def _interval(losses: Sequence[DocumentLoss]) -> tuple[float, float]:
    """Percentile bootstrap (95 %) of exp(nats / tokens): each document counts a Poisson(1) number of times.

    Poisson counts instead of draws from all, so that any number of documents passes through in pieces.
    """
    random = np.random.default_rng(0)
    nats, tokens = np.zeros(NUM_RESAMPLES), np.zeros(NUM_RESAMPLES)
    for start in range(0, len(losses), _DOCUMENTS_AT_ONCE):
        piece = losses[start : start + _DOCUMENTS_AT_ONCE]
        counts = random.poisson(1.0, size=(NUM_RESAMPLES, len(piece)))
        nats += counts @ np.array([one.nats for one in piece])
        tokens += counts @ np.array([one.tokens for one in piece], dtype=float)
    seen = tokens > 0
    if not seen.any():
        return (math.nan, math.nan)
    low, high = np.quantile(np.exp(np.minimum(nats[seen] / tokens[seen], 700.0)), [0.025, 0.975])
    return (float(low), float(high))

"""Step function: a documents file and the benchmark index -> contamination marks.

marks.parquet   row uint32 · id binary(16) · kind "contaminated" · evidence string, JSON:
    {"num_items": n, "items": [{"benchmark", "id", "part", "rule", "words", "text"}, ...]}
    `words` is the length of the longest match with the item, `text` that match as it stands in the document;
    the items with the longest matches come first, at most MAX_ITEMS of them.
params: ngram, min_words.   task.inputs: documents.parquet, then items, ngrams, anchors and words of the index.
counts: documents, contaminated, items (pairs of document and item), "benchmark/<name>" (documents that hold any of it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from llemma.core.steps import Task
from proof_pile.dedup.clusters import write_marks
from proof_pile.words import Words, find_ngrams, lookup_table, text_batches, words_of_array

VERSION = 1
MAX_ITEMS = 5  # chosen by us: a copy of a whole benchmark would write a book into its own mark
MAX_TEXT_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Index:
    """The benchmark index in memory."""

    items: list[dict[str, str]]
    ngrams: dict[str, np.ndarray]
    anchors: dict[str, np.ndarray]
    ngram_table: np.ndarray
    anchor_table: np.ndarray
    short_words: dict[int, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Match:
    """Words first..last (inclusive) of a batch are words of an item."""

    document: int
    item: int
    first: int
    last: int

    @property
    def num_words(self) -> int:
        """Length of the match in words."""
        return self.last - self.first + 1


@lru_cache(maxsize=1)
def load_index(items: str, ngrams: str, anchors: str, words: str) -> Index:
    """The index that `proof_pile.decontaminate.index` wrote; kept for the next task of this process."""
    ngram_columns, anchor_columns, word_columns = (_columns(path) for path in (ngrams, anchors, words))
    numbers, firsts = np.unique(word_columns["item"], return_index=True)
    parts = np.split(word_columns["hash"], firsts[1:]) if len(numbers) else []
    return Index(
        items=pq.read_table(items).to_pylist(),
        ngrams=ngram_columns,
        anchors=anchor_columns,
        ngram_table=lookup_table(ngram_columns["key"]),
        anchor_table=lookup_table(anchor_columns["key"]),
        short_words=dict(zip(numbers.tolist(), parts, strict=True)),
    )


def _columns(path: str) -> dict[str, np.ndarray]:
    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Marks the documents of one file that hold text of a benchmark."""
    index = load_index(*(item.path for item in task.inputs[1:5]))
    marks: list[tuple[int, bytes, str, dict[str, Any]]] = []
    counts = {"documents": 0, "contaminated": 0, "items": 0}
    for first_row, batch in text_batches(task.inputs[0].path, ("id", "text")):
        counts["documents"] += batch.num_rows
        for document, found in find_matches(words_of_array(batch.column("text")), index, params):
            id_ = batch.column("id")[document].as_py()
            marks.append((first_row + document, id_, "contaminated", _evidence(index, found)))
            counts["contaminated"] += 1
            counts["items"] += len(found)
            for benchmark in sorted({index.items[match.item]["benchmark"] for match, _ in found}):
                counts[f"benchmark/{benchmark}"] = counts.get(f"benchmark/{benchmark}", 0) + 1
    write_marks(out / "marks.parquet", marks)
    return counts


def find_matches(words: Words, index: Index, params: dict[str, Any]) -> Iterator[tuple[int, list[tuple[Match, str]]]]:
    """For each contaminated document, in order: the longest match with each item and its text, longest first."""
    plain = words.without_operators()
    best: dict[tuple[int, int], tuple[Match, Words]] = {}
    for match in _long_matches(plain, index, params["ngram"]):
        _keep_longest(best, match, plain)
    for match in _whole_matches(words, index, params["min_words"]):
        _keep_longest(best, match, words)
    by_document: dict[int, list[tuple[Match, Words]]] = {}
    for match, where in best.values():
        by_document.setdefault(match.document, []).append((match, where))
    for document in sorted(by_document):
        found = sorted(by_document[document], key=lambda pair: (-pair[0].num_words, pair[0].item))
        yield document, [(match, where.text(match.first, match.last)) for match, where in found]


def _keep_longest(best: dict[tuple[int, int], tuple[Match, Words]], match: Match, where: Words) -> None:
    key = (match.document, match.item)
    if key not in best or match.num_words > best[key][0].num_words:
        best[key] = (match, where)


def _hits(
    words: Words, n: int, table: np.ndarray, columns: dict[str, np.ndarray]
) -> Iterator[tuple[int, int, int, int]]:
    """(document, word of the batch, item, word of the item) for each place where n words stand in the index."""
    documents, firsts, keys = find_ngrams(words, n, table)
    begins = np.searchsorted(columns["key"], keys, side="left").tolist()
    ends = np.searchsorted(columns["key"], keys, side="right").tolist()
    items, item_words = columns["item"], columns["word"]
    for document, first, begin, end in zip(documents.tolist(), firsts.tolist(), begins, ends, strict=True):
        for row in range(begin, end):
            yield document, first, int(items[row]), int(item_words[row])


def _long_matches(plain: Words, index: Index, n: int) -> Iterator[Match]:
    """Runs of n words or more that a document shares with an item: neighbouring n-grams are joined."""
    open_runs: dict[tuple[int, int, int], tuple[int, int]] = {}
    for document, first, item, word in _hits(plain, n, index.ngram_table, index.ngrams):
        key = (document, item, first - word)
        begin, last = open_runs.get(key, (first, first + n - 1))
        if first > last + 1:  # the same item again further on in step: a new run
            yield Match(document=document, item=item, first=begin, last=last)
            begin = first
        open_runs[key] = (begin, first + n - 1)
    for (document, item, _), (begin, last) in open_runs.items():
        yield Match(document=document, item=item, first=begin, last=last)


def _whole_matches(words: Words, index: Index, min_words: int) -> Iterator[Match]:
    """Short items that stand in a document from their first word to their last."""
    for document, first, item, word in _hits(words, min_words, index.anchor_table, index.anchors):
        wanted = index.short_words[item]
        begin = first - word
        found = words.hashes[begin : begin + len(wanted)] if begin >= words.offsets[document] else wanted[:0]
        if np.array_equal(found, wanted):
            yield Match(document=document, item=item, first=begin, last=begin + len(wanted) - 1)


def _evidence(index: Index, found: list[tuple[Match, str]]) -> dict[str, Any]:
    shown = []
    for match, text in found[:MAX_ITEMS]:
        item = index.items[match.item]
        described = {name: item[name] for name in ("benchmark", "id", "part", "rule")}
        shown.append({**described, "words": match.num_words, "text": text[:MAX_TEXT_CHARS]})
    return {"num_items": len(found), "items": shown}

"""What is looked for as hashes of n words in a row, and what one piece of a corpus holds of it.

Hashes only propose: between white space a place counts when its words are the text's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from eval_tasks.overlap.corpus import Batch, Piece, batches, names_of
from eval_tasks.overlap.texts import Text
from llemma.core.text.ngram_table import KeyTable, key_table
from llemma.core.text.shared_ngrams import find_overlaps, normalized_hashes, whitespace_hashes
from llemma.core.text.token_bytes import LibraryBytes, TokenBytes

MAX_EVIDENCE = 5  # chosen by us: documents shown for an item, those with the longest matches
MAX_PASSAGE_CHARS = 600


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`num_words` words in a row of a document, from the text's word `word` on (from 0), and how they stand there."""

    document: str
    source: str
    num_words: int
    word: int
    passage: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """Longest first; the same for any order of pieces and workers."""
        return -self.num_words, self.source, self.document


@dataclass
class Hits:
    """Documents that hold an item, and the best evidence for it."""

    documents: int = 0
    evidence: list[Evidence] = field(default_factory=list)

    def add(self, documents: int, evidence: Sequence[Evidence]) -> None:
        """Takes in what was found elsewhere."""
        self.documents += documents
        self.evidence = sorted([*self.evidence, *evidence], key=lambda one: one.rank)[:MAX_EVIDENCE]


@dataclass
class Found:
    """What stands in some documents: hits by (n, item), documents by (n, benchmark, part)."""

    num_documents: int = 0
    num_bytes: int = 0
    hits: dict[tuple[int, int], Hits] = field(default_factory=dict)
    documents: dict[tuple[int, str, str], int] = field(default_factory=dict)

    def merge(self, other: Found) -> None:
        """Takes in what was found in other documents."""
        self.num_documents += other.num_documents
        self.num_bytes += other.num_bytes
        for key, hits in other.hits.items():
            self.hits.setdefault(key, Hits()).add(hits.documents, hits.evidence)
        for group, count in other.documents.items():
            self.documents[group] = self.documents.get(group, 0) + count

    def as_json(self) -> dict[str, Any]:
        """For a file of one piece."""
        return {
            "num_documents": self.num_documents,
            "num_bytes": self.num_bytes,
            "hits": [[*key, hits.documents, [asdict(one) for one in hits.evidence]] for key, hits in self.hits.items()],
            "documents": [[*group, count] for group, count in self.documents.items()],
        }

    @classmethod
    def from_json(cls, value: Any) -> Found:
        """Raises KeyError, TypeError or ValueError where the value is something else."""
        found = cls(num_documents=int(value["num_documents"]), num_bytes=int(value["num_bytes"]))
        for n, item, documents, evidence in value["hits"]:
            found.hits[n, item] = Hits(documents, [Evidence(**one) for one in evidence])
        for n, benchmark, part, count in value["documents"]:
            found.documents[n, benchmark, part] = count
        return found


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What is looked for.

    items    (benchmark, id, part), each once; item_of[t] is the item of text t
    tables   by n: the hashes; postings[n] = (text, word) of each row of the table
    """

    texts: tuple[Text, ...]
    words: str
    items: tuple[tuple[str, str, str], ...]
    item_of: tuple[int, ...]
    tables: dict[int, KeyTable]
    postings: dict[int, tuple[np.ndarray, np.ndarray]]

    def long_enough(self, n: int) -> set[int]:
        """Items that have n words at all: no other can be found."""
        return {self.item_of[text] for text in np.unique(self.postings[n][0]).tolist()}


def look_for(texts: Sequence[Text], lengths: Sequence[int], words: str) -> Looked:
    """The tables of all n words in a row of the texts, 24 bytes a place in them and n."""
    items: dict[tuple[str, str, str], int] = {}
    item_of = tuple(items.setdefault(text.item, len(items)) for text in texts)
    hashes_of = whitespace_hashes if words == "whitespace" else normalized_hashes
    tables, postings = {}, {}
    for n in lengths:
        keys = [hashes_of(text.text, n) for text in texts]
        key = np.concatenate([*keys, np.zeros(0, np.uint64)])
        owner = np.repeat(np.arange(len(texts), dtype=np.uint32), [len(one) for one in keys])
        word = np.concatenate([*(np.arange(len(one), dtype=np.uint32) for one in keys), np.zeros(0, np.uint32)])
        order = np.lexsort((word, owner, key))
        tables[n] = key_table(key[order])
        postings[n] = (owner[order], word[order])
    return Looked(
        texts=tuple(texts), words=words, items=tuple(items), item_of=item_of, tables=tables, postings=postings
    )


def search_piece(looked: Looked, piece: Piece, spelled: TokenBytes | LibraryBytes | None) -> Found:
    """What a piece of the corpus holds."""
    found = Found()
    for batch in batches(piece, spelled):
        found.merge(search_batch(looked, piece, batch))
    return found


def search_batch(looked: Looked, piece: Piece, batch: Batch) -> Found:
    """What some documents hold."""
    found = Found(num_documents=len(batch.offsets) - 1, num_bytes=int(batch.offsets[-1] - batch.offsets[0]))
    for n, rows in find_overlaps(batch.data, batch.offsets, looked.tables, words=looked.words):
        for document, places in groupby(rows.tolist(), key=lambda row: row[0]):
            best: dict[int, _Run] = {}
            for item, run in _runs(looked, batch, n, places):
                if item not in best or run.num_words > best[item].num_words:
                    best[item] = run
            if not best:
                continue
            name, source = names_of(piece, batch, [document])[0]
            for item, run in best.items():
                passage = batch.text(document, run.begin, min(run.end, run.begin + 4 * MAX_PASSAGE_CHARS))
                evidence = Evidence(
                    document=name,
                    source=source,
                    num_words=run.num_words,
                    word=run.word,
                    passage=passage[:MAX_PASSAGE_CHARS],
                )
                found.hits.setdefault((n, item), Hits()).add(1, [evidence])
            for benchmark, part in {looked.items[item][::2] for item in best}:
                found.documents[n, benchmark, part] = found.documents.get((n, benchmark, part), 0) + 1
    return found


@dataclass
class _Run:
    num_words: int
    word: int
    begin: int
    end: int


def _runs(looked: Looked, batch: Batch, n: int, places: Iterator[list[int]]) -> Iterator[tuple[int, _Run]]:
    """(item, words in a row) of one document: neighbouring n-grams of a text are joined where they overlap."""
    table, (owners, words) = looked.tables[n], looked.postings[n]
    shared: dict[int, list[tuple[int, int, int]]] = {}
    for document, key, begin, end in places:
        here = batch.text(document, begin, end).split() if looked.words == "whitespace" else None
        for row in range(int(table.rows[key]), int(table.rows[key + 1])):
            text, word = int(owners[row]), int(words[row])
            if here is None or _split(looked.texts[text].text)[word : word + n] == here:
                shared.setdefault(text, []).append((word, begin, end))
    for text, grams in shared.items():
        run: _Run | None = None
        for word, begin, end in sorted(grams):
            if run is not None and word == run.word + run.num_words - n + 1 and run.begin < begin < run.end < end:
                run.num_words += 1
                run.end = end
                continue
            if run is not None:
                yield looked.item_of[text], run
            run = _Run(num_words=n, word=word, begin=begin, end=end)
        if run is not None:
            yield looked.item_of[text], run


@lru_cache(maxsize=4096)
def _split(text: str) -> list[str]:
    return text.split()

"""Step function: a documents file and the benchmark index -> contamination marks.

marks.parquet   row uint32 · id binary(16) · kind string · evidence string, JSON:
    kind "contaminated" (the document goes) or "contaminated-span" (the spans are cut out of it), by what the recipe
    wants for the parts of benchmarks found in it
    evidence {"num_items": n, "items": [{"benchmark", "id", "part", "rule", "words", "word", "bytes", "text"}, ...]},
    for spans also "spans": [[first byte, end], ...]; for a document that goes although spans were to be cut, "because"
    `words` is the length of the longest match with the item, `word` the item's word that it begins at (from 0;
    operators are counted where the rule is "whole"), `bytes` where it stands in the document as it was read, [first,
    end], `text` how it stands there; the items with the longest matches come first, at most MAX_ITEMS of them.
reported.parquet    the same of documents that stay as they are, kind "contaminated-reported"
found.json      [{"measure", "benchmark", "part", "documents", "items"}, ...]: how many documents hold anything of it,
    and which items; measure "rule" is that of the marks, "whitespace-30" the one of llemma.core.text.shared_ngrams
params: ngram, min_words, overlap, action {part: action}.
task.inputs: documents.parquet, then items, ngrams, short and overlap of the index.
counts: documents, contaminated, contaminated-span, contaminated-reported, items (pairs of document and item),
"benchmark/<name>" (documents that hold any of it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from llemma.core.files import write_json
from llemma.core.steps import Task
from llemma.core.text.ngram_table import KeyTable, key_table
from llemma.core.text.normalized_words import ngram_hashes
from llemma.core.text.pieces import string_buffers
from llemma.core.text.shared_ngrams import find_overlaps
from proof_pile.decontaminate.lookup import Places, ShortTexts, find_places
from proof_pile.decontaminate.spans import is_frame, spans_to_cut
from proof_pile.dedup.marks import write_marks
from proof_pile.words import text_batches

VERSION = 3
MAX_ITEMS = 5  # chosen by us: a copy of a whole benchmark would write a book into its own mark
MAX_TEXT_CHARS = 300
PIECE_BYTES = 1 << 17  # of a document that is searched in pieces: no more words than there are places
PIECE_OVERLAP_BYTES = 1 << 13
KINDS = {
    "remove-document": "contaminated",
    "remove-span": "contaminated-span",
    "report": "contaminated-reported",
}


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """The n-grams between white space: their table, and item and word of each posting."""

    table: KeyTable
    items: np.ndarray
    words: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Index:
    """The benchmark index in memory: what is looked for, and whose it is."""

    benchmark: list[str]
    id: list[str]
    part: list[str]
    texts: Any  # an Arrow column, read only to confirm a place
    ngrams: KeyTable
    ngram_items: np.ndarray
    ngram_words: np.ndarray
    short: ShortTexts
    short_items: np.ndarray
    overlaps: dict[int, Overlaps]


@dataclass(frozen=True, kw_only=True)
class Match:
    """Bytes begin:end of a document are `words` words of an item, from its word `word` on."""

    item: int
    rule: str
    words: int
    word: int
    begin: int
    end: int


@dataclass
class Found:
    """What was found in a document: for each item its longest match, and every match."""

    best: dict[int, Match] = field(default_factory=dict)
    matches: list[Match] = field(default_factory=list)

    def add(self, match: Match) -> None:
        self.matches.append(match)
        if match.item not in self.best or match.words > self.best[match.item].words:
            self.best[match.item] = match


@dataclass
class Tally:
    """Documents and items by measure, benchmark and part."""

    documents: dict[tuple[str, str, str], int] = field(default_factory=dict)
    items: dict[tuple[str, str, str], set[int]] = field(default_factory=dict)

    def add(self, index: Index, measure: str, items: set[int]) -> None:
        """Counts one document that holds these items."""
        by_part: dict[tuple[str, str, str], set[int]] = {}
        for item in items:
            by_part.setdefault((measure, index.benchmark[item], index.part[item]), set()).add(item)
        for key, members in by_part.items():
            self.documents[key] = self.documents.get(key, 0) + 1
            self.items.setdefault(key, set()).update(members)

    def as_json(self) -> list[dict[str, Any]]:
        """The rows of found.json, in order."""
        names = ("measure", "benchmark", "part")
        return [
            {**dict(zip(names, key, strict=True)), "documents": self.documents[key], "items": sorted(self.items[key])}
            for key in sorted(self.documents)
        ]


@lru_cache(maxsize=1)
def load_index(items: str, ngrams: str, short: str, overlap: str, min_words: int, lengths: tuple[int, ...]) -> Index:
    """The index that `proof_pile.decontaminate.index` wrote; kept for the next task of this process."""
    table = pq.read_table(items, columns=["benchmark", "id", "part", "text"])
    ngram_columns, short_columns, overlap_columns = (_columns(path) for path in (ngrams, short, overlap))
    _, firsts = np.unique(short_columns["text"], return_index=True)
    offsets = np.append(firsts, len(short_columns["text"])).astype(np.int64)
    hashes = short_columns["hash"].astype(np.uint64)
    anchors = np.array(
        [ngram_hashes(hashes[end - min_words : end], min_words)[0] for end in offsets[1:].tolist()], np.uint64
    )
    order = np.argsort(anchors, kind="stable")
    rows = {n: overlap_columns["n"] == n for n in lengths}
    return Index(
        benchmark=table["benchmark"].to_pylist(),
        id=table["id"].to_pylist(),
        part=table["part"].to_pylist(),
        texts=table["text"],
        ngrams=key_table(ngram_columns["key"]),
        ngram_items=ngram_columns["item"],
        ngram_words=ngram_columns["word"],
        short=ShortTexts(
            offsets=offsets, hashes=hashes, anchors=key_table(anchors[order]), texts=order.astype(np.int64)
        ),
        short_items=short_columns["item"][firsts] if len(firsts) else np.zeros(0, np.uint32),
        overlaps={
            n: Overlaps(
                table=key_table(overlap_columns["key"][chosen]),
                items=overlap_columns["item"][chosen],
                words=overlap_columns["word"][chosen],
            )
            for n, chosen in rows.items()
        },
    )


def _columns(path: str) -> dict[str, np.ndarray]:
    table = pq.read_table(path)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Marks the documents of one file that hold text of a benchmark."""
    lengths = tuple(params.get("overlap", ()))
    index = load_index(*(item.path for item in task.inputs[1:5]), params["min_words"], lengths)
    marks: list[tuple[int, bytes, str, dict[str, Any]]] = []
    counts = dict.fromkeys(("documents", *KINDS.values(), "items"), 0)
    tally = Tally()
    for first_row, batch in text_batches(task.inputs[0].path, ("id", "text")):
        counts["documents"] += batch.num_rows
        data, offsets = string_buffers(batch.column("text"))
        for document, found, cut in find_matches(data, offsets, index, params["ngram"], params["min_words"]):
            text = data[offsets[document] : offsets[document + 1]].tobytes()
            kind, evidence = judge(index, found, text, params["action"], cut=cut)
            marks.append((first_row + document, batch.column("id")[document].as_py(), kind, evidence))
            counts[kind] += 1
            counts["items"] += len(found.best)
            tally.add(index, "rule", set(found.best))
            for benchmark in sorted({index.benchmark[item] for item in found.best}):
                counts[f"benchmark/{benchmark}"] = counts.get(f"benchmark/{benchmark}", 0) + 1
        for _, n, items in overlapping(data, offsets, index):
            tally.add(index, f"whitespace-{n}", items)
    reported = KINDS["report"]
    write_marks(out / "marks.parquet", [mark for mark in marks if mark[2] != reported])
    write_marks(out / "reported.parquet", [mark for mark in marks if mark[2] == reported])
    write_json(out / "found.json", tally.as_json())
    return counts


def judge(
    index: Index, found: Found, text: bytes, actions: dict[str, str], *, cut: bool = False
) -> tuple[str, dict[str, Any]]:
    """The kind of mark for a document, and its evidence.  `cut`: it holds more places than were looked at."""
    wanted = {actions[index.part[item]] for item in found.best}
    action = next(action for action in KINDS if action in wanted)
    evidence = _evidence(index, found, text)
    if action == "remove-span":
        places = [(m.begin, m.end) for m in found.matches if actions[index.part[m.item]] == "remove-span"]
        spans = spans_to_cut(text, places)
        if cut or is_frame(text, spans):
            return KINDS["remove-document"], {**evidence, "because": "little would be left of it"}
        evidence["spans"] = [list(span) for span in spans]
    return KINDS[action], evidence


def find_matches(
    data: np.ndarray, offsets: np.ndarray, index: Index, ngram: int, min_words: int
) -> Iterator[tuple[int, Found, bool]]:
    """(document, what was found in it, whether it holds more places) for each contaminated document, in order."""
    for document, found, cut in _found_in(data, offsets, index, ngram, min_words):
        text = data[offsets[document] : offsets[document + 1]]
        yield document, _found_in_pieces(text, index, ngram, min_words) if cut else found, cut


def _found_in(
    data: np.ndarray, offsets: np.ndarray, index: Index, ngram: int, min_words: int
) -> Iterator[tuple[int, Found, bool]]:
    for places in find_places(data, offsets, ngram=ngram, ngrams=index.ngrams, min_words=min_words, short=index.short):
        results: dict[int, Found] = {}
        for document, matches in _long_matches(places, index, ngram):
            for match in matches:
                results.setdefault(document, Found()).add(match)
        for document, text, begin, end in places.wholes.tolist():
            words = int(index.short.offsets[text + 1] - index.short.offsets[text])
            match = Match(item=int(index.short_items[text]), rule="whole", words=words, word=0, begin=begin, end=end)
            results.setdefault(document, Found()).add(match)
        for document in sorted(results):
            yield document, results[document], document in places.cut


def _found_in_pieces(text: np.ndarray, index: Index, ngram: int, min_words: int) -> Found:
    """The longest match of each item in a document with more places than fit: a copy of a benchmark, or of several.

    It is searched piece by piece, each beginning within the one before.  Its places are not kept, for it is not cut.
    """
    whole = Found()
    for begin in range(0, len(text), PIECE_BYTES - PIECE_OVERLAP_BYTES):
        piece = text[begin : begin + PIECE_BYTES]
        for _, found, _ in _found_in(piece, np.array([0, len(piece)]), index, ngram, min_words):
            for match in found.best.values():
                whole.add(replace(match, begin=match.begin + begin, end=match.end + begin))
    whole.matches = list(whole.best.values())
    return whole


def _long_matches(places: Places, index: Index, n: int) -> Iterator[tuple[int, list[Match]]]:
    """Runs of n words or more that a document shares with an item: neighbouring n-grams are joined."""
    rows, items, words = index.ngrams.rows, index.ngram_items, index.ngram_words
    for document, hits in groupby(places.hits.tolist(), key=lambda hit: hit[0]):
        matches: list[Match] = []
        open_runs: dict[tuple[int, int], list[int]] = {}  # (item, shift) -> [first word, last word, begin, end]
        for _, first, begin, end, key in hits:
            for row in range(rows[key], rows[key + 1]):
                item = int(items[row])
                shift = first - int(words[row])
                run = open_runs.get((item, shift))
                if run is not None and first <= run[1] + 1:
                    run[1], run[3] = first + n - 1, end
                    continue
                if run is not None:  # the same item again further on in step: a new run
                    matches.append(_match(item, shift, run))
                open_runs[item, shift] = [first, first + n - 1, begin, end]
        matches += [_match(item, shift, run) for (item, shift), run in open_runs.items()]
        yield document, sorted(matches, key=lambda match: (match.begin, match.item, match.end))


def _match(item: int, shift: int, run: list[int]) -> Match:
    words = run[1] - run[0] + 1
    return Match(item=item, rule="ngram", words=words, word=run[0] - shift, begin=run[2], end=run[3])


def overlapping(data: np.ndarray, offsets: np.ndarray, index: Index) -> Iterator[tuple[int, int, set[int]]]:
    """(document, n, items) where a document shares n words between white space with items, as their texts confirm."""
    for n, rows in find_overlaps(data, offsets, {n: overlap.table for n, overlap in index.overlaps.items()}):
        overlap = index.overlaps[n]
        for document, places in groupby(rows.tolist(), key=lambda row: row[0]):
            items: set[int] = set()
            for _, key, begin, end in places:
                here = offsets[document]
                shared = data[here + begin : here + end].tobytes().decode("utf-8", "replace").split()
                for row in range(overlap.table.rows[key], overlap.table.rows[key + 1]):
                    item, word = int(overlap.items[row]), int(overlap.words[row])
                    if item not in items and index.texts[item].as_py().split()[word : word + n] == shared:
                        items.add(item)
            if items:
                yield document, n, items


def _evidence(index: Index, found: Found, text: bytes) -> dict[str, Any]:
    shown = []
    best = sorted(found.best.values(), key=lambda match: (-match.words, match.item))
    for match in best[:MAX_ITEMS]:
        quoted = text[match.begin : min(match.end, match.begin + 4 * MAX_TEXT_CHARS)].decode("utf-8", "replace")
        shown.append(
            {
                "benchmark": index.benchmark[match.item],
                "id": index.id[match.item],
                "part": index.part[match.item],
                "rule": match.rule,
                "words": match.words,
                "word": match.word,
                "bytes": [match.begin, match.end],
                "text": quoted[:MAX_TEXT_CHARS],
            }
        )
    return {"num_items": len(best), "items": shown}

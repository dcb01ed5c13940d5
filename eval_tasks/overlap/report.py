"""All pieces of a corpus together: searched by several workers, kept piece by piece, written and printed.

OUT/pieces/<key of what is looked for>/<key of a piece>.json    what a finished piece holds (search.Found): a run that
                                                                 was killed goes on behind the last of them
OUT/hits.jsonl      one line an item and n: {"n", "benchmark", "id", "part", "documents", "evidence": [{"document",
                    "source", "num_words", "word", "passage"}]}; at most five documents, the longest matches first
OUT/overlap.json    {"words", "n", "texts": files, "corpus": paths, "num_documents", "num_bytes", "rows": [{"n",
                    "benchmark", "part", "items", "long_enough", "hit", "documents"}], "left_out": at most 100,
                    "num_left_out", "seconds", "versions"}
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eval_tasks.overlap.corpus import Piece, list_pieces
from eval_tasks.overlap.search import Found, Looked, look_for, search_piece
from eval_tasks.overlap.texts import read_texts
from llemma.core.errors import LlemmaError
from llemma.core.files import read_json, stable_hash, write_json, write_text
from llemma.core.logging import get_logger
from llemma.core.progress import progress
from llemma.core.records import installed_versions
from llemma.core.text.token_bytes import LibraryBytes, TokenBytes, token_bytes
from llemma.core.text.tokenizers import load_for_counting

VERSION = 1  # raise it when the same texts are found otherwise
logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured, and where it is written."""

    texts: tuple[Path, ...]
    corpus: tuple[Path, ...]
    out: Path
    lengths: tuple[int, ...]
    words: str
    workers: int
    keys: tuple[str, ...] = ()
    tokenizer: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """How much of a part of a benchmark was found by n words: of `items`, `long_enough` could be."""

    n: int
    benchmark: str
    part: str
    items: int
    long_enough: int
    hit: int
    documents: int


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What was found in a whole corpus."""

    looked: Looked
    found: Found
    rows: tuple[Row, ...]
    num_resumed: int

    def __str__(self) -> str:
        title = (
            f"{'benchmark':<24} {'part':<12} {'words':>5} {'items':>8} {'long enough':>11} {'hit':>7} {'documents':>9}"
        )
        lines = [title]
        for row in self.rows:
            lines.append(
                f"{row.benchmark:<24} {row.part:<12} {row.n:>5} {row.items:>8,} {row.long_enough:>11,} "
                f"{row.hit:>7,} {row.documents:>9,}"
            )
        size = f"{self.found.num_documents:,} documents, {self.found.num_bytes / 1e6:,.1f} MB of text"
        return "\n".join([*lines, f"in {size}; words as {self.looked.words}"])


def measure(settings: Settings) -> Overlap:
    """Searches the corpus for the texts and writes what was found."""
    started = time.monotonic()
    texts, problems = read_texts(settings.texts, settings.keys)
    for problem in problems[:5]:
        logger.warning("left out: %s", problem)
    pieces = list_pieces(settings.corpus, settings.tokenizer)
    looked = look_for(texts, settings.lengths, settings.words)
    wanted = [VERSION, settings.words, settings.lengths, [asdict(text) for text in texts]]
    folder = settings.out / "pieces" / stable_hash(wanted)
    found, num_resumed = _search(looked, pieces, folder, settings.workers)
    rows = _rows(looked, found)
    overlap = Overlap(looked=looked, found=found, rows=rows, num_resumed=num_resumed)
    write_text(settings.out / "hits.jsonl", "".join(_hit_lines(looked, found)))
    write_json(
        settings.out / "overlap.json",
        {
            "words": settings.words,
            "n": list(settings.lengths),
            "texts": [str(path) for path in settings.texts],
            "corpus": [str(path) for path in settings.corpus],
            "num_documents": found.num_documents,
            "num_bytes": found.num_bytes,
            "rows": [asdict(row) for row in rows],
            "left_out": [str(problem) for problem in problems[:100]],
            "num_left_out": len(problems),
            "seconds": round(time.monotonic() - started, 3),
            "versions": installed_versions(("llemma", "numpy", "numba", "pyarrow")),
        },
    )
    return overlap


def _search(looked: Looked, pieces: Sequence[Piece], folder: Path, workers: int) -> tuple[Found, int]:
    """Threads, not processes: the search leaves Python's lock alone, and all of them share one table."""
    found = Found()
    waiting: list[tuple[Piece, Path]] = []
    for piece in pieces:
        path = folder / f"{piece.key}.json"
        done = _read_piece(path)
        if done is None:
            waiting.append((piece, path))
        else:
            found.merge(done)
    num_resumed = len(pieces) - len(waiting)
    table = cache(_spelled)
    for tokenizer in {piece.tokenizer for piece, _ in waiting if piece.tokenizer is not None}:
        table(tokenizer)  # here, once: not by every thread at the same time

    def work(piece: Piece, path: Path) -> tuple[Piece, Found]:
        one = search_piece(looked, piece, None if piece.tokenizer is None else table(piece.tokenizer))
        write_json(path, one.as_json())
        return piece, one

    with (
        progress("searching for overlap", sum(piece.size for piece, _ in waiting) / 1e6, "MB") as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        futures = [pool.submit(work, piece, path) for piece, path in waiting]
        try:
            for future in as_completed(futures):
                piece, one = future.result()
                found.merge(one)
                bar.advance(piece.size / 1e6)
                bar.note(f"{len(found.hits):,} hits")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found, num_resumed


def _spelled(tokenizer: Path) -> TokenBytes | LibraryBytes:
    spelled = token_bytes(load_for_counting(tokenizer))
    if isinstance(spelled, LibraryBytes):
        logger.warning("%s: is decoded by its own library, which is slow: Parquet texts are quicker", tokenizer)
    return spelled


def _read_piece(path: Path) -> Found | None:
    if not path.exists():
        return None
    try:
        return Found.from_json(read_json(path))
    except (LlemmaError, KeyError, TypeError, ValueError):
        return None  # not what this run writes: searched again and written over


def _rows(looked: Looked, found: Found) -> tuple[Row, ...]:
    parts = [item[::2] for item in looked.items]
    items = Counter(parts)
    rows = []
    for n in sorted(looked.tables):
        long_enough = Counter(parts[item] for item in looked.long_enough(n))
        hit = Counter(parts[item] for length, item in found.hits if length == n)
        rows += [
            Row(
                n=n,
                benchmark=part[0],
                part=part[1],
                items=count,
                long_enough=long_enough[part],
                hit=hit[part],
                documents=found.documents.get((n, *part), 0),
            )
            for part, count in items.items()
        ]
    return tuple(sorted(rows, key=lambda row: (row.benchmark, row.part, row.n)))


def _hit_lines(looked: Looked, found: Found) -> list[str]:
    lines = []
    for (n, item), hits in sorted(found.hits.items()):
        benchmark, name, part = looked.items[item]
        line: dict[str, Any] = {"n": n, "benchmark": benchmark, "id": name, "part": part, "documents": hits.documents}
        line["evidence"] = [asdict(one) for one in hits.evidence]
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return lines

"""Step function: benchmark texts (JSONL) -> what they are found by.

items.parquet    row i = item i: benchmark string, id string, part string ("problem" | "solution"), text large_string,
                 rule string ("ngram" | "whole" | "too-short")
ngrams.parquet   key uint64, item uint32, word uint32: hash of `ngram` words of item i from its word on; sorted
anchors.parquet  key uint64, item uint32, word uint32: hash of the last `min_words` words of each short item; sorted
words.parquet    item uint32, hash uint64: all words and operators of the short items, in order

params: ngram, min_words.   task.inputs: the JSONL files.   counts: items, ngram, whole, too_short.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.errors import InputError
from llemma.core.schemas import BenchmarkText, read_lines
from llemma.core.steps import Task
from proof_pile.words import LETTERS_BIT, Words, ngram_hashes, words_of_text

VERSION = 1
MIN_LETTERED = 3  # chosen by us: "1 2 3 4 5 6 7 8 9 10 11 12 13" stands in many documents that know no benchmark

PHRASE_WORDS = 8  # chosen by us: "which of the following is true" is asked in many a textbook


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the index of all benchmark texts."""
    items = [item for file in task.inputs for item in read_lines(file.path, BenchmarkText)]
    if not items:
        raise InputError(f"{', '.join(file.path for file in task.inputs)}: no benchmark text stands in there")
    rules: list[str] = []
    ngrams: list[tuple[int, int, int]] = []
    anchors: list[tuple[int, int, int]] = []
    short_items: list[int] = []
    short_hashes: list[int] = []
    for number, item in enumerate(items):
        full = words_of_text(item.text)
        found = counting_ngrams(full.without_operators(), params["ngram"])
        if found:
            rules.append("ngram")
            ngrams += [(key, number, word) for word, key in found]
        elif len(full.hashes) >= max(params["min_words"], 0 if _has_digit(item.text) else PHRASE_WORDS):
            rules.append("whole")
            last = len(full.hashes) - params["min_words"]
            anchors.append((int(ngram_hashes(full, 0, params["min_words"])[last]), number, last))
            short_items += [number] * len(full.hashes)
            short_hashes += full.hashes.tolist()
        else:
            rules.append("too-short")
    texts = {name: [getattr(item, name) for item in items] for name in ("benchmark", "id", "part", "text")}
    types = {"benchmark": pa.string(), "id": pa.string(), "part": pa.string(), "text": pa.large_string()}
    columns = {name: pa.array(values, types[name]) for name, values in texts.items()}
    _write(out / "items.parquet", {**columns, "rule": pa.array(rules, pa.string())})
    for name, rows in (("ngrams", ngrams), ("anchors", anchors)):
        keys, numbers, words = zip(*sorted(rows), strict=True) if rows else ((), (), ())
        _write(
            out / f"{name}.parquet",
            {
                "key": pa.array(keys, pa.uint64()),
                "item": pa.array(numbers, pa.uint32()),
                "word": pa.array(words, pa.uint32()),
            },
        )
    _write(
        out / "words.parquet",
        {"item": pa.array(short_items, pa.uint32()), "hash": pa.array(short_hashes, pa.uint64())},
    )
    return {
        "items": len(items),
        "ngram": rules.count("ngram"),
        "whole": rules.count("whole"),
        "too_short": rules.count("too-short"),
    }


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def counting_ngrams(plain: Words, n: int) -> list[tuple[int, int]]:
    """(first word, hash) of each n words in a row that hold enough words of letters to be evidence."""
    keys = ngram_hashes(plain, 0, n)
    lettered = (plain.hashes & np.uint64(LETTERS_BIT)) != 0
    before = np.concatenate([[0], np.cumsum(lettered)])
    counting = np.flatnonzero(before[n : n + len(keys)] - before[: len(keys)] >= MIN_LETTERED)
    return [(int(word), int(keys[word])) for word in counting]


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd")

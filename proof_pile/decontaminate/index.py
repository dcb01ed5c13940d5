"""Step function: benchmark texts -> what they are found by.

items.parquet     row i = item i: benchmark string, id string, part string ("problem" | "solution" | "formal"),
                  text large_string (its first form), rule string ("ngram" | "whole" | "too-short")
ngrams.parquet    key uint64, item uint32, word uint32: hash of `ngram` words of item i from its word on; sorted.
                  Only those that are evidence (counting_ngrams), and that stand in no more than MAX_SHARING items of
                  one benchmark: "express your answer as a common fraction in lowest terms" tells of none of them
short.parquet     text uint32, item uint32, hash uint64: all words and operators of texts that are found as a whole
overlap.parquet   n uint8, key uint64, item uint32, word uint32: hash of n words between white space; sorted

params: ngram, min_words, overlap.   task.inputs: the files.   task.args: files [{places, benchmark, layout}], what the
next inputs are, one a place (read_texts); without it all are exported texts.   counts: items, ngram, whole, too_short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.benchmark_rows import Layout
from llemma.core.errors import InputError
from llemma.core.schemas import BenchmarkText
from llemma.core.steps import Task
from llemma.core.text.normalized_words import Words, ngram_hashes, words_of_text
from llemma.core.text.shared_ngrams import whitespace_hashes
from proof_pile.decontaminate.benchmark_files import read_texts

VERSION = 3
MIN_LETTERED = 3
"""Different words of two letters or more that a run of words must hold to be evidence (docs/decisions/0008)."""
PHRASE_WORDS = 8  # chosen by us: "which of the following is true" is asked in many a textbook
MAX_SHARING = 3
"""Items of one benchmark that an n-gram may stand in to be evidence of any of them (docs/decisions/0008)."""
MAX_POSTINGS = 64  # chosen by us: of one n-gram; a phrase of more items than that tells one from another no more

Item = tuple[str, str, str]
_DRAWING = re.compile(
    r"\[asy\].*?\[/asy\]|\\begin\{(asy|tikzpicture|pspicture)\}.*?\\end\{\1\}", re.DOTALL | re.IGNORECASE
)


@dataclass
class _Postings:
    """Hashes with the item and the word that they begin at, gathered item by item."""

    keys: list[np.ndarray] = field(default_factory=list)
    items: list[np.ndarray] = field(default_factory=list)
    words: list[np.ndarray] = field(default_factory=list)

    def add(self, keys: np.ndarray, item: int, words: np.ndarray) -> None:
        self.keys.append(keys)
        self.items.append(np.full(len(keys), item, np.uint32))
        self.words.append(words.astype(np.uint32))

    def sorted(self, most: int | None = None) -> dict[str, np.ndarray]:
        """By key, item and word; of one key the first `most`."""
        key = np.concatenate([*self.keys, np.zeros(0, np.uint64)])
        item = np.concatenate([*self.items, np.zeros(0, np.uint32)])
        word = np.concatenate([*self.words, np.zeros(0, np.uint32)])
        order = np.lexsort((word, item, key))
        key, item, word = key[order], item[order], word[order]
        same = np.ones(len(key), bool)
        same[1:] = (key[1:] != key[:-1]) | (item[1:] != item[:-1]) | (word[1:] != word[:-1])
        key, item, word = key[same], item[same], word[same]
        if most is None:
            return {"key": key, "item": item, "word": word}
        first = np.searchsorted(key, key, side="left")
        few = np.arange(len(key)) - first < most
        return {"key": key[few], "item": item[few], "word": word[few]}


def task_texts(task: Task) -> Iterator[BenchmarkText]:
    """All texts of a task's files."""
    files = task.args.get("files") or [{"places": [""] * len(task.inputs), "benchmark": "", "layout": None}]
    paths = iter(item.path for item in task.inputs)
    for entry in files:
        layout = None if entry["layout"] is None else Layout.model_validate(entry["layout"])
        for place in entry["places"]:
            yield from read_texts(next(paths), layout, entry["benchmark"], place)


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the index of all benchmark texts."""
    numbers: dict[Item, int] = {}
    forms: list[str] = []
    rules: list[str] = []
    ngrams = _Postings()
    overlaps = {n: _Postings() for n in params.get("overlap", ())}
    short: list[tuple[int, np.ndarray]] = []
    phrases = shared_ngrams(task_texts(task), params["ngram"])
    for text in task_texts(task):
        item = (text.benchmark, text.id, text.part)
        number = numbers.setdefault(item, len(numbers))
        if number == len(forms):
            forms.append(text.text)
            rules.append("too-short")
            for n, postings in overlaps.items():
                keys = whitespace_hashes(text.text, n)
                postings.add(keys, number, np.arange(len(keys)))
        full = words_of_text(text.text)
        words, keys = counting_ngrams(text.text, full, params["ngram"])
        own = ~np.isin(keys, phrases)
        words, keys = words[own], keys[own]
        if len(keys):
            ngrams.add(keys, number, words)
            rules[number] = "ngram"
        elif len(full.hashes) >= max(params["min_words"], 0 if _has_digit(text.text) else PHRASE_WORDS):
            short.append((number, full.hashes))
            rules[number] = "whole" if rules[number] == "too-short" else rules[number]
    if not numbers:
        raise InputError(f"{', '.join(file.path for file in task.inputs)}: no benchmark text stands in there")
    names = [pa.array([item[column] for item in numbers], pa.string()) for column in range(3)]
    columns = dict(zip(("benchmark", "id", "part"), names, strict=True))
    columns["text"] = pa.array(forms, pa.large_string())
    _write(out / "items.parquet", {**columns, "rule": pa.array(rules, pa.string())})
    _write(out / "ngrams.parquet", ngrams.sorted(MAX_POSTINGS))
    texts = [np.full(len(hashes), text, np.uint32) for text, (_, hashes) in enumerate(short)]
    items = [np.full(len(hashes), number, np.uint32) for number, hashes in short]
    _write(
        out / "short.parquet",
        {
            "text": np.concatenate([*texts, np.zeros(0, np.uint32)]),
            "item": np.concatenate([*items, np.zeros(0, np.uint32)]),
            "hash": np.concatenate([*(hashes for _, hashes in short), np.zeros(0, np.uint64)]),
        },
    )
    tables = {n: postings.sorted() for n, postings in overlaps.items()}
    lengths = [np.full(len(table["key"]), n, np.uint8) for n, table in tables.items()]
    joined = {
        name: np.concatenate([*(table[name] for table in tables.values()), np.zeros(0, kind)])
        for name, kind in (("key", np.uint64), ("item", np.uint32), ("word", np.uint32))
    }
    _write(out / "overlap.parquet", {"n": np.concatenate([*lengths, np.zeros(0, np.uint8)]), **joined})
    return {
        "items": len(numbers),
        "ngram": rules.count("ngram"),
        "whole": rules.count("whole"),
        "too_short": rules.count("too-short"),
    }


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def shared_ngrams(texts: Iterable[BenchmarkText], n: int) -> np.ndarray:
    """Hashes of n-grams that stand in more than MAX_SHARING items of one benchmark, whatever their part; sorted."""
    benchmarks: dict[str, tuple[dict[str, int], list[np.ndarray], list[np.ndarray]]] = {}
    for text in texts:
        ids, keys, items = benchmarks.setdefault(text.benchmark, ({}, [], []))
        found = np.unique(counting_ngrams(text.text, words_of_text(text.text), n)[1])
        keys.append(found)
        items.append(np.full(len(found), ids.setdefault(text.id, len(ids)), np.uint32))
    shared = [np.zeros(0, np.uint64)]
    for _, keys, items in benchmarks.values():
        key, item = np.concatenate(keys), np.concatenate(items)
        order = np.lexsort((item, key))
        key, item = key[order], item[order]
        once = np.ones(len(key), bool)  # a text in several forms, or with its solution, is one item
        once[1:] = (key[1:] != key[:-1]) | (item[1:] != item[:-1])
        unique, count = np.unique(key[once], return_counts=True)
        shared.append(unique[count > MAX_SHARING])
    return np.unique(np.concatenate(shared))


def counting_ngrams(text: str, full: Words, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(first words, hashes) of each n words in a row, operators left out, that are evidence.

    They hold MIN_LETTERED different words of letters or more, and do not stand wholly in the code of a drawing: labels
    and directions are the same in most of them.
    """
    plain = full.without_operators()
    keys = ngram_hashes(plain.hashes, n)
    if len(keys) == 0:
        return np.zeros(0, np.int64), keys
    # In a window the first of equal words is the one whose like before it stands outside of the window.
    lettered = plain.lettered
    previous = _previous_same(plain.hashes)
    windows = np.lib.stride_tricks.sliding_window_view(np.where(lettered, previous, len(previous)), n)
    distinct = (windows < np.arange(len(keys))[:, None]).sum(axis=1)
    evident = distinct >= MIN_LETTERED
    for begin, end in _drawings(text):
        evident &= (plain.starts[: len(keys)] < begin) | (plain.ends[n - 1 :] > end)
    counting = np.flatnonzero(evident)
    return counting, keys[counting]


def _drawings(text: str) -> Iterator[tuple[int, int]]:
    """First byte and end of each drawing in Asymptote or TikZ."""
    for match in _DRAWING.finditer(text):
        begin = len(text[: match.start()].encode("utf-8", "replace"))
        yield begin, begin + len(match[0].encode("utf-8", "replace"))


def _previous_same(hashes: np.ndarray) -> np.ndarray:
    """For each word the number of the word before it that is the same, -1 where there is none."""
    order = np.argsort(hashes, kind="stable")
    previous = np.full(len(hashes), -1, np.int64)
    same = hashes[order[1:]] == hashes[order[:-1]]
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd")

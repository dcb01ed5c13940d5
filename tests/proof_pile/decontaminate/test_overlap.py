"""The overlap between white space is exactly what a slow search over Python's own words finds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.documents import documents_batch, make_document

SPACES = [" ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u3000", "\x1c", "\x85", "\u1680", "\u202f", "\u205f", "\r\n"]
TOKENS = ["a", "the", "+", "$x^2$", "∫", "é", "A", "12", "=", "\u200b", "\u2060x", "...", "prime", "Prime", "\x1b"]
ACTION = dict.fromkeys(("problem", "solution", "formal"), "remove-document")


def as_input(path: Path) -> InputFile:
    return InputFile(path=str(path), sha256=sha256_file(path))


def shared(items: list[str], documents: list[str], n: int) -> set[tuple[int, int]]:
    """(document, item) that share n words, by sets of tuples of words."""

    def grams(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[at : at + n]) for at in range(len(words) - n + 1)}

    wanted = [grams(item) for item in items]
    found = [grams(document) for document in documents]
    return {(d, i) for d, here in enumerate(found) for i, there in enumerate(wanted) if here & there}


def test_overlap_agrees_with_a_slow_search_over_any_white_space(run_step: Callable[..., Any], tmp_path: Path) -> None:
    """The paper's table counts whole words between white space as they stand; so must ours, whatever white space is."""
    draw = random.Random(3)

    def words(count: int) -> str:
        return "".join(draw.choice(TOKENS) + draw.choice(SPACES) for _ in range(count))

    items = [words(draw.randrange(1, 60)) for _ in range(40)]
    documents = []
    for _ in range(150):
        tokens = draw.choice(items).split()
        begin = draw.randrange(len(tokens))
        part = "".join(token + draw.choice(SPACES) for token in tokens[begin : begin + draw.randrange(1, 45)])
        documents.append(words(draw.randrange(50)) + part + words(draw.randrange(50)))
    documents.append("\n".join(items) * 2)
    benchmark = tmp_path / "benchmark.jsonl"
    lines = [{"benchmark": "b", "id": str(i), "part": "problem", "text": text} for i, text in enumerate(items)]
    benchmark.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "documents.parquet"
    batch = documents_batch([make_document("s", str(i), text) for i, text in enumerate(documents)])
    pq.write_table(pa.Table.from_batches([batch]), path, row_group_size=40)
    params = {"ngram": 13, "min_words": 5, "overlap": [5, 20, 30], "action": ACTION}
    [index] = run_step(tmp_path, "proof_pile.decontaminate.index:run", [Task(inputs=(as_input(benchmark),))], **params)
    names = ("items.parquet", "ngrams.parquet", "short.parquet", "overlap.parquet")
    inputs = (as_input(path), *(index.output(name).as_input() for name in names))
    [record] = run_step(tmp_path, "proof_pile.decontaminate.search:run", [Task(inputs=inputs)], **params)
    found = {row["measure"]: row for row in json.loads(Path(record.output("found.json").path).read_text())}
    for n in (5, 20, 30):
        wanted = shared(items, documents, n)
        assert len(wanted) > 10
        row = found[f"whitespace-{n}"]
        assert row["items"] == sorted({item for _, item in wanted})
        assert row["documents"] == len({document for document, _ in wanted})

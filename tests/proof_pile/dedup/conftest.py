"""The stages of deduplication over documents files that are given, planned and run as a build does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.files import sha256_file
from llemma.core.steps import OutputFile, StepDirectory, TaskRecord
from proof_pile.build.pipeline import Build
from proof_pile.build.reading import InputHashes
from proof_pile.build.recipe import Recipe
from proof_pile.build.stages import duplicates
from proof_pile.documents import documents_batch, make_document
from proof_pile.words import ngram_hashes, words_of_text

Texts = Sequence[tuple[str, str]]
Marks = dict[tuple[int, int], tuple[str, dict[str, Any]]]


def random_words(seed: int, count: int) -> list[str]:
    """Words of a small language, others for each seed."""
    draw = random.Random(seed)
    return [f"w{draw.randrange(5000)}" for _ in range(count)]


def similar(words: list[str], jaccard: float, seed: int) -> list[str]:
    """Words whose 5-word shingles have about this Jaccard similarity with the ones given: the end is other."""
    same = round(len(words) * 2 * jaccard / (1 + jaccard))
    return words[:same] + random_words(seed, len(words) - same)


def true_jaccard(a: str, b: str, ngram: int = 5) -> float:
    """The Jaccard similarity of two texts' shingles, by sets."""
    sets = [set(ngram_hashes(words_of_text(text), 0, ngram).tolist()) for text in (a, b)]
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def documents_file(path: Path, source: str, texts: Texts, row_group: int = 1000) -> TaskRecord:
    """A documents file as the reading stage leaves it, and its record."""
    batch = documents_batch([make_document(source, name, text) for name, text in texts])
    pq.write_table(pa.Table.from_batches([batch]), path, row_group_size=row_group)
    output = OutputFile(name="documents.parquet", path=str(path), bytes=path.stat().st_size, sha256=sha256_file(path))
    return TaskRecord(
        key=path.stem, label=path.name, inputs=(), outputs=(output,), counts={"documents": len(texts)}, seconds=0.0
    )


@dataclass
class Corpus:
    """Documents files by source, in the order of the recipe, and the settings of deduplication."""

    root: Path
    sources: dict[str, list[Texts]]
    deduplicate: dict[str, Any] = field(default_factory=dict)
    name: str = "corpus"

    def build(self) -> Build:
        """A build that has read its documents."""
        self.root.mkdir(parents=True, exist_ok=True)
        recipe = Recipe.model_validate(
            {
                "name": self.name,
                "sources": [{"name": name, "inputs": [{"kind": "jsonl", "path": "x"}]} for name in self.sources],
                "deduplicate": self.deduplicate,
                "mixture": {"groups": {"all": {"share": 1.0, "sources": dict.fromkeys(self.sources, 1.0)}}},
            }
        )
        records = []
        for name, files in self.sources.items():
            paths = [self.root / f"{name}-{number}.parquet" for number in range(len(files))]
            records.append([documents_file(p, name, texts, 7) for p, texts in zip(paths, files, strict=True)])
        build = Build(recipe=recipe, base=self.root, out=self.root / "out", hashes=InputHashes(self.root / "hashes"))
        build.records["read"] = records
        return build

    def run(self, num_stages: int | None = None) -> tuple[Build, list[str]]:
        """Runs the stages; returns the build and what was run ("stage task key"), without what was complete before."""
        build = self.build()
        ran: list[str] = []
        for stage in duplicates.STAGES[:num_stages]:
            run_stage(build, stage, ran)
        return build, ran

    def marks(self) -> Marks:
        """Marks of all documents by (file, row)."""
        return read_marks(self.run()[0])


def run_stage(build: Build, stage: Any, ran: list[str] | None = None) -> None:
    """Plans and runs one stage."""
    records = []
    for step, tasks in stage.plan(build):
        directory = StepDirectory.create(build.steps, step, tasks)
        if ran is not None:
            ran += [f"{stage.name} {directory.tasks[number].label}" for number in directory.missing()]
        records.append([directory.run_task(number) for number in range(len(tasks))])
    build.records[stage.name] = records


def read_marks(build: Build) -> Marks:
    """The marks that a build's stages left."""
    marks: Marks = {}
    for record in build.flat("duplicate-marks"):
        for output in record.outputs:
            file = int(output.name.split(".")[1])
            for mark in pq.read_table(output.path).to_pylist():
                assert (file, mark["row"]) not in marks, "a document has two marks"
                marks[file, mark["row"]] = (mark["kind"], json.loads(mark["evidence"]))
    return marks


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """Makes a corpus in the test's folder: corpus({"source": [[(name, text), ...], ...]}, near={...})."""

    def make(sources: dict[str, list[Texts]], folder: str = "corpus", **deduplicate: Any) -> Corpus:
        return Corpus(root=tmp_path / folder, sources=sources, deduplicate=deduplicate, name=folder)

    return make

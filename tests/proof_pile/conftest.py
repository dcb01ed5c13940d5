"""A small real build: documents, a tokenizer trained on them, shards, mixture, datasheet and manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Step, StepDirectory, Task, TaskRecord

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """A consolidated document."""

    source: str
    name: str
    text: str
    split: str

    @property
    def id(self) -> bytes:
        return hashlib.blake2b(f"{self.source}\0{self.name}".encode(), digest_size=16).digest()


@pytest.fixture(scope="session")
def small_rows() -> list[Row]:
    """180 documents of two sources in all splits; some quote control tokens, one is empty."""
    topics = ["sets", "groups", "rings", "fields", "limits", "series", "primes", "graphs", "matrices", "integrals"]
    rows = []
    for number in range(180):
        source = "papers" if number % 3 else "code"
        topic = topics[number % len(topics)]
        text = f"About {topic} number {number}.\n" + "".join(
            f"  lemma {topic}_{line} : {line * number} + {line} = x ** {line % 5}\n" for line in range(3 + number % 25)
        )
        if number % 40 == 7:
            text += "It ends with </s> and begins with <s>; <unk> is unknown. é中𝔸\n"
        split = "validation" if number % 10 == 4 else "test" if number % 10 == 5 else "train"
        rows.append(Row(source, f"{topic}/{number}.txt", "" if number == 30 else text, split))
    return rows


def documents_file(path: Path, rows: Sequence[Row], row_group_size: int = 50) -> InputFile:
    """Writes consolidated documents as the build does."""
    table = pa.table(
        {
            "id": pa.array([row.id for row in rows], pa.binary(16)),
            "source": [row.source for row in rows],
            "name": [row.name for row in rows],
            "text": pa.array([row.text for row in rows], pa.large_string()),
            "meta": ["{}" for _ in rows],
            "split": [row.split for row in rows],
        }
    )
    pq.write_table(table, path, compression="zstd", row_group_size=row_group_size)
    return InputFile(path=str(path), sha256=sha256_file(path))


@pytest.fixture(scope="session")
def write_documents() -> Callable[..., InputFile]:
    """`documents_file`, for tests in folders below."""
    return documents_file


@pytest.fixture(scope="session")
def run_step() -> Callable[..., list[TaskRecord]]:
    """A function that runs all tasks of a step function in this process."""

    def run(root: Path, function: str, tasks: Sequence[Task], **params: Any) -> list[TaskRecord]:
        step = Step(name=function.split(":")[0].split(".")[-1], version=1, function=function, params=params)
        directory = StepDirectory.create(root, step, tasks)
        return [directory.run_task(number) for number in range(len(tasks))]

    return run


@pytest.fixture(scope="session")
def small_tokenizer(
    small_rows: list[Row], run_step: Callable[..., list[TaskRecord]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a tokenizer of 460 pieces trained on the small documents."""
    root = tmp_path_factory.mktemp("tokenizer")
    documents = documents_file(root / "documents.parquet", small_rows)
    [record] = run_step(root, "proof_pile.tokenize.training:run", [Task(inputs=(documents,))], vocab_size=460)
    folder = root / "tokenizer"
    folder.mkdir()
    for output in record.outputs:
        shutil.copyfile(output.path, folder / output.name)
    return folder


@pytest.fixture(scope="session")
def pristine_build(
    small_rows: list[Row],
    small_tokenizer: Path,
    run_step: Callable[..., list[TaskRecord]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A whole output folder of a build, as the pipeline leaves it. Tests copy it before they change it."""
    from proof_pile.datasheet import write_datasheet
    from proof_pile.manifest import SourceCounts, write_manifest
    from proof_pile.mixture import MixtureConfig, write_mixture
    from proof_pile.tokenize.merge import merge_tasks, publish

    out = tmp_path_factory.mktemp("build")
    shutil.copytree(small_tokenizer, out / "tokenizer")
    tokenizer = InputFile(
        path=str(out / "tokenizer/tokenizer.model"), sha256=sha256_file(out / "tokenizer/tokenizer.model")
    )
    steps = out / "steps"
    steps.mkdir()
    files = [documents_file(steps / f"{n}.parquet", small_rows[n * 60 : n * 60 + 60]) for n in range(3)]
    encoded = run_step(steps, "proof_pile.tokenize.encode:run", [Task(inputs=(file, tokenizer)) for file in files])
    merged = run_step(steps, "proof_pile.tokenize.merge:run", merge_tasks(encoded))
    hashes = publish(merged, out)

    gone = Row("papers", "gone.txt", "", "")
    removed = {"id": pa.array([gone.id], pa.binary(16)), "source": ["papers"], "name": ["gone.txt"]}
    pq.write_table(pa.table({**removed, "reason": ["contaminated"], "evidence": ["{}"]}), out / "removed.parquet")
    (out / "quarantine.jsonl").write_text(json.dumps({"path": "x.jsonl", "line": 3, "reason": "not JSON"}) + "\n")
    (out / "recipe.yml").write_text("name: small\n")
    config = MixtureConfig.model_validate(
        {
            "planned_tokens": 40_000,
            "seq_length": 64,
            "groups": {
                "mathematics": {"share": 97, "sources": {"papers": 1}},
                "programs": {"share": 3, "sources": {"code": 1}},
            },
        }
    )
    warnings = write_mixture(config, name="small", out=out, tokenizer="tokenizer/tokenizer.model", hashes=hashes)
    kept = {name: sum(row.source == name for row in small_rows) for name in ("papers", "code")}
    sources = {
        "papers": SourceCounts(
            read=kept["papers"] + 3, filtered={"too-short": 2}, contaminated=1, kept=kept["papers"], quarantined=1,
            kept_bytes=12_345, description="made *up* <b>papers</b>", licence="CC0-1.0", origin="the tests",
        ),
        "code": SourceCounts(read=kept["code"], kept=kept["code"]),
    }  # fmt: skip
    write_datasheet(out, name="small", sources=sources, warnings=warnings, settings={"split": "by hash of the id"})
    write_manifest(out, name="small", sources=sources, warnings=warnings, hashes=hashes)
    return out


@pytest.fixture
def small_build(pristine_build: Path, tmp_path: Path) -> Path:
    """A copy of the build that a test may damage."""
    return Path(shutil.copytree(pristine_build, tmp_path / "out"))

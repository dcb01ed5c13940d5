"""Memory and time of deduplication by the size of the corpus: does any task's memory grow with it?

    python benchmarks/data/near_duplicates_scale.py                          0.25, 0.5, 1 and 2 million documents
    python benchmarks/data/near_duplicates_scale.py --documents 100000 --memory-mb 128 --folder /tmp/scale

Documents of 60 to 120 words from a vocabulary of 50,000; of every ten, one is a near-copy (up to 3 words changed) and
one in forty a copy of a document of a pool that is a fiftieth of the corpus, spread over all files.  Each task of each
stage runs in a process of its own, which says what it took: CPU seconds of the task alone, and its peak of resident
memory, in which the interpreter and its libraries are counted (the first line says how much that is).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from peers import machine, print_rows

VOCABULARY = 50_000
FILE_DOCUMENTS = 20_000
POOL_SHARE = 50
TASK = """
import json, resource, sys
import numba, numpy, pyarrow.parquet
import proof_pile.dedup.clusters, proof_pile.dedup.fingerprints
from llemma.core.steps import StepDirectory
directory = StepDirectory.open(sys.argv[1])
def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
base, rows = peak(), []
for number in map(int, sys.argv[2:]):
    before = cpu()
    record = directory.run_task(number)
    rows.append({"cpu": cpu() - before, "peak": peak(), "base": base})
print("TASKS" + json.dumps(rows))
"""


def write_corpus(folder: Path, num_documents: int, seed: int = 0) -> list[tuple[Path, int]]:
    """Writes documents files and returns each with its number of documents."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from proof_pile.documents import document_id, documents_schema

    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(
        ["".join(draw.choice(letters, size)) for size in draw.integers(3, 9, VOCABULARY)], dtype=object
    )
    pool_size = max(num_documents // POOL_SHARE, 1)
    files = []
    for begin in range(0, num_documents, FILE_DOCUMENTS):
        count = min(FILE_DOCUMENTS, num_documents - begin)
        draw = np.random.default_rng([seed, 1, begin])
        kinds = draw.random(count)
        texts = []
        for kind in kinds.tolist():
            if kind < 0.125:
                words = _pool_words(seed, int(draw.integers(pool_size)))
                if kind < 0.1:
                    places = draw.integers(0, len(words), int(draw.integers(1, 4)))
                    words[places] = draw.integers(0, VOCABULARY, len(places))
            else:
                words = draw.integers(0, VOCABULARY, int(draw.integers(60, 121)))
            texts.append(" ".join(vocabulary[words]))
        names = [f"document {begin + row}" for row in range(count)]
        table = pa.table(
            {
                "id": pa.array([document_id("synthetic", name, "") for name in names], pa.binary(16)),
                "source": ["synthetic"] * count,
                "name": names,
                "text": pa.array(texts, pa.large_string()),
                "meta": ["{}"] * count,
            },
            schema=documents_schema(),
        )
        path = folder / f"documents-{begin // FILE_DOCUMENTS:05d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=8000)
        files.append((path, count))
    return files


def _pool_words(seed: int, number: int) -> np.ndarray:
    draw = np.random.default_rng([seed, 2, number])
    return draw.integers(0, VOCABULARY, int(draw.integers(60, 121)))


def make_build(files: Sequence[tuple[Path, int]], out: Path, deduplicate: dict[str, Any]) -> Any:
    """A build whose reading stage is done: it left these documents files, all of one source."""
    from llemma.core.files import sha256_file
    from llemma.core.steps import OutputFile, TaskRecord
    from proof_pile.build.pipeline import Build
    from proof_pile.build.reading import InputHashes
    from proof_pile.build.recipe import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "sources": [{"name": "synthetic", "inputs": [{"kind": "jsonl", "path": "x"}]}],
            "deduplicate": deduplicate,
            "mixture": {"groups": {"all": {"share": 1.0, "sources": {"synthetic": 1.0}}}},
        }
    )
    records = []
    for path, count in files:
        output = OutputFile(
            name="documents.parquet", path=str(path), bytes=path.stat().st_size, sha256=sha256_file(path)
        )
        records.append(
            TaskRecord(
                key=path.stem, label=path.name, inputs=(), outputs=(output,), counts={"documents": count}, seconds=0.0
            )
        )
    build = Build(recipe=recipe, base=out, out=out, hashes=InputHashes(out / "hashes.json"))
    build.records["read"] = [records]
    return build


def run_stages(build: Any, *, fresh: bool) -> list[tuple[str, list[dict[str, float]]]]:
    """Runs all stages; CPU seconds and peak MB of each task.  `fresh`: a process for each task, else one a stage."""
    from llemma.core.steps import StepDirectory
    from proof_pile.build.stages import duplicates

    root = str(Path(__file__).resolve().parents[2])
    measured = []
    for stage in duplicates.STAGES:
        rows: list[dict[str, float]] = []
        build.records[stage.name] = []
        for step, tasks in stage.plan(build):
            directory = StepDirectory.create(build.steps, step, tasks)
            numbers = [[number] for number in range(len(tasks))] if fresh else [list(range(len(tasks)))]
            for group in numbers:
                command = [sys.executable, "-c", TASK, str(directory.path), *map(str, group)]
                done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
                if done.returncode:
                    raise SystemExit(done.stderr)
                rows += json.loads(done.stdout.split("TASKS")[1])
            build.records[stage.name].append(directory.records())
        if rows:
            measured.append((stage.name, rows))
    return measured


def main() -> None:
    """Measures each size and prints a table of stages by size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[250_000, 500_000, 1_000_000, 2_000_000])
    parser.add_argument("--memory-mb", type=int, default=128, help="deduplicate.memory_mb (default: 128)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    args = parser.parse_args()
    base = Path(tempfile.mkdtemp(dir=args.folder))
    table: dict[str, list[str]] = {}
    notes: list[str] = []
    floor = 0.0
    try:
        for size in args.documents:
            files = write_corpus(base / "documents", size)
            num_bytes = sum(path.stat().st_size for path, _ in files)
            build = make_build(files, base / "out", {"near": {"threshold": 0.7}, "memory_mb": args.memory_mb})
            total = 0.0
            for name, rows in run_stages(build, fresh=True):
                cpu, peak = sum(row["cpu"] for row in rows), max(row["peak"] for row in rows)
                floor = max(row["base"] for row in rows)
                total += cpu
                table.setdefault(name, []).extend([f"{len(rows)}", f"{cpu:.1f}", f"{peak:.0f}"])
            counts = build.flat("duplicate-clusters")[0].counts
            disk = sum(path.stat().st_size for path in (base / "out").rglob("*") if path.is_file())
            removed = f"removed {counts['exact_duplicates']:,} copies and {counts['near_duplicates']:,} near-copies"
            notes.append(
                f"{size:,} documents, {num_bytes / 1e6:.0f} MB of Parquet: {total:.0f} CPU-s; "
                f"{counts['clusters']:,} clusters, {removed}; {disk / 1e6:.0f} MB of fingerprints, keys and pairs "
                f"({disk / size:.0f} bytes a document)"
            )
            print(notes[-1], flush=True)
            shutil.rmtree(base / "documents")
            shutil.rmtree(base / "out")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"\n{machine()}; memory_mb {args.memory_mb}; interpreter and libraries alone: {floor:.0f} MB")
    columns = ["stage"]
    for size in args.documents:
        columns += [f"{size / 1e6:g} M: tasks", "CPU-s", "peak MB"]
    print_rows(columns, [[name, *cells] for name, cells in table.items()])


if __name__ == "__main__":
    main()

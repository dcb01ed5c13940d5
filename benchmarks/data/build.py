"""A whole build of real text: CPU-seconds per GB by stage, what a second worker brings, memory of a worker.

    python benchmarks/data/build.py [--megabytes 1000] [--work DIR] [FOLDER ...]

The text is that of benchmarks/data/corpus.py: installed packages and the folders given.  It is built from scratch with
one worker and with two, with filters, near-duplicates, decontamination, shards and published texts, and with a
tokenizer of 32,000 pieces that is there before, as a base model's is; the two outputs are compared byte by byte.
Seconds of a stage are those of its tasks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from corpus import write_corpus
from peers import Measured, machine, measure, print_rows

RECIPE = """\
name: benchmark
sources:
  - name: text
    inputs: [{{kind: jsonl, path: {corpus}}}]
    filters:
      - {{kind: size, max_bytes: 1048575, min_bytes: 100}}
      - {{kind: digit-share, max_share: 0.5}}
      - {{kind: characters, min_alnum_share: 0.25}}
decontaminate: {{benchmarks: [{benchmarks}]}}
tokenizer: {tokenizer}
mixture: {{groups: {{all: {{share: 1, sources: {{text: 1}}}}}}}}
shard_bytes: {shard_bytes}
"""
TRAINED = "{train: {vocab_size: 32000, max_bytes: 8000000}}"
SHARD_BYTES = 8_000_000  # of compressed input, some 35 MB of text: enough tasks for several workers
WARM_MEGABYTES = 12
UNLIKE = {"record.json", "mixture.record.json"}  # they hold times


def write_recipe(path: Path, corpus: Path, benchmarks: Path, tokenizer: str) -> Path:
    """Writes the recipe for a corpus and returns its path."""
    text = RECIPE.format(corpus=corpus.resolve(), benchmarks=benchmarks, tokenizer=tokenizer, shard_bytes=SHARD_BYTES)
    path.write_text(text)
    return path


def train_tokenizer(work: Path, folders: list[Path], benchmarks: Path) -> Path:
    """The tokenizer of a little build, which also compiles native code before anything is measured."""
    with tempfile.TemporaryDirectory(dir=work) as little:
        corpus = Path(little) / "corpus"
        write_corpus(corpus, WARM_MEGABYTES, folders)
        build(write_recipe(Path(little) / "recipe.yml", corpus, benchmarks, TRAINED), Path(little) / "out", 1)
        target = work / "tokenizer.model"
        shutil.copyfile(Path(little) / "out" / "tokenizer" / "tokenizer.model", target)
    return target.resolve()


def build(recipe: Path, out: Path, workers: int) -> Measured:
    """One build from scratch."""
    command = [sys.executable, "-m", "proof_pile.build", "--recipe", recipe, "--out", out, "--workers", str(workers)]
    return measure(command)


def stages(out: Path) -> list[dict[str, Any]]:
    """What the records of a build's tasks say, by stage in the order of the build."""
    current = json.loads((out / "steps" / "current.json").read_text())
    found = []
    for stage in current["stages"]:
        seen: dict[str, float] = defaultdict(float)
        for name in stage["directories"]:
            folder = out / "steps" / name
            keys = {path.name.partition(".")[0] for path in folder.glob("????????????????.json")}
            for key in keys:
                record = json.loads((folder / f"{key}.json").read_text())
                seen["tasks"] += 1
                seen["seconds"] += record["seconds"]
                seen["cpu_seconds"] += record.get("cpu_seconds", 0)
                seen["peak_bytes"] = max(seen["peak_bytes"], record.get("peak_bytes", 0))
        found.append({"name": stage["name"], **seen})
    return found


def differing(one: Path, two: Path) -> list[str]:
    """Files of two builds whose bytes differ, or that only one of them has."""

    def files(out: Path) -> dict[str, Path]:
        paths = (path for path in out.rglob("*") if path.is_file() and "steps" not in path.relative_to(out).parts)
        return {path.relative_to(out).as_posix(): path for path in paths if path.name not in UNLIKE}

    a, b = files(one), files(two)
    # The NeoX overlay holds absolute paths, and the manifest its hash.
    same_in_place = {name for name in a if name.startswith("neox/") or name == "manifest.json"}
    names = sorted((set(a) | set(b)) - same_in_place)
    return [name for name in names if name not in a or name not in b or a[name].read_bytes() != b[name].read_bytes()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--work", type=Path, help="folder for the text and the builds (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        corpus = work / f"corpus-{args.megabytes}"
        write_corpus(corpus, args.megabytes, args.folders)
        sample = Path(__file__).resolve().parents[2] / "proof_pile" / "sample" / "benchmarks.jsonl"
        tokenizer = train_tokenizer(work, args.folders, sample)
        recipe = write_recipe(work / "recipe.yml", corpus, sample, f"{{path: {tokenizer}}}")
        runs: dict[int, Measured] = {}
        for workers in (1, 2):
            out = work / f"out-{workers}"
            if out.exists():
                raise SystemExit(f"{out}: is there already: delete it, a build is measured from scratch")
            runs[workers] = build(recipe, out, workers)
        gigabytes = args.megabytes / 1000
        print(f"{args.megabytes:,} MB of text; {machine()}")
        rows = []
        for stage in stages(work / "out-1"):
            if stage.get("tasks"):
                cpu = stage["cpu_seconds"] / gigabytes
                rows.append([stage["name"], f"{stage['tasks']:.0f}", f"{cpu:.1f}", f"{stage['peak_bytes'] / 1e6:,.0f}"])
        whole = runs[1].cpu_s / gigabytes
        rows.append(["whole build", "", f"{whole:.1f}", f"{runs[1].peak_mb:,.0f}"])
        print_rows(["stage (one worker)", "tasks", "CPU-s per GB", "peak MB"], rows)
        print()
        print_rows(
            ["workers", "wall s", "CPU s", "times as fast"],
            [
                [str(n), f"{run.wall_s:.1f}", f"{run.cpu_s:.1f}", f"{runs[1].wall_s / run.wall_s:.2f}"]
                for n, run in runs.items()
            ],
        )
        peak = max(stage.get("peak_bytes", 0) for stage in stages(work / "out-2"))
        print(f"\nlargest task of the build with two workers: {peak / 1e6:,.0f} MB")
        other = differing(work / "out-1", work / "out-2")
        print("files that differ between one and two workers: " + (", ".join(other) or "none"))


if __name__ == "__main__":
    main()

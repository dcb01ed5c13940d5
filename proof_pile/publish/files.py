"""What the describing step made, brought together: OUT/text, OUT/samples.jsonl and the tallies of each source."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llemma.core.files import place_file, read_json, remove_folder, write_text
from llemma.core.schemas import read_lines
from llemma.core.steps import TaskRecord
from proof_pile.mixture import SPLITS
from proof_pile.publish.describe import Sample, merge_samples

TEXT = "text"
SAMPLES = "samples.jsonl"


def publish_texts(described: Mapping[str, Sequence[TaskRecord]], out: Path) -> dict[str, str]:
    """Puts the texts to OUT/text/<source>/<split>-00000.parquet and on; returns their SHA-256 by path from OUT."""
    wanted: dict[str, tuple[str, str]] = {}
    for source, records in described.items():
        for split in SPLITS:
            made = [file for record in records for file in record.outputs if file.name == f"{split}.parquet"]
            for number, file in enumerate(made):
                wanted[f"{TEXT}/{source}/{split}-{number:05d}.parquet"] = (file.path, file.sha256)
    present = {path.relative_to(out).as_posix() for path in (out / TEXT).rglob("*") if path.is_file()}
    if present - set(wanted):  # of an earlier recipe: numbers may have moved
        remove_folder(out / TEXT)
    for name, (path, _) in wanted.items():
        place_file(path, out / name)
    return {name: digest for name, (_, digest) in wanted.items()}


def publish_samples(records: Sequence[TaskRecord], out: Path, size: int, seed: int) -> list[Sample]:
    """Writes OUT/samples.jsonl from the samples of all files, and returns them."""
    read = (sample for record in records for sample in read_lines(record.output(SAMPLES).path, Sample))
    samples = merge_samples(read, size, seed)
    write_text(out / SAMPLES, "".join(sample.model_dump_json() + "\n" for sample in samples))
    return samples


def tallies(records: Sequence[TaskRecord]) -> dict[str, Any]:
    """The tallies of several files, added up: `languages`, `licences` and `lengths` of SourceCounts."""
    languages: dict[str, Counter[str]] = defaultdict(Counter)
    licences: Counter[str] = Counter()
    lengths: Counter[str] = Counter()
    for record in records:
        tally = read_json(record.output("tally.json").path)
        for language, counts in tally["languages"].items():
            languages[language].update(counts)
        licences.update(tally["licences"])
        lengths.update(tally["lengths"])
    return {
        "languages": {name: dict(languages[name]) for name in sorted(languages)},
        "licences": dict(sorted(licences.items())),
        "lengths": dict(sorted(lengths.items(), key=lambda item: int(item[0]))),
    }

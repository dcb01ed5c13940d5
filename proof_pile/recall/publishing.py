"""What a recall leaves in its folder: the collected pages, the annotations to go on with, and the report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llemma.core.files import atomic_folder, atomic_path, read_json, write_text
from llemma.core.steps import TaskRecord

if TYPE_CHECKING:
    from proof_pile.recall.rounds import Recall


def publish(recall: Recall, collected: Sequence[TaskRecord]) -> None:
    """Writes OUT/collected, model.bin, annotations.yml and the reports; the same files for the same rounds."""
    from proof_pile.recall.report import write_reports

    out = recall.out
    with atomic_folder(out / "collected", replace=True) as folder:
        for number, record in enumerate(collected):
            if record.counts["pages"]:
                shutil.copyfile(record.output("collected.parquet").path, folder / f"{number:06d}.parquet")
    with atomic_path(out / "model.bin") as path:
        shutil.copyfile(recall.rounds[-1].trained.output("model.bin").path, path)
    write_text(out / "annotations.yml", annotations_text(recall.rounds[-1].result["asked"]))
    pages = sum(record.counts["pages"] for record in collected)
    num_bytes = sum(record.counts["bytes"] for record in collected)
    write_reports(recall, {"pages": pages, "bytes": num_bytes})


def annotations_text(asked: Sequence[dict[str, Any]]) -> str:
    """The candidates' prefixes as YAML for a person to decide on; null is not decided."""
    import json

    lines = [
        "# Address prefixes of domains of which many pages were taken.  true: all its pages become seeds;",
        "# false: none do; null: not decided.  Copy this file, mend it, and name the copy in RECALL.yml as",
        "# 'annotations' of 'domains'.",
    ]
    words = {True: "true", False: "false", None: "null"}
    for item in asked:
        counts = f"{item['taken']:,} of {item['pages']:,}"
        lines.append(f"{json.dumps(item['prefix'])}: {words[item['approved']]}  # {counts}")
    return "\n".join(lines) + "\n"


def samples_of(paths: Sequence[Path | str]) -> list[dict[str, Any]]:
    """The samples of all files of a round."""
    return [read_json(path) for path in paths]

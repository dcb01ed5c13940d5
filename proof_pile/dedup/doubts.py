"""Step function: pairs of all partitions -> the documents whose shingles have to be counted, group by group.

rows.<group>.bin    uint32 rows of documents in that group of this build (six digits), rising; one file a group, so that
                    a group for which nothing changed is not read again
params: memory_mb.   task.inputs: catalogue.json, then pairs.bin of each partition.   counts: documents.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.steps import Task
from proof_pile.dedup.arrays import ArrayFile, Spill, write_array
from proof_pile.dedup.candidates import DOUBTFUL, PAIR
from proof_pile.dedup.catalogue import Catalogue

VERSION = 1
ROW = np.dtype("<u4")


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the rows of each group."""
    catalogue = Catalogue(task.inputs[0].path)
    own = sum(group.build is None for group in catalogue.groups)
    scratch = out / "scratch"
    scratch.mkdir()
    spill = Spill(scratch, own, ROW, params["memory_mb"] << 17)
    for item in task.inputs[1:]:
        with ArrayFile(item.path, PAIR) as file:
            for pairs in file.blocks():
                doubtful = pairs[pairs["kind"] == DOUBTFUL]
                numbers = np.unique(np.concatenate([doubtful["first"], doubtful["second"]])).astype(np.int64)
                groups = catalogue.group_of(numbers)
                spill.add(groups, (numbers - catalogue.starts[groups]).astype(ROW))
    spill.flush()
    count = 0
    for group in range(own):
        rows = np.unique(spill.read(group))
        count += len(rows)
        with open(out / f"rows.{group:06d}.bin", "wb") as target:
            write_array(target, rows)
    shutil.rmtree(scratch)
    return {"documents": count}

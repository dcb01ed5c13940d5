"""Step function: the score of each page of one file.

scores.bin   float32, one a page, in the order of pages.arrow; 0 where a page has no known word

task.inputs: model.bin, pages.arrow, lines.bin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.steps import Task
from proof_pile.quality.fasttext.model import load
from proof_pile.quality.math_score import MATH
from proof_pile.recall.pages import PagesTable

VERSION = 1
BATCH_BYTES = 32 << 20


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Scores the pages of one file."""
    model = load(task.inputs[0].path)
    column = model.labels.index(MATH)
    table = PagesTable(task.inputs[1].path, task.inputs[2].path)
    scores = np.zeros(len(table), np.float32)
    first = 0
    while first < len(table):
        start = table.offsets[first]
        last = int(np.searchsorted(table.offsets, start + BATCH_BYTES, "right")) - 1
        last = min(max(last, first + 1), len(table))
        data = np.array(table.data[start : table.offsets[last]])
        if len(data):
            scores[first:last] = model.probabilities(data, table.offsets[first : last + 1] - start)[:, column]
        first = last
    scores.tofile(out / "scores.bin")
    return {"pages": len(scores)}

"""Step function: pages of one file for people to read, and signs of how good a round is.

samples.json   lists of {draw, score, name, excerpt, latex, math_score} under
    taken, left     a random sample of the pages that are taken and of those that are not: lowest draws first
    above, below    pages nearest to the threshold on both sides

`latex` says whether a page has LaTeX commands, `math_score` is that of the small model of this package: neither was
used to choose the page, so they tell something of the precision.

params: num_shown, num_judged (of the random samples), seed.
task.inputs: documents.parquet, pages.arrow, lines.bin, scores.bin, taken.bin.   task.args: threshold, round.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.files import write_json
from llemma.core.steps import Task
from proof_pile.recall.pages import PagesTable

VERSION = 1
EXCERPT_CHARS = 600
JUDGED_CHARS = 20_000


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Chooses the pages of one file and writes their beginnings."""
    from proof_pile.quality.latex_commands import has_commands
    from proof_pile.quality.math_score import load_math_score

    documents, pages, lines, scores_path, taken_path = (item.path for item in task.inputs)
    scores = np.fromfile(scores_path, np.float32)
    taken = np.fromfile(taken_path, np.uint8).astype(bool)
    draws = PagesTable(pages, lines).draws(params["seed"] * 1000 + task.args["round"] + 500)
    distance = np.abs(scores.astype(np.float64) - task.args["threshold"])
    chosen = {
        "taken": _lowest(draws, taken, params["num_judged"]),
        "left": _lowest(draws, ~taken, params["num_judged"]),
        "above": _lowest(distance, taken, params["num_shown"]),
        "below": _lowest(distance, ~taken, params["num_shown"]),
    }
    wanted = sorted({row for rows in chosen.values() for row in rows})
    texts = _texts(documents, wanted)
    score_of = load_math_score()
    judged = {}
    for row in wanted:
        name, text = texts[row]
        beginning = text[:JUDGED_CHARS]
        judged[row] = {
            "draw": float(draws[row]),
            "distance": float(distance[row]),
            "score": round(float(scores[row]), 6),
            "name": name[:500],
            "excerpt": text[:EXCERPT_CHARS],
            "chars": len(text),
            "latex": has_commands(beginning),
            "math_score": round(score_of(beginning), 4),
        }
    write_json(out / "samples.json", {kind: [judged[row] for row in rows] for kind, rows in chosen.items()})
    return {kind: len(rows) for kind, rows in chosen.items()}


def _lowest(keys: np.ndarray, mask: np.ndarray, count: int) -> list[int]:
    """Rows of the mask with the smallest keys, the smallest first."""
    rows = np.flatnonzero(mask)
    order = np.lexsort((rows, keys[rows]))[:count]
    return [int(row) for row in rows[order]]


def _texts(documents: str, rows: list[int]) -> dict[int, tuple[str, str]]:
    from proof_pile.words import text_batches

    found: dict[int, tuple[str, str]] = {}
    if rows:
        for first, batch in text_batches(documents, ("name", "text")):
            for row in rows[len(found) :]:
                if row >= first + batch.num_rows:
                    break
                found[row] = (batch.column(0)[row - first].as_py(), batch.column(1)[row - first].as_py())
    return found


def merged(parts: list[dict[str, Any]], kind: str, count: int) -> list[dict[str, Any]]:
    """The samples of one kind over all files."""
    key = "draw" if kind in ("taken", "left") else "distance"
    rows = [row for part in parts for row in part[kind]]
    return sorted(rows, key=lambda row: (row[key], row["name"]))[:count]

"""A MathScore model from pages: lines labelled, the model trained, measured on pages kept apart, recorded.

Beside MODEL.bin stands MODEL.json: the configuration, hashes of the lines and of the model, their numbers, and
precision and recall on the pages held out.  The same pages, configuration and package versions give the same bytes of
both (the record holds no time).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.errors import InputError
from llemma.core.files import atomic_path, sha256_file, write_json
from llemma.core.progress import progress
from proof_pile.documents import Document
from proof_pile.filters import Drop, make_chain
from proof_pile.quality.latex_commands import count_commands
from proof_pile.quality.lines import LineFile, pieces
from proof_pile.quality.math_score import MATH, OTHER, classifier_line
from proof_pile.quality.train_config import InputsConfig, MathScoreTraining
from proof_pile.sources import Quarantined, list_files, read

LABELS = (OTHER, MATH)
THRESHOLDS = (0.15, 0.17, 0.5, 0.8)  # OpenWebMath's three, and the middle


@dataclass
class _Held:
    """Lines kept apart, with their labels."""

    lines: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def documents_of(sections: Sequence[InputsConfig], base: Path) -> Iterator[Document]:
    """The documents of readers that pass their filters; what cannot be read is left out."""
    for section in sections:
        judge = make_chain(section.filters)
        for config in section.inputs:
            for file in list_files(config, base):
                for record in read(config, file, "training"):
                    if isinstance(record, Quarantined):
                        continue
                    verdict = judge(record)
                    if not isinstance(verdict, Drop):
                        yield verdict.document


def labelled_documents(config: MathScoreTraining, base: Path) -> Iterator[tuple[Document, int]]:
    """All pages with 1 for mathematics, 0 for others."""
    for document in documents_of(config.pages, base):
        is_math = count_commands(document.text, config.min_commands) >= config.min_commands
        if is_math or config.without_commands == "other":
            yield document, int(is_math)
    for label, sections in ((1, config.positive), (0, config.negative)):
        for document in documents_of(sections, base):
            yield document, label


def train_math_score(config: MathScoreTraining, base: Path, out: Path, *, described: dict[str, Any]) -> dict[str, Any]:
    """Writes the model to `out` and its record beside it; returns the record.

    `described` is what the record says of the pages.  Raises InputError where one of the labels has no page.
    """
    from proof_pile.quality.fasttext.model import collapsed, save
    from proof_pile.quality.fasttext.training import train

    out.parent.mkdir(parents=True, exist_ok=True)
    held = _Held()
    num_pages = [0, 0]
    with tempfile.TemporaryDirectory(prefix=".partial-training-", dir=out.parent) as scratch:
        with LineFile(Path(scratch) / "all.bin") as lines, progress("reading pages", unit="pages") as shown:
            for document, label in labelled_documents(config, base):
                num_pages[label] += 1
                shown.advance()
                is_held = _draw(b"held out", document.id, config.seed) < config.held_out
                for piece in pieces(document.text, config.max_chars)[: config.max_pieces]:
                    line = classifier_line(piece)
                    if is_held and line:
                        held.lines.append(line)
                        held.labels.append(label)
                    else:
                        lines.add(line, label)
            if 0 in num_pages:
                raise InputError(
                    f"there are {num_pages[1]:,} pages of mathematics and {num_pages[0]:,} others: both are needed"
                )
            data, offsets, labels = lines.arrays()
        with LineFile(Path(scratch) / "lines.bin") as kept:
            for number in _balanced(data, offsets, labels, config):
                kept.add(data[offsets[number] : offsets[number + 1]].tobytes(), int(labels[number]))
            data, offsets, labels = kept.arrays()
            with progress("training", total=config.training.epochs, unit="epochs") as shown:

                def advance(epoch: int, loss: float) -> None:
                    shown.note(f"mean loss {loss:.4f}")
                    shown.advance()

                model = train(data, offsets, labels, LABELS, config.training, config.seed, advance)
            lines_hash, num_lines = kept.sha256, np.bincount(labels, minlength=2)
            del data
    if config.small:
        model = collapsed(model)
    with atomic_path(out) as temporary:
        save(model, temporary)
    record = {
        "kind": "math-score",
        "config": config.model_dump(mode="json", exclude={"pages", "positive", "negative"}),
        "pages_from": described,
        "normalisation": _normalisation(),
        "pages": {MATH: num_pages[1], OTHER: num_pages[0]},
        "lines": {MATH: int(num_lines[1]), OTHER: int(num_lines[0])},
        "lines_sha256": lines_hash,
        "words": len(model.words),
        "model": {"bytes": out.stat().st_size, "sha256": sha256_file(out)},
        "held_out": measured([model.probabilities_of(line)[1] for line in held.lines], held.labels),
    }
    write_json(out.with_suffix(".json"), record)
    return record


def _normalisation() -> str:
    from proof_pile.quality.prose import NORMALISATION

    return NORMALISATION


def _draw(what: bytes, key: bytes, seed: int) -> float:
    digest = hashlib.blake2b(what + b"\0" + key, digest_size=8, salt=seed.to_bytes(8, "little", signed=True)).digest()
    return int.from_bytes(digest, "little") / 2**64


def _balanced(data: np.ndarray, offsets: np.ndarray, labels: np.ndarray, config: MathScoreTraining) -> Iterator[int]:
    """Numbers of the lines that are trained on: each line once, the more frequent label at most `max_ratio` times."""
    num_math = int(labels.sum())
    counts = (len(labels) - num_math, num_math)
    rare = min(counts)
    shares = [min(1.0, config.max_ratio * rare / count) if count else 0.0 for count in counts]
    seen = set()
    for number, label in enumerate(labels):
        key = hashlib.blake2b(data[offsets[number] : offsets[number + 1]].tobytes(), digest_size=16).digest()
        if key not in seen and _draw(b"balance", key, config.seed) < shares[label]:
            seen.add(key)
            yield number


def measured(scores: Iterable[float], labels: Sequence[int]) -> dict[str, Any]:
    """Numbers of both labels, and precision and recall of mathematics at OpenWebMath's thresholds."""
    values, truth = np.array(list(scores), np.float64), np.array(labels, bool)
    result: dict[str, Any] = {MATH: int(truth.sum()), OTHER: int((~truth).sum()), "thresholds": {}}
    for threshold in THRESHOLDS:
        above = values > threshold
        right = int((above & truth).sum())
        result["thresholds"][str(threshold)] = {
            "precision": round(right / int(above.sum()), 4) if above.any() else None,
            "recall": round(right / int(truth.sum()), 4) if truth.any() else None,
        }
    return result

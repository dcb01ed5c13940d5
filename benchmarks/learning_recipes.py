"""What the learning proof (learning.py) is made of: documents cut from files, data recipes, and the run's recipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import orjson
import yaml

from llemma.core.errors import InputError
from llemma.core.files import atomic_path
from neox_configs import config_path
from proof_pile.sources.languages import language_of

MATHEMATICS, TEXT, CODE = "mathematics", "general-text", "general-code"
ENDINGS = {TEXT: (".txt", ".md"), MATHEMATICS: (".tex", ".lean", ".md", ".txt")}
PIECE_CHARS = 3_000
MIN_CHARS = 200
HELD_OUT = 0.05
MIN_DOCUMENTS = 100
NUM_MEASURED = 4  # points of an arm
BASE_PEAK, ARM_PEAK = 0.003, 0.001  # a third, as Llemma 7B's 1e-4 is of Llama 2's 3e-4
WARMUP_SHARE = 0.05  # Llemma's 1 % would be three steps
SEQ_LENGTH, BATCH = 256, 8
CODE_IN_BASE = 0.2
MATHEMATICS_IN_BASE = 0.025  # arXiv's share of LLaMA's data (arXiv 2302.13971): a base has seen some
CODE_IN_GENERAL = 0.6  # Llemma's general data: 2 % of the Pile, 3 % of GitHub


def pieces(text: str, num_chars: int = PIECE_CHARS) -> Iterator[str]:
    """A text in documents of about so many characters, cut only at blank lines."""
    held: list[str] = []
    size = 0
    for paragraph in text.split("\n\n"):
        held.append(paragraph)
        size += len(paragraph) + 2
        if size >= num_chars:
            yield "\n\n".join(held)
            held, size = [], 0
    if held:
        yield "\n\n".join(held)


def write_texts(folder: Path, source: str, path: Path) -> None:
    """The documents of a folder as JSON lines {"name", "text"}. Raises InputError where there are too few."""
    count = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for place in sorted(folder.rglob("*")):
            if not place.is_file() or not _is_wanted(place, source):
                continue
            text = place.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
            for number, piece in enumerate(pieces(text)):
                if len(piece.strip()) >= MIN_CHARS:
                    name = f"{place.relative_to(folder)}/{number}"
                    file.write(orjson.dumps({"name": name, "text": piece.strip() + "\n"}) + b"\n")
                    count += 1
        if count < MIN_DOCUMENTS:
            wanted = ", ".join(ENDINGS.get(source, ("programs of any language",)))
            raise InputError(
                f"{folder}: holds {count} documents for {source}; wanted are {MIN_DOCUMENTS} and more ({wanted})"
            )


def _is_wanted(path: Path, source: str) -> bool:
    if source in ENDINGS:
        return path.suffix in ENDINGS[source]
    return path.suffix not in (".txt", ".md", ".tex") and language_of(path.name) is not None


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared: the arms by their share of general data, in percent, and how long base and arms are."""

    sources: tuple[str, ...]
    shares: tuple[float, ...]
    base_tokens: int
    arm_tokens: int

    @property
    def arms(self) -> dict[str, float]:
        """The share of each arm by its name."""
        return {f"general-{share:g}": share for share in self.shares}

    @property
    def widest(self) -> str:
        """The arm that draws on every source: its build has the tokenizer and the held-out documents of all."""
        return f"general-{max(self.shares):g}"

    @property
    def measured_every(self) -> int:
        """Steps of an arm from one measured checkpoint to the next."""
        return self.arm_tokens // (SEQ_LENGTH * BATCH) // NUM_MEASURED

    def parts(self, name: str) -> dict[str, float]:
        """Parts of the sources in the mixture of an arm or of the base."""
        code = CODE in self.sources
        if name == "base":
            parts = {MATHEMATICS: MATHEMATICS_IN_BASE, TEXT: 1 - MATHEMATICS_IN_BASE - CODE_IN_BASE * code}
            parts[CODE] = CODE_IN_BASE
        else:
            share = self.arms[name]
            parts = {MATHEMATICS: 100 - share, TEXT: share * (1 - CODE_IN_GENERAL * code)}
            parts[CODE] = share * CODE_IN_GENERAL
        return {source: round(parts[source], 9) for source in self.sources}

    def data_recipe(self, name: str, texts: Path) -> dict[str, Any]:
        """The data recipe of the base or of an arm."""
        return {
            "name": name,
            "sources": [
                {"name": source, "inputs": [{"kind": "jsonl", "path": str((texts / f"{source}.jsonl").resolve())}]}
                for source in self.sources
            ],
            "deduplicate": {"exact": True, "near": {}},
            "split": {"validation": HELD_OUT, "test": 0},
            "tokenizer": {"train": {"vocab_size": 4096, "max_bytes": 6_000_000}},
            "mixture": {
                "planned_tokens": self.base_tokens if name == "base" else self.arm_tokens,
                "seq_length": SEQ_LENGTH,
                "groups": {"all": {"share": 1, "sources": self.parts(name)}},
            },
        }

    def training_overlay(self, seed: int) -> dict[str, Any]:
        """The shipped smoke_cpu with a seed, and with every checkpoint that is measured kept."""
        keys = yaml.safe_load(config_path("training", "smoke_cpu").read_text(encoding="utf-8"))
        del keys["keep_last_n_checkpoints"]
        return keys | {
            "seed": seed,
            "train_batch_size": BATCH,
            "train_micro_batch_size_per_gpu": BATCH,
            "checkpoint_factor": self.measured_every,
            "eval_interval": self.measured_every * NUM_MEASURED,  # held-out documents are llemma-eval's work
            "eval_iters": 1,
        }

    def run_recipe(self, overlay: Path) -> dict[str, Any]:
        """The recipe of a run: the base from noise, and each arm as a branch that begins with its last checkpoint."""

        def stage(name: str, tokens: int, peak: float) -> dict[str, Any]:
            rate = {"shape": "cosine", "peak": peak, "final": peak / 30, "warmup_share": WARMUP_SHARE}
            return {"name": name, "tokens": tokens, "learning_rate": rate}

        return {
            "title": "Learning proof",
            "model": "tiny",
            "training": str(overlay.resolve()),
            "cluster": "cpu",
            "start": "noise",
            "stages": [
                stage("base", self.base_tokens, BASE_PEAK),
                *({**stage(arm, self.arm_tokens, ARM_PEAK), "start_from": "base"} for arm in self.arms),
            ],
        }

"""Does continued pretraining learn mathematics, and does general data in the mixture keep what the model knew before?

    python benchmarks/learning.py --general DIR --math DIR [--code DIR] --work FOLDER [--seeds 1,2,3] [--shares 5,0]
        [--base-tokens N] [--tokens N] [--plot FILE] [--json FILE]

A model of 3.3 M parameters (neox_configs/models/tiny.yml) learns general text, a fifth of it code, with 2.5 % of
mathematics, as LLaMA's data had: the base.  From there it is continued in one arm for each of `--shares`, so many
percent of general data (with --code two parts text and three parts code, as in Llemma's 95/2/3) and the rest
mathematics.  Every arm begins with the base's weights and a new optimizer; its rate goes as Llemma's: warm-up to a
third of the base's peak, then a cosine to a thirtieth of that.  A seed changes the base's first weights and the order
of all data.  Perplexities of held-out documents are measured at the base and at four points of each arm.

What to put into the folders: real text in UTF-8, some megabytes each (what is not needed is not drawn).  --general:
.txt and .md, such as encyclopedia articles and novels.  --math: .tex, .lean, .md and .txt, such as lecture notes and
libraries of formal proofs.  --code: programs.  A longer file is cut at blank lines into documents of some 3,000
characters; every twentieth document (by the hash of its name) is held out of all training.

All is done by a user's commands: `python -m proof_pile.build`, `llemma plan`, `llemma train`, `llemma-eval perplexity`.
Interrupted, the same call goes on.  Once the data are built, calls for different seeds may run side by side in one
folder; a last call for all of them then only draws and prints.
    FOLDER/texts/<source>.jsonl          the documents
    FOLDER/data/{base,general-<share>}/  a data build for the base and for each arm, with one tokenizer
    FOLDER/seed-<n>/run/                 the run: the base and the arms that branch off it
    FOLDER/seed-<n>/measured/<stage>-<iteration>/perplexity.json
    FOLDER/seed-<n>/costs.json           {stage: {"cpu_s", "wall_s"}} of training, by its last call
Printed: tables in Markdown.  The plot is a PNG.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from learning_curves import Point, draw, tables
from learning_recipes import BATCH, CODE, MATHEMATICS, NUM_MEASURED, SEQ_LENGTH, TEXT, Study, write_texts
from peers import machine, measure

from llemma.core.errors import InputError, LlemmaError, WorkError
from llemma.core.files import atomic_folder, read_json, write_json, write_text
from llemma.guard.checkpoints import list_checkpoints

BASE_TOKENS = 1_228_800  # 600 steps of 2,048
ARM_TOKENS = 983_040  # 480 steps: about three minutes of CPU on one core of 2026
DOCUMENTS = 40  # held-out documents of each source that are measured


class Work:
    """The folder of a study: what is done is found there, what is not is made."""

    def __init__(self, folder: Path, study: Study) -> None:
        """Refuses a folder of another study: its results would be mixed."""
        self.folder, self.study = folder, study
        facts = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(study).items()}
        mark = folder / "study.json"
        if mark.exists() and read_json(mark) != facts:
            raise InputError(f"{folder}: holds a study of other sources, shares or lengths: name another folder")
        write_json(mark, facts)

    def mixture(self, name: str) -> Path:
        """The mixture of the base or of an arm."""
        return self.folder / "data" / name / "mixture.json"

    @property
    def tokenizer(self) -> Path:
        """The one tokenizer, trained on all sources."""
        return self.mixture(self.study.widest).parent / "tokenizer"

    def build(self, folders: dict[str, Path]) -> None:
        """Builds the data of the base and of every arm."""
        texts = self.folder / "texts"
        for source, folder in folders.items():
            if not (texts / f"{source}.jsonl").exists():
                write_texts(folder, source, texts / f"{source}.jsonl")
        for name in dict.fromkeys((self.study.widest, "base", *self.study.arms)):
            out = self.mixture(name).parent
            if (out / "manifest.json").exists():
                continue
            recipe = self.folder / "recipes" / f"{name}.yml"
            write_text(recipe, yaml.safe_dump(self.study.data_recipe(name, texts), sort_keys=False))
            given = [] if name == self.study.widest else ["--tokenizer", self.tokenizer]
            _call("proof_pile.build", "run", "--recipe", recipe, "--out", out, "--workers", 1, *given)

    def train(self, seed: int) -> None:
        """Plans and trains the base and the arms of a seed, and measures them."""
        folder, stages = self.folder / f"seed-{seed}", ("base", *self.study.arms)
        run, costs_file = folder / "run", folder / "costs.json"
        if not (run / "record.json").exists():
            write_text(folder / "training.yml", yaml.safe_dump(self.study.training_overlay(seed)))
            recipe = self.study.run_recipe(folder / "training.yml")
            write_text(folder / "recipe.yml", yaml.safe_dump(recipe, sort_keys=False))
            data = [word for stage in stages for word in ("--data", f"{stage}={self.mixture(stage)}")]
            _call("llemma", "plan", folder / "recipe.yml", *data, "--out", run)
        for number, stage in enumerate(stages, start=1):
            places = run / "train" / f"{number:02d}-{stage}"
            costs: dict[str, Any] = read_json(costs_file) if costs_file.exists() else {}
            if stage not in costs:
                cost = _call("llemma", "train", run, "--stage", number, "--threads", 1, "--device", "cpu")
                if not (places / "record.json").exists():  # asked to stop, the trainer saves and ends with code 0
                    raise WorkError(f"{places}: its training was stopped: give the same command to go on")
                write_json(costs_file, costs | {stage: cost})
            checkpoints = list_checkpoints(places / "checkpoints")
            if stage == "base":
                self._measure(checkpoints[-1][1], folder / "measured" / "base-0")
                continue
            for step, checkpoint in checkpoints:
                if step % self.study.measured_every == 0:
                    self._measure(checkpoint, folder / "measured" / f"{stage}-{step}")

    def _measure(self, checkpoint: Path, out: Path) -> None:
        """Perplexities by source of a checkpoint, which is a Hugging Face folder but for the tokenizer."""
        if (out / "perplexity.json").exists():
            return
        model = out.with_name(f"{out.name}-model")
        with atomic_folder(model, replace=True) as scratch:
            for file in (*checkpoint.iterdir(), *self.tokenizer.iterdir()):
                if file.name != "manifest.json" and file.name != "optimizer.safetensors":
                    shutil.copyfile(file, scratch / file.name)
        texts = ["--texts", self.mixture(self.study.widest), "--split", "validation", "--limit", DOCUMENTS]
        _call("eval_tasks", "perplexity", "--model", model, *texts, "--device", "cpu", "--out", out)
        shutil.rmtree(model)

    def points(self, seed: int) -> list[Point]:
        """What was measured of a seed; the base is the first point of every arm."""
        found = []
        for arm in self.study.arms:
            for number in range(NUM_MEASURED + 1):
                step = number * self.study.measured_every
                folder = self.folder / f"seed-{seed}" / "measured" / (f"{arm}-{step}" if step else "base-0")
                totals = read_json(folder / "perplexity.json")["sources"]
                for source in self.study.sources:
                    perplexity = totals[source]["token_perplexity"]
                    tokens = step * SEQ_LENGTH * BATCH
                    found.append(Point(seed=seed, arm=arm, source=source, tokens=tokens, perplexity=perplexity))
        return found


def _call(module: str, *words: object) -> dict[str, float]:
    """Runs one of our programs on one thread as a user would; gives its CPU and wall seconds."""
    print("  " + " ".join(["python", "-m", module, *map(str, words)]), file=sys.stderr, flush=True)
    took = measure([sys.executable, "-m", module, *map(str, words)], env={"OMP_NUM_THREADS": "1"})
    print(f"    {took.cpu_s:.1f} s of CPU, {took.wall_s:.1f} s", file=sys.stderr, flush=True)
    return {"cpu_s": round(took.cpu_s, 1), "wall_s": round(took.wall_s, 1)}


def main() -> int:
    """Does what is not done yet, draws the plot and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--general", type=Path, required=True, help="folder of general text")
    parser.add_argument("--math", type=Path, required=True, help="folder of mathematical text")
    parser.add_argument("--code", type=Path, help="folder of programs")
    parser.add_argument("--work", type=Path, required=True, help="folder of the study")
    parser.add_argument("--seeds", type=_numbers(int), default=[1, 2, 3], help="default: 1,2,3")
    parser.add_argument("--shares", type=_numbers(float), default=[5.0, 0.0], help="percent of general data: 5,0")
    parser.add_argument("--base-tokens", type=int, default=BASE_TOKENS, help="(%(default)s)")
    parser.add_argument("--tokens", type=int, default=ARM_TOKENS, help="of each arm (%(default)s)")
    parser.add_argument("--plot", type=Path, help="default: FOLDER/learning.png")
    parser.add_argument("--json", type=Path, help="every measured point, and the seconds")
    args = parser.parse_args()
    folders = {MATHEMATICS: args.math, TEXT: args.general} | ({CODE: args.code} if args.code else {})
    try:
        for folder in folders.values():
            if not folder.is_dir():
                raise InputError(f"{folder}: there is no such folder")
        if not 0 < max(args.shares) < 100 or min(args.shares) < 0:
            raise InputError("--shares: each must be at least 0 and below 100, and one above 0, such as 5,0")
        study = Study(
            sources=tuple(folders), shares=tuple(args.shares), base_tokens=args.base_tokens, arm_tokens=args.tokens
        )
        work = Work(args.work, study)
        work.build(folders)
        for seed in args.seeds:
            work.train(seed)
    except LlemmaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    points = [point for seed in args.seeds for point in work.points(seed)]
    costs = {seed: read_json(args.work / f"seed-{seed}" / "costs.json") for seed in args.seeds}
    if args.json:
        write_json(args.json, {"machine": machine(), "points": [asdict(point) for point in points], "costs": costs})
    draw(points, args.plot or args.work / "learning.png")
    print(f"{machine()}\n\n{tables(points, costs)}")
    return 0


def _numbers(kind: Any) -> Any:
    def read(text: str) -> list[Any]:
        return [kind(word) for word in text.split(",")]

    return read


if __name__ == "__main__":
    sys.exit(main())

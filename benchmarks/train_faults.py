"""What the embedded trainer makes of faults: real processes, real signals, full disks, damaged files, hung ranks.

    python benchmarks/train_faults.py --data DIR --work FOLDER [--only WORD …] [--seeds 5] [--kills 20]

DIR is a build of `python -m proof_pile.build run` (its built-in sample will do).  A model of 3.3 M parameters is
trained for 60 steps by `llemma train`, a checkpoint every five steps; then the same run once for each fault, the
command given again until the stage is finished.  Printed, for each: what happened and with which exit codes, the
ledger's seconds (steps made again, between attempts) and steps, the last validation loss and how far it is from the
undisturbed run's, also in standard deviations of that loss over runs with other orders of the data (`--seeds`), all
measured on the same samples.
Where no step is left out the weights must be the undisturbed run's, bit by bit.  Ends with code 1 where a run did not
end in words, was not finished, differs, or where its ledger does not add up.  The file systems of the full and the
read-only disk are mounted, which takes root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import machine, print_rows
from llemma.core.files import sha256_file
from llemma.guard.ledger import read_lines, sum_up

STEPS, EVERY = 60, 5
BATCH, SEQ_LENGTH = 4, 64
STAGE = "train/01-math"
WORDS = ("--threads", "1", "--device", "cpu")
GUARD = {"min_values": 16, "window": 64, "max_skips_in_a_row": 3}
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One command and how it ended."""

    code: int
    said: str

    @property
    def last_words(self) -> str:
        """The line that says why it ended."""
        lines = [line for line in self.said.splitlines() if line.startswith(("error: ", "Timeout ("))]
        return lines[-1] if lines else ""


@dataclass(kw_only=True)
class Case:
    """A fault's run directory and the attempts that were made in it."""

    name: str
    run: Path
    data: Path
    attempts: list[Attempt] = field(default_factory=list)
    skips: bool = False  # some steps may be left out: only the loss is compared
    may_differ: bool = False  # another number of processes adds up in another order

    def train(self, plan: dict[str, Any] | None = None, *words: str, wait_s: float = 600) -> Attempt:
        """`llemma train`, with faults planted in it or without, to its end."""
        return self.ended(self.started(plan, *words), wait_s)

    def started(self, plan: dict[str, Any] | None = None, *words: str) -> subprocess.Popen[str]:
        """The same, begun."""
        program = ["-m", "llemma"]
        if plan is not None:
            path = self.run.with_name(f"{self.run.name}.plan.json")
            path.write_text(json.dumps(plan))
            program = [str(ROOT / "benchmarks/planted_train_faults.py"), str(path)]
        command = [sys.executable, *program, "train", str(self.run), *WORDS, *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def ended(self, process: subprocess.Popen[str], wait_s: float = 600) -> Attempt:
        """Waits for a command's end; kept among the attempts."""
        out, err = process.communicate(timeout=wait_s)
        self.attempts.append(Attempt(code=process.returncode, said=(out or "") + (err or "")))
        return self.attempts[-1]

    def reached(self, step: int, process: subprocess.Popen[str], above: int = -1) -> None:
        """Waits until the run has made a step in this attempt, which goes on from the step `above`."""
        path, began = self.run / STAGE / "metrics.jsonl", time.time()
        while process.poll() is None:
            if path.exists() and path.stat().st_mtime > began and step <= max(above, last_step(path)):
                return
            time.sleep(0.02)

    def finish(self) -> None:
        """Gives the plain command until the stage is finished; gives up after three times."""
        for _ in range(3):
            if (self.run / "export/hf").exists():
                return
            self.train()

    @property
    def newest(self) -> Path:
        """The newest checkpoint."""
        return max((self.run / STAGE / "checkpoints").glob("step_*"))


Fault = Callable[[Case], None]


def last_step(path: Path) -> int:
    """The last step that has a line, 0 where there is none."""
    return max((line["iteration"] for line in lines_of(path) if line["kind"] == "train"), default=0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


# ---------------------------------------------------------------------- faults


def planted(plan: dict[str, Any], *words: str, skips: bool = False) -> Fault:
    """One attempt with planted faults, then plain ones until the end."""

    def act(case: Case) -> None:
        case.skips = skips
        case.train(plan, *words)
        case.finish()

    return act


def killed_at_random(kills: int) -> Fault:
    def act(case: Case) -> None:
        moments = random.Random(4)
        for _ in range(kills):
            checkpoints = sorted((case.run / STAGE / "checkpoints").glob("step_*"))
            saved = int(checkpoints[-1].name.split("_")[1]) if checkpoints else 0
            process = case.started()
            case.reached(min(saved + moments.randrange(2 * EVERY), STEPS), process, above=saved)
            time.sleep(moments.uniform(0, 0.3))
            process.kill()
            case.ended(process)
        case.finish()

    return act


def killed_in_all_parts_of_a_write(case: Case) -> None:
    for operation in range(1, 100, 3):
        if case.train({"kill_in_write": [1, operation]}).code == 0:
            break
    case.finish()


def signalled(place: str, call: int, *numbers: int) -> Fault:
    return planted({"signal": [place, call, list(numbers)]})


def stopped_while_it_starts(case: Case) -> None:
    for seconds in (0.05, 0.3, 0.8, 1.5):
        process = case.started()
        time.sleep(seconds)
        process.terminate()
        case.ended(process)
    case.finish()


def asleep(case: Case) -> None:
    """The whole process stands still for ten seconds, as on a closed laptop."""
    process = case.started({"stop": 22})
    case.reached(21, process)
    time.sleep(10)
    process.send_signal(signal.SIGCONT)
    case.ended(process)


def reader_goes_away(case: Case) -> None:
    """`llemma train RUN 2>&1 | head -1`."""
    process = case.started()
    case.reached(3, process)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    process.stdout = process.stderr = None
    case.ended(process)
    case.finish()


@contextlib.contextmanager
def small_disk(case: Case, size: str) -> Iterator[Callable[[str], None]]:
    """The run directory on a file system of its own; yields what mounts it anew with other options."""
    kept = case.run.with_name(f"{case.run.name}-kept")
    case.run.rename(kept)
    case.run.mkdir()

    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(case.run)], check=True)

    mount(f"size={size}")
    try:
        shutil.copytree(kept, case.run, dirs_exist_ok=True)
        yield lambda options: mount(f"remount,{options}")
        shutil.rmtree(kept)
        shutil.copytree(case.run, kept, ignore=shutil.ignore_patterns(".filler"))
    finally:
        subprocess.run(["umount", str(case.run)], check=True)
        case.run.rmdir()
        kept.rename(case.run)


def disk_full_in_a_checkpoint(case: Case) -> None:
    with small_disk(case, "100m") as remount:
        case.train()
        remount("size=400m")
        case.finish()


def disk_full_in_a_step(case: Case) -> None:
    filler = case.run / ".filler"
    with small_disk(case, "200m"):
        case.train({"fill": [23, str(filler)]})
        filler.unlink()
        case.finish()


def read_only(case: Case) -> None:
    """From the beginning: the system does not let a file system with files open for writing become read-only."""
    with small_disk(case, "400m") as remount:
        remount("ro")
        case.train()
        remount("rw")
        case.finish()


def moved_between_attempts(case: Case) -> None:
    case.train({"kill": 33})
    target = case.run.with_name("elsewhere and renamed")
    case.run.rename(target)
    case.run = target
    case.finish()


def moved_while_it_runs(case: Case) -> None:
    target = case.run.with_name(f"{case.run.name}-moved")
    case.train({"rename": [22, str(case.run), str(target)]})
    shutil.rmtree(case.run, ignore_errors=True)
    case.run = target
    case.finish()


def two_at_once(case: Case) -> None:
    process = case.started()
    case.reached(2, process)
    case.train()
    case.ended(process)
    case.finish()


def checkpoint_damaged(name: str, how: str) -> Fault:
    def act(case: Case) -> None:
        case.train({"kill": 33})
        path = case.newest / name if name != "latest" else case.run / STAGE / "checkpoints/latest"
        value = bytearray(path.read_bytes())
        if how == "removed":
            path.unlink()
        elif how == "cut":
            path.write_bytes(value[: len(value) // 2])
        else:
            value[len(value) // 2] ^= 4
            path.write_bytes(value)
        case.finish()

    return act


def shard_damaged(suffix: str, how: str, *, step: int | None) -> Fault:
    """A shard is damaged in the middle of the run, or before it; then put back as it was."""

    def act(case: Case) -> None:
        mixture = json.loads((case.data / "mixture.json").read_text())
        path = case.data / (
            max(mixture["sources"], key=lambda source: source["weight"])["splits"]["train"]["path"] + suffix
        )
        good = path.read_bytes()
        if step is not None:
            case.train({"damage": [step, str(path), how]})
        else:
            from benchmarks.planted_train_faults import damage

            damage(str(path), how)
            case.train()
        path.write_bytes(good)
        if step is None and (case.run / STAGE / "checkpoints").exists():
            case.train()  # was begun on other data: refused
            shutil.rmtree(case.run / "train")
        case.finish()

    return act


def rank_fails(number: int, *words: str) -> Fault:
    """Of two processes the second gets a signal at step 22: it is gone, or stands still for ever."""

    def act(case: Case) -> None:
        case.may_differ = True
        process = case.started(None, "--processes", "2", *words)
        case.reached(22, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), number)
        case.ended(process)
        case.train(None, "--processes", "2")
        case.finish()

    return act


HANG = ("--hang-timeout", "8")
TERM, HUP, INT = signal.SIGTERM, signal.SIGHUP, signal.SIGINT


def faults(kills: int) -> dict[str, Fault]:
    """Every fault by its name."""
    files = ("model.safetensors", "optimizer.safetensors", "config.json", "trainer.json", "manifest.json", "latest")
    return {
        "NaN loss in step 30": planted({"nan": [30]}, skips=True),
        "infinite gradient in step 30": planted({"infinite_gradient": [30]}, skips=True),
        "loss 1,000 times as large in step 30": planted({"spike": [30]}, skips=True),
        "samples of steps 30 to 32 are NaN": planted({"poisoned": list(range(29 * BATCH, 32 * BATCH))}, skips=True),
        "one weight becomes NaN in step 33": planted({"broken_weight": 33}, skips=True),
        f"kill -9 at {kills} random moments": killed_at_random(kills),
        "kill -9 at every third file operation of a checkpoint": killed_in_all_parts_of_a_write,
        "SIGTERM in a validation": signalled("validation", 2, TERM),
        "SIGTERM in a checkpoint": signalled("write", 2, TERM),
        "SIGHUP in a validation": signalled("validation", 2, HUP),
        "Ctrl-C in a checkpoint": signalled("write", 2, INT),
        "Ctrl-C twice in a checkpoint": signalled("write", 2, INT, INT),
        "SIGTERM while the model is loaded": signalled("load", 1, TERM),
        "SIGTERM in the export": signalled("export", 1, TERM),
        "SIGTERM at four moments of the start": stopped_while_it_starts,
        "step hangs": planted({"hang": 22}, *HANG),
        "reading of data hangs": planted({"hang_loader": 22}, *HANG),
        "process stands still for 10 s": asleep,
        "reader of its output goes away": reader_goes_away,
        "clock jumps a day ahead, then two back": planted({"clock": [[20, 86400], [40, -172800]]}),
        "disk full in a checkpoint": disk_full_in_a_checkpoint,
        "disk full in a step": disk_full_in_a_step,
        "run directory read-only from the beginning": read_only,
        "run directory moved between attempts": moved_between_attempts,
        "run directory moved while it runs": moved_while_it_runs,
        "two trainers at once": two_at_once,
        **{
            f"newest checkpoint: {file} {how}": checkpoint_damaged(file, how)
            for file in files
            for how in ("with one bit changed", "cut", "removed")
            if how == "with one bit changed" or file in (files[0], files[-1])
        },
        "shard's .bin cut in step 20": shard_damaged(".bin", "cut", step=20),
        "shard's .idx cut in step 20": shard_damaged(".idx", "cut", step=20),
        "unknown tokens in a shard from step 20 on": shard_damaged(".bin", "tokens", step=20),
        "unknown tokens in a shard before the run": shard_damaged(".bin", "tokens", step=None),
        "shard's .bin cut before the run": shard_damaged(".bin", "cut", step=None),
        "shard's .idx cut before the run": shard_damaged(".idx", "cut", step=None),
        "shard's .idx changed before the run": shard_damaged(".idx", "tokens", step=None),
        "one of two processes gets kill -9": rank_fails(signal.SIGKILL),
        "one of two processes stands still": rank_fails(signal.SIGSTOP, *HANG),
    }


# ---------------------------------------------------------------------- the runs


class Bench:
    """The folder of a measurement: one data build, one base model, a planned run for each seed."""

    def __init__(self, work: Path, data: Path) -> None:
        self.work, self.data = work, work / "data"
        if not self.data.exists():
            shutil.copytree(data, self.data, ignore=shutil.ignore_patterns("steps", "text"))

    def call(self, *words: object) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "llemma", *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode:
            raise SystemExit(f"{words}: ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def planned(self, seed: int, base: Path | None) -> Path:
        """A planned run directory."""
        folder = self.work / f"plan-{seed if base else 'base'}"
        if (folder / "run").exists():
            return folder / "run"
        folder.mkdir(parents=True, exist_ok=True)
        from llemma.core.config import load_yaml
        from neox_configs import config_path

        training = dict(load_yaml(config_path("training", "smoke_cpu")).value)
        training |= {
            "train_batch_size": BATCH, "train_micro_batch_size_per_gpu": BATCH // 2, "seed": seed, "eval_interval": 30,
            "eval_iters": 20, "checkpoint_factor": EVERY, "keep_last_n_checkpoints": 3,
        }  # fmt: skip
        model = dict(load_yaml(config_path("models", "tiny")).value) | {"seq_length": SEQ_LENGTH}
        cluster = load_yaml(config_path("clusters", "cpu")).value
        for name, values in (("model", model), ("training", training), ("cluster", dict(cluster))):
            (folder / f"{name}.yml").write_text(json.dumps(values))
        stage = {
            "name": "math", "tokens": STEPS * BATCH * SEQ_LENGTH, "guard": GUARD,
            "learning_rate": {"shape": "cosine", "peak": 0.002, "final": 6.67e-5, "warmup_iters": 6},
        }  # fmt: skip
        recipe = {
            "title": "Faults", "model": "model.yml", "training": "training.yml", "cluster": "cluster.yml",
            "start": "checkpoint" if base else "noise", "max_epochs": 64, "stages": [stage],
        }  # fmt: skip
        (folder / "recipe.yml").write_text(json.dumps(recipe))
        start = ["--init-from", base] if base else []
        self.call("plan", folder / "recipe.yml", "--data", self.data / "mixture.json", *start, "--out", folder / "run")
        return folder / "run"

    def base(self) -> Path:
        """The model that all runs begin with, trained from noise for as long as one of them."""
        run = self.planned(1, None)
        if not (run / "export/hf").exists():
            self.call("train", run, *WORDS)
        return run / "export/hf"

    def undisturbed(self, seed: int) -> Path:
        """A run of a seed that nothing happened to."""
        folder = self.work / f"undisturbed-{seed}"
        if not (folder / "export/hf").exists():
            shutil.copytree(self.planned(seed, self.base()), folder, dirs_exist_ok=True)
            self.call("train", folder, *WORDS)
        return folder

    def case(self, name: str) -> Case:
        """A fresh run of the first seed, with data of its own where a fault spoils them."""
        folder = self.work / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.planned(1, self.base()), folder / "run")
        data = folder / "data"
        shutil.copytree(self.data, data)
        for path in (folder / "run/stages/01-math").iterdir():
            path.write_text(path.read_text().replace(str(self.data), str(data)))
        return Case(name=name, run=folder / "run", data=data)


def validation_loss(run: Path) -> float:
    """The last of a finished run."""
    return float([line for line in lines_of(run / STAGE / "metrics.jsonl") if line["kind"] == "validation"][-1]["loss"])


def loss_by_the_measure_of(run: Path, first: Path) -> float:
    """The validation loss of a finished run's model on the validation samples of another run: an order has its own."""
    import torch

    from llemma.train.data.batch import BatchRules
    from llemma.train.data.samples import validation_set
    from llemma.train.model.weights import load_model
    from llemma.train.objective import NEXT_TOKEN
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings
    from llemma.train.validation import validation_loss as measured

    settings = read_settings(find_stages(first)[0])
    model = load_model(run / "export/hf", torch.device("cpu"))
    chosen = validation_set(settings, model.config.vocab_size)
    assert chosen is not None  # the recipe above validates
    return measured(model, chosen, settings.micro_batch, "fp32", BatchRules(), NEXT_TOKEN, lambda: None).loss


def weights(run: Path) -> str:
    return sha256_file(run / "export/hf/model.safetensors")


def row(case: Case, clean: Path, noise: float) -> tuple[list[str], list[str]]:
    """A line of the table, and what is wrong with what it tells."""
    wrong = []
    if not (case.run / "export/hf").exists():
        wrong.append("was not finished")
        return [case.name, *[""] * 8], wrong
    if any("Traceback" in attempt.said for attempt in case.attempts):
        wrong.append("ended in a traceback")
    lines = list(read_lines(case.run / STAGE / "ledger.jsonl"))
    totals = sum_up(lines)
    passed = lines[-1]["time"] - lines[0]["time"]
    told = totals.useful_seconds + totals.lost_seconds + totals.pause_seconds
    if totals.useful_steps != STEPS or totals.state != "finished" or abs(told - passed) > 0.01 or told > 3000:
        wrong.append(f"the ledger tells of {totals.useful_steps} steps and {told:.1f} of {passed:.1f} s")
    loss = validation_loss(case.run)
    difference = loss - validation_loss(clean)
    is_same = weights(case.run) == weights(clean)
    if not is_same and not case.skips and not case.may_differ:
        wrong.append("its weights are not those of the undisturbed run")
    if abs(difference) > (2 * noise if case.skips else 1e-4):
        wrong.append(f"its loss differs by {difference:.5f}")
    codes = [attempt.code for attempt in case.attempts]
    shown = ", ".join(map(str, codes)) if len(codes) < 7 else f"{len(codes) - 1} times {codes[0]}, then {codes[-1]}"
    words = next((attempt.last_words for attempt in case.attempts if attempt.last_words), "")
    return [
        case.name,
        shown,
        words.removeprefix("error: ").replace(str(case.run.parent), "…")[:110].replace("|", "/"),
        f"{totals.lost_seconds:.1f}",
        f"{totals.pause_seconds:.1f}",
        str(totals.repeated_steps),
        f"{totals.skipped_steps} / {totals.excluded_samples}",
        f"{loss:.5f}",
        "the same bits" if is_same else f"{difference:+.5f} ({abs(difference) / noise:.2f} s.d.)",
    ], wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a finished data build")
    parser.add_argument("--work", type=Path, required=True, help="a folder that runs are made in")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only faults whose name holds one of these")
    parser.add_argument("--seeds", type=int, default=5, help="orders of the data that tell the noise")
    parser.add_argument("--kills", type=int, default=20, help="kill -9 at so many random moments")
    options = parser.parse_args()
    # Begun in the background, the runs would rightly ignore what the shell has ignored for them.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    bench = Bench(options.work.resolve(), options.data)
    clean = bench.undisturbed(1)
    losses = [loss_by_the_measure_of(bench.undisturbed(seed), clean) for seed in range(1, options.seeds + 1)]
    noise = statistics.stdev(losses)
    print(
        f"{machine()}\n\nundisturbed: {losses[0]:.5f}; {len(losses)} orders of the data: s.d. {noise:.5f}\n", flush=True
    )
    rows: list[Sequence[str]] = []
    faulty = []
    for name, act in faults(options.kills).items():
        if options.only and not any(word in name for word in options.only):
            continue
        case = bench.case(name)
        try:
            act(case)
            cells, wrong = row(case, clean, noise)
        except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            cells, wrong = [name, *[""] * 8], [f"the fault could not be planted or judged: {error!r}"]
        rows.append(cells)
        faulty += [f"{name}: {item}" for item in wrong]
        print("; ".join([*cells, *wrong]), file=sys.stderr, flush=True)
        if wrong:
            print("\n".join(attempt.said[-2000:] for attempt in case.attempts), file=sys.stderr, flush=True)
    print_rows(
        ["fault", "exit codes", "what it said first", "s lost", "s between attempts", "steps made again",
         "steps left out / samples excluded", "last validation loss", "beside the undisturbed run"],
        rows,
    )  # fmt: skip
    if faulty:
        raise SystemExit("\n".join(faulty))


if __name__ == "__main__":
    main()

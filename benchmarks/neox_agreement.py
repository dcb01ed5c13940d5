"""GPT-NeoX beside the embedded trainer, and beside itself after faults and on other numbers of processes.

    python benchmarks/neox_agreement.py --neox-dir DIR --neox-python PYTHON [--work FOLDER] [--only NAME ...]
                                        [--json FILE]

Everything is done by the commands that a user has: shards by `proof_pile.build` (its sample, or --data), weights by
`llemma convert`, runs by `llemma plan` and `llemma launch`. The configurations are the rendered ones of Llemma 7B and
34B with every size small. NeoX is an unmodified checkout that trains on the CPU with all repairs. Parts:

trainers       the same weights and batches in both engines: first loss, largest difference in the steps after it
objectives     fine-tuning in two stages and KTO (small_sft_kto), and DPO (small_dpo), stage by stage in both engines
faults         a rank ended by kill -9, then the newest checkpoint cut off, beside the same run undisturbed
processes      a checkpoint of ZeRO-1 cut for other data- and tensor-parallel sizes, beside the run that was not cut
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import machine

ROOT = Path(__file__).resolve().parents[1]
STEPS = 21  # the first, and twenty after it
CUT_AT = 10
SIZES: dict[str, Any] = {
    "num_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 768,  # a true width of 256
    "seq_length": 64,
    "max_position_embeddings": 64,
}
LENGTHS: dict[str, Any] = {
    "train_iters": STEPS,
    "lr_decay_iters": STEPS,
    "train_batch_size": 8,
    "train_micro_batch_size_per_gpu": 2,
    "checkpoint_factor": CUT_AT,
    "eval_interval": 100,
    "eval_iters": 1,
    "num_workers": 0,
}
# Llemma's mode needs another rate to move a small model in twenty steps, and fp32 to compare more than two digits.
_BF16_KEYS = ("bf16", "fp32_allreduce", "data_types", "zero_optimization")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: which model, how it is spread, and in which precision."""

    model: str = "llemma_7b"
    tensor: int = 1
    data: int = 1
    micro_batch: int = 2
    bf16: bool = False
    zero: bool = False

    @property
    def name(self) -> str:
        """A folder's name, different for different cases."""
        words = [self.model, f"tp{self.tensor}", f"dp{self.data}", f"micro{self.micro_batch}"]
        return "-".join([*words, "bf16" if self.bf16 else "fp32", *(["zero1"] if self.zero else [])])

    @property
    def label(self) -> str:
        """The case in words."""
        what = {"llemma_7b": "multi-head, 1e4", "llemma_34b": "grouped-query, 1e6"}[self.model]
        mode = "bf16" if self.bf16 else "fp32"
        return f"{what}, {mode}{', ZeRO-1' if self.zero else ''}, TP {self.tensor}, DP {self.data}"

    @property
    def accumulation(self) -> int:
        """Micro-batches that each process adds up in a step."""
        return int(LENGTHS["train_batch_size"]) // (self.micro_batch * self.data)


class Bench:
    """The folders and programs of one measurement."""

    def __init__(self, work: Path, data: Path, neox_dir: Path, neox_python: str) -> None:
        self.work, self.data, self.neox_dir, self.neox_python = work, data, neox_dir, neox_python

    def call(self, *words: object, python: str = sys.executable) -> str:
        """What a command of this library prints. Raises SystemExit with it where the command fails."""
        done = subprocess.run(
            [python, "-m", "llemma", *map(str, words)], env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{words}: ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def launch_words(self, run: Path) -> list[str]:
        """`llemma launch` of a run in the checkout."""
        words = ("launch", run, "--engine", "neox", "--neox-dir", self.neox_dir, "--python", self.neox_python)
        return [str(word) for word in words]

    def base(self, model: str) -> Path:
        """Random weights of a shrunk model in Hugging Face's layout."""
        folder = self.work / f"base-{model}"
        if not folder.exists():
            write_base(folder, self.overlay(model), self.data / "tokenizer")
        return folder

    def overlay(self, model: str) -> dict[str, Any]:
        """The shipped overlay of a model, its sizes small."""
        from llemma.core.schemas import Mixture

        rows = Mixture.read(self.data / "mixture.json").tokenizer.vocab_size
        found = shipped("models", model) | SIZES | {"padded_vocab_size": rows}
        return found | ({"num_kv_heads": 2} if model == "llemma_34b" else {})

    def start(self, case: Case) -> Path:
        """The same weights for GPT-NeoX, on the case's tensor-parallel ranks."""
        folder = self.work / f"start-{case.model}-tp{case.tensor}"
        if not folder.exists():
            self.call("convert", self.base(case.model), folder, "--to", "neox", "--tp", case.tensor)
        return folder

    def plan(self, case: Case, engine: str, name: str = "", **changes: Any) -> Path:
        """A new run directory of a case."""
        folder = self.work / f"{case.name}-{engine}{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        training = shipped("training", f"{case.model}_training") | LENGTHS
        training["train_micro_batch_size_per_gpu"] = case.micro_batch
        if case.bf16:
            # Two buffers of this many numbers would be laid out, for a model of half a million parameters.
            training["zero_optimization"] |= {"allgather_bucket_size": 500000, "reduce_bucket_size": 500000}
        else:
            for key in _BF16_KEYS:
                del training[key]
            training |= {"precision": "fp32", "min_lr": 0.0001, "warmup": 0.1}
            training["optimizer"]["params"]["lr"] = 0.003
            if case.zero:
                training["zero_optimization"] = {"stage": 1}
        cluster = {
            "title": "CPU", "accelerator": "CPU", "nodes": 1, "gpus_per_node": case.tensor * case.data,
            "backend": "gloo", "attention": "global", "tensor_parallel": case.tensor,
        }  # fmt: skip
        for file, values in (
            ("model", self.overlay(case.model)), ("training", training | changes), ("cluster", cluster),
        ):  # fmt: skip
            (folder / f"{file}.yml").write_text(json.dumps(values))
        (folder / "recipe.yml").write_text(
            "title: T\nmodel: model.yml\ntraining: training.yml\ncluster: cluster.yml\nstart: checkpoint\n"
            "max_epochs: 64\nstages: [{name: one}]\n"
        )
        start = self.start(case) if engine == "neox" else self.base(case.model)
        self.call(
            "plan", folder / "recipe.yml", "--data", self.data / "mixture.json", "--init-from", start,
            "--out", folder / "run",
        )  # fmt: skip
        return folder / "run"

    def neox_losses(self, case: Case, name: str = "", **changes: Any) -> dict[int, float]:
        """The losses of a case trained by GPT-NeoX, by iteration; the run is kept for others to look at."""
        note(f"GPT-NeoX: {case.label}{name}")
        return losses(self.launch(self.plan(case, "neox", name, **changes)))

    def launch(self, run: Path) -> str:
        """What `llemma launch --engine neox` prints."""
        return self.call(*self.launch_words(run))

    def hand_over(self, source: Path, target: Path, old: Case, new: Case) -> None:
        """Lays a run's checkpoint of step 10 where another run will look for it; `llemma launch` cuts it for that."""
        if new.tensor != old.tensor:
            keep = ("--to", "neox", "--step", CUT_AT, "--tp", new.tensor, "--optimizer", "keep")
            keep += ("--hf-files", self.base(old.model))
            target.parent.mkdir(parents=True, exist_ok=True)
            self.call("convert", source, target, *keep, python=self.neox_python)
        else:
            shutil.copytree(source / f"global_step{CUT_AT}", target / f"global_step{CUT_AT}")
            (target / "latest").write_text(f"global_step{CUT_AT}")

    def optimizer_facts(self, run: Path) -> set[str]:
        """Step counts and settings of the parameter groups in a run's last checkpoint, of all ranks together."""
        folder = run / f"train/01-one/checkpoints/global_step{STEPS}"
        command = [self.neox_python, "-c", OPTIMIZER_FACTS, str(folder)]
        variables = environment() | {"DS_ACCELERATOR": "cpu"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{folder}: its optimizer's state cannot be read\n{done.stderr[-3000:]}")
        return {line for line in done.stdout.splitlines() if line.startswith("[")}

    def embedded_losses(self, case: Case) -> dict[int, float]:
        """The losses of a case trained by the embedded trainer, which splits no tensors; the batch stays the same."""
        note(f"embedded: {case.label}")
        run = self.plan(dataclasses.replace(case, tensor=1), "embedded")
        self.call("train", run, "--threads", 1, "--device", "cpu")
        lines = map(json.loads, (run / "train/01-one/metrics.jsonl").read_text().splitlines())
        return {line["iteration"]: line["loss"] for line in lines if line["kind"] == "train"}


OPTIMIZER_FACTS = """
import json, sys
from pathlib import Path
from llemma.checkpoint.pickles import deepspeed_classes, load_pickled
for path in Path(sys.argv[1]).glob("*optim_states.pt"):
    base = load_pickled(path, deepspeed_classes(path))["optimizer_state_dict"]["base_optimizer_state"]
    for group in base["param_groups"]:
        steps = [float(base["state"][number]["step"]) for number in group["params"]]
        print(json.dumps([steps, {key: value for key, value in group.items() if key != "params"}], sort_keys=True))
"""


def shipped(kind: str, name: str) -> dict[str, Any]:
    """The keys of an overlay of ours."""
    from llemma.core.config import load_yaml
    from neox_configs import config_path

    return dict(load_yaml(config_path(kind, name)).value)


def write_base(folder: Path, keys: dict[str, Any], tokenizer: Path) -> None:
    """A Llama with seeded weights, wide enough (0.05) for attention to matter from the first step."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from llemma.neox.units import true_ffn_width

    torch.manual_seed(11)
    heads = keys["num_attention_heads"]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=keys["padded_vocab_size"],
            hidden_size=keys["hidden_size"],
            num_hidden_layers=keys["num_layers"],
            num_attention_heads=heads,
            num_key_value_heads=keys.get("num_kv_heads", heads),
            intermediate_size=true_ffn_width(keys["intermediate_size"]),
            max_position_embeddings=keys["max_position_embeddings"],
            rms_norm_eps=keys["rms_norm_epsilon"],
            rope_parameters={"rope_type": "default", "rope_theta": float(keys["rotary_emb_base"])},
            tie_word_embeddings=False,
            initializer_range=0.05,
            bos_token_id=1,
            eos_token_id=2,
            dtype="float32",
        )
    )
    model.save_pretrained(folder)
    for file in tokenizer.iterdir():
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def environment() -> dict[str, str]:
    """One thread a process, and this repository first."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def losses(output: str) -> dict[int, float]:
    """The losses in NeoX's log, by iteration; of one that was done twice, the last."""
    found = re.findall(r"iteration +(\d+)/.*?lm_loss: ([0-9.E+\-naif]+)", output, re.IGNORECASE)
    return {int(number): float(loss) for number, loss in found}


def largest(one: dict[int, float], two: dict[int, float], first: int = 1) -> float:
    """The largest difference of two runs from an iteration on. Raises SystemExit where they hold other iterations."""
    if one.keys() != two.keys():
        raise SystemExit(f"other iterations: {sorted(one)} against {sorted(two)}")
    return max(abs(one[step] - two[step]) for step in one if step >= first)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


Row = dict[str, Any]


def trainers(bench: Bench) -> Iterator[Row]:
    """Both engines from the same weights on the same batches."""
    for case in (
        Case(),
        Case(model="llemma_34b"),
        Case(model="llemma_34b", tensor=2),
        Case(micro_batch=8),
        Case(data=2, micro_batch=1),
        Case(model="llemma_34b", data=2, zero=True),
        Case(tensor=2, bf16=True, zero=True),
    ):
        ours, theirs = bench.embedded_losses(case), bench.neox_losses(case)
        yield {
            "case": f"{case.label}, accumulation {case.accumulation}",
            "first loss, NeoX": theirs[1],
            "first loss, embedded": ours[1],
            "difference": abs(theirs[1] - ours[1]),
            "largest difference, steps 2 to 21": largest(ours, theirs, 2),
            "last loss, NeoX": theirs[STEPS],
        }


_RECIPES = {"small_sft_kto": ("cot", "tir", "kto"), "small_dpo": ("dpo",)}
_RECORDS = {"cot": 192, "tir": 96, "kto": 64, "dpo": 48}


def objectives(bench: Bench) -> Iterator[Row]:
    """The shipped recipes of fine-tuning and preferences, on conversations made for it."""
    for recipe, stages in _RECIPES.items():
        found = {}
        for engine in ("neox", "embedded"):
            note(f"{engine}: {recipe}")
            run = plan_recipe(bench, recipe, stages, engine)
            if engine == "neox":
                steps = list(stage_steps(bench.launch(run)))
            else:
                bench.call("train", run, "--threads", 1, "--device", "cpu")
                steps = [metric_steps(path) for path in sorted(run.glob("train/*/metrics.jsonl"))]
            found[engine] = dict(zip(stages, steps, strict=True))
        for stage in stages:
            theirs, ours = found["neox"][stage], found["embedded"][stage]
            told = [name for name in ours[1] if name != "lm_loss"]
            row: Row = {"stage": f"{recipe}: {stage}", "steps": len(theirs)}
            one, two = ({step: values["lm_loss"] for step, values in of.items()} for of in (theirs, ours))
            row |= {"first loss, NeoX": one[1], "first loss, embedded": two[1], "difference": abs(one[1] - two[1])}
            row |= {"largest difference, later steps": largest(one, two, 2), "last loss, NeoX": one[max(one)]}
            apart = [abs(theirs[step][name] - ours[step][name]) for step in theirs for name in told]
            row["largest difference of log probabilities and rewards"] = max(apart) if apart else "(none told)"
            yield row


def plan_recipe(bench: Bench, recipe: str, stages: Sequence[str], engine: str) -> Path:
    """A new run directory of a shipped recipe, its model with the rows of the data's tokenizer."""
    from llemma.core.config import load_yaml
    from llemma.core.schemas import Mixture
    from neox_configs import config_path

    folder = bench.work / f"{recipe}-{engine}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer = Mixture.read(bench.data / "mixture.json").tokenizer
    model = shipped("models", "tiny") | {"padded_vocab_size": tokenizer.vocab_size}
    (folder / "model.yml").write_text(json.dumps(model))
    values = dict(load_yaml(config_path("recipes", recipe)).value) | {"model": "model.yml"}
    (folder / "recipe.yml").write_text(json.dumps(values))
    start = bench.work / f"start-tiny-{engine}"
    base = bench.work / "base-tiny"
    if not base.exists():
        write_base(base, model, bench.data / "tokenizer")
    if engine == "embedded":
        start = base
    elif not start.exists():
        bench.call("convert", base, start, "--to", "neox")
    data = [word for stage in stages for word in ("--data", f"{stage}={conversations(bench, stage, tokenizer.path)}")]
    bench.call("plan", folder / "recipe.yml", *data, "--init-from", start, "--out", folder / "run")
    return folder / "run"


def conversations(bench: Bench, stage: str, tokenizer: str) -> Path:
    """mixture.json of sums that were asked for, answered right and wrong."""
    out = bench.work / f"conversations-{stage}"
    if out.exists():
        return out / "mixture.json"
    records = []
    for number in range(_RECORDS[stage]):
        first, second = number + 400 * (stage == "tir"), 3 * number % 17
        right, wrong = f"{first} plus {second} is {first + second}.", f"It is {first}, so we add {second + number % 3}."
        record = {"prompt": f"What is the sum of {first} and {second}?", "chosen": right, "rejected": wrong}
        is_wanted = number % 3 != 0
        records.append(record | {"completion": right if is_wanted else wrong, "label": is_wanted})
    (bench.work / f"{stage}.jsonl").write_text("\n".join(map(json.dumps, records)))
    objective = stage if stage in ("kto", "dpo") else "sft"
    command = [sys.executable, "-P", "-m", "proof_pile.build", "conversations", f"{stage}={bench.work}/{stage}.jsonl"]
    command += ["--objective", objective, "--tokenizer", str(bench.data / tokenizer), "--validation-share", "0.2"]
    command += ["--seq-length", "128" if stage == "tir" else "256", "--out", str(out)]
    subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return out / "mixture.json"


def stage_steps(output: str) -> Iterator[dict[int, dict[str, float]]]:
    """What NeoX's log tells of the steps of each stage, which were trained one after the other."""
    steps: dict[int, dict[str, float]] = {}
    for number, line in re.findall(r"iteration +(\d+)/(.*learning rate.*)", output):
        if int(number) <= max(steps, default=0):
            yield steps
            steps = {}
        told = re.findall(r"(\w+): (-?[0-9.]+E[+-]\d+|nan|inf)", line)
        steps[int(number)] = {name: float(value) for name, value in told}
    yield steps


def metric_steps(path: Path) -> dict[int, dict[str, float]]:
    """The same of a stage of the embedded trainer."""
    lines = map(json.loads, path.read_text().splitlines())
    return {
        line["iteration"]: {"lm_loss": line["loss"], **line.get("measures", {})}
        for line in lines
        if line["kind"] == "train"
    }


def faults(bench: Bench) -> Iterator[Row]:
    """A killed rank and a cut-off checkpoint, in fp32 on two processes and in Llemma's mode."""
    for case in (Case(data=2, zero=True), Case(tensor=2, bf16=True, zero=True)):
        undisturbed = bench.neox_losses(case, "-whole", checkpoint_factor=4)
        run = bench.plan(case, "neox", "-faults", checkpoint_factor=4)
        note(f"kill -9: {case.label}")
        printed = kill_a_rank(bench, run, 9)
        saved = (run / "train/01-one/checkpoints/latest").read_text()
        newest = run / "train/01-one/checkpoints" / saved / "mp_rank_00_model_states.pt"
        os.truncate(newest, newest.stat().st_size // 2)
        printed += bench.launch(run)
        found = losses(printed)
        yield {
            "case": case.label,
            "killed in step": max(losses(printed.split("going on from iteration")[0])) + 1,
            "newest checkpoint, cut off": int(saved.removeprefix("global_step")),
            "gone on from": int(re.findall(r"going on from iteration (\d+)", printed)[-1]),
            "last step": max(found),
            "last loss": found[STEPS],
            "last loss, undisturbed": undisturbed[STEPS],
            "largest difference": largest(undisturbed, found),
            "ledger": ledger(run),
            "status": bench.call("status", run),
        }


def kill_a_rank(bench: Bench, run: Path, step: int) -> str:
    """Launches a run, ends its last rank by kill -9 as soon as a step is logged, and returns what was printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "llemma", *bench.launch_words(run)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        printed = ""
        assert process.stdout is not None
        is_killed = False
        for line in process.stdout:
            printed += line
            if not is_killed and step in losses(line):
                os.kill(last_rank(process.pid), signal.SIGKILL)
                is_killed = True
        code = process.wait()
    if not is_killed or code == 0:
        raise SystemExit(f"{run}: no rank was killed, or it was not noticed (code {code}):\n{printed[-3000:]}")
    return printed


def last_rank(launcher: int) -> int:
    """The process of the last rank among a launcher's descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {launcher}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    ranks = {}
    for pid in family:
        variables = dict(
            item.split("=", 1) for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in item
        )
        if "RANK" in variables and pid not in {launcher}:
            ranks[int(variables["RANK"])] = min(pid, ranks.get(int(variables["RANK"]), pid))
    return ranks[max(ranks)]


def ledger(run: Path) -> str:
    """What the ledger adds up to."""
    from llemma.guard.ledger import read_lines, sum_up

    totals = sum_up(read_lines(run / "train/01-one/ledger.jsonl"))
    return (
        f"{totals.state}: {totals.useful_steps} useful steps, {totals.repeated_steps} repeated, "
        f"{totals.fall_backs} fall-back, {totals.skipped_steps} skipped"
    )


# (tensor-, data-parallel size) before and after
PAIRS = (((1, 2), (1, 1)), ((1, 1), (1, 2)), ((2, 1), (1, 1)), ((1, 2), (2, 1)))


def processes(bench: Bench) -> Iterator[Row]:
    """Trained to step 10 on one number of processes, cut anew, trained to the end on another."""
    uncut: dict[Case, tuple[Path, dict[int, float]]] = {}
    for bf16 in (False, True):
        for before, after in PAIRS:
            old, new = (
                Case(model="llemma_34b", tensor=tensor, data=data, micro_batch=1, bf16=bf16, zero=True)
                for tensor, data in (before, after)
            )
            if old not in uncut:
                note(f"GPT-NeoX: {old.label}")
                run = bench.plan(old, "neox", "-uncut")
                uncut[old] = run, losses(bench.launch(run))
            source, whole = uncut[old]
            target = bench.plan(new, "neox", f"-after-tp{old.tensor}dp{old.data}")
            note(f"cut from TP {old.tensor}, DP {old.data}; GPT-NeoX: {new.label}")
            bench.hand_over(source / "train/01-one/checkpoints", target / "train/01-one/checkpoints", old, new)
            found = losses(bench.launch(target))
            rest = {step: loss for step, loss in whole.items() if step > CUT_AT}
            yield {
                "precision": "bf16" if bf16 else "fp32",
                "saved by": f"TP {old.tensor}, DP {old.data}",
                "gone on with by": f"TP {new.tensor}, DP {new.data}",
                "loss of step 11": found[CUT_AT + 1],
                "difference in step 11": abs(found[CUT_AT + 1] - whole[CUT_AT + 1]),
                "largest difference, steps 11 to 21": largest(rest, found),
                "last loss": found[STEPS],
                "steps and parameter groups": "the same"
                if bench.optimizer_facts(source) == bench.optimizer_facts(target)
                else "others",
            }


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "trainers": trainers,
    "objectives": objectives,
    "faults": faults,
    "processes": processes,
}


def print_table(rows: list[Row]) -> None:
    """Rows as a table in Markdown; texts of several lines are left to the JSON file."""
    columns = [key for key, value in rows[0].items() if "\n" not in str(value)]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        cells = [cell(key, row[key]) for key in columns]
        print(f"| {' | '.join(cells)} |")
    print(flush=True)


def cell(column: str, value: Any) -> str:
    """A value as it is read: losses with six digits, differences by their size."""
    if isinstance(value, float):
        return f"{value:.1e}" if "difference" in column else f"{value:.6f}"
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--neox-dir", type=Path, default=os.environ.get("NEOX_DIR"), help="a checkout of GPT-NeoX")
    parser.add_argument("--neox-python", default=os.environ.get("NEOX_PYTHON", sys.executable), help="its Python")
    parser.add_argument("--data", type=Path, help="folder of a data build (default: the sample is built)")
    parser.add_argument("--work", type=Path, help="where runs are kept (default: a temporary folder)")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts (default: all)")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    if args.neox_dir is None:
        parser.error("--neox-dir (or the variable NEOX_DIR) is missing")
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        data = args.data or work / "data"
        if not (data / "mixture.json").is_file():
            note("building the sample's shards")
            build = [sys.executable, "-P", "-m", "proof_pile.build", "run", "--out", str(data), "--workers", "1"]
            subprocess.run(build, env=environment(), stdout=subprocess.DEVNULL, check=True)
        bench = Bench(work, data.resolve(), args.neox_dir.resolve(), args.neox_python)
        print(machine(), flush=True)
        tables = {}
        for part in args.only:
            tables[part] = list[Row]()
            for row in PARTS[part](bench):
                tables[part].append(row)
                if args.json:
                    args.json.write_text(json.dumps(tables, indent=1) + "\n")
            print(f"\n{part}")
            print_table(tables[part])


if __name__ == "__main__":
    main()

"""`llemma demo`: the whole way once, small, each part through the command that a user would call.

    OUT/data/     proof_pile.build of the built-in sample: shards, tokenizer, mixture, datasheet
    OUT/base/     a tiny Llama with random weights and RoPE base 1e6, the stand-in for Code Llama
    OUT/start/    the same with its RoPE base contracted to 1e4, as Llemma 7B began
    OUT/run/      the planned run: training, exports, scores, report/report.html
    OUT/run/demo.json   {"stages": [{"name", "seconds", "budget_s"}]}

Killed at any moment, the same command goes on and ends with the same bytes. `seconds` adds up all attempts
until a stage was finished for the first time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import DamagedFileError, InputError, LlemmaError, WorkError
from llemma.core.files import atomic_folder, read_json, sha256_file, write_json

BASE_ROPE = 1_000_000
CONTRACTED_ROPE = 10_000
BASE_SEED = 20_231_016  # any fixed number: the demo's weights must be the same everywhere
MAJORITY_SAMPLES = 4


@dataclass(frozen=True)
class Stage:
    """One part of the demo: what it is called, the time planned for it on two cores, and how it runs."""

    name: str
    budget_s: int
    run: Callable[[], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `llemma demo`."""
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder (default: runs/demo)")
    parser.add_argument("--recipe", type=Path, help="another run recipe (default: the shipped 'demo')")
    parser.add_argument("--data-recipe", type=Path, help="another data recipe (default: the built-in sample)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the data build (default: 2)")
    parser.add_argument("--limit", type=int, help="ask only so many problems (default: all)")


def run(args: argparse.Namespace) -> int:
    """Runs every stage that is not finished and prints where the report lies."""
    out: Path = args.out
    stages = _stages(args, out)
    ledger = _Ledger(out / "demo.json")
    started = time.perf_counter()
    for number, stage in enumerate(stages, start=1):
        print(f"\n[{number}/{len(stages)}] {stage.name}  (planned: {stage.budget_s} s)", flush=True)
        if ledger.is_finished(stage):
            print("finished before; checked again where that is cheap", flush=True)
        with ledger.timing(stage):
            stage.run()
    ledger.copy_to(out / "run/demo.json")
    _call("llemma", "report", out / "run")
    _print_table(ledger, time.perf_counter() - started, out / "run/report/report.html")
    return 0


def _stages(args: argparse.Namespace, out: Path) -> list[Stage]:
    data, base, start, run_folder = out / "data", out / "base", out / "start", out / "run"
    exported, as_neox, back = (run_folder / "export" / name for name in ("hf", "neox", "hf-from-neox"))

    def build_data() -> None:
        recipe = ["--recipe", args.data_recipe] if args.data_recipe else []
        _call("proof_pile.build", "run", *recipe, "--out", data, "--workers", args.workers)

    def plan() -> None:
        if (run_folder / "record.json").exists():
            _check_planned_on(data / "mixture.json", run_folder, out)
        else:
            recipe = args.recipe or "demo"
            _call("llemma", "plan", recipe, "--data", data / "mixture.json", "--init-from", start, "--out", run_folder)

    def to_neox_and_back() -> None:
        if not as_neox.exists():
            _call("llemma", "convert", exported, as_neox, "--to", "neox", "--tensor-parallel", 2)
        if not back.exists():
            _call("llemma", "convert", as_neox, back, "--to", "hf")
        _check_same_weights(exported, back)

    def evaluate() -> None:
        limit = ["--limit", args.limit] if args.limit else []
        common = ["--tasks", "llemma_builtin", *limit]
        _call("eval_tasks", "run", "--model", start, *common, "--out", run_folder / "eval/before")
        majority = ["--majority", MAJORITY_SAMPLES]
        _call("eval_tasks", "run", "--model", back, *common, *majority, "--out", run_folder / "eval/after")

    return [
        Stage("build the data", 40, build_data),
        Stage("make a tiny base model", 10, lambda: make_base_model(data / "tokenizer", base)),
        Stage("contract its RoPE base to 1e4", 10, lambda: _contract(base, start)),
        Stage("plan the run", 2, plan),
        Stage("continue pretraining", 150, lambda: _call("llemma", "train", run_folder)),
        Stage("convert to GPT-NeoX (TP 2) and back", 13, to_neox_and_back),
        Stage("score before and after", 60, evaluate),
    ]


def _contract(base: Path, start: Path) -> None:
    if not start.exists():
        _call("llemma", "convert", base, start, "--to", "hf", "--rope-base", CONTRACTED_ROPE)


def _check_planned_on(mixture: Path, run_folder: Path, out: Path) -> None:
    """Going on is right only with the data that the run was planned on (another version may build others)."""
    for stage in run_folder.glob("stages/*/stage.json"):
        if read_json(stage)["mixture_sha256"] != sha256_file(mixture):
            raise InputError(f"{out}: its run was planned on other data than are built now: remove it, or name another")


def make_base_model(tokenizer: Path, folder: Path) -> None:
    """Writes a Llama of the shipped `tiny` architecture with seeded random weights, unless it is there.

    Weights: normal with standard deviation 0.02, as GPT-2 and Llama begin; float32 safetensors.
    """
    if folder.exists():
        return
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from llemma.core.config import load_yaml
    from llemma.neox.units import true_ffn_width
    from neox_configs import config_path

    keys = load_yaml(config_path("models", "tiny")).value
    config = LlamaConfig(
        vocab_size=keys["padded_vocab_size"],
        hidden_size=keys["hidden_size"],
        num_hidden_layers=keys["num_layers"],
        num_attention_heads=keys["num_attention_heads"],
        num_key_value_heads=keys.get("num_kv_heads", keys["num_attention_heads"]),
        intermediate_size=true_ffn_width(keys["intermediate_size"]),
        max_position_embeddings=keys["max_position_embeddings"],
        rms_norm_eps=keys["rms_norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": float(BASE_ROPE)},
        tie_word_embeddings=not keys["no_weight_tying"],
        bos_token_id=1,
        eos_token_id=2,
        dtype="float32",
    )
    torch.manual_seed(BASE_SEED)
    model = LlamaForCausalLM(config)
    with atomic_folder(folder) as scratch:
        model.save_pretrained(scratch)
        for file in tokenizer.iterdir():
            if file.is_file():
                shutil.copyfile(file, scratch / file.name)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{num_parameters:,} parameters, RoPE base {BASE_ROPE:,}, random weights: {folder}")


def _check_same_weights(one: Path, other: Path) -> None:
    """Every tensor must come back from GPT-NeoX's layout bit for bit (logits are compared by the tests)."""
    import torch
    from safetensors.torch import load_file

    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    if first.keys() != second.keys():
        raise WorkError(f"{other}: other tensors than {one}: {sorted(first.keys() ^ second.keys())}")
    wrong = [name for name in first if not torch.equal(first[name], second[name])]
    if wrong:
        raise WorkError(f"{other}: tensors changed on the way through GPT-NeoX's layout: {', '.join(wrong)}")
    print(f"all {len(first)} tensors came back from GPT-NeoX's layout bit for bit")


def _call(module: str, *words: object) -> None:
    """Runs one of our programs as a user would; its output is the demo's output."""
    command = [sys.executable, "-m", module, *map(str, words)]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        shown = " ".join(["python", "-m", module, *map(str, words)])
        error: LlemmaError = InputError("") if code == 2 else WorkError("")
        error.args = (f"this stage ended with exit code {code}: the message stands above; the command was\n  {shown}",)
        raise error


class _Ledger:
    """Seconds of each stage, kept on disk so that a killed demo knows what earlier attempts took."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages: dict[str, dict[str, float | bool]] = {}
        try:
            self._stages = {item.pop("name"): item for item in read_json(path)["stages"]}
        except (InputError, DamagedFileError, KeyError, TypeError):
            self._stages = {}  # times are a courtesy: a new count is better than no demo

    def timing(self, stage: Stage) -> _Timing:
        return _Timing(self, stage)

    def is_finished(self, stage: Stage) -> bool:
        return bool(self._stages.get(stage.name, {}).get("finished"))

    def add(self, stage: Stage, seconds: float, finished: bool) -> None:
        entry = self._stages.setdefault(stage.name, {"seconds": 0.0, "budget_s": stage.budget_s, "finished": False})
        if not entry["finished"]:
            entry.update(seconds=round(entry["seconds"] + seconds, 2), finished=finished)
        self.copy_to(self._path)

    def copy_to(self, path: Path) -> None:
        write_json(path, {"stages": [{"name": name, **entry} for name, entry in self._stages.items()]})

    def rows(self) -> list[tuple[str, float, float]]:
        return [(name, float(entry["seconds"]), float(entry["budget_s"])) for name, entry in self._stages.items()]


class _Timing:
    def __init__(self, ledger: _Ledger, stage: Stage) -> None:
        self._ledger, self._stage = ledger, stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: object, *_: object) -> None:
        self._ledger.add(self._stage, time.perf_counter() - self._started, finished=kind is None)


def _print_table(ledger: _Ledger, seconds: float, report: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="llemma demo", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("planned", justify="right")
    rows = ledger.rows()
    for name, took, budget in rows:
        table.add_row(name, f"{took:.1f}", f"{budget:.0f}")
    table.add_section()
    table.add_row("all stages", f"{sum(row[1] for row in rows):.1f}", f"{sum(row[2] for row in rows):.0f}")
    print()
    console = Console()
    console.print(table)
    console.print(f"this call took {seconds:.1f} s")
    console.print(f"The report: {report.resolve()}", soft_wrap=True)

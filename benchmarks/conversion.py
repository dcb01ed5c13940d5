"""Conversion of a checkpoint: `llemma convert` beside GPT-NeoX's own scripts, seconds and memory.

    python benchmarks/conversion.py [--neox-dir DIR --neox-python PYTHON] [--tensor-parallel 2] [--layers 24] [--runs 1]
                                    [--work DIR]

A random Llama in bfloat16 (hidden size 2,048, width 5,632, 16 heads, 32,016 pieces; with 24 layers 1.36 B parameters)
goes from Hugging Face's layout to GPT-NeoX's and back.  NeoX's scripts (tools/ckpts) come from a checkout (--neox-dir,
or NEOX_DIR) and run with a Python that has its packages (--neox-python, or NEOX_PYTHON); without them their rows are
left out.  Ours also goes from GPT-NeoX to twice the ranks and to Meta's format, and is verified.

Printed: medians of the wall and CPU seconds of the whole process, its start included; the largest peak of its anonymous
memory (RssAnon of /proc, looked at every 10 ms) and of all resident memory, pages of mapped files included (VmHWM).
Ours writes to the disk (fsync) and hashes every tensor and file; the peers do neither.  Sources are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import machine, print_rows

POLL_S = 0.01
ONE_THREAD = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One command, measured."""

    wall_s: float
    cpu_s: float
    anonymous_mb: float
    resident_mb: float


def measure(command: list[str | Path], cwd: Path | None = None) -> Run:
    """Runs a command once.  Raises SystemExit with its words where it fails."""
    with tempfile.TemporaryFile("w+b") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(cwd or Path(__file__).resolve().parents[1])},
        )
        anonymous = resident = 0
        while True:
            found = _memory_kb(process.pid)
            anonymous, resident = max(anonymous, found[0]), max(resident, found[1])
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(POLL_S)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: ended with {process.returncode}\n{text[-4000:]}")
    return Run(
        wall_s=wall,
        cpu_s=usage.ru_utime + usage.ru_stime,
        anonymous_mb=anonymous / 1024,
        resident_mb=resident / 1024,
    )


def _memory_kb(pid: int) -> tuple[int, int]:
    """RssAnon now and VmHWM of a process; zeros when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "VmHWM"))}
    return int(found.get("RssAnon", 0)), int(found.get("VmHWM", 0))


def make_model(folder: Path, layers: int) -> int:
    """A random Llama with a tokenizer that NeoX's script can open; returns its parameters."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    config = LlamaConfig(
        vocab_size=32016,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        dtype="bfloat16",
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    pieces = {f"piece{n}": n for n in range(32016)}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="piece0"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="piece0", eos_token="piece2").save_pretrained(folder)
    return int(model.num_parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neox-dir", type=Path, default=os.environ.get("NEOX_DIR"))
    parser.add_argument("--neox-python", default=os.environ.get("NEOX_PYTHON"))
    parser.add_argument("--tensor-parallel", type=int, default=2)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder for the models (default: a temporary one)")
    args = parser.parse_args()
    work = args.work or Path(tempfile.mkdtemp(prefix="conversion-"))
    work.mkdir(parents=True, exist_ok=True)
    work = work.resolve()
    model = work / "model"
    if not (model / "tokenizer.json").is_file():
        program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import conversion, pathlib; "
        program += f"conversion.make_model(pathlib.Path({str(model)!r}), {args.layers})"
        subprocess.run([sys.executable, "-c", program], check=True)
    size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    try:
        rows = _rows(args, work, model)
    finally:
        if args.work is None:
            shutil.rmtree(work, ignore_errors=True)
    print(f"{machine()}; {size / 1e9:.2f} GB of weights, {args.tensor_parallel} ranks\n")
    print_rows(("conversion", "wall s", "CPU s", "anonymous MB", "resident MB"), rows)


def _rows(args: argparse.Namespace, work: Path, model: Path) -> list[tuple[str, ...]]:
    ranks, ours = str(args.tensor_parallel), [sys.executable, "-m", "llemma", "convert"]
    neox, keys = work / "neox", work / "keys.yml"
    jobs: list[tuple[str, list[str | Path], Path | None, Path]] = [
        ("HF -> NeoX, llemma", [*ours, model, neox, "--tp", ranks], None, neox),
        ("NeoX -> HF, llemma", [*ours, neox, work / "hf"], None, work / "hf"),
        (
            "NeoX -> NeoX, ranks doubled",
            [*ours, neox, work / "more", "--to", "neox", "--tp", str(2 * args.tensor_parallel)],
            None,
            work / "more",
        ),
        ("NeoX -> Meta, 2 files", [*ours, neox, work / "meta", "--to", "meta", "--tp", "2"], None, work / "meta"),
        ("verify", [*ours, neox, "--verify"], None, work / "none"),
    ]
    if args.neox_dir and args.neox_python:
        tools = Path(args.neox_dir).resolve() / "tools" / "ckpts"
        to_neox, to_hf = work / "their-neox", work / "their-hf"
        jobs.insert(
            1,
            (
                "HF -> NeoX, GPT-NeoX's script",
                [
                    *(args.neox_python, tools / "convert_hf_llama_to_neox.py"),
                    *("--tp", ranks, "--model", model, "--model_path", to_neox),
                ],
                tools.parents[1],
                to_neox,
            ),
        )
        jobs.insert(
            3,
            (
                "NeoX -> HF, GPT-NeoX's script",
                [
                    *(args.neox_python, tools / "convert_neox_to_hf.py", "--input_dir", neox / "global_step0"),
                    *("--config_file", keys, "--output_dir", to_hf, "--architecture", "llama", "--no_save_tokenizer"),
                ],
                tools.parents[1],
                to_hf,
            ),
        )
    found: dict[str, list[Run]] = {name: [] for name, *_ in jobs}
    for at in range(args.runs):  # all in turn, so that other work on the machine falls on all alike
        shutil.rmtree(neox, ignore_errors=True)
        for name, command, cwd, out in jobs:
            if out.name == "their-hf":
                _write_keys(neox, keys)
            os.sync()  # what an earlier command left unwritten is not this one's work
            _read_through(model if name.startswith("HF") else neox)
            os.sync()  # what an earlier command left unwritten is not this one's work
            _read_through(model if name.startswith("HF") else neox)
            found[name].append(measure(command, cwd))
            print(f"{at + 1} of {args.runs}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
            if out != neox:
                shutil.rmtree(out, ignore_errors=True)
    return [
        (
            name,
            f"{statistics.median(run.wall_s for run in runs):.1f}",
            f"{statistics.median(run.cpu_s for run in runs):.1f}",
            f"{max(run.anonymous_mb for run in runs):,.0f}",
            f"{max(run.resident_mb for run in runs):,.0f}",
        )
        for name, runs in found.items()
    ]


def _read_through(folder: Path) -> None:
    """Reads a source's files, so that every command finds them in the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(1 << 24):
                    pass


def _write_keys(neox: Path, target: Path) -> None:
    """The keys that GPT-NeoX's script asks for besides those of neox_model.yml."""
    import yaml

    from llemma.core.config import load_yaml

    keys = dict(load_yaml(neox / "neox_model.yml").value)
    # GPT-NeoX's own key is 3 x the width, the script takes it for the width; its default, 8/3 h, is right here.
    del keys["intermediate_size"]
    keys |= {
        "tokenizer_type": "HFTokenizer",
        "vocab_file": str(neox / "hf/tokenizer.json"),
        "precision": "bfloat16",
    }
    target.write_text(yaml.safe_dump(keys))  # not as JSON, whose 1e-06 is a string for YAML 1.1, which the script reads


if __name__ == "__main__":
    main()

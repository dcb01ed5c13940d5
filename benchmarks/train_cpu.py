"""The embedded trainer beside Hugging Face's Trainer on a processor: tokens a second of the same steps.

    python benchmarks/train_cpu.py [--runs 3] [--precision fp32 bf16] [--threads 1 2] [--profile | --loss]

Both train the same Llama of 17 M parameters from the same weights on the same samples: 8 layers, 384 wide, 6 heads,
true feed-forward width 1,024, 4,096 vocabulary rows, sequences of 512 tokens, 2 micro-batches of 4 a step, AdamW
(fused), clipping at 1. Ours is `llemma train` as a user starts it, with its guard, metrics and GPT-NeoX's sample order;
the peer is transformers' Trainer as a user starts it (bf16=True for bf16, torch_compile=True where compiled). Each runs
in a process of its own, all variants one after the other, round after round; a step's time is from its end to that of
the next, the first ones left out. Printed are medians over rounds; CPU time is of the whole process. `loss` is that of
the first step, where both have the same weights (the peer's mean leaves out the last position of a sample).
--profile prints instead where our own time goes, by torch's profiler; --loss what the cross-entropy alone takes,
forward and backward, in chunks of logits of several sizes and over whole logits as the peer has it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from peers import machine, print_rows

LAYERS, HIDDEN, HEADS, WIDTH, VOCAB, SEQ = 8, 384, 6, 1024, 4096, 512
MICRO_BATCH, ACCUMULATION = 4, 2
TOKENS = SEQ * MICRO_BATCH * ACCUMULATION
WARM, STEPS = 2, 4  # steps left out, steps measured
SIDES = {"ours": False, "ours, compiled": True, "HF Trainer": False, "HF Trainer, compiled": True}
STAGE = "01-benchmark"
PROFILED = 2  # steps
KINDS = (  # of work, by words in the names of an event and those around it; the first that fits counts
    ("loss", ("_MeanLoss",)),
    ("optimizer", ("Optimizer", "_fused_adamw_")),
    ("attention", ("_scaled_dot_product",)),
    ("matrix products", ("aten::mm", "mkldnn_linear", "mkl_linear", "extern_kernels")),
    ("norms", ("_RMSNorm",)),
    ("rotation", ("_Rotate",)),
    ("compiled kernels", ("CompiledFunction", "Torch-Compiled", "cpp_fused")),
    ("activation", ("silu", "aten::sigmoid")),
)


# ---------------------------------------------------------------------- the same data, weights and settings


def prepare(folder: Path) -> None:
    """Shards of random tokens, a tokenizer of as many pieces, and random weights."""
    import numpy as np
    import torch
    from tokenizers import Tokenizer, models

    from llemma.core.indexed.writer import IndexedWriter
    from llemma.neox.config import NeoxConfig
    from llemma.train.model.weights import random_model, stored_weights, write_model_config, write_tensors

    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{number}": number for number in range(3, VOCAB)}
    (folder / "tokenizer").mkdir()
    Tokenizer(models.WordLevel(words, unk_token="<unk>")).save(str(folder / "tokenizer/tokenizer.json"))
    random = np.random.default_rng(0)
    with IndexedWriter(folder / "train", np.dtype(np.uint16)) as writer:
        for _ in range(64):
            writer.add_document(np.append(random.integers(3, VOCAB, 4 * SEQ), 2).astype(np.uint16))
    write_mixture(folder)
    torch.manual_seed(0)
    model = random_model(NeoxConfig.from_values(neox_keys(folder, "fp32")), torch.device("cpu"))
    (folder / "model").mkdir()
    write_model_config(model.config, folder / "model")
    write_tensors(stored_weights(model, torch.float32), folder / "model/model.safetensors")
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{num_parameters / 1e6:.1f} M parameters, {TOKENS:,} tokens a step", flush=True)


def write_mixture(folder: Path) -> None:
    """The mixture of one source, as the data build writes it."""
    from llemma.core.files import sha256_file, write_json
    from llemma.core.indexed.reader import IndexedReader

    reader = IndexedReader(folder / "train")
    split = {"path": "train", "num_documents": len(reader), "num_tokens": reader.num_tokens}
    split |= {f"{kind}_sha256": sha256_file(folder / f"train.{kind}") for kind in ("bin", "idx")}
    tokenizer = {
        "kind": "huggingface", "path": "tokenizer/tokenizer.json", "vocab_size": VOCAB, "eod_id": 2, "dtype": "uint16",
        "sha256": sha256_file(folder / "tokenizer/tokenizer.json"),
    }  # fmt: skip
    source = {"name": "random", "group": "test", "weight": 1.0, "epochs": 1.0, "splits": {"train": split}}
    mixture = {"schema": 1, "name": "random", "tokenizer": tokenizer, "planned_tokens": 100_000, "sources": [source]}
    write_json(folder / "mixture.json", mixture)


def neox_keys(folder: Path, precision: str) -> dict[str, Any]:
    """The stage's neox.yml."""
    steps = WARM + STEPS
    mixed = {"precision": "bfloat16", "bf16": {"enabled": True}, "zero_optimization": {"stage": 0}}
    return {
        "num_layers": LAYERS, "hidden_size": HIDDEN, "num_attention_heads": HEADS, "intermediate_size": 3 * WIDTH,
        "mlp_multiple_of": 256, "seq_length": SEQ, "max_position_embeddings": SEQ, "padded_vocab_size": VOCAB,
        "make_vocab_size_divisible_by": 1, "norm": "rmsnorm", "rms_norm_epsilon": 1e-5, "pos_emb": "rotary",
        "rotary_pct": 1.0, "rotary_emb_base": 10000, "no_weight_tying": True, "gpt_j_residual": False,
        "activation": "swiglu", "use_bias_in_norms": False, "use_bias_in_attn_linear": False, "use_bias_in_mlp": False,
        "optimizer": {"type": "Adam", "params": {"lr": 0.0003, "betas": [0.9, 0.95], "eps": 1e-8}},
        "weight_decay": 0.1, "gradient_clipping": 1.0, "train_iters": steps, "lr_decay_iters": steps,
        "lr_decay_style": "cosine", "min_lr": 0.0, "warmup": 0.0, "train_micro_batch_size_per_gpu": MICRO_BATCH,
        "gradient_accumulation_steps": ACCUMULATION, "seed": 1234, "eval_iters": 0, "eval_interval": steps,
        "checkpoint_factor": steps, "data_impl": "mmap", "tokenizer_type": "HFTokenizer",
        "train_data_paths": [str(folder / "train")], "train_data_weights": [1.0],
        "vocab_file": str(folder / "tokenizer/tokenizer.json"),
        **(mixed if precision == "bf16" else {"precision": "fp32"}),
    }  # fmt: skip


def write_run(folder: Path, precision: str, run: Path) -> None:
    """A run directory as `llemma plan` leaves it."""
    from llemma.core.files import sha256_file

    stage = run / "stages" / STAGE
    stage.mkdir(parents=True)
    (stage / "neox.yml").write_text(json.dumps(neox_keys(folder, precision)))
    plan = {
        "schema": 1, "name": "benchmark", "number": 1, "directory": STAGE, "objective": "language-modelling",
        "start": "hf", "init_from": str(folder / "model"), "iterations": WARM + STEPS,
        "scheduled_iterations": WARM + STEPS, "tokens_per_iteration": TOKENS, "tokens": (WARM + STEPS) * TOKENS,
        "mixture": str(folder / "mixture.json"), "mixture_sha256": sha256_file(folder / "mixture.json"),
        "sources": [{"name": "random", "weight": 1.0, "train": str(folder / "train"), "validation": None}],
    }  # fmt: skip
    (stage / "stage.json").write_text(json.dumps(plan))


# ---------------------------------------------------------------------- one side, in a process of its own


class Clock:
    """Wall and CPU seconds at the end of every step, and the loss of the first."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []
        self.loss: float | None = None

    def mark(self) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))


class Profiling(Clock):
    """Lets torch's profiler run over the measured steps."""

    def mark(self) -> None:
        import torch

        super().mark()
        if len(self.marks) == WARM:
            self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
            self.profiler.start()
        elif len(self.marks) == WARM + PROFILED:
            self.profiler.stop()

    def shares(self) -> dict[str, float]:
        """Kind of work → share of the time."""
        times = dict.fromkeys((*(kind for kind, _ in KINDS), "rest"), 0.0)
        for event in self.profiler.events():
            names, parent = [event.name], event.cpu_parent
            while parent is not None:
                names.append(parent.name)
                parent = parent.cpu_parent
            kinds = (kind for kind, words in KINDS if any(word in name for name in names for word in words))
            times[next(kinds, "rest")] += event.self_cpu_time_total
        total = sum(times.values())
        return {kind: seconds / total for kind, seconds in times.items()}


def run_ours(folder: Path, precision: str, threads: int, compiled: bool, clock: Clock) -> None:
    from llemma.cli import main
    from llemma.train.watch import metrics

    as_json = metrics.json_line

    def listened(line: Any) -> str:
        if getattr(line, "kind", None) == "train":
            clock.mark()
            clock.loss = line.loss if clock.loss is None else clock.loss
        return as_json(line)

    metrics.json_line = listened
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        write_run(folder, precision, run)
        compile_words = ["--compile"] if compiled else []
        words = ["train", str(run), "--threads", str(threads), "--device", "cpu", *compile_words]
        if main(words):
            raise SystemExit("llemma train failed")


def run_peer(folder: Path, precision: str, threads: int, compiled: bool, clock: Clock) -> None:
    import torch
    from torch.utils.data import SequentialSampler
    from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from llemma.core.indexed.blending import Blend

    torch.set_num_threads(threads)
    blend = Blend.build([(folder / "train", 1.0)], (WARM + STEPS) * MICRO_BATCH * ACCUMULATION, SEQ, 1234)

    class Samples(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return (WARM + STEPS) * MICRO_BATCH * ACCUMULATION

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            tokens = torch.from_numpy(blend.sample(number)[0][:-1].astype("int64"))
            return {"input_ids": tokens, "labels": tokens}

    class Listener(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.mark()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if clock.loss is None and "loss" in logs:
                clock.loss = float(logs["loss"])

    class InOrder(Trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            return SequentialSampler(Samples())

    model = LlamaForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, attn_implementation="sdpa")
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, per_device_train_batch_size=MICRO_BATCH, gradient_accumulation_steps=ACCUMULATION,
            max_steps=WARM + STEPS, learning_rate=3e-4, lr_scheduler_type="cosine", weight_decay=0.1, adam_beta1=0.9,
            adam_beta2=0.95, adam_epsilon=1e-8, optim="adamw_torch_fused", max_grad_norm=1.0, bf16=precision == "bf16",
            use_cpu=True, torch_compile=compiled, logging_steps=1, save_strategy="no", report_to="none",
            disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False,
        )  # fmt: skip
        InOrder(model=model, args=arguments, train_dataset=Samples(), callbacks=[Listener()]).train()


def loss_child(precision: str, threads: int, rows: int, chunk_mb: int) -> None:
    """Milliseconds of one forward and backward pass, and how far the process's memory rose, in MB; 0: whole logits."""
    from llemma.train.processor import prepare_processor

    prepare_processor()
    import torch

    from llemma.train.model import loss
    from llemma.train.model.tensor_parallel import ALONE

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    hidden = torch.randn(MICRO_BATCH * SEQ, HIDDEN).to(dtype).requires_grad_()
    weight = torch.randn(rows, HIDDEN).mul_(0.05).requires_grad_()
    labels = torch.randint(0, rows, (MICRO_BATCH * SEQ,))

    def once() -> None:
        cast = weight.to(dtype)
        if chunk_mb:
            loss.CHUNK_BYTES["cpu"], loss.FEWEST_POSITIONS = chunk_mb << 20, 1
            found = loss._MeanLoss.apply(hidden, weight, cast.detach(), labels, ALONE)
        else:
            found = torch.nn.functional.cross_entropy((hidden @ cast.T).float(), labels)
        torch.autograd.backward(found, inputs=[hidden, weight])
        hidden.grad = weight.grad = None

    def memory(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

    before = memory("VmRSS")
    times = []
    for _ in range(6):
        started = time.perf_counter()
        once()
        times.append(time.perf_counter() - started)
    found = {"ms": 1000 * statistics.median(times[1:]), "mb": memory("VmHWM") - before}
    print("FOUND " + json.dumps(found), flush=True)


def child(args: argparse.Namespace) -> None:
    clock = Profiling() if args.profile else Clock()
    started = time.perf_counter()
    run = run_ours if args.side.startswith("ours") else run_peer
    run(args.folder, args.precision[0], args.threads[0], SIDES[args.side], clock)
    if isinstance(clock, Profiling):
        print("FOUND " + json.dumps(clock.shares()), flush=True)
        return
    steps = list(zip(clock.marks[WARM - 1 :], clock.marks[WARM:], strict=False))
    found = {
        "wall": statistics.median(b[0] - a[0] for a, b in steps),
        "cpu": statistics.median(b[1] - a[1] for a, b in steps),
        "first": clock.marks[0][0] - started,
        "loss": clock.loss,
    }
    print("FOUND " + json.dumps(found), flush=True)


# ---------------------------------------------------------------------- all of them


def measure(folder: Path, side: str, precision: str, threads: int, *more: str) -> dict[str, float]:
    words = ["--side", side, "--folder", str(folder), "--precision", precision, "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(Path(__file__).resolve()), *words, *more]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for line in process.stdout.splitlines():
        if line.startswith("FOUND "):
            return dict(json.loads(line.removeprefix("FOUND ")))
    raise SystemExit(f"{side}: {process.stdout[-2000:]}\n{process.stderr[-4000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="rounds over all variants (default: %(default)s)")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--profile", action="store_true", help="print where our own time goes")
    parser.add_argument("--loss", action="store_true", help="measure the cross-entropy alone")
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--chunk", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        if args.loss:
            loss_child(args.precision[0], args.threads[0], args.rows, args.chunk)
        else:
            child(args)
        return
    print(machine(), flush=True)
    if args.loss:
        compare_losses(args.precision, args.threads)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        if args.profile:
            profile(folder, args.precision, args.threads)
            return
        for precision in args.precision:
            for threads in args.threads:
                compare(folder, precision, threads, args.sides, args.runs)


def compare_losses(precisions: list[str], threads: list[int]) -> None:
    """Prints time and memory of the loss alone."""
    for precision in precisions:
        for count in threads:
            print(
                f"\n{precision}, {count} thread{'s' if count > 1 else ''}: ms and MB, {MICRO_BATCH * SEQ:,} positions"
            )
            rows = []
            for chunk in (0, 4, 16, 64):
                cells = []
                for vocabulary in (VOCAB, 32016):
                    more = ["--loss", "--rows", str(vocabulary), "--chunk", str(chunk)]
                    found = measure(Path(), "ours", precision, count, *more)
                    cells += [f"{found['ms']:.0f}", f"{found['mb']:.0f}"]
                rows.append([f"chunks of {chunk} MiB" if chunk else "whole logits", *cells])
            print_rows(["", f"{VOCAB:,} rows", "MB", "32,016 rows", "MB"], rows)


def profile(folder: Path, precisions: list[str], threads: list[int]) -> None:
    """Prints the shares of our own time."""
    columns, shares = ["share of the time"], []
    for precision in precisions:
        for count in threads:
            for side in ("ours", "ours, compiled"):
                columns.append(f"{precision}, {count}{', compiled' if SIDES[side] else ''}")
                shares.append(measure(folder, side, precision, count, "--profile"))
    print_rows(columns, [[kind, *(f"{found[kind]:.1%}" for found in shares)] for kind in shares[0]])


def compare(folder: Path, precision: str, threads: int, sides: list[str], runs: int) -> None:
    """Measures all sides, round after round, and prints their table."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(runs):
        for side in sides:
            found[side].append(measure(folder, side, precision, threads))

    def median(side: str, key: str) -> float:
        return statistics.median(run[key] for run in found[side])

    rows = []
    for side in sides:
        wall, cpu = median(side, "wall"), median(side, "cpu")
        ratio = f"{median('HF Trainer', 'wall') / wall:.2f}" if "HF Trainer" in found else ""
        by_cpu = f"{median('HF Trainer', 'cpu') / cpu:.2f}" if "HF Trainer" in found else ""
        first, loss = median(side, "first"), median(side, "loss")
        rows.append(
            [side, f"{TOKENS / wall:,.0f}", f"{TOKENS / cpu:,.0f}", ratio, by_cpu, f"{first:.1f}", f"{loss:.4f}"]
        )
    columns = ["", "tokens/s", "tokens/CPU-s", "x HF", "x HF by CPU", "first step after, s", "loss"]
    print(f"\n{precision}, {threads} thread{'s' if threads > 1 else ''}")
    print_rows(columns, rows)
    sys.stdout.flush()


if __name__ == "__main__":
    main()

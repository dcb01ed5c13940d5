"""The embedded trainer's step on one GPU beside Hugging Face's Trainer: tokens a second, MFU, peak memory.

    python benchmarks/train_gpu.py [--models 1.2b 7b] [--micro-batch N] [--small]

Sequences of 4,096 random tokens, bf16, fp32 master weights, AdamW (fused), clipping at 1. Ours is the trainer's own
step (step.compute_gradients and Optimizer.update) with compiled layers and recomputation chosen from the memory that is
left; the peer is transformers' Trainer as a user starts it: bf16=True, optim="adamw_torch_fused", SDPA attention, and
gradient checkpointing for 7b, which does not fit without. MFU counts 6 FLOPs a matrix parameter and 12·L·h·s of
attention a token, against the device's dense bf16 peak. Each side runs in a process of its own. Times are from step to
step, the device waited for at both ends; medians. A side that does not fit into memory is printed as such.

--small runs the same code on a processor with a tiny model, to prove that it works.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from peers import machine, print_rows

MODELS: dict[str, dict[str, int]] = {
    "1.2b": {"layers": 22, "hidden": 2048, "heads": 32, "width": 5632, "rows": 32000, "seq": 4096, "micro": 4},
    "7b": {"layers": 32, "hidden": 4096, "heads": 32, "width": 11008, "rows": 32016, "seq": 4096, "micro": 1},
    "small": {"layers": 2, "hidden": 64, "heads": 4, "width": 256, "rows": 512, "seq": 64, "micro": 2},
}
SIDES = ("ours", "ours, eager", "HF Trainer")
WARM, STEPS, ACCUMULATION = 2, 4, 2
TIMEOUT_S = 200  # of one side, so that all fit into one call of ten minutes


def neox_config(name: str, micro_batch: int) -> Any:
    """The model and its step as the trainer's configuration."""
    from llemma.neox.config import NeoxConfig

    sizes = MODELS[name]
    return NeoxConfig.from_values(
        {
            "num_layers": sizes["layers"], "hidden_size": sizes["hidden"], "num_attention_heads": sizes["heads"],
            "intermediate_size": 3 * sizes["width"], "mlp_multiple_of": 256, "seq_length": sizes["seq"],
            "max_position_embeddings": sizes["seq"], "padded_vocab_size": sizes["rows"],
            "make_vocab_size_divisible_by": 1, "norm": "rmsnorm", "rms_norm_epsilon": 1e-5, "pos_emb": "rotary",
            "rotary_pct": 1.0, "rotary_emb_base": 10000, "no_weight_tying": True, "gpt_j_residual": False,
            "activation": "swiglu", "use_bias_in_norms": False, "use_bias_in_attn_linear": False,
            "use_bias_in_mlp": False, "weight_decay": 0.1, "gradient_clipping": 1.0, "train_iters": WARM + STEPS,
            "optimizer": {"type": "Adam", "params": {"lr": 0.0001, "betas": [0.9, 0.95], "eps": 1e-8}},
            "lr_decay_iters": WARM + STEPS, "train_micro_batch_size_per_gpu": micro_batch,
            "gradient_accumulation_steps": ACCUMULATION, "precision": "bfloat16", "bf16": {"enabled": True},
            "zero_optimization": {"stage": 0}, "attention_config": [[["global"], sizes["layers"]]],
        }
    )  # fmt: skip


def wait(device: Any) -> float:
    """The time when the device has done all that it was told."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def run_ours(name: str, micro_batch: int, compiled: bool, device: Any) -> list[float]:
    import torch

    from llemma.train.acceleration import Acceleration
    from llemma.train.data.batch import BatchRules, make_batch
    from llemma.train.grid import ALONE
    from llemma.train.model.weights import random_model
    from llemma.train.optimizer import Optimizer
    from llemma.train.step import compute_gradients

    config = neox_config(name, micro_batch)
    torch.manual_seed(0)
    model = random_model(config, device)
    optimizer = Optimizer(model, config)
    Acceleration(compile=compiled).apply(model, config, ALONE)
    tokens = torch.randint(0, config.vocab_rows, (ACCUMULATION, micro_batch, config.seq_length + 1))
    marks = []
    for _ in range(WARM + STEPS):
        batches = [make_batch(rows, BatchRules()) for rows in tokens]
        gradients = compute_gradients(model, optimizer, batches, ACCUMULATION, "bfloat16")
        optimizer.update(1e-4, gradients.clip_scale(1.0))
        marks.append(wait(device))
    return marks


def run_peer(name: str, micro_batch: int, device: Any) -> list[float]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    sizes = MODELS[name]
    marks: list[float] = []

    class Samples(torch.utils.data.Dataset):  # type: ignore[type-arg]
        tokens = torch.randint(0, sizes["rows"], ((WARM + STEPS) * ACCUMULATION * micro_batch, sizes["seq"]))

        def __len__(self) -> int:
            return len(self.tokens)

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            return {"input_ids": self.tokens[number], "labels": self.tokens[number]}

    class Listener(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            marks.append(wait(device))

    config = LlamaConfig(
        num_hidden_layers=sizes["layers"], hidden_size=sizes["hidden"], num_attention_heads=sizes["heads"],
        intermediate_size=sizes["width"], vocab_size=sizes["rows"], max_position_embeddings=sizes["seq"],
        tie_word_embeddings=False, attn_implementation="sdpa",
    )  # fmt: skip
    with torch.device(device):
        model = LlamaForCausalLM(config)
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, per_device_train_batch_size=micro_batch, gradient_accumulation_steps=ACCUMULATION,
            max_steps=WARM + STEPS, learning_rate=1e-4, weight_decay=0.1, optim="adamw_torch_fused", max_grad_norm=1.0,
            bf16=True, use_cpu=device.type == "cpu", activation_checkpointing=name == "7b", logging_steps=1,
            save_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=Samples(), callbacks=[Listener()]).train()
    return marks


def child(name: str, side: str, micro_batch: int) -> None:
    from llemma.train.processor import prepare_processor

    if side != "HF Trainer":
        prepare_processor()  # as `llemma train` does, before torch is imported
    import torch

    device = torch.device("cpu" if name == "small" else "cuda")
    started = time.perf_counter()
    try:
        if side == "HF Trainer":
            marks = run_peer(name, micro_batch, device)
        else:
            marks = run_ours(name, micro_batch, side == "ours" and name != "small", device)
    except torch.cuda.OutOfMemoryError as error:
        print("FOUND " + json.dumps({"failed": f"does not fit into memory ({str(error).splitlines()[0]})"}), flush=True)
        return
    steps = [after - before for before, after in zip(marks[WARM - 1 :], marks[WARM:], strict=False)]
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    found = {"step": statistics.median(steps), "first": marks[0] - started, "peak": peak}
    print("FOUND " + json.dumps(found), flush=True)


def measure(name: str, side: str, micro_batch: int) -> dict[str, Any]:
    words = ["--model", name, "--side", side, "--micro-batch", str(micro_batch)]
    command = [sys.executable, str(Path(__file__).resolve()), *words]
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {TIMEOUT_S} s"}
    for line in process.stdout.splitlines():
        if line.startswith("FOUND "):
            return dict(json.loads(line.removeprefix("FOUND ")))
    return {"failed": f"ended with {process.returncode}: {process.stderr.strip().splitlines()[-1:]}"}


def device_peak(name: str) -> tuple[str, float]:
    """The device's name and its bf16 FLOP/s at best."""
    import torch

    from llemma.train.watch.peak import peak_flops

    device = torch.device("cpu" if name == "small" else "cuda")
    told = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    found = peak_flops(device, "bfloat16", neox_config(name, 1))
    if found is None:
        raise SystemExit(f"{told}: its peak is not known; add it to llemma/train/watch/peak.py")
    return told, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["1.2b", "7b"], choices=["1.2b", "7b"])
    parser.add_argument("--sides", nargs="+", default=["ours", "HF Trainer"], choices=SIDES)
    parser.add_argument("--micro-batch", type=int, help="samples at once (default: by model)")
    parser.add_argument("--small", action="store_true", help="a tiny model on the processor")
    parser.add_argument("--model", choices=list(MODELS), help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        child(args.model, args.side, args.micro_batch)
        return
    import torch

    from llemma.plan.estimate import count_parameters, flops_per_token

    names = ["small"] if args.small else args.models
    if not args.small and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here; --small proves the script on a processor")
    device, peak = device_peak(names[0])
    print(f"{machine()}, torch {torch.__version__}, {device}: {peak / 1e12:,.0f} TFLOP/s in bf16 at best", flush=True)
    for name in names:
        micro_batch = args.micro_batch or MODELS[name]["micro"]
        config = neox_config(name, micro_batch)
        tokens = ACCUMULATION * micro_batch * config.seq_length
        print(
            f"\n{name}: {count_parameters(config).total / 1e9:.2f} B parameters, {tokens:,} tokens a step", flush=True
        )
        rows = []
        for side in args.sides:
            found = measure(name, side, micro_batch)
            if "failed" in found:
                rows.append([side, found["failed"], "", "", ""])
                continue
            speed = tokens / found["step"]
            mfu = speed * flops_per_token(config).square / peak
            rows.append([side, f"{speed:,.0f}", f"{mfu:.1%}", f"{found['peak']:.1f}", f"{found['first']:.0f}"])
        print_rows(["", "tokens/s", "MFU", "peak GiB", "first step after, s"], rows)
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Every rendered file read by a real GPT-NeoX (ea7aefd8): NEOX_DIR names a clone, NEOX_PYTHON a Python for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.neox.config import NeoxConfig
from llemma.neox.overlays import render
from llemma.plan.compile import Request, compile_plan

NEOX_DIR = os.environ.get("NEOX_DIR")
NEOX_PYTHON = os.environ.get("NEOX_PYTHON", sys.executable)
GOLDEN = Path(__file__).with_name("golden")

pytestmark = pytest.mark.skipif(NEOX_DIR is None, reason="NEOX_DIR is not set: no GPT-NeoX checkout to read with")

READ = """
import json, os, sys
os.environ["DS_ACCELERATOR"] = "cpu"
sys.path.append(sys.argv[1])
os.chdir(sys.argv[1])
from megatron.neox_arguments import NeoXArgs
names = sys.argv[2].split(",")
for path in sys.argv[3:]:
    args = NeoXArgs.from_ymls([path])
    print("VALUES " + json.dumps([path, {name: getattr(args, name) for name in names}]), flush=True)
"""
READ_BY_NEOX = (
    "train_batch_size", "gradient_accumulation_steps", "train_iters", "lr_decay_iters", "min_lr", "warmup", "lr",
    "seq_length", "rotary_emb_base", "num_kv_heads", "zero_stage", "precision", "train_impl", "pack_impl",
    "dataset_impl", "extra_save_iters", "keep_last_n_checkpoints", "train_data_paths", "train_label_data_paths",
    "train_reward_data_paths", "pos_train_data_paths", "neg_train_label_data_paths", "seed",
)  # fmt: skip
DEFAULTS = {"train_impl": "normal", "pack_impl": "packed", "dataset_impl": "gpt2"}


def read_with_neox(paths: list[Path], folder: Path) -> dict[str, dict[str, object]]:
    """What NeoX takes each file for, in one process."""
    # "flash" needs the metadata of flash-attn even to be read (megatron/neox_arguments/arguments.py:1151).
    (folder / "flash_attn-2.6.3.dist-info").mkdir()
    (folder / "flash_attn-2.6.3.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.6.3\n"
    )
    done = subprocess.run(
        [NEOX_PYTHON, "-c", READ, str(NEOX_DIR), ",".join(READ_BY_NEOX), *map(str, paths)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(json.loads(line) for line in re.findall(r"^VALUES (.+)$", done.stdout, re.M))
    assert done.returncode == 0, f"read {len(found)} of {len(paths)}: {done.stderr[-3000:]}"
    return found


def as_we_read(path: Path) -> dict[str, object]:
    config = NeoxConfig.from_yaml(path)
    own = {
        "train_batch_size": config.global_batch_size,
        "lr_decay_iters": config.decay_iters,
        "lr": config.lr,
        "zero_stage": config.zero_stage,
    }
    values = {**DEFAULTS, **config.other, **config.model_dump(exclude={"other"}), **own}
    return {name: values.get(name) for name in READ_BY_NEOX}


def test_neox_reads_every_golden_file_as_we_do(tmp_path: Path) -> None:
    paths = sorted(GOLDEN.glob("*.yml"))
    found = read_with_neox(paths, tmp_path)
    for path in paths:
        assert found[str(path)] == as_we_read(path), path.name


def test_neox_reads_the_data_keys_of_every_objective_as_we_do(tmp_path: Path, make_data: Callable[..., Path]) -> None:
    paths = []
    for recipe, beside in (
        ("small_sft_kto", ("labels", "rewards")),
        ("small_dpo", ("labels", "rejected", "rejected_labels")),
    ):
        data = make_data({"tasks": 6000}, document_tokens=60, beside=beside, name=recipe)
        plan = compile_plan(Request(recipe=recipe, data=data))
        assert plan.problems == []
        for planned in plan.stages:
            paths.append(tmp_path / f"{planned.directory}.yml")
            paths[-1].write_text(render(planned.values))
    found = read_with_neox(paths, tmp_path)
    assert len(paths) == 4
    for path in paths:
        assert found[str(path)] == as_we_read(path), path.name

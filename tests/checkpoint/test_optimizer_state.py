"""Optimizer state that goes along when the number of tensor-parallel ranks changes, in files as DeepSpeed writes them.

The wanted files are made the slow way: each moment is dressed up as a model of its own and converted as weights are,
which test_logits.py proves, and the rank tensors are laid into rows as DeepSpeed's documentation of ZeRO has it.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llemma.checkpoint.conversion import convert
from llemma.checkpoint.planning import Request, plan_conversion
from llemma.checkpoint.repartition import repartition
from llemma.core.errors import DamagedFileError, InputError
from llemma.guard.manifest import check_manifest

MakeModel = Callable[..., Path]
FACTORS = {"fp32 weight": 1.0, "exp_avg": 3.0, "exp_avg_sq": -0.25}


def run(source: Path, out: Path, **options: Any) -> Path:
    convert(plan_conversion(Request(source=source, out=out, **options)))
    return out


def rank_tensors(model: Path, work: Path, ranks: int, factor: float) -> list[dict[str, torch.Tensor]]:
    """All tensors of a model times a factor, on each rank."""
    folder = work / f"times {factor} on {ranks}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes((model / "config.json").read_bytes())
    tensors = load_file(model / "model.safetensors")
    save_file({name: (tensor * factor).float() for name, tensor in tensors.items()}, folder / "model.safetensors")
    step = run(folder, folder / "neox", tensor_parallel=ranks) / "global_step0"
    return [torch.load(path, weights_only=True)["module"] for path in sorted(step.glob("*.pt"))]


def pieces_of(tensors: list[torch.Tensor], dp_size: int) -> list[torch.Tensor]:
    """DeepSpeed's pieces, slowly: all numbers in a row, zeros to a multiple of 2 x size, equal parts."""
    row = [number for tensor in tensors for number in tensor.flatten().tolist()]
    while len(row) % (2 * dp_size):
        row.append(0.0)
    size = len(row) // dp_size
    return [torch.tensor(row[at * size : (at + 1) * size]) for at in range(dp_size)]


def train(neox: Path, model: Path, work: Path, ranks: int, dp_size: int, is_bf16: bool) -> Path:
    """Makes a converted checkpoint one that was trained for seven steps under ZeRO 1."""
    step = (neox / "global_step0").rename(neox / "global_step7")
    (neox / "latest").write_text("global_step7")
    rows = {name: rank_tensors(model, work, ranks, factor) for name, factor in FACTORS.items()}
    for rank in range(ranks):
        path = step / f"mp_rank_{rank:02d}_model_states.pt"
        state = torch.load(path, weights_only=True)
        names: list[list[str]] = [[], []]
        for name in reversed(state["module"]):  # the order is the optimizer's own
            names["scale" in name].append(name)
        shapes = [OrderedDict((name, state["module"][name].shape) for name in group) for group in names]
        random = {"np_rng_state": np.random.RandomState(3).get_state(), "torch_rng_state": torch.get_rng_state()}
        torch.save({**state, **random, "iteration": 7, "param_shapes": shapes, "dp_world_size": dp_size}, path)
        for dp_rank in range(dp_size):
            cut = {
                name: [pieces_of([found[rank][key] for key in group], dp_size)[dp_rank] for group in names]
                for name, found in rows.items()
            }
            lengths = [sum(math.prod(shape) for shape in group.values()) for group in shapes]
            sizes = [piece.numel() for piece in cut["exp_avg"]]
            paddings = [
                size * dp_size - length if dp_rank == dp_size - 1 else 0
                for size, length in zip(sizes, lengths, strict=True)
            ]
            masters = cut["fp32 weight"]
            if not is_bf16:  # ZeRO's own optimizer keeps the master weights without padding
                masters = [row[: len(row) - padding] for row, padding in zip(masters, paddings, strict=True)]
            value = {
                "base_optimizer_state": {
                    "state": {
                        group: {
                            "step": torch.tensor(7.0),
                            **{key: cut[key][group] for key in ("exp_avg", "exp_avg_sq")},
                        }
                        for group in (0, 1)
                    },
                    "param_groups": [
                        {"lr": 0.1, "weight_decay": 0.1 - group / 10, "params": [group]} for group in (0, 1)
                    ],
                },
                "single_partition_of_fp32_groups": masters,
                "group_paddings": paddings,
                "partition_count": [dp_size] * 2,
                "param_slice_mappings": [OrderedDict(), OrderedDict()],
                "ds_version": "0.19.8",
                **({} if is_bf16 else {"zero_stage": 1}),
            }
            prefix = "bf16_" if is_bf16 else ""
            torch.save(
                {"optimizer_state_dict": value, "ds_version": "0.19.8"},
                step / f"{prefix}zero_pp_rank_{dp_rank}_mp_rank_{rank:02d}_optim_states.pt",
            )
    (step / "llemma_state.json").write_text("{}")
    return neox


def content(step: Path) -> dict[str, Any]:
    """Every optimizer file of a step, tensors as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.tolist()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return {path.name: plain(torch.load(path, weights_only=True)) for path in sorted(step.glob("*optim_states.pt"))}


@pytest.mark.parametrize(
    ("kv_heads", "before", "dp_size", "after", "is_bf16"),
    [(4, 2, 1, 1, True), (2, 1, 3, 2, True), (4, 2, 5, 4, False), (4, 2, 2, 2, False)],
)
def test_optimizer_state_is_what_a_run_on_the_other_ranks_would_have_saved(
    make_model: MakeModel, tmp_path: Path, kv_heads: int, before: int, dp_size: int, after: int, is_bf16: bool
) -> None:
    """Vocabulary 97: rows of padding come and go with the ranks, in the moments as in the weights."""
    model = make_model(kv_heads=kv_heads)
    source = run(model, tmp_path / "source", tensor_parallel=before)
    train(source, model, tmp_path / "a", before, dp_size, is_bf16)
    wanted = run(model, tmp_path / "wanted", tensor_parallel=after)
    train(wanted, model, tmp_path / "b", after, 1, is_bf16)
    out = run(source, tmp_path / "out", to="neox", tensor_parallel=after, optimizer="keep")
    assert (out / "latest").read_text() == "global_step7"
    assert content(out / "global_step7") == content(wanted / "global_step7")
    rebuild = import_module("numpy._core.multiarray")._reconstruct
    for rank in range(after):
        name = f"global_step7/mp_rank_{rank:02d}_model_states.pt"
        numpy_state = [np.ndarray, np.dtype, type(np.dtype("uint32")), rebuild]
        with torch.serialization.safe_globals(numpy_state):
            found, right = (torch.load(folder / name, weights_only=True) for folder in (out, wanted))
        assert all(torch.equal(found["module"][key], right["module"][key]) for key in right["module"])
        assert torch.equal(found["torch_rng_state"], right["torch_rng_state"])
        assert np.array_equal(found["np_rng_state"][1], right["np_rng_state"][1])
        for key in ("iteration", "param_shapes", "dp_world_size", "mp_world_size", "args"):
            assert found[key] == right[key], key


def test_kept_state_is_recorded_cut_for_more_processes_and_comes_back(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    source = train(run(model, tmp_path / "source", tensor_parallel=2), model, tmp_path / "a", 2, 3, True)
    plan = plan_conversion(Request(source=source, out=tmp_path / "out", to="neox", tensor_parallel=4, optimizer="keep"))
    assert "the optimizer state goes along (fp32 weight, exp_avg, exp_avg_sq" in "\n".join(plan.lines())
    convert(plan)
    out = tmp_path / "out"
    check_manifest(out / "global_step7")
    assert (out / "global_step7/llemma_state.json").is_file()
    record = json.loads((out / "conversion.json").read_text())
    names = set(record["tensors"])
    assert {row: set(hashes) for row, hashes in record["optimizer"].items()} == dict.fromkeys(FACTORS, names)
    back = run(out, tmp_path / "back", to="neox", tensor_parallel=2, optimizer="keep")
    repartition(back / "global_step7", 3)
    assert content(back / "global_step7") == content(source / "global_step7")


def test_optimizer_state_that_cannot_be_kept_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    source = run(model, tmp_path / "source", tensor_parallel=2)
    options = {"to": "neox", "tensor_parallel": 1, "optimizer": "keep"}
    with pytest.raises(InputError, match="holds no optimizer state"):
        run(source, tmp_path / "out", **options)
    train(source, model, tmp_path / "a", 2, 2, True)
    with pytest.raises(InputError, match="has no place for optimizer state"):
        run(source, tmp_path / "out", optimizer="keep")
    files = sorted((source / "global_step7").glob("*optim_states.pt"))
    value = torch.load(files[0], weights_only=True)
    state = value["optimizer_state_dict"]
    for change, message in (
        ({"zero_stage": 3}, "ZeRO 3 keeps its parameters in pieces too"),
        ({"param_slice_mappings": None, "base_optimizer_state": []}, "an elastic checkpoint"),
        ({"single_partition_of_fp32_groups": [torch.ones(2), torch.ones(2)]}, r"have \[2, \d+\] numbers, but"),
        ({"single_partition_of_fp32_groups": []}, "has 2 parameter groups, but"),
    ):
        torch.save({"optimizer_state_dict": {**state, **change}}, files[0])
        with pytest.raises((InputError, DamagedFileError), match=message):
            run(source, tmp_path / "out", **options)
    files[0].unlink()
    with pytest.raises(DamagedFileError, match="optimizer states of some data-parallel ranks are missing"):
        run(source, tmp_path / "out", **options)
    for path in files[1:]:
        path.unlink()
    path = source / "global_step7/mp_rank_01_model_states.pt"
    torch.save({**torch.load(path, weights_only=False), "optimizer": {"state": {0: {"step": 3}}}}, path)
    with pytest.raises(InputError, match="holds no optimizer state of ZeRO 1 or 2"):
        run(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()

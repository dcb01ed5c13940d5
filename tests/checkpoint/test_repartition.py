"""Optimizer state of ZeRO 1 cut for another data-parallel size, in files as DeepSpeed writes them."""

from __future__ import annotations

import math
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from llemma.checkpoint.repartition import main, repartition
from llemma.core.errors import DamagedFileError, InputError
from llemma.guard.manifest import check_manifest, write_manifest
from llemma.launch.partition import cut_anew

torch = pytest.importorskip("torch")
SHAPES = [OrderedDict(a=(3, 5), b=(7,)), OrderedDict(c=(1,))]  # 22 and 1 numbers: both need padding


def rows(dp_size: int, kind: int, group: int) -> list[Any]:
    """DeepSpeed's pieces, slowly: all numbers in a row, zeros to a multiple of 2 x size, equal parts."""
    length = sum(math.prod(shape) for shape in SHAPES[group].values())
    row = [1000.0 * kind + 100 * group + at for at in range(1, length + 1)]
    while len(row) % (2 * dp_size):
        row.append(0.0)
    size = len(row) // dp_size
    return [torch.tensor(row[at * size : (at + 1) * size]) for at in range(dp_size)]


def write_checkpoint(folder: Path, dp_size: int, *, is_bf16: bool) -> Path:
    folder.mkdir(parents=True)
    torch.save({"module": torch.ones(3), "param_shapes": SHAPES, "dp_world_size": dp_size}, folder / MODEL)
    for rank in range(dp_size):
        groups = range(len(SHAPES))
        masters = [rows(dp_size, 0, group)[rank] for group in groups]
        lengths = [sum(math.prod(shape) for shape in SHAPES[group].values()) for group in groups]
        paddings = [masters[g].numel() * dp_size - lengths[g] if rank == dp_size - 1 else 0 for g in groups]
        if not is_bf16:  # ZeRO's own optimizer keeps the master weights without padding
            masters = [
                master[: max(0, len(master) - padding)] for master, padding in zip(masters, paddings, strict=True)
            ]
        state = {
            "base_optimizer_state": {
                "state": {
                    group: {
                        "step": torch.tensor(3.0),
                        "exp_avg": rows(dp_size, 1, group)[rank],
                        "exp_avg_sq": rows(dp_size, 2, group)[rank],
                    }
                    for group in groups
                },
                "param_groups": [{"lr": 0.1, "params": [group]} for group in groups],
            },
            "single_partition_of_fp32_groups": masters,
            "group_paddings": paddings,
            "partition_count": [dp_size] * len(SHAPES),
            "param_slice_mappings": [OrderedDict() for _ in groups],
            "ds_version": "0.19.8",
            **({} if is_bf16 else {"zero_stage": 1}),
        }
        prefix = "bf16_" if is_bf16 else ""
        torch.save({"optimizer_state_dict": state}, folder / f"{prefix}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    (folder / "llemma_state.json").write_text("{}")
    write_manifest(folder)
    return folder


MODEL = "mp_rank_00_model_states.pt"


def content(folder: Path) -> dict[str, Any]:
    """Every file of a checkpoint, tensors as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.tolist()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return {path.name: plain(torch.load(path)) for path in sorted(folder.glob("*.pt"))}


@pytest.mark.parametrize("is_bf16", [True, False])
@pytest.mark.parametrize(("old", "new"), [(2, 1), (1, 2), (4, 2), (2, 3), (3, 5)])
def test_repartition_gives_the_files_that_the_other_size_would_have_saved(
    tmp_path: Path, old: int, new: int, is_bf16: bool
) -> None:
    folder = write_checkpoint(tmp_path / "global_step4", old, is_bf16=is_bf16)
    expected = write_checkpoint(tmp_path / "expected", new, is_bf16=is_bf16)
    assert main([str(tmp_path), "--iteration", "4", "--data-parallel", str(new)]) == 0
    assert content(folder) == content(expected)
    assert (folder / "llemma_state.json").is_file()
    check_manifest(folder)


def test_repartition_of_a_damaged_checkpoint_leaves_it_as_it_was(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "global_step4", 2, is_bf16=True)
    damaged = folder / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(DamagedFileError, match="bytes, but"):
        repartition(folder, 1)
    (folder / "manifest.json").unlink()
    with pytest.raises(DamagedFileError, match="no whole torch file"):
        repartition(folder, 1)
    assert len(list(folder.glob("bf16_zero*"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["global_step4"]


def test_damaged_checkpoint_is_passed_over_and_the_one_before_is_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training goes on from the one before; were that not cut, fewer nodes could never go on by themselves."""
    for step in (2, 4):
        write_checkpoint(tmp_path / f"global_step{step}", 2, is_bf16=True)
    (tmp_path / "latest").write_text("global_step4")
    newest = tmp_path / "global_step4" / MODEL
    newest.write_bytes(newest.read_bytes()[:-100])
    assert main([str(tmp_path), "--data-parallel", "1"]) == 0
    assert [len(list((tmp_path / f"global_step{step}").glob("bf16_zero*"))) for step in (2, 4)] == [1, 2]
    assert "global_step4 is passed over" in capsys.readouterr().out
    before = tmp_path / "global_step2" / MODEL
    before.write_bytes(before.read_bytes()[:-100])
    assert main([str(tmp_path), "--data-parallel", "3"]) == 1


def test_launch_has_the_state_cut_that_another_number_of_processes_saved(tmp_path: Path) -> None:
    root, said = tmp_path / "train/01-one/checkpoints", list[str]()
    folder = write_checkpoint(root / "global_step4", 2, is_bf16=False)
    (root / "latest").write_text("global_step4")
    for _ in range(2):  # the second time it fits
        assert cut_anew(tmp_path, "01-one", 1, sys.executable, said.append) is None
    assert said == ["global_step4: the optimizer's state is cut anew, from 2 parts into 1"]
    assert content(folder) == content(write_checkpoint(tmp_path / "expected", 1, is_bf16=False))


class Caller:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_repartition_refuses_what_would_run_code(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "global_step4", 2, is_bf16=True)
    (folder / "manifest.json").unlink()
    torch.save({"module": Caller(tmp_path / "called")}, folder / MODEL)
    with pytest.raises(InputError, match="asks to create 'posix"):
        repartition(folder, 1)
    assert not (tmp_path / "called").exists()


def test_repartition_of_zero_3_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "global_step4", 1, is_bf16=False)
    path = folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    value = torch.load(path)
    value["optimizer_state_dict"]["zero_stage"] = 3
    torch.save(value, path)
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="ZeRO 3"):
        repartition(folder, 2)

"""Our entry in NeoX's process, without NeoX: what it resumes from, what it refuses, and its stand-in for CUDA."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llemma.neox_engine
from llemma.core.errors import InputError
from llemma.neox.repair_table import REPAIRS
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.entry import resume_values, saved_iteration
from llemma.neox_engine.repairs import RepairRefusedError, apply_repairs


def checkpoints(folder: Path, step: int) -> Path:
    (folder / f"global_step{step}").mkdir(parents=True)
    (folder / "latest").write_text(f"global_step{step}\n")
    return folder


def context(neox_dir: Path) -> EngineContext:
    return EngineContext(neox_dir=neox_dir, config_path=neox_dir / "neox.yml", values={}, stage={})


def test_resume_of_a_stage_with_checkpoints_goes_on_from_them(tmp_path: Path) -> None:
    save = str(checkpoints(tmp_path / "save", 40))
    assert saved_iteration(save) == 40
    assert resume_values({"save": save, "load": "/elsewhere", "finetune": True}) == {"load": save, "finetune": False}


def test_resume_of_a_new_stage_overrules_nothing(tmp_path: Path) -> None:
    load = str(checkpoints(tmp_path / "converted", 0))
    assert resume_values({"save": str(tmp_path / "save"), "load": load}) == {}
    assert resume_values({"save": str(tmp_path / "save")}) == {}


def test_resume_of_a_later_stage_takes_the_weights_of_the_one_before(tmp_path: Path) -> None:
    before, own = str(checkpoints(tmp_path / "before", 9)), tmp_path / "own"
    assert resume_values({"save": str(own)}, before) == {"load": before, "finetune": True}
    checkpoints(own, 3)
    assert resume_values({"save": str(own)}, before) == {"load": str(own), "finetune": False}


def test_resume_of_a_stage_that_carries_the_optimizer_loads_more_than_weights(tmp_path: Path) -> None:
    before, own = str(checkpoints(tmp_path / "before", 9)), tmp_path / "own"
    stage = {"carry_optimizer": True}
    assert resume_values({"save": str(own)}, before, stage) == {"load": before, "finetune": False}
    checkpoints(own, 3)
    assert resume_values({"save": str(own)}, before, stage) == {"load": str(own), "finetune": False}


def test_resume_of_a_branch_takes_the_iteration_that_it_leaves_the_stage_at(tmp_path: Path) -> None:
    before, own = str(checkpoints(tmp_path / "before", 9)), str(tmp_path / "own")
    (tmp_path / "before/global_step6").mkdir()
    assert resume_values({"save": own}, before, {"start_iteration": 6})["iteration"] == 6
    with pytest.raises(InputError, match="no checkpoint of iteration 7 to start from"):
        resume_values({"save": own}, before, {"start_iteration": 7})


def test_resume_with_a_load_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """NeoX prints one warning, trains from random weights and ends with exit code 0."""
    with pytest.raises(InputError, match="there is no NeoX checkpoint to start from"):
        resume_values({"save": str(tmp_path / "save"), "load": str(tmp_path / "gone")})


@pytest.mark.parametrize("text", ["step_00000050", "global_step9", "../global_step5", ""])
def test_saved_iteration_of_a_latest_that_names_no_checkpoint_is_refused(tmp_path: Path, text: str) -> None:
    checkpoints(tmp_path, 5)
    (tmp_path / "latest").write_text(text)
    with pytest.raises(InputError, match="no checkpoint of GPT-NeoX"):
        saved_iteration(str(tmp_path))


def test_apply_repairs_with_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no repair 'x'; there are: cpu-stand-in"):
        apply_repairs(["x"], context(tmp_path))


@pytest.mark.parametrize("name", REPAIRS)
def test_repair_of_a_checkout_that_has_changed_refuses_loudly(name: str, tmp_path: Path) -> None:
    changed = EngineContext(  # in which no repair has nothing to do
        neox_dir=tmp_path,
        config_path=tmp_path / "neox.yml",
        values={"train_impl": "kto", "pack_impl": "pack_until_overflow"},
        stage={"packing": "isolated"},
        start="/start",
    )
    with pytest.raises(RepairRefusedError, match=rf"the repair '{name}' was .* has no '.*--without-repair {name}"):
        apply_repairs([name], changed)


def test_stand_in_answers_for_cuda_where_there_is_none() -> None:
    """In a process of its own: it changes torch for good."""
    pytest.importorskip("torch")
    code = """
import os, torch
os.environ["LOCAL_WORLD_SIZE"] = "2"
try:
    torch.cuda.LongTensor([1])
    raise SystemExit("there is a GPU: nothing to show")
except (TypeError, RuntimeError, AssertionError):
    pass
from llemma.neox_engine.repairs.cpu_stand_in import adamw, stand_in_for_cuda
stand_in_for_cuda(torch)
assert torch.cuda.is_available() and torch.cuda.device_count() == 2
assert torch.cuda.LongTensor([1, 2]).tolist() == [1, 2]
assert torch.ones(2).cuda().device.type == "cpu"
assert torch.nn.Linear(2, 2).cuda().weight.device.type == "cpu"
state = torch.cuda.get_rng_state()
first = torch.rand(3)
torch.cuda.set_rng_state(state)
assert torch.equal(first, torch.rand(3))
assert type(adamw([torch.nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.1)) is torch.optim.AdamW
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "there is a GPU" in done.stderr:
        pytest.skip("this machine has a GPU")
    assert (done.stdout.strip(), done.returncode) == ("fine", 0), done.stderr


def test_every_repair_of_the_table_has_a_module_of_its_own_and_the_other_way_round() -> None:
    folder = Path(llemma.neox_engine.__file__).parent / "repairs"
    files = {f"llemma.neox_engine.repairs.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert {repair.module for repair in REPAIRS.values()} == files


def test_entry_imports_nothing_that_a_neox_environment_may_lack() -> None:
    """It runs beside NeoX's packages; pydantic, rich and our other dependencies may be absent there."""
    allowed = {"torch", "numpy", "deepspeed", "yaml", "megatron", "llemma"} | sys.stdlib_module_names
    for path in Path(llemma.neox_engine.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed, path
    code = (
        "import sys; sys.modules['pydantic'] = sys.modules['rich'] = sys.modules['yaml'] = None\n"
        "import llemma.neox_engine.entry"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

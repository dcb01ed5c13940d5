"""One model over two processes is the same model: losses and gradients, whatever the heads and the output layer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from llemma.checkpoint.architecture import Architecture  # noqa: E402
from llemma.checkpoint.mapping import rules_of  # noqa: E402
from llemma.core.errors import InputError  # noqa: E402
from llemma.neox.config import NeoxConfig  # noqa: E402
from llemma.train.data.batch import IGNORED, Batch  # noqa: E402
from llemma.train.model.loss import mean_loss, token_losses  # noqa: E402
from llemma.train.model.tensor_parallel import TensorParallel, check_divisible, slice_of, split_axis  # noqa: E402
from llemma.train.model.weights import load_model, random_model, stored_weights, write_model_config, write_tensors  # noqa: E402

from .conftest import NEOX  # noqa: E402

CPU = torch.device("cpu")
MODELS = {"mha": {"num_kv_heads": 4}, "gqa": {"num_kv_heads": 2}, "tied": {"no_weight_tying": False}}

# One of the two processes: the loss of each model by both roads, and the gradients of its slices.
PROCESS = """
import datetime, sys
import torch
import torch.distributed as dist
from pathlib import Path
from safetensors.torch import load_file, save_file
from llemma.train.data.batch import Batch
from llemma.train.model.loss import mean_loss, token_losses
from llemma.train.model.weights import load_model
from llemma.train.model.tensor_parallel import TensorParallel

torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group(
    "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60)
)
parallel = TensorParallel(rank=rank, size=2, group=dist.group.WORLD)
batch = Batch(**load_file(folder / "batch.safetensors"))
found = {}
for name in sys.argv[3:]:
    model = load_model(folder / name, torch.device("cpu"), tensor_parallel=parallel)
    if name == "gqa":
        model.recompute(("selective", "full"))  # what processes exchange, they exchange again
    for road in ("mean", "token"):
        model.zero_grad()
        loss = mean_loss(model, batch, "fp32") if road == "mean" else token_losses(model, batch, "fp32").mean()
        loss.backward()
        found[f"{name} {road} loss"] = loss.detach()
        for parameter_name, parameter in model.named_parameters():
            found[f"{name} {road} {parameter_name}"] = parameter.grad.contiguous().clone()
    with torch.no_grad():
        found[f"{name} bf16"] = mean_loss(model, batch, "bfloat16")
save_file(found, folder / f"{rank}.safetensors")
dist.destroy_process_group()
"""


def test_two_processes_give_the_loss_and_the_gradients_of_one(tmp_path: Path) -> None:
    torch.manual_seed(3)
    tokens = torch.randint(0, 256, (3, 18))
    labels = tokens[:, 1:].clone()
    labels[0, :7] = IGNORED
    batch = Batch(inputs=tokens[:, :-1].contiguous(), labels=labels)
    save_file({"inputs": batch.inputs, "labels": labels}, tmp_path / "batch.safetensors")
    models = {}
    for name, changes in MODELS.items():
        models[name] = random_model(NeoxConfig.from_values({**NEOX, **changes, "init_method_std": 0.1}), CPU)
        (tmp_path / name).mkdir()
        write_model_config(models[name].config, tmp_path / name)
        write_tensors(stored_weights(models[name], torch.float32), tmp_path / name / "model.safetensors")
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), str(tmp_path), *MODELS]) for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    of_rank = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    for name, model in models.items():
        for road in ("mean", "token"):
            model.zero_grad()
            loss = mean_loss(model, batch, "fp32") if road == "mean" else token_losses(model, batch, "fp32").mean()
            torch.autograd.backward(loss)
            for rank, found in enumerate(of_rank):
                assert found[f"{name} {road} loss"].item() == pytest.approx(loss.item(), abs=1e-5)
                for parameter_name, parameter in model.named_parameters():
                    wanted = slice_of(parameter_name, parameter.grad, TensorParallel(rank=rank, size=2))
                    torch.testing.assert_close(
                        found[f"{name} {road} {parameter_name}"], wanted, atol=1e-5, rtol=1e-5, msg=parameter_name
                    )
        rounded = mean_loss(model, batch, "bfloat16").item()
        assert [found[f"{name} bf16"].item() for found in of_rank] == pytest.approx([rounded] * 2, abs=0.02)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_axes_of_slices_are_those_of_neox(kv_heads: int) -> None:
    """Checked against the conversion's table, so that a checkpoint of NeoX's ranks is cut like ours."""
    architecture = Architecture(
        num_layers=1, hidden_size=64, num_heads=4, num_kv_heads=kv_heads, ffn_width=256, vocab_size=256,
        max_positions=32, rms_norm_eps=1e-5, rope_base=1e4, is_tied=False,
    )  # fmt: skip
    for rule in rules_of(architecture):
        for part in rule.parts:
            assert split_axis(part.name) == rule.split, part.name


def test_random_weights_do_not_depend_on_the_number_of_processes() -> None:
    config = NeoxConfig.from_values(NEOX)
    torch.manual_seed(5)
    whole = dict(random_model(config, CPU).named_parameters())
    for rank in range(2):
        parallel = TensorParallel(rank=rank, size=2)
        torch.manual_seed(5)
        for name, parameter in random_model(config, CPU, parallel).named_parameters():
            assert torch.equal(parameter, slice_of(name, whole[name], parallel)), name


def test_model_that_cannot_be_cut_is_refused_with_every_reason(base_model: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_model(base_model, CPU, tensor_parallel=TensorParallel(rank=0, size=3))
    said = str(caught.value)
    assert "tensor parallel 3 cannot hold this model" in said and "take a size that divides" in said
    assert all(f"3 ranks do not divide {count}" in said for count in (4, 2, 256))
    check_divisible(load_model(base_model, CPU).config.architecture, TensorParallel(rank=0, size=2), "here")

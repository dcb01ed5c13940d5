"""What the command line says of speed and memory, and what a machine without a compiler is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from llemma.cli import main  # noqa: E402
from llemma.core.errors import InputError  # noqa: E402
from llemma.neox.config import NeoxConfig  # noqa: E402
from llemma.plan.embedded_memory import Recomputation, layer_bytes  # noqa: E402
from llemma.train.acceleration import Acceleration  # noqa: E402
from llemma.train.grid import ALONE  # noqa: E402
from llemma.train.model.config import ModelConfig  # noqa: E402
from llemma.train.model.llama import Llama  # noqa: E402
from llemma.train.model.tensor_parallel import TensorParallel  # noqa: E402

from .conftest import NEOX, MakeRun  # noqa: E402

CONFIG = NeoxConfig.from_values(NEOX)


def test_compile_without_a_compiler_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"needs a C.. compiler on a processor, but there is none.*install g.."):
        Acceleration(compile=True).apply(Llama(ModelConfig.of(CONFIG)), CONFIG, ALONE)


def test_compile_with_tensor_parallel_is_refused() -> None:
    model = Llama(ModelConfig.of(CONFIG), TensorParallel(rank=0, size=2))
    with pytest.raises(InputError, match="--compile does not go with tensor parallel"):
        Acceleration(compile=True).apply(model, CONFIG, ALONE)
    Acceleration().apply(model, CONFIG, ALONE)


def test_run_within_little_memory_makes_the_bytes_of_one_with_enough(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, recompute = [], Llama.recompute

    def listened(model: Llama, modes: Sequence[Recomputation]) -> None:
        chosen.append(tuple(modes))
        recompute(model, modes)

    monkeypatch.setattr(Llama, "recompute", listened)
    keys = {"train_iters": 4, "lr_decay_iters": 4, "checkpoint_factor": 4, "eval_iters": 0}
    little = (layer_bytes(CONFIG, "none") + layer_bytes(CONFIG, "full") + 1) / 2**30
    weights = []
    for name, memory in (("enough", "1"), ("little", f"{little:.12f}")):
        run = make_run(name, **keys)
        words = ["train", str(run), "--threads", "1", "--device", "cpu", "--activation-memory", memory]
        assert main(words) == 0
        weights.append((run / "train/01-math/checkpoints/step_00000004/model.safetensors").read_bytes())
    assert chosen == [("none", "none"), ("full", "full")]
    assert weights[0] == weights[1]


def test_memory_that_cannot_hold_a_layer_is_refused(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run()
    assert main(["train", str(run), "--device", "cpu", "--activation-memory", "0.00001"]) == 2
    assert "even with every layer computed again" in capsys.readouterr().err
    assert main(["train", str(run), "--activation-memory", "-1"]) == 2
    assert "--activation-memory is -1, but must be a number of GiB above 0" in capsys.readouterr().err

"""`llemma launch`: what it checks, what it would start, and that signals and exit codes pass through it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.cli import main
from llemma.launch.preflight import engine_of, read_run
from llemma.launch.processes import Command, run_command


@pytest.fixture(autouse=True)
def no_checkout_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEOX_DIR", raising=False)
    monkeypatch.delenv("NEOX_PYTHON", raising=False)


def fake_checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "neox/megatron/neox_arguments"
    folder.mkdir(parents=True)
    (folder / "neox_args.py").touch()
    return tmp_path / "neox"


def python_with_deepspeed(tmp_path: Path) -> Path:
    """A stand-in at the edge: a Python that says yes when it is asked for a package."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


def small_checkpoint(folder: Path) -> Path:
    """A Hugging Face folder of the small model's shape; its weights are never opened by the launcher."""
    shape = {
        "model_type": "llama", "hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 6,
        "vocab_size": 300, "intermediate_size": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000,
    }  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(shape))
    (folder / "model.safetensors").touch()
    return folder


def test_launch_dry_run_prints_the_embedded_trainers_command(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    capsys.readouterr()
    assert main(["launch", str(run), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert shlex.split(printed) == [sys.executable, "-m", "llemma", "train", str(run)]
    assert main(["launch", str(run), "--dry-run", "--engine", "local"]) == 0
    assert capsys.readouterr().out == printed


def test_launch_dry_run_on_neox_prints_one_torchrun_with_a_process_per_gpu(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, python = make_run(cluster="cpu_tp2"), python_with_deepspeed(tmp_path)
    neox = fake_checkout(tmp_path)
    words = ["launch", str(run), "--engine", "neox", "--neox-dir", str(neox), "--python", str(python), "--dry-run"]
    assert main(words) == 0
    command = shlex.split(capsys.readouterr().out)
    assert str(python) in command
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert command[command.index("--config") + 1] == str(run.resolve() / "stages/01-one/neox.yml")
    assert command[command.index("--repair") + 1] == "cpu-stand-in"
    assert main([*words, "--without-repair", "cpu-stand-in"]) == 0
    assert "cpu-stand-in" not in shlex.split(capsys.readouterr().out)


def test_launch_on_neox_without_checkout_and_packages_gives_the_remedy(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", str(make_run()), "--engine", "neox"]) == 2
    assert "--neox-dir (or the variable NEOX_DIR) is missing" in capsys.readouterr().err


def test_launch_on_neox_from_a_hugging_face_folder_says_how_to_convert_it(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = small_checkpoint(tmp_path / "start")
    run = make_run(start="checkpoint", init_from=start)
    assert main(["launch", str(run), "--engine", "neox", "--neox-dir", str(fake_checkout(tmp_path))]) == 2
    assert f"llemma convert {start} OUT --to neox --tensor-parallel 1" in capsys.readouterr().err


def test_launch_with_shards_gone_names_each_of_them(
    make_run: Callable[..., Path], little_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    config = run / "stages/01-one/neox.yml"
    config.write_text(config.read_text().replace(str(little_data.parent / "data"), "/nowhere"))
    assert main(["launch", str(run)]) == 2
    error = capsys.readouterr().err
    assert "for 6 reasons" in error
    assert "/nowhere/only/validation.idx: this shard is not here" in error


def test_launch_of_a_run_that_was_moved_is_refused(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(make_run(), tmp_path / "elsewhere")
    assert main(["launch", str(tmp_path / "elsewhere")]) == 2
    assert "the run was planned for another place" in capsys.readouterr().err


def test_launch_of_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", str(tmp_path)]) == 2
    assert "this is not a run directory" in capsys.readouterr().err


def test_launch_of_a_run_whose_start_is_gone_is_refused_unless_it_has_checkpoints(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run said yes where the trainer then said no; and a run on its way needs its start no more."""
    start = small_checkpoint(tmp_path / "start")
    run = make_run(start="checkpoint", init_from=start)
    shutil.rmtree(start)
    assert main(["launch", str(run), "--dry-run"]) == 2
    assert f"{start}: the model to start from is not here" in capsys.readouterr().err
    (run / "train/01-one/checkpoints").mkdir(parents=True)
    (run / "train/01-one/checkpoints/latest").write_text("step_00000001")
    assert main(["launch", str(run), "--dry-run"]) == 0


def test_launch_on_another_engine_than_before_is_refused(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    checkpoints = run / "train/01-one/checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "latest").write_text("global_step2")
    assert engine_of(run, read_run(run)[0].compiled) == "neox"
    assert main(["launch", str(run)]) == 2
    assert "it holds checkpoints of the engine 'neox'" in capsys.readouterr().err


def test_run_command_hands_back_the_exit_code_of_its_process() -> None:
    assert run_command(Command(words=(sys.executable, "-c", "raise SystemExit(7)"))) == 7


def test_run_command_of_a_killed_process_ends_with_128_and_the_signal() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_command(Command(words=(sys.executable, "-c", code))) == 137


def test_run_command_passes_a_signal_on_so_that_the_trainer_can_save(tmp_path: Path) -> None:
    """The launcher is told to stop; the process below it hears it, finishes its work, and chooses the exit code."""
    trainer = tmp_path / "trainer.py"
    trainer.write_text(
        "import pathlib, signal, sys\n"
        "def stop(number, frame):\n"
        "    pathlib.Path('saved').touch()\n"
        "    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    launcher = (
        "import sys; from llemma.launch.processes import Command, run_command\n"
        f"sys.exit(run_command(Command(words=({sys.executable!r}, {str(trainer)!r}))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", launcher], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 3
    finally:
        process.kill()
    assert (tmp_path / "saved").exists()

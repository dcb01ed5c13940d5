"""The command lines of a launch, and running one: signals passed on, the exit code handed back."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from llemma.launch.preflight import LaunchStage

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One process to run: its words, and what it adds to the environment."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    dies_of_usr1: bool = False  # torchrun: it is told to end by SIGTERM, which it hands to its processes

    def __str__(self) -> str:
        assigned = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*assigned, shlex.join(self.words)])


def embedded_command(run: Path) -> Command:
    """The embedded trainer over all stages of a run."""
    return Command(words=(sys.executable, "-m", "llemma", "train", str(run)))


def neox_command(
    stage: LaunchStage, neox_dir: Path, python: str, repairs: Sequence[str], before: LaunchStage | None = None
) -> Command:
    """torchrun of our entry in a checkout, for one stage on this host; `before` is the stage that it starts from."""
    environment = {}
    for name, folder in search_folders(python).items():
        search = dict.fromkeys([folder, *os.environ.get(name, "").split(os.pathsep)])
        environment[name] = os.pathsep.join(filter(None, search))
    words = [
        python, "-m", "torch.distributed.run", "--standalone", "--nnodes", "1",
        "--nproc-per-node", str(stage.config.global_num_gpus),
        "-m", "llemma.neox_engine.entry",
        "--neox-dir", str(neox_dir.resolve()), "--config", str(stage.config_path),
        "--last-iteration", str(stage.config.last_iteration),
    ]  # fmt: skip
    if before is not None:
        words += ["--start-from", str(before.config.save)]
    for name in repairs:
        words += ["--repair", name]
    return Command(words=tuple(words), environment=environment, dies_of_usr1=True)


def search_folders(python: str) -> dict[str, str]:
    """The folders that a training process must find first: this library's, and that of a Python named by its place."""
    folders = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    if os.sep in python:
        # NeoX compiles its index builder with whatever `python3` comes first.
        folders["PATH"] = str(Path(python).parent)
    return folders


def run_command(command: Command, cwd: Path | None = None) -> int:
    """Runs a process to its end and returns its exit code, 128 + n where signal n ended it.

    Signals sent to us are passed on to it, so that it can write its checkpoint before it ends.
    """
    process = subprocess.Popen(
        command.words,
        cwd=cwd,
        env={**os.environ, **command.environment},
        start_new_session=True,  # a Ctrl-C on the terminal reaches it once, through us
    )
    with _passing_signals(process, command.dies_of_usr1):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _passing_signals(process: subprocess.Popen[bytes], dies_of_usr1: bool) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if number == signal.SIGUSR1 and dies_of_usr1 else number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

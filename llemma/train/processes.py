"""Several processes on this host that train one model: `llemma train RUN --processes N` starts them and stays behind.

Each is the same command again, told by its environment which one it is. The first one speaks for all: the others write
what they have to say into files, which are shown where one of them fails. If one ends, all end; what was saved stays.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import InputError, LlemmaError, WorkError
from llemma.neox.config import NeoxConfig
from llemma.train.signals import signals_handled

_RANK, _SIZE, _MEETING, _PARENT = "LLEMMA_RANK", "LLEMMA_PROCESSES", "LLEMMA_MEETING", "LLEMMA_PARENT"
_LOST = 70  # exit code of a process that failed without a word for people: its log says how (EX_SOFTWARE)
# For the others to end by themselves after one has: the first may be writing a checkpoint. Chosen by us.
_GRACE_S = 60.0
_GRACE_AFTER_HANG_S = 3.0  # their watchdogs are as old as its own
_POLL_S = 0.05
_SHOWN_LINES = 12
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Which of the processes this one is, and where they meet."""

    rank: int
    size: int
    meeting: Path

    @property
    def init_method(self) -> str:
        """What torch.distributed is told."""
        return (self.meeting / "rendezvous").as_uri()

    @property
    def log(self) -> Path:
        """What this process says where it fails."""
        return _log(self.meeting, self.rank)


def membership() -> Membership | None:
    """What this process was started as; None where it is one that a person started."""
    if _RANK not in os.environ:
        return None
    return Membership(rank=int(os.environ[_RANK]), size=int(os.environ[_SIZE]), meeting=Path(os.environ[_MEETING]))


def as_member(member: Membership, work: Callable[[], int]) -> int:
    """Runs a process's work. A failure that is not for people goes into its log."""
    _die_with_parent()
    try:
        return work()
    except (LlemmaError, OSError, KeyboardInterrupt):  # told in words by the program
        raise
    except Exception:
        member.log.write_text(traceback.format_exc())
        return _LOST


def _die_with_parent() -> None:
    """Has the system end this process when the one that started it is gone, even by kill -9."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ[_PARENT]):
            raise WorkError("the process that started this one is gone")


def run_together(run: Path, words: Sequence[str], size: int, *, has_threads: bool) -> int:
    """Starts `llemma` with these words `size` times and returns the exit code of all.

    Unless the words say how many threads each has, they share the cores.
    Signals are passed on to them. Raises WorkError, with what it said, where one ended that should not have.
    """
    meeting = Path(tempfile.mkdtemp(prefix="llemma-train-"))
    try:
        processes = [_start(rank, size, meeting, words, has_threads=has_threads) for rank in range(size)]
        try:
            with signals_handled(lambda number, _frame: _pass_on(processes, number)):
                first = _first_failed(processes)
                if first is None:
                    return 0
                hung = _end_others(processes, _grace_s(meeting, first))
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        speaker: int = processes[0].returncode
        is_told = speaker > 0 and not _log(meeting, 0).stat().st_size
        if is_told and not hung and (first == 0 or processes[first].returncode == speaker):
            return speaker
        raise WorkError(_report(run, processes, meeting, first, hung))
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


def _start(rank: int, size: int, meeting: Path, words: Sequence[str], *, has_threads: bool) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        _RANK: str(rank),
        _SIZE: str(size),
        _MEETING: str(meeting),
        _PARENT: str(os.getpid()),
    }
    if not has_threads:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // size)))
    _log(meeting, rank).touch()
    with open(os.devnull, "rb") as nothing, open(_log(meeting, rank, ".txt"), "wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "llemma", *words],
            env=environment,
            stdin=nothing,
            stdout=None if rank == 0 else said,
            stderr=None if rank == 0 else said,
            start_new_session=True,  # a Ctrl-C on the terminal reaches it once, through us
        )


def _log(meeting: Path, rank: int, suffix: str = ".log") -> Path:
    return meeting / f"process-{rank}{suffix}"


def _first_failed(processes: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Waits until all have ended well (None) or one has not: which."""
    while True:
        codes = [process.poll() for process in processes]
        for rank, code in enumerate(codes):
            if code:
                return rank
        if all(code == 0 for code in codes):
            return None
        time.sleep(_POLL_S)


def _grace_s(meeting: Path, first: int) -> float:
    return _GRACE_AFTER_HANG_S if _log(meeting, first).read_bytes().startswith(b"Timeout (") else _GRACE_S


def _end_others(processes: Sequence[subprocess.Popen[bytes]], grace_s: float) -> list[int]:
    """Waits for the others to end by themselves; those that do not are ended, and told."""
    end = time.monotonic() + grace_s
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(_POLL_S)
    hung = [rank for rank, process in enumerate(processes) if process.poll() is None]
    for rank in hung:
        processes[rank].kill()
        processes[rank].wait()
    return hung


def _report(
    run: Path, processes: Sequence[subprocess.Popen[bytes]], meeting: Path, first: int, hung: Sequence[int]
) -> str:
    size = len(processes)
    kept = run / "train" / "processes"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(meeting, kept, ignore=shutil.ignore_patterns("rendezvous"))
    parts = []
    if hung:
        named = ", ".join(map(str, hung))
        parts.append(f"of {size} processes, number {named} (the first is 0) hung and had to be ended by force")
    else:
        first = _culprit(meeting, first, size)
        code = processes[first].returncode
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        parts.append(f"of {size} processes, number {first} (the first is 0) ended {how}, and the others with it")
    parts += [f"  {line}" for line in _last_words(meeting, hung[0] if hung else first)]
    parts.append(
        f"What each of them said last stands in {kept}. Its checkpoints are kept: the same command goes on from the "
        "newest one"
    )
    return "\n".join(parts)


def _culprit(meeting: Path, first: int, size: int) -> int:
    """Of processes that the watchdog ended, one that was not waiting for the others; else the first that ended."""
    ranks: list[int] = [first, *range(size)]
    for rank in ranks:
        words = _last_words(meeting, rank)
        if words and words[0].startswith("Thread ") and not any("distributed_c10d" in word for word in words):
            return rank
    return first


def _last_words(meeting: Path, rank: int) -> list[str]:
    """The end of what a process said; of a hung one, where its main thread stood."""
    said = "".join(_log(meeting, rank, suffix).read_text(errors="replace") for suffix in (".txt", ".log"))
    lines = said.rstrip().splitlines()
    threads = [number for number, line in enumerate(lines) if line.startswith("Thread ")]
    return lines[threads[-1] :][:_SHOWN_LINES] if threads else lines[-_SHOWN_LINES:]


def _pass_on(processes: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def chosen_layout(
    processes: int | None, tensor_parallel: int | None, config: NeoxConfig, num_gpus: int
) -> tuple[int, int]:
    """How many processes train, and how many of them hold one model together.

    Where nobody says: one process on a processor; as many as were planned, and as there are GPUs, on these; tensor
    parallel as planned, where it divides them. Raises InputError.
    """
    size = processes or (min(num_gpus, config.global_num_gpus) if num_gpus else 1)
    planned = config.model_parallel_size
    tensor = tensor_parallel or (planned if size % planned == 0 else 1)
    if size % tensor:
        raise InputError(f"--tensor-parallel is {tensor}, but must divide the number of processes, {size}")
    if num_gpus and size > num_gpus:
        raise InputError(f"--processes is {size}, but there are only {num_gpus} GPUs here")
    return size, tensor

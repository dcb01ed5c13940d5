"""The program of a batch script, on the first node of its job: `python -m llemma.launch.job TICKET`.

Checks the nodes, lays the stage out on those that came, starts one process a GPU by srun, and starts them again from
the last checkpoint where one of them dies. Told by Slurm that the job's time is nearly over (USR1), it has the
processes save and end, and puts the job back into the queue. Three attempts that bring the stage no further end it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from llemma.core.errors import InputError, LlemmaError, WorkError
from llemma.launch import slurm_commands as slurm
from llemma.launch.attempts import Outcome, fruitless_attempts, note_begin, note_end
from llemma.launch.layouts import Layout, config_for, layout_for
from llemma.launch.partition import cut_anew
from llemma.launch.places import Ticket, is_finished, launch_folder, saved_iteration
from llemma.launch.preflight import LaunchStage, read_run
from llemma.launch.reports import join_reports, read_reports

MAX_FRUITLESS = 3  # chosen by us
STOPPED = 75  # EX_TEMPFAIL: a process saved and ended because it was asked to
_QUEUE_AGAIN_S = 120.0  # how long Slurm may take to end a job that it has put back
_PAUSE_S = 3.0  # before another attempt: ports and devices are let go of


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a stage's job and returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: python -m llemma.launch.job TICKET   (started by the batch script of `llemma launch`)")
        return 2
    try:
        return StageJob(Path(words[0]), os.environ).run()
    except LlemmaError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except OSError as error:  # a full disk, a file system that is gone
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What Slurm gave to this job."""

    job: str
    start: int  # how often Slurm has started this job before
    nodes: tuple[str, ...]
    address: str
    port: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Allocation:
        """From Slurm's variables. Raises InputError outside of a job."""
        try:
            return cls(
                job=environment["SLURM_JOB_ID"],
                start=int(environment.get("SLURM_RESTART_COUNT") or 0),
                nodes=tuple(slurm.node_names(environment["SLURM_JOB_NODELIST"])),
                address=environment["MASTER_ADDR"],
                port=int(environment["MASTER_PORT"]),
            )
        except (KeyError, ValueError) as error:
            raise InputError(f"this runs inside a Slurm job of `llemma launch` alone: {error} is not set") from None


class StageJob:
    """One stage in one start of its job."""

    def __init__(self, ticket_path: Path, environment: Mapping[str, str]) -> None:
        self.ticket_path = ticket_path
        self.ticket = Ticket.read(ticket_path)
        self.run_folder = Path(self.ticket.run)
        self.allocation = Allocation.read(environment)
        self.stage = _find_stage(self.run_folder, self.ticket.stage)
        self.step: subprocess.Popen[bytes] | None = None  # the srun that is at work
        self.is_training = False  # else that srun checks the nodes
        self.asked_to_stop = False
        self.is_given_up = False  # asked to stop, they did not in time
        self.is_ended = False

    def run(self) -> int:
        """The whole job. Raises WorkError where the stage cannot be brought to its end."""
        signal.signal(signal.SIGUSR1, self._stop)
        signal.signal(signal.SIGALRM, self._give_up)
        signal.signal(signal.SIGTERM, self._end)
        name, iterations = self.ticket.stage, self.stage.compiled.iterations
        while True:
            if is_finished(self.run_folder, name, iterations) and not self.ticket.preflight_only:
                _say(f"{name}: finished at iteration {iterations}")
                return 0
            outcome = self._attempt()
            if outcome == "interrupted":
                return 128 + signal.SIGTERM
            if outcome == "refused":
                raise WorkError(f"{name}: the check of the nodes found what is said above: nothing was started")
            if outcome == "finished":
                return 0
            if fruitless_attempts(self.run_folder, name, self.allocation.job) >= MAX_FRUITLESS:
                raise WorkError(
                    f"{name}: {MAX_FRUITLESS} attempts from iteration {saved_iteration(self.run_folder, name)} have "
                    "come no further: read above what ended them; launch the run again to go on"
                )
            if outcome == "stopped":
                return self._queue_again()
            _say(f"{name}: going on from iteration {saved_iteration(self.run_folder, name)}")
            time.sleep(_PAUSE_S)

    def _attempt(self) -> Outcome:
        """Checks, starts and waits for the processes once."""
        name, job = self.ticket.stage, self.allocation
        layout = layout_for(self.stage, len(job.nodes), self.ticket.processes_per_node)
        if self.ticket.engine == "embedded":
            layout = Layout(nodes=1, processes=1, dp_size=1, accumulation=1)
        if layout is None:
            raise WorkError(
                f"{name}: {len(job.nodes)} nodes of {self.ticket.processes_per_node} processes cannot make its batch: "
                "launch it with a greater --min-nodes"
            )
        before = saved_iteration(self.run_folder, name)
        facts = {"nodes": list(job.nodes[: layout.nodes]), "processes": layout.processes, "iteration": before}
        note_begin(self.run_folder, name, job.job, job.start, **facts)
        _say(f"{name}: nodes: {layout.nodes}, processes: {layout.processes}, from iteration {before}")
        outcome, code, message = self._outcome(layout)
        after = saved_iteration(self.run_folder, name)
        note_end(
            self.run_folder, name, job.job, job.start, outcome, code=code, message=message, iteration=after,
            **{"from": before},
        )  # fmt: skip
        if outcome != "finished" or not self.ticket.preflight_only:
            _say(f"{name}: {outcome} at iteration {after}" + (f": {message}" if message else ""))
        return outcome

    def _outcome(self, layout: Layout) -> tuple[Outcome, int, str]:
        message = self._check_nodes(layout)
        if self.is_ended:
            return "interrupted", 0, ""
        if self.asked_to_stop:
            return "stopped", 0, "before the training began"
        if message is not None:
            return "refused", 1, message
        if self.ticket.preflight_only:
            return "finished", 0, ""
        if self.ticket.engine == "neox":
            message = cut_anew(self.run_folder, self.ticket.stage, layout.dp_size, self.ticket.python, _say)
            if message is not None:
                return "failed", 1, message
        code = self._step(self._training_words(layout), layout.nodes, layout.processes, self._variables(layout))
        if self.is_ended:
            return "interrupted", code, ""
        if is_finished(self.run_folder, self.ticket.stage, self.stage.compiled.iterations):
            return "finished", code, ""
        if self.asked_to_stop:
            return "stopped", code, "it did not save in time" if self.is_given_up else ""
        return "failed", code, f"srun ended with code {code}"

    def _training_words(self, layout: Layout) -> list[str]:
        ticket = self.ticket
        if ticket.engine == "embedded":
            return [ticket.python, "-m", "llemma", "train", ticket.run, "--stage", str(self.stage.compiled.number)]
        words = [
            ticket.python, "-m", "llemma.neox_engine.entry", "--neox-dir", str(ticket.neox_dir),
            "--config", str(config_for(self.stage, layout, self.run_folder)),
            "--last-iteration", str(self.stage.compiled.iterations),
        ]  # fmt: skip
        if ticket.start_from is not None:
            words += ["--start-from", ticket.start_from]
        for repair in ticket.repairs:
            words += ["--repair", repair]
        # What torchrun would have set; each process is one task of the step.
        return ["bash", "-c", 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec "$@"', "bash", *words]

    def _variables(self, layout: Layout) -> dict[str, str]:
        return {
            "WORLD_SIZE": str(layout.processes),
            "LOCAL_WORLD_SIZE": str(layout.processes // layout.nodes),
            "MASTER_ADDR": self.allocation.address,
            "MASTER_PORT": str(self.allocation.port),
        }

    def _check_nodes(self, layout: Layout) -> str | None:
        """Runs the check on every node; what it found, in words, or None."""
        job = self.allocation
        folder = launch_folder(self.run_folder) / "checks" / f"{self.ticket.stage}-{job.job}-{job.start}"
        for old in folder.glob("*.json"):
            old.unlink()
        names = job.nodes[: layout.nodes]
        words = [
            sys.executable, "-m", "llemma.launch.node_check", str(self.ticket_path), "--out", str(folder),
            "--names", ",".join(names), "--address", job.address, "--port", str(job.port + 1),
        ]  # fmt: skip
        self._step(words, layout.nodes, layout.nodes, {}, ends_together=False)
        problems, facts = join_reports(names, read_reports(folder))
        for line in facts:
            _say(f"check: {line}")
        for line in problems:
            _say(f"check: PROBLEM: {line}")
        return None if not problems else problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else "")

    def _step(
        self, words: Sequence[str], nodes: int, tasks: int, variables: Mapping[str, str], *, ends_together: bool = True
    ) -> int:
        """Runs a job step to its end and returns its exit code."""
        options = [f"--nodes={nodes}", f"--ntasks={tasks}", f"--ntasks-per-node={tasks // nodes}"]
        if nodes < len(self.allocation.nodes):
            options.append(f"--nodelist={','.join(self.allocation.nodes[:nodes])}")
        if ends_together:
            options.append("--kill-on-bad-exit=1")
            if self.ticket.cpus_per_process is not None:
                options.append(f"--cpus-per-task={self.ticket.cpus_per_process}")
        self.is_training = ends_together
        self.step = subprocess.Popen(
            ["srun", *options, *words], env={**os.environ, **variables}, stdin=subprocess.DEVNULL
        )
        if self.asked_to_stop:  # the signal came before there was anybody to pass it on to
            self._ask_to_save()
        code = self.step.wait()
        self.step, self.is_training = None, False
        signal.alarm(0)
        return code if code >= 0 else 128 - code

    def _queue_again(self) -> int:
        name, job = self.ticket.stage, self.allocation.job
        if not self.ticket.requeue:
            raise WorkError(f"{name}: saved, but the cluster's slurm section says requeue: false: launch the run again")
        _say(f"{name}: back into the queue as job {job}")
        fault = slurm.requeue(job)
        if fault is not None:
            raise WorkError(f"{name}: saved, but Slurm does not take the job back ({fault}): launch the run again")
        deadline = time.monotonic() + _QUEUE_AGAIN_S
        while not self.is_ended and time.monotonic() < deadline:
            time.sleep(1)
        return STOPPED

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True
        self._ask_to_save()

    def _ask_to_save(self) -> None:
        """Passes the signal on to the processes that train; those that check the nodes would only die of it."""
        if self.step is not None and self.is_training:
            self.step.send_signal(signal.SIGUSR1)  # srun hands it to each
            signal.alarm(self.ticket.save_within_s)

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        """A process hangs, or saves too slowly: the job must be back in the queue before its time is over."""
        self.is_given_up = True
        _say(f"{self.ticket.stage}: nothing was saved within {self.ticket.save_within_s} s: the processes are killed")
        slurm.kill_steps(self.allocation.job)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.is_ended = True  # Slurm has told the processes itself


def _find_stage(run: Path, directory: str) -> LaunchStage:
    for stage in read_run(run):
        if stage.compiled.directory == directory:
            return stage
    raise InputError(f"{run}: there is no stage {directory}")


def _say(text: str) -> None:
    print(f"[llemma {time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

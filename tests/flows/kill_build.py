"""Kills workers, drivers and nodes of a build at random moments and compares what it ends with to an undisturbed one.

    python tests/flows/kill_build.py OUT [--engine local|ray|slurm] [--kills 20] [--seed 1] [--files 4] [-- options]

A small corpus is made in OUT/corpus and built twice into the same folder OUT/out (the NeoX overlay holds absolute
paths): by one worker, in peace; and by the engine under fire.  `ray` and `slurm` run on two real nodes that are made
here (Slurm as root, where Debian's slurm-wlm and munge are installed).  All files are compared but records and logs,
which hold times.  Exit code 0: all bytes are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from build_runs import contents, num_records, run_build, start_build, write_corpus
from slurm_cluster import SlurmCluster, children_of, why_not

Shot = Callable[[], None]


class Fire(Protocol):
    """An engine under fire: how a build is told to use it, and what can be killed now."""

    options: list[str]
    environment: dict[str, str]

    def targets(self, driver: int) -> dict[str, Shot]: ...


class LocalFire:
    """A pool of two workers."""

    options: ClassVar[list[str]] = ["--engine", "local", "--workers", "2"]
    environment: ClassVar[dict[str, str]] = {}

    def targets(self, driver: int) -> dict[str, Shot]:
        """The worker processes; the first child is spawn's resource tracker, or a worker."""
        workers = [pid for pid in children_of(driver) if b"spawn_main" in command_of(pid)]
        return {f"worker {number}": shot_at(pid) for number, pid in enumerate(workers)}


class RayFire:
    """A Ray cluster of two nodes."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        root = str(Path(__file__).resolve().parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, sys.path)])
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        self._node = node
        self._cluster = Cluster(initialize_head=True, head_node_args=node)
        self._second = self._cluster.add_node(**node)
        self.options = ["--engine", "ray", "--ray-address", self._cluster.address]
        self.environment = {}

    def targets(self, driver: int) -> dict[str, Shot]:
        """Worker processes at work, and the second node."""
        found: dict[str, Shot] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            if command_of(int(folder.name)).startswith(b"ray::remote_task"):
                found[f"worker {len(found)}"] = shot_at(int(folder.name))
        return {**found, "node": self._kill_node}

    def _kill_node(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**self._node)

    def stop(self) -> None:
        """Ends the cluster."""
        self._cluster.shutdown()


class SlurmFire:
    """A Slurm cluster of two nodes."""

    options: ClassVar[list[str]] = ["--engine", "slurm", "--slurm-poll", "0.3", "--slurm-tasks-per-job", "4"]

    def __init__(self, cluster: SlurmCluster, draw: random.Random) -> None:
        self._cluster = cluster
        self._draw = draw
        self.environment = cluster.environment

    def targets(self, driver: int) -> dict[str, Shot]:
        """The processes of jobs, and the nodes."""
        found: dict[str, Shot] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            words = command_of(int(folder.name)).split(b"\0")
            if b"proof_pile.build" in words and b"task" in words:
                found[f"job process {len(found)}"] = shot_at(int(folder.name))
        return {**found, "node": self._kill_node}

    def _kill_node(self) -> None:
        node = self._draw.choice(self._cluster.busy_nodes() or ["n1"])
        self._cluster.kill_node(node)
        self._cluster.start_node(node)


def command_of(pid: int) -> bytes:
    """The command line of a process, empty where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def shot_at(pid: int) -> Shot:
    """Kill -9 for a process."""

    def shoot() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    return shoot


def build_under_fire(
    recipe: Path, out: Path, fire: Fire, kills: int, total: int, draw: random.Random, *options: str
) -> list[str]:
    """Builds to the end, killing something at so many moments; returns what was killed.  `total` is of all tasks."""
    killed: list[str] = []
    # The last one when all tasks are done, and files are brought to their places.
    moments = [*sorted(draw.randrange(total) for _ in range(kills - 1)), total]
    build = start_build(recipe, out, *fire.options, "--retries", "6", *options, environment=fire.environment)
    for moment in moments:
        while build.poll() is None and num_records(out) < moment:
            signal.sigtimedwait([], 0.005)
        signal.sigtimedwait([], draw.random() if moment < total else 0.3 * draw.random())
        if build.poll() is not None:
            break
        targets = fire.targets(build.pid)
        name = "driver" if draw.random() < 0.5 or not targets or moment == total else draw.choice(sorted(targets))
        if name != "driver":
            targets[name]()
        else:
            build.kill()
            build.communicate()
            build = start_build(recipe, out, *fire.options, "--retries", "6", *options, environment=fire.environment)
        killed.append(f"{name} after {num_records(out)} tasks")
    shown, _ = build.communicate(timeout=1200)
    if build.returncode:
        raise SystemExit(f"the build ended with exit code {build.returncode} after {killed}:\n{shown[-4000:]}")
    return killed


@contextlib.contextmanager
def fire_of(engine: str, folder: Path, draw: random.Random) -> Iterator[Fire]:
    """The engine to be killed, with nodes of its own where it needs some."""
    if engine == "ray":
        fire = RayFire()
        try:
            yield fire
        finally:
            fire.stop()
    elif engine == "slurm":
        if (reason := why_not()) is not None:
            raise SystemExit(reason)
        with SlurmCluster(folder) as cluster:
            yield SlurmFire(cluster, draw)
    else:
        yield LocalFire()


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names of files that are not in both, or not the same."""
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", choices=("local", "ray", "slurm"), default="local")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=4, help="of each of the two sources")
    parser.add_argument("options", nargs="*", help="options of the build, after --")
    args = parser.parse_args()
    folder = args.out.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    recipe = write_corpus(folder / "corpus", num_files=args.files, per_file=40)
    out = folder / "out"
    started = time.monotonic()
    run_build(recipe, out, "--workers", "1")
    wanted, total = contents(out), num_records(out)
    print(f"in peace: {total} tasks, {time.monotonic() - started:.0f} s", flush=True)
    out.rename(folder / "peace")
    draw = random.Random(args.seed)
    started = time.monotonic()
    with fire_of(args.engine, folder / "slurm", draw) as fire:
        killed = build_under_fire(recipe, out, fire, args.kills, total, draw, *args.options)
    for name in killed:
        print(f"  killed: {name}")
    found = contents(out)
    wrong = differences(wanted, found)
    left = [str(path) for path in out.rglob(".partial-*")]
    seconds = time.monotonic() - started
    print(f"{args.engine}: {len(killed)} kills in {seconds:.0f} s; {len(wanted)} files compared, {len(wrong)} differ")
    for name in [*wrong, *left]:
        print(f"  {name}")
    return 1 if wrong or left or not wanted else 0


if __name__ == "__main__":
    raise SystemExit(main())

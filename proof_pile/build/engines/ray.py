"""The Ray engine: each task is a remote call of (step folder, number); why it failed comes back as plain JSON.

Nothing of ours is pickled: Ray is given the name of a function, which every node imports from its own installation of
llemma.  The build's folder must lie on a file system that all nodes share.  Ray's own retries are turned off: a task
whose worker or node died is counted and tried again here, by the rules of all engines.  At most IN_FLIGHT tasks a
processor are handed over, so that the cluster's queue stays short however many tasks there are.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llemma.core.errors import InputError, MissingPackageError, WorkError
from llemma.core.logging import get_logger
from proof_pile.build.engines.batch import DEFAULT_RETRIES, STRAGGLER_S, Batch, Job
from proof_pile.build.engines.failures import Failure
from proof_pile.build.engines.journal import Journal
from proof_pile.build.engines.task import try_task

if TYPE_CHECKING:
    from ray import ObjectRef

    Reference = ObjectRef[dict[str, Any] | None]

log = get_logger(__name__)
IN_FLIGHT = 2
WAIT_S = 0.5
CONNECT_S = 10.0
START_S = 120.0
MAX_MESSAGE = 400
OBJECT_STORE_BYTES = 100 << 20  # of a local cluster: answers are a few hundred bytes, and Ray wants 75 MB
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray would tell its makers of each run
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # its coming default; unset it prints a warning
}


def remote_task(path: str, number: int) -> dict[str, Any] | None:
    """Runs one task on a node; returns why it failed as JSON, None if it did not."""
    failure = try_task(path, number)
    return None if failure is None else failure.as_json()


def remote_version() -> str:
    """The version of llemma on a node."""
    return str(importlib.import_module("llemma").__version__)  # of the package that the node really imports


class RayEngine:
    """Runs batches of tasks on a Ray cluster: the one at `address`, or one of `workers` processors made for it here."""

    def __init__(
        self,
        workers: int,
        *,
        address: str | None = None,
        cpus: float = 1,
        retries: int = DEFAULT_RETRIES,
        straggler_s: float = STRAGGLER_S,
    ) -> None:
        self._workers = workers
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        self._cpus = cpus
        self._retries = retries
        self._straggler_s = straggler_s

    def __enter__(self) -> RayEngine:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise MissingPackageError("ray", "ray") from None
        local: dict[str, Any] = {
            "num_cpus": self._workers,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
        _check_address(self._address)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=self._address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                **({} if self._address else local),
            )
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())[:MAX_MESSAGE] or type(error).__name__  # versions stand on several lines
            raise InputError(
                f"no Ray cluster could be joined at {self._address}: {why}"
                if self._address
                else f"Ray could not be started on this machine: {why}"
            ) from None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own in its place
        self._remote = ray.remote(num_cpus=self._cpus, max_retries=0)(remote_task)
        try:
            _check_nodes(ray.remote(num_cpus=0, max_retries=3)(remote_version))
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    @property
    def description(self) -> str:
        """Which cluster."""
        if self._address is None:
            return f"a Ray cluster made here, {self._workers} {'worker' if self._workers == 1 else 'workers'}"
        return f"the Ray cluster at {self._address}"

    def busy_keys(self) -> frozenset[str]:
        """None: Ray ends the tasks of a driver that is gone."""
        return frozenset()

    def run(self, jobs: Sequence[Job], journal: Journal) -> None:
        """Runs all jobs.  Raises TasksFailedError with what failed and why."""
        import ray

        batch = Batch(jobs, journal, self._retries, self._straggler_s)
        running: dict[Reference, Job] = {}
        try:
            while batch.left:
                self._hand_out(batch, running)
                # All that have ended are taken at once: `wait` returns the first alone where one is asked for.
                ended, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_S)
                if ended:
                    ended, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
                for reference in ended:
                    job = running.pop(reference)
                    failure = _answer(reference)
                    if failure is not None:
                        batch.failed(job, failure)
                    elif batch.done(job):
                        _cancel([other for other, its_job in running.items() if its_job == job])
        finally:
            _cancel(list(running))
        batch.finish()

    def _hand_out(self, batch: Batch, running: dict[Reference, Job]) -> None:
        slots = max(1.0, _resources().get("CPU", 1.0) / self._cpus)
        while len(running) < IN_FLIGHT * slots:
            if batch.waiting:
                job = batch.waiting.popleft()
            elif batch.alone:  # no node is ours alone: tried again when the cluster has less to do
                job = batch.alone.popleft()
            else:
                straggler = batch.straggler()
                if straggler is None:
                    return
                job = straggler
            reference = self._remote.remote(str(job[0].path), job[1])
            running[reference] = job
            batch.started(job, "Ray")


def _check_address(address: str | None) -> None:
    """Raises InputError where nothing listens at host:port: Ray itself would try for many minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"no Ray cluster could be reached at {address}: {reason}: start one with  ray start --head, or leave "
            "--ray-address and RAY_ADDRESS out"
        ) from None


def _resources() -> dict[str, float]:
    import ray

    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call,unused-ignore]
    return found


def _answer(reference: Reference) -> Failure | None:
    """What became of a task that has ended."""
    import ray

    try:
        value = ray.get(reference)
    except ray.exceptions.OutOfMemoryError:
        message = (
            "Ray ended its worker because the node ran out of memory: make 'shard_bytes' smaller, or --ray-cpus more"
        )
        return Failure(message=message, needs_memory=True)
    except ray.exceptions.NodeDiedError:
        return Failure(message="its node died", may_pass=True)
    except ray.exceptions.WorkerCrashedError:
        return Failure(message="its worker was killed, or crashed in native code", may_pass=True)
    except ray.exceptions.RayTaskError as error:
        return Failure(message=f"it could not be begun: {str(error).strip().splitlines()[-1]}")
    except ray.exceptions.RayError as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Failure(message=f"Ray lost it: {first}", may_pass=True)
    return None if value is None else Failure.from_json(value)


def _cancel(references: Sequence[Reference]) -> None:
    import ray

    for reference in references:
        with contextlib.suppress(Exception):
            ray.cancel(reference, force=True)


def _check_nodes(version_of: Any) -> None:
    """Raises InputError where a node has no llemma, or another version of it than this one."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    calls = {}
    for node in ray.nodes():  # type: ignore[no-untyped-call,unused-ignore]
        if not node["Alive"]:
            continue
        strategy = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
        calls[node["NodeManagerHostname"]] = version_of.options(scheduling_strategy=strategy).remote()
    for host, reference in calls.items():
        try:
            found = ray.get(reference, timeout=START_S)
        except ray.exceptions.GetTimeoutError:
            raise WorkError(f"the Ray node {host} did not answer within {START_S} s") from None
        except ray.exceptions.RayTaskError as error:
            last = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise InputError(
                f"the Ray node {host} cannot import llemma ({last}): install the same llemma on all nodes"
            ) from None
        except ray.exceptions.RayError as error:  # it died just now: no work will be sent there
            log.info("the Ray node %s does not answer: %s", host, error)
            continue
        if found != remote_version():
            raise InputError(
                f"the Ray node {host} has llemma {found}, this machine has {remote_version()}: install the same one "
                "on all nodes"
            )

"""A real Slurm cluster of two nodes on this machine, for tests: own munge key, configuration, ports and folders.

Debian's slurm-wlm and munge must be installed, and root must run it: a node that root runs starts its jobs as whoever
submitted them.  Nothing of the machine's own Slurm is touched.  Everything is ended by process id.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
NODES = ("n1", "n2")

CONFIG = """\
ClusterName=little
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1,batch_sched_delay=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=3
MessageTimeout=3
TCPTimeout=2
InactiveLimit=0
KillWait=2
MinJobAge=20
MaxArraySize={max_array_size}
MailProg=/bin/true
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs={cpus} RealMemory=1000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs={cpus} RealMemory=1000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=10:00 State=UP OverSubscribe=NO
"""


def why_not() -> str | None:
    """Why no cluster can be made on this machine; None where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: apt install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "Slurm's nodes must be run by root"
    return None


class SlurmCluster:
    """Two nodes of `cpus` processors each, and their controller.  `environment` is for programs that use them."""

    def __init__(self, folder: Path, cpus: int = 2, max_array_size: int = 1001) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._cpus = cpus
        self._max_array_size = max_array_size
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": _path(),
        }

    def __enter__(self) -> SlurmCluster:
        folder = self._folder
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        folder.chmod(0o755)  # munge wants no one else to be able to write above its files
        port, port1, port2 = _free_ports(3)
        config = CONFIG.format(
            host=socket.gethostname().split(".")[0],
            folder=folder,
            port=port,
            port1=port1,
            port2=port2,
            cpus=self._cpus,
            max_array_size=self._max_array_size,
        )
        (folder / "slurm.conf").write_text(config)
        try:
            self._start(
                "munged",
                "--foreground",
                "--force",
                f"--socket={folder}/munge.socket",
                f"--key-file={key}",
                f"--pid-file={folder}/munged.pid",
                f"--log-file={folder}/munged.log",
                f"--seed-file={folder}/munged.seed",
            )
            _wait(lambda: (folder / "munge.socket").exists(), "munged")
            self._start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
            for node in NODES:
                self.start_node(node)
            self.wait_until_idle()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in NODES:
            self.kill_node(node)
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start_node(self, node: str) -> None:
        """Starts a node, also one that was killed."""
        self._start("slurmd", "-D", "-N", node, "-f", str(self._folder / "slurm.conf"), key=node)

    def kill_node(self, node: str) -> None:
        """Ends a node as a power cut would: its daemon and all that it had started, at once."""
        process = self._processes.pop(node, None)
        if process is None:
            return
        for pid in [process.pid, *_slurmstepd_of(self._folder / f"slurmd-{node}.log")]:
            for member in reversed(_tree(pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        process.wait()

    def busy_nodes(self) -> list[str]:
        """Nodes on which jobs run."""
        return sorted(node for node, state in self.node_states().items() if state.startswith(("alloc", "mix", "comp")))

    def node_states(self) -> dict[str, str]:
        """What the controller thinks of each node."""
        done = self.call("sinfo", "--noheader", "--Node", "--format=%N %t")
        return dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)

    def wait_until_idle(self) -> None:
        """Until both nodes are free: what has ended may still be cleaned up."""
        _wait(lambda: self.node_states() == dict.fromkeys(NODES, "idle"), "slurmctld and slurmd", self._logs)

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs one of Slurm's commands."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def _start(self, *command: str, key: str | None = None) -> None:
        log = open(self._folder / f"{key or command[0]}.out", "ab")  # noqa: SIM115
        with log:
            self._processes[key or command[0]] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _logs(self) -> str:
        tails = []
        for path in sorted([*self._folder.glob("*.out"), *self._folder.glob("*.log")]):
            tails.append(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}")
        return "\n".join(tails)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]


def _wait(condition: Callable[[], bool], what: str, logs: Callable[[], str] = str, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start within {timeout_s:.0f} s\n{logs()}")
        signal.sigtimedwait([], 0.1)


def _slurmstepd_of(log: Path) -> Iterator[int]:
    """The processes that watch over the jobs of a node: no children of its daemon, but they write into its log."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (folder / "comm").read_text().strip()
            if name.startswith("slurmstepd") and any(os.readlink(fd) == str(log) for fd in (folder / "fd").iterdir()):
                yield int(folder.name)


def _tree(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    found, at = [pid], 0
    while at < len(found):
        found += children_of(found[at])
        at += 1
    return found


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    children = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                children.append(int(folder.name))
    return sorted(children)


def trainers(run: Path) -> list[int]:
    """The processes that train a run of GPT-NeoX, or of its stand-in, now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        is_ours = b"llemma.neox_engine.entry" in words and any(str(run).encode() in word for word in words)
        if is_ours and words[0] not in (b"srun", b"bash"):
            found.append(int(folder.name))
    return sorted(found)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False

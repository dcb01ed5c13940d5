"""Whether the nodes of a job can compute together, and with which versions: `python -m llemma.neox_engine.network …`.

Runs in the Python that trains, one process a node. First all meet at a store of the first node's, so that who does not
come can be named; then the first exchanges a message with each of them in turn, and all make an all-reduce.
The last line printed is {"versions": {package: version}, "fact": text or null, "problem": text or null}.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any

_PACKAGES = ("torch", "deepspeed", "transformers", "numpy", "llemma")
_ELEMENTS = 1 << 22  # 16 MiB of float32
_GOODBYE_S = 10


class NetworkError(Exception):
    """Raised with what is wrong between the nodes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Checks, prints one line of JSON, and returns 0: what was found stands in it."""
    parser = argparse.ArgumentParser(prog="llemma.neox_engine.network", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--names", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", required=True, choices=("gloo", "nccl"))
    parser.add_argument("--timeout", type=float, required=True)
    args = parser.parse_args(argv)
    names = args.names.split(",")
    fact, problem = None, None
    versions = find_versions()
    if len(names) > 1:
        try:
            fact = meet(names, args.rank, args.address, args.port, args.backend, args.timeout)
        except NetworkError as error:
            problem = str(error)
        versions.update(_torch_versions())
    print(json.dumps({"versions": versions, "fact": fact, "problem": problem}), flush=True)
    return 0


def find_versions() -> dict[str, str]:
    """Versions of Python and of what trains, read without an import."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def meet(names: Sequence[str], rank: int, address: str, port: int, backend: str, timeout_s: float) -> str | None:
    """Meets the other nodes and computes with them; what the first node measured. Raises NetworkError."""
    import torch

    distributed: Any = torch.distributed
    limit = datetime.timedelta(seconds=timeout_s)
    try:
        store = distributed.TCPStore(
            address, port, len(names), is_master=rank == 0, timeout=limit, wait_for_workers=False
        )
    except Exception as error:
        if rank == 0:
            raise NetworkError(f"the port {port} cannot be opened: {_line(error)}; set another master_port") from None
        raise NetworkError(
            f"{names[0]} does not answer at {address}:{port} within {timeout_s:.0f} s ({_line(error)}): is it slow, "
            "or does a firewall stand between the nodes?"
        ) from None
    try:
        store.set(f"here/{rank}", "yes")
        _wait_for_all(store, "here", names, timeout_s, "did not come to the rendezvous")
        print(f"all {len(names)} nodes have met", flush=True)
        device = torch.device("cuda", 0) if backend == "nccl" else torch.device("cpu")
        try:
            distributed.init_process_group(
                backend, store=distributed.PrefixStore("group", store), rank=rank, world_size=len(names), timeout=limit
            )
            slowest = _exchange(names, rank, device)
            seconds = _all_reduce(len(names), device)
        except RuntimeError as error:
            raise NetworkError(
                f"the nodes have met, but cannot compute together over {backend}: {_line(error)}"
            ) from None
        if rank:
            return None
        rate = _ELEMENTS * 4 / seconds / 1e9
        return f"all-reduce of 16 MiB over {backend} in {seconds * 1e3:.1f} ms ({rate:.2f} GB/s); {slowest}"
    finally:
        _leave(store, rank, len(names))
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _wait_for_all(store: Any, key: str, names: Sequence[str], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    missing = []
    for rank, name in enumerate(names):
        left = max(0.01, deadline - time.monotonic())
        try:
            store.wait([f"{key}/{rank}"], datetime.timedelta(seconds=left))
        except Exception:  # torch raises one type or another by its version
            missing.append(name)
    if missing:
        raise NetworkError(f"{', '.join(missing)} {what} within {timeout_s:.0f} s: is it slow, or its network broken?")


def _exchange(names: Sequence[str], rank: int, device: Any) -> str:
    """The first node sends to each other and hears back; who was slowest. Raises RuntimeError with the name."""
    import torch
    from torch import distributed

    box = torch.zeros(1, device=device)
    times: list[tuple[float, str]] = []
    for other, name in enumerate(names):
        if other == 0 or rank not in (0, other):
            continue
        print(f"a message between {names[0]} and {name}", flush=True)
        started = time.monotonic()
        try:
            if rank == 0:
                distributed.send(box, other)
                distributed.recv(box, other)
            else:
                distributed.recv(box, 0)
                distributed.send(box, 0)
        except RuntimeError as error:
            raise RuntimeError(f"{names[0]} and {name}: {_line(error)}") from None
        times.append((time.monotonic() - started, name))
    print("the all-reduce", flush=True)
    if not times:
        return ""
    seconds, name = max(times)
    return f"slowest to answer: {name}, {seconds * 1e3:.1f} ms"


def _all_reduce(world_size: int, device: Any) -> float:
    """Seconds of an all-reduce of 16 MiB, after one that sets up the connections."""
    import torch
    from torch import distributed

    seconds = 0.0
    for _ in range(2):
        values = torch.ones(_ELEMENTS, device=device)
        started = time.monotonic()
        distributed.all_reduce(values)
        total = float(values[-1])
        seconds = time.monotonic() - started
        if total != world_size:
            raise RuntimeError(f"the all-reduce of ones over {world_size} nodes gives {total:g}")
    return seconds


def _leave(store: Any, rank: int, world_size: int) -> None:
    """The first node, whose store it is, stays until the others have gone."""
    try:
        store.set(f"gone/{rank}", "yes")
        if rank == 0:
            store.wait([f"gone/{other}" for other in range(world_size)], datetime.timedelta(seconds=_GOODBYE_S))
    except Exception:
        return


def _torch_versions() -> dict[str, str]:
    import torch

    found = {"cuda": str(torch.version.cuda)} if torch.version.cuda else {}
    if torch.cuda.is_available():
        nccl: Any = torch.cuda.nccl
        found["nccl"] = ".".join(map(str, nccl.version()))
    return found


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    sys.exit(main())

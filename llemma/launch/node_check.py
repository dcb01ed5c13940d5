"""What one node looks at before a stage begins: `python -m llemma.launch.node_check TICKET --out FOLDER …`.

Data files against the mixture's hashes (indexes wholly; tokens by length and sampled blocks, or wholly), tokenizer,
free space, the checkpoint to begin with, versions, and an all-reduce with the other nodes that names who is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, LlemmaError
from llemma.core.files import sha256_file
from llemma.core.schemas import CompanionShard, Mixture, RunRecord
from llemma.guard.manifest import MANIFEST_NAME, check_manifest, check_sizes
from llemma.launch.places import DataCheck, Ticket, saved_checkpoint
from llemma.launch.preflight import LaunchStage, launch_problems, read_run, start_problems
from llemma.launch.reports import NodeReport, write_report

_BLOCK_BYTES = 1 << 20
_NUM_BLOCKS = 16  # of each file; chosen by us: 16 MiB are read in well under a second


def main(argv: Sequence[str] | None = None) -> int:
    """Checks this node, writes its file and returns 0: what was found stands in the file."""
    parser = argparse.ArgumentParser(prog="llemma.launch.node_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ticket", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--names", required=True, help="the nodes in their order, with commas")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=29501)
    args = parser.parse_args(argv)
    names = args.names.split(",")
    number = int(os.environ.get("SLURM_PROCID", "0"))
    args.out.mkdir(parents=True, exist_ok=True)
    write_report(args.out, number, check_node(Ticket.read(args.ticket), names, number, args.address, args.port))
    return 0


def check_node(ticket: Ticket, names: Sequence[str], number: int, address: str, port: int) -> NodeReport:
    """All checks of one node."""
    started = time.monotonic()
    run = Path(ticket.run)
    problems: list[str] = []
    facts: list[str] = []
    samples: dict[str, str] = {}
    try:
        stages = read_run(run)
        stage = next(item for item in stages if item.compiled.directory == ticket.stage)
        problems += launch_problems([stage], run)
        if not problems:
            found, told, samples = data_problems(stage, ticket.data_check)
            problems, facts = [*problems, *found], [*facts, *told]
        found, told = checkpoint_problems(ticket, stage, is_first=number == 0)
        problems, facts = [*problems, *found], [*facts, *told]
        problems += space_problems(run, stage)
    except LlemmaError as error:
        problems.append(str(error))
    network = _network(ticket, names, number, address, port)
    if network.get("problem"):
        problems.append(str(network["problem"]))
    return NodeReport(
        node=names[number],
        seconds=round(time.monotonic() - started, 3),
        problems=tuple(problems),
        facts=tuple(facts),
        versions=network.get("versions") or {},
        samples=samples,
        network=network.get("fact"),
    )


def data_problems(stage: LaunchStage, how: DataCheck) -> tuple[list[str], list[str], dict[str, str]]:
    """What is wrong with a stage's data files, what was proven, and hashes of sampled blocks by file."""
    compiled, config = stage.compiled, stage.config
    if compiled.mixture is None:
        return [], ["the data's hashes are not known: the run was planned without a mixture"], {}
    path = Path(compiled.mixture)
    problems: list[str] = []
    if not path.is_file():
        return [f"{path}: the mixture that the run was planned from is not here"], [], {}
    if compiled.mixture_sha256 is not None and sha256_file(path) != compiled.mixture_sha256:
        problems.append(f"{path}: it has changed since the run was planned: plan the run anew")
    mixture = Mixture.read(path)
    item_bytes = {"uint16": 2, "int32": 4}[mixture.tokenizer.dtype]
    wanted = set(config.data_prefixes)
    samples: dict[str, str] = {}
    num_files, num_bytes = 0, 0
    for shard, is_companion in _shards(mixture):
        prefix = str(path.parent / shard.path)
        if prefix not in wanted:
            continue
        idx, tokens = Path(prefix + ".idx"), Path(prefix + ".bin")
        if sha256_file(idx) != shard.idx_sha256:
            problems.append(f"{idx}: it is not the file that the mixture names (SHA-256 differs)")
        size = tokens.stat().st_size
        expected = shard.num_tokens * (4 if is_companion else item_bytes)
        if size != expected:
            problems.append(f"{tokens}: {size:,} bytes, but {shard.num_tokens:,} tokens make {expected:,}")
        elif how == "full" and sha256_file(tokens) != shard.bin_sha256:
            problems.append(f"{tokens}: it is not the file that the mixture names (SHA-256 differs)")
        elif how == "sampled" and size <= _BLOCK_BYTES * _NUM_BLOCKS:
            if sha256_file(tokens) != shard.bin_sha256:
                problems.append(f"{tokens}: it is not the file that the mixture names (SHA-256 differs)")
        elif how == "sampled":
            samples[str(tokens)] = sampled_hash(tokens)
        num_files, num_bytes = num_files + 2, num_bytes + size
    tokenizer = config.vocab_file
    if tokenizer is not None and sha256_file(tokenizer) != mixture.tokenizer.sha256:
        problems.append(f"{tokenizer}: it is not the tokenizer that made the data (SHA-256 differs)")
    depth = {"sizes": "lengths alone", "sampled": "sampled", "full": "hashed wholly"}[how]
    facts = [f"{num_files} data files, {num_bytes:,} bytes of tokens ({depth}), and the tokenizer are the mixture's"]
    return problems, facts if not problems else [], samples


def sampled_hash(path: Path) -> str:
    """SHA-256 of evenly spaced blocks of a file: the same on every node that sees the same bytes."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        for number in range(_NUM_BLOCKS):
            file.seek((size - _BLOCK_BYTES) * number // (_NUM_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def checkpoint_problems(ticket: Ticket, stage: LaunchStage, *, is_first: bool) -> tuple[list[str], list[str]]:
    """What is wrong with the checkpoint to begin with; the first node reads its bytes, the others see their lengths."""
    found = saved_checkpoint(Path(ticket.run), ticket.stage)
    if found is None:
        problems = start_problems(ticket.engine, stage, ticket.start_from)
        folder = Path(ticket.start_from or stage.config.load or "")
        latest = folder / "latest"
        if problems or not latest.is_file():
            return problems, []
        checkpoint = folder / latest.read_text(encoding="utf-8").strip()
        if stage.compiled.start_iteration is not None and ticket.engine == "neox":
            checkpoint = folder / f"global_step{stage.compiled.start_iteration}"
    else:
        checkpoint = found[1]
    if not (checkpoint / MANIFEST_NAME).is_file():
        return [], [f"{checkpoint}: it has no {MANIFEST_NAME}, so nothing proves that it is whole"]
    started = time.monotonic()
    try:
        (check_manifest if is_first else check_sizes)(checkpoint)
    except DamagedFileError as error:
        if found is not None:  # the engine goes on from the one before
            return [], [f"{error}: the one before will be taken"]
        return [str(error)], []
    seconds = time.monotonic() - started
    proof = f"every byte as it was written ({seconds:.1f} s)" if is_first else "of the right length"
    return [], [f"{checkpoint.name}: {proof}"]


def space_problems(run: Path, stage: LaunchStage) -> list[str]:
    """Says so where there is no room for two more checkpoints: a new one is written before an old one goes."""
    estimates = RunRecord.read(run).estimates.get("stages") or []
    number = stage.compiled.number - 1
    each = estimates[number].get("checkpoint_bytes") if number < len(estimates) else None
    if not isinstance(each, int):
        return []
    state = os.statvfs(run)
    free = state.f_bavail * state.f_frsize
    if free >= 2 * each:
        return []
    return [
        f"{run}: {free / 1e9:,.1f} GB are free, but two checkpoints of {each / 1e9:,.1f} GB must find room: free some "
        "space, or keep fewer (keep_last_n_checkpoints)"
    ]


def _shards(mixture: Mixture) -> Iterator[tuple[CompanionShard, bool]]:
    """Every `.bin/.idx` pair, and whether it is one of int32 beside another."""
    for source in mixture.sources:
        for shard in source.splits.values():
            yield shard, False
            if shard.rejected is not None:
                yield shard.rejected, False
            for companion in (shard.labels, shard.rewards, shard.rejected_labels):
                if companion is not None:
                    yield companion, True


def _network(ticket: Ticket, names: Sequence[str], number: int, address: str, port: int) -> dict[str, Any]:
    """Versions of the Python that trains, and the all-reduce: {"versions", "fact", "problem"}."""
    words = [
        ticket.python, "-m", "llemma.neox_engine.network", "--names", ",".join(names), "--rank", str(number),
        "--address", address, "--port", str(port), "--backend", ticket.backend,
        "--timeout", str(ticket.network_timeout_s),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=3 * ticket.network_timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        last = (error.stdout or b"").decode("utf-8", "replace").strip().splitlines()
        reached = last[-1] if last else "it did not begin"
        return {"problem": f"the all-reduce between the nodes hangs; the last that was heard: {reached}"}
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            value = json.loads(line)
            return value if isinstance(value, dict) else {}
    tail = " ".join(done.stderr.split())[-400:]
    return {"problem": f"{ticket.python} could not make the network check (code {done.returncode}): {tail}"}


if __name__ == "__main__":
    sys.exit(main())

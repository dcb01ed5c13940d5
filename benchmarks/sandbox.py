"""What shutting in a program costs: our backends against a fresh interpreter, with and without bubblewrap.

    python benchmarks/sandbox.py [--runs 100] [--fresh-runs 7]

The program is `from sympy import *` and one square root; a fresh interpreter loads numpy and sympy for it each time.
`only prints` is a program that does nothing but print the same: what a run costs beside the program's own work.
A fork of the same server without any layer is the backend `unprotected`: what lies above it is the layers' own cost.
Processor time is that of the program's own process, from its fork or start on; it tells more on a busy machine.
The kinds take turns, so that other work on the machine falls on all of them alike.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import machine, print_rows
from eval_tasks.sandbox import Sandbox
from eval_tasks.sandbox.backends import ENVIRONMENT, server_command
from llemma.core.errors import InputError

PROGRAM = "import numpy\nfrom sympy import *\nprint(sqrt(8))"
ONLY_PRINTS = "print('2*sqrt(2)')"
BACKENDS = ("namespaces", "bwrap", "landlock", "unprotected")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="runs of each backend of ours")
    parser.add_argument("--fresh-runs", type=int, default=7, help="runs of each fresh interpreter")
    options = parser.parse_args()
    kinds: dict[str, Callable[[], Run]] = {}
    sandboxes = []
    starts = {}
    for backend in BACKENDS:
        before = time.perf_counter()
        try:
            sandbox = Sandbox(backend)
        except InputError as error:
            print(error, file=sys.stderr)
            continue
        starts[backend] = time.perf_counter() - before
        sandboxes.append(sandbox)
        kinds[f"ours, {backend}"] = lambda sandbox=sandbox: ours(sandbox, PROGRAM)
        kinds[f"ours, {backend}, only prints"] = lambda sandbox=sandbox: ours(sandbox, ONLY_PRINTS)
    took = measured(kinds, options.runs)
    fresh = {"fresh interpreter": lambda: output([sys.executable, "-s", "-P", "-c", PROGRAM])}
    if shutil.which("bwrap"):
        command = server_command("bwrap", None)[:-1]
        # bwrap does not wait for what it starts, so its processor time cannot be told.
        fresh["fresh interpreter under bubblewrap"] = lambda: (output([*command, PROGRAM])[0], math.nan)
    took |= measured(fresh, options.fresh_runs)
    for sandbox in sandboxes:
        sandbox.close()
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}\n")
    rows = [
        [name, str(len(times))]
        + [f"{value * 1e3:.1f}" for value in (statistics.median(times), min(times), p90(times))]
        + ["" if math.isnan(processor[0]) else f"{statistics.median(processor) * 1e3:.1f}"]
        for name, (times, processor) in took.items()
    ]
    print_rows(["a run, ms", "runs", "wall median", "least", "90 %", "processor median"], rows)
    print("\nstart of a server, s: " + ", ".join(f"{name} {value:.2f}" for name, value in starts.items()))


Run = tuple[str, float]  # what it printed, seconds of processor time


def measured(kinds: dict[str, Callable[[], Run]], runs: int) -> dict[str, tuple[list[float], list[float]]]:
    """Wall and processor seconds of each run.  Raises SystemExit where one does not print the root."""
    took: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in kinds}
    for _ in range(runs):
        for name, run in kinds.items():
            before = time.perf_counter()
            text, processor_s = run()
            took[name][0].append(time.perf_counter() - before)
            took[name][1].append(processor_s)
            if text != "2*sqrt(2)\n":
                raise SystemExit(f"{name}: printed {text!r}")
    return took


def ours(sandbox: Sandbox, program: str) -> Run:
    result = sandbox.run(program)
    return result.output, result.cpu_s


def output(command: list[str]) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=ENVIRONMENT).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def p90(times: list[float]) -> float:
    return sorted(times)[int(0.9 * (len(times) - 1))]


if __name__ == "__main__":
    main()

"""Graders side by side on labelled pairs of answers: ours, Math-Verify, lm-eval's minerva_math and PRM800K's.

    python benchmarks/grader.py --pairs pairs.jsonl --prm800k-dir CHECKOUT --runs 3

Each line of the file is an object with `gold`, `pred` (or `prediction`) and `expected` (true or false); pairs whose
`certainty` is 'disputed' are left out. The peers are installed into an environment of their own, as
requirements-grader.txt says; PRM800K's grader is read from a checkout of openai/prm800k and left out without one.

Every grader judges every pair in one process after a first pair that is not counted. Columns: agreement with the
labels, false EQUALs, missed (EQUAL by the label alone), pairs per CPU-second (of the process and its children), the
99th percentile of the time of a pair (of each pair the shortest over the runs, so that other programs on the machine
count less), pairs at which the process hung for over HANG_SECONDS or died. Those count as not equal.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HANG_SECONDS = 30.0
WARM_UP = ("\\sum_{k=1}^{\\infty} 2^{-k}", "1")
GRADERS = ("ours", "math-verify", "minerva_math", "prm800k")

Grader = Callable[[str, str], bool]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two answers, and whether they are the same."""

    gold: str
    prediction: str
    expected: bool
    kind: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A grader's verdicts, its CPU seconds over all pairs, and the seconds of each."""

    verdicts: list[bool]
    cpu_s: float
    seconds: list[float]
    lost: int


# --- in the process of one grader ---
def load_grader(name: str, prm800k_dir: str) -> Grader:
    """The grader as its authors use it: gold answer and prediction to a verdict."""
    if name == "ours":
        sys.path.insert(0, str(HERE.parent))
        from eval_tasks.answers import judge

        return lambda gold, prediction: judge(gold, prediction).is_equal
    if name == "math-verify":
        from math_verify import parse, verify

        def as_formula(text: str) -> str:
            return text if "$" in text or "\\boxed" in text else f"${text}$"

        return lambda gold, prediction: bool(verify(parse(as_formula(gold)), parse(as_formula(prediction))))
    if name == "minerva_math":
        from lm_eval.tasks.minerva_math.utils import is_equiv, normalize_final_answer

        return lambda gold, prediction: bool(is_equiv(normalize_final_answer(prediction), normalize_final_answer(gold)))
    if name == "prm800k":
        sys.path.insert(0, str(Path(prm800k_dir) / "prm800k"))
        from grading.grader import grade_answer

        return lambda gold, prediction: bool(grade_answer(prediction, gold))
    raise SystemExit(f"no grader {name!r}; there are {', '.join(GRADERS)}")


def serve(name: str, prm800k_dir: str) -> None:
    """Judges pairs from standard input, one JSON line each; answers with verdict, seconds and CPU seconds so far."""
    answers = os.fdopen(os.dup(1), "w")  # what a grader prints must not mix with the verdicts
    os.dup2(2, 1)
    grade = load_grader(name, prm800k_dir)
    _verdict(grade, *WARM_UP)
    begun = cpu_seconds()
    for line in sys.stdin:
        gold, prediction = json.loads(line)
        started = time.perf_counter()
        verdict = _verdict(grade, gold, prediction)
        seconds = time.perf_counter() - started
        answers.write(json.dumps([verdict, seconds]) + "\n")
        answers.flush()
    answers.write(json.dumps(cpu_seconds() - begun) + "\n")
    answers.flush()


def _verdict(grade: Grader, gold: str, prediction: str) -> bool:
    try:
        return grade(gold, prediction)
    except Exception:
        return False


def cpu_seconds() -> float:
    """CPU seconds of this process, of its living children and of those that have ended. Linux: from /proc."""
    own = str(os.getpid())
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if folder.name == own or fields[1] == own:
            ticks += sum(int(value) for value in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


# --- in the benchmark ---
def read_pairs(path: Path) -> list[Pair]:
    """The pairs that are scored."""
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        if row.get("certainty") != "disputed":
            prediction = row["pred"] if "pred" in row else row["prediction"]
            kind = row.get("category") or row.get("kind") or ""
            pairs.append(Pair(gold=row["gold"], prediction=prediction, expected=bool(row["expected"]), kind=kind))
    return pairs


def run_grader(python: Path, name: str, prm800k_dir: str, pairs: list[Pair]) -> Outcome:
    """Sends all pairs through a grader's process; a process that hangs or dies is started again behind that pair."""
    verdicts: list[bool] = []
    seconds: list[float] = []
    cpu_s, lost = 0.0, 0
    while len(verdicts) < len(pairs):
        command = [str(python), str(HERE / "grader.py"), "--serve", name, "--prm800k-dir", prm800k_dir]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin is not None and process.stdout is not None
        while len(verdicts) < len(pairs):
            pair = pairs[len(verdicts)]
            answer = _ask(process, json.dumps([pair.gold, pair.prediction]))
            if answer is None:
                if not verdicts:
                    raise SystemExit(f"{name} does not start; try: {' '.join(command)} < /dev/null")
                lost += 1
                verdicts.append(False)
                seconds.append(HANG_SECONDS)
                break
            verdicts.append(answer[0])
            seconds.append(answer[1])
        else:
            process.stdin.close()
            cpu_s += float(json.loads(process.stdout.readline()))
        process.kill()
        process.wait()
    return Outcome(verdicts=verdicts, cpu_s=cpu_s, seconds=seconds, lost=lost)


def _ask(process: subprocess.Popen[bytes], line: str) -> Any:
    """The answer to one line, or None where the process hangs or is dead."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], HANG_SECONDS + 60)
        text = process.stdout.readline() if ready else b""
    except BrokenPipeError:
        return None
    return json.loads(text) if text else None


def print_table(pairs: list[Pair], found: dict[str, list[Outcome]], shown: int) -> None:
    """The table, and for ours each kind of pair on which it errs, with some of its errors."""
    print(f"{len(pairs):,} pairs\n")
    heads = ("agreement", "false EQUAL", "missed", "pairs/CPU-s", "p99 ms", "hung or died")
    print(f"{'grader':<14}" + "".join(f"{head:>14}" for head in heads))
    for name, runs in found.items():
        verdicts = runs[0].verdicts
        false_equal = sum(verdict and not pair.expected for verdict, pair in zip(verdicts, pairs, strict=True))
        missed = sum(pair.expected and not verdict for verdict, pair in zip(verdicts, pairs, strict=True))
        agreement = 100 * (1 - (false_equal + missed) / len(pairs))
        cpu_s = sorted(run.cpu_s for run in runs)[len(runs) // 2]
        shortest = sorted(min(times) for times in zip(*(run.seconds for run in runs), strict=True))
        p99 = 1000 * shortest[min(len(shortest) - 1, int(0.99 * len(shortest)))]
        print(
            f"{name:<14}{agreement:>12.2f} %{false_equal:>14}{missed:>14}{len(pairs) / max(cpu_s, 0.01):>14,.0f}"
            f"{p99:>14.2f}{runs[0].lost:>14}"
        )
    wrong = [pair for pair, verdict in zip(pairs, found["ours"][0].verdicts, strict=True) if verdict != pair.expected]
    for pair in wrong[:shown]:
        print(f"ours errs: {pair.kind}: {pair.gold!r} {pair.prediction!r} should be {pair.expected}")


def main() -> None:
    """Runs the graders one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, help="JSON lines with gold, pred and expected")
    parser.add_argument("--prm800k-dir", default="", help="a checkout of openai/prm800k")
    parser.add_argument("--graders", default=",".join(GRADERS), help=f"comma-separated (default: {','.join(GRADERS)})")
    parser.add_argument("--runs", type=int, default=3, help="runs of each grader (default: 3)")
    parser.add_argument("--show", type=int, default=10, help="how many of our errors to print (default: 10)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.prm800k_dir)
        return
    if args.pairs is None:
        parser.error("--pairs is wanted")
    from peers import machine, peer_python

    pairs = read_pairs(args.pairs)
    names = [name for name in args.graders.split(",") if name != "prm800k" or args.prm800k_dir]
    found: dict[str, list[Outcome]] = {}
    for name in names:
        python = Path(sys.executable) if name == "ours" else peer_python(HERE / "requirements-grader.txt")
        found[name] = [run_grader(python, name, args.prm800k_dir, pairs) for _ in range(args.runs)]
    print(machine())
    print_table(pairs, found, args.show)


if __name__ == "__main__":
    main()

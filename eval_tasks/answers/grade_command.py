"""`python -m eval_tasks grade FILE.jsonl`: judges a JSON-lines file and reports what came of it.

Each line is an object with a gold answer and a prediction (or a completion, from which the answer is taken first).
`--out` writes one line for each judged line: {"line", "gold", "prediction", "outcome", "reason", "policy"}; a line that
cannot be read is told on standard error with its number, and the rest is judged. `--report` writes the counts as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError, WorkError
from llemma.core.files import atomic_path, write_json
from llemma.core.progress import Progress, progress

_CHUNK = 500  # lines that a worker takes at once
_MAX_DEATHS = 3  # of workers, without a finished piece in between
_MAX_LINE_CHARS = 4_000_000
_SHOWN_BAD_LINES = 10
_PREDICTIONS = ("prediction", "pred", "answer", "completion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    from eval_tasks.answers.extract import STYLES
    from eval_tasks.answers.policies import OPTIONS, POLICIES

    parser.add_argument("file", type=Path, help="JSON lines with a gold answer and a prediction each")
    parser.add_argument("--gold", default="gold", metavar="KEY", help="key of the gold answer (default: gold)")
    parser.add_argument(
        "--prediction", metavar="KEY", help=f"key of the prediction (default: {', '.join(_PREDICTIONS)})"
    )
    parser.add_argument(
        "--extract",
        choices=sorted(STYLES),
        help="first take the answer from the prediction (default: auto for the key 'completion', else bare)",
    )
    parser.add_argument("--policy", choices=sorted(POLICIES), default="standard", help="what counts as the same answer")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"change an option: {', '.join(OPTIONS)}",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that judge (default: 1)")
    parser.add_argument("--out", type=Path, help="write every judgement here, as JSON lines")
    parser.add_argument("--report", type=Path, help="write the counts here, as JSON")


def run(args: argparse.Namespace) -> int:
    """Judges the file and prints the report."""
    from eval_tasks.answers.policies import policy_named

    options = _options(args.option)
    try:
        policy_named(args.policy, **options)
    except ValueError as error:
        raise InputError(str(error)) from None
    if args.workers < 1:
        raise InputError(f"--workers is {args.workers}, but must be at least 1")
    settings = {
        "gold": args.gold,
        "prediction": args.prediction,
        "extract": args.extract,
        "policy": args.policy,
        "options": options,
    }
    with open(args.file, "rb") as file:
        total = sum(1 for _ in file)
    started = time.perf_counter()
    with progress(f"grade {args.file.name}", total, "pairs") as bar:
        if args.out is None:
            counts, bad = _grade(args.file, settings, args.workers, None, bar)
        else:
            with atomic_path(args.out) as temporary, open(temporary, "w", encoding="utf-8") as out:
                counts, bad = _grade(args.file, settings, args.workers, out, bar)
    seconds = time.perf_counter() - started
    report = _report(args.file, settings, counts, bad, seconds)
    if args.report is not None:
        write_json(args.report, report)
    _print(report)
    if total and not counts:
        raise InputError(
            f"{args.file}: no line could be read; each must be an object with {args.gold!r} and a prediction"
        )
    return 0


def _options(words: list[str]) -> dict[str, bool | int | float]:
    options: dict[str, bool | int | float] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise InputError(f"--option {word!r}: write NAME=VALUE, for example list_ordered=true")
        lowered = value.strip().lower()
        if lowered in ("true", "false", "yes", "no"):
            options[name.strip()] = lowered in ("true", "yes")
            continue
        try:
            number = float(lowered)
        except ValueError:
            raise InputError(f"--option {word!r}: the value must be true, false or a number") from None
        options[name.strip()] = int(number) if number.is_integer() else number
    return options


def _chunks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first line, lines) in pieces."""
    with open(path, "rb") as file:
        first = 1
        while lines := list(islice(file, _CHUNK)):
            yield first, lines
            first += len(lines)


def _grade(
    path: Path, settings: dict[str, Any], workers: int, out: Any, bar: Progress
) -> tuple[Counter[str], list[str]]:
    counts: Counter[str] = Counter()
    bad: list[str] = []
    for judged, problems in judged_pieces(path, settings, workers):
        for row in judged:
            counts[row["outcome"]] += 1
            if out is not None:
                out.write(json.dumps(row) + "\n")
        bad += problems
        bar.advance(len(judged) + len(problems))
        bar.note(f"{counts['EQUAL']:,} equal")
    return counts, bad


def judged_pieces(
    path: Path, settings: dict[str, Any], workers: int
) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """The judged pieces of the file in order, each once.

    A piece whose worker died goes to another. Raises WorkError where workers die four times in a row.
    """
    if workers == 1:
        for first, lines in _chunks(path):
            yield judge_lines(first, lines, settings)
        return
    pool = [_Worker(settings) for _ in range(workers)]
    waiting: deque[_Piece] = deque()
    chunks = _chunks(path)
    deaths = 0
    try:
        while True:
            waiting.extend(_Piece(*chunk) for chunk in islice(chunks, max(0, 3 * workers - len(waiting))))
            if not waiting:
                return
            for piece in waiting:
                idle = next((worker for worker in pool if worker.piece is None), None)
                if idle is not None and piece.result is None and not any(worker.piece is piece for worker in pool):
                    idle.begin(piece)
            busy = {worker.connection: worker for worker in pool if worker.piece is not None}
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                if worker.finish():
                    deaths = 0
                    continue
                deaths += 1
                if deaths > _MAX_DEATHS:
                    raise WorkError(f"{path}: workers keep dying near line {waiting[0].first}; try --workers 1")
                pool[pool.index(worker)] = _Worker(settings)
            while waiting and waiting[0].result is not None:
                yield waiting.popleft().result
    finally:
        for worker in pool:
            worker.close()


@dataclass(eq=False)
class _Piece:
    """Some lines of the file, the first one's number, and what came of them."""

    first: int
    lines: list[bytes]
    result: Any = None


class _Worker:
    """A process that judges one piece at a time, with a pipe of its own: one that dies in mid-word hurts no other.

    concurrent.futures' pool waits for ever for the rest of a result whose sender was killed while it wrote.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.piece: _Piece | None = None
        self.process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
        self.process.start()
        theirs.close()  # so that its end shows here

    def begin(self, piece: _Piece) -> None:
        """Hands a piece out; that the worker is dead shows when its result is fetched."""
        self.piece = piece
        with contextlib.suppress(OSError):
            self.connection.send((piece.first, piece.lines))

    def finish(self) -> bool:
        """Fetches the result; False where the worker has died."""
        assert self.piece is not None
        try:
            self.piece.result = self.connection.recv()
        except (EOFError, OSError):
            self.close()
            return False
        self.piece = None
        return True

    def close(self) -> None:
        """Ends the process and waits for it."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(connection: Connection, settings: dict[str, Any]) -> None:
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            first, lines = connection.recv()
            connection.send(judge_lines(first, lines, settings))


def judge_lines(first: int, lines: list[bytes], settings: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Judgements of some lines of the file, and what is wrong with those that cannot be read."""
    from eval_tasks.answers import extract, judge
    from eval_tasks.answers.policies import policy_named

    policy = policy_named(settings["policy"], **settings["options"])
    judged: list[dict[str, Any]] = []
    bad: list[str] = []
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            gold, prediction, key = _pair(line, settings)
        except (ValueError, RecursionError) as error:
            bad.append(f"line {number}: {error}")
            continue
        style = settings["extract"] or ("auto" if key == "completion" else "bare")
        answer = prediction if prediction is None or style == "bare" else extract(prediction, style)
        judgement = judge(gold, answer, policy)
        judged.append(
            {
                "line": number,
                "gold": gold,
                "prediction": answer,
                "outcome": str(judgement.outcome),
                "reason": judgement.reason,
                "policy": policy.name,
            }
        )
    return judged, bad


def _pair(line: bytes, settings: dict[str, Any]) -> tuple[str, str | None, str]:
    """Gold answer, prediction and the prediction's key. Raises ValueError that says what is wrong."""
    if len(line) > _MAX_LINE_CHARS:
        raise ValueError("the line is too long")
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no JSON ({error})") from None
    if not isinstance(row, dict):
        raise ValueError("not an object")
    key = settings["prediction"] or next((name for name in _PREDICTIONS if name in row), "prediction")
    for name in (settings["gold"], key):
        if name not in row:
            raise ValueError(f"no key {name!r}; there are {', '.join(sorted(map(repr, row))) or 'none'}"[:200])
    gold, prediction = row[settings["gold"]], row[key]
    if isinstance(gold, (int, float)) and not isinstance(gold, bool):
        gold = repr(gold)
    if isinstance(prediction, (int, float)) and not isinstance(prediction, bool):
        prediction = repr(prediction)
    if not isinstance(gold, str) or not (prediction is None or isinstance(prediction, str)):
        raise ValueError("gold and prediction must be text")
    return gold, prediction, key


def _report(
    path: Path, settings: dict[str, Any], counts: Counter[str], bad: list[str], seconds: float
) -> dict[str, Any]:
    from eval_tasks.answers.judge import Outcome

    total = sum(counts.values())
    return {
        "schema": 1,
        "file": str(path),
        "settings": settings,
        "n": total,
        "accuracy": counts["EQUAL"] / total if total else None,
        "outcomes": {outcome.value: counts[outcome.value] for outcome in Outcome},
        "bad_lines": bad,
        "seconds": round(seconds, 3),
    }


def _print(report: dict[str, Any]) -> None:
    total = report["n"]
    for name, count in report["outcomes"].items():
        share = f"{100 * count / total:6.2f} %" if total else ""
        print(f"{name:<10} {count:>10,} {share}")
    print(f"{'pairs':<10} {total:>10,}   in {report['seconds']:.1f} s, policy {report['settings']['policy']}")
    bad = report["bad_lines"]
    for problem in bad[:_SHOWN_BAD_LINES]:
        print(f"{report['file']}: {problem}", file=sys.stderr)
    if bad:
        print(f"{len(bad):,} lines could not be read and are not counted", file=sys.stderr)

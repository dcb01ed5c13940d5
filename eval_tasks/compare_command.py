"""`python -m eval_tasks compare`: scores of runs side by side, with published ones, and paired for two runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eval_tasks.comparison import Line
    from eval_tasks.intervals import Paired


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders that  run --out  wrote")
    parser.add_argument("--no-published", action="store_true", help="without the scores that others published")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(args: argparse.Namespace) -> None:
    """Prints the table of scores, and for two runs what they got right on the same problems."""
    import json
    from dataclasses import asdict

    from eval_tasks.catalog import read_catalog
    from eval_tasks.comparison import paired_tasks, read_published, read_run, score_lines

    runs = [read_run(path) for path in args.runs]
    lines = score_lines(runs, () if args.no_published else read_published())
    catalog = read_catalog()
    paired = paired_tasks(runs[0], runs[1], catalog) if len(runs) == 2 else {}
    if args.json:
        value = {"scores": [asdict(line) for line in lines], "paired": {k: asdict(v) for k, v in paired.items()}}
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return
    # A family is one column; its members are columns only where the family was not run whole.
    of_families = {
        member.removeprefix("llemma_")
        for name, members in catalog.groups.items()
        if any(name.removeprefix("llemma_") in line.cells for line in lines)
        for member in members
    }
    columns = [name for name in dict.fromkeys(n for line in lines for n in line.cells) if name not in of_families]
    print(_scores(lines, columns))
    if paired:
        print(f"\n{runs[0].name} minus {runs[1].name}, greedy, on the same problems:")
        print(_pairs({name: one for name, one in paired.items() if name.removeprefix("llemma_") not in of_families}))


def _scores(lines: Sequence[Line], columns: Sequence[str]) -> str:
    widths = [max(len(name), 7) for name in columns]
    model = max(len(line.model) for line in lines)
    kind = max(len(line.kind) for line in lines)
    head = "  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True))
    rows = [f"{'model':<{model}}  {'':<{kind}}  {head}"]
    for line in lines:
        cells = []
        for name, width in zip(columns, widths, strict=True):
            cell = line.cells.get(name)
            cells.append(f"{'-' if cell is None else f'{cell.percent:.1f}{cell.mark}':>{width}}")
        rows.append(f"{line.model:<{model}}  {line.kind:<{kind}}  {'  '.join(cells)}")
    if any(cell.mark for line in lines for cell in line.cells.values()):
        rows.append("* not comparable with Llemma's published scores; why: settings.tasks in results.json")
    sources = list(dict.fromkeys(line.source for line in lines))
    rows += ["sources:", *(f"  {source}" for source in sources)]
    return "\n".join(rows)


def _pairs(paired: Mapping[str, Paired]) -> str:
    rows = [f"{'task':<32} {'n':>5}  {'difference':>10}  {'95 % interval':<16}  only first / second   p (McNemar)"]
    for name, one in paired.items():
        interval = f"{100 * one.bootstrap95[0]:+.1f} to {100 * one.bootstrap95[1]:+.1f}"
        only = f"{one.only_first} / {one.only_second}"
        rows.append(
            f"{name.removeprefix('llemma_'):<32} {one.n:>5}  {100 * one.difference:>+10.1f}  {interval:<16}  "
            f"{only:>19}   {one.p_value:.3g}"
        )
    return "\n".join(rows)

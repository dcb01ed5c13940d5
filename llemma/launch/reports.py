"""What the nodes found before a training begins, one JSON file a node, and what follows from all of them together.

CHECKS/NNNN-<name>.json   {"node", "seconds", "problems": [text], "facts": [text], "versions": {package: version},
                           "samples": {file: hash of some of its blocks}, "network": text or null}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pydantic

from llemma.core.config import Config
from llemma.core.errors import LlemmaError
from llemma.core.schemas import read_model, write_model

_COMPARED = ("python", "torch", "deepspeed", "transformers", "cuda", "nccl", "llemma")


class NodeReport(Config):
    """What one node found."""

    node: str
    seconds: float
    problems: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    versions: dict[str, str] = pydantic.Field(default_factory=dict)
    samples: dict[str, str] = pydantic.Field(default_factory=dict)
    network: str | None = None


def write_report(folder: Path, number: int, report: NodeReport) -> None:
    """Writes one node's file."""
    write_model(folder / f"{number:04d}-{report.node}.json", report)


def read_reports(folder: Path) -> list[NodeReport]:
    """The files of all nodes, in their order; a damaged one counts as missing."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(read_model(path, NodeReport))
        except LlemmaError:
            continue
    return found


def join_reports(names: Sequence[str], reports: Sequence[NodeReport]) -> tuple[list[str], list[str]]:
    """Problems and facts of all nodes: each problem once, with the nodes that have it."""
    by_problem: dict[str, list[str]] = {}
    for report in reports:
        for problem in report.problems:
            by_problem.setdefault(problem, []).append(report.node)
    problems = [f"{_nodes(nodes, names)}: {problem}" for problem, nodes in by_problem.items()]
    silent = [name for name in names if name not in {report.node for report in reports}]
    problems += [f"{name}: this node gave no answer: its log says why" for name in silent]
    versions = {report.node: report.versions for report in reports}
    problems += [
        f"the nodes have different versions of {package}: {_by_value(column)}"
        for package in _COMPARED
        if (column := {node: found.get(package, "none") for node, found in versions.items()})
        and len(set(column.values())) > 1
    ]
    for file in sorted({file for report in reports for file in report.samples}):
        column = {report.node: report.samples[file][:12] for report in reports if file in report.samples}
        if len(set(column.values())) > 1:
            problems.append(f"{file}: the nodes see different bytes (hash of samples): {_by_value(column)}")
    by_fact: dict[str, list[str]] = {}
    for report in reports:
        for fact in [*report.facts, *([report.network] if report.network else [])]:
            by_fact.setdefault(fact, []).append(report.node)
    return problems, [f"{_nodes(nodes, names)}: {fact}" for fact, nodes in by_fact.items()]


def _nodes(nodes: Sequence[str], names: Sequence[str]) -> str:
    if len(nodes) == len(names) > 1:
        return f"all {len(names)} nodes"
    return ", ".join(nodes[:4]) + (f" and {len(nodes) - 4} more" if len(nodes) > 4 else "")


def _by_value(column: Mapping[str, str]) -> str:
    groups: dict[str, list[str]] = {}
    for node, value in column.items():
        groups.setdefault(value, []).append(node)
    return "; ".join(f"{value} on {_nodes(nodes, ())}" for value, nodes in groups.items())

"""Step function: what was found in every file -> what was found in every source, before anything was removed.

contamination.json
    items      [{"benchmark", "part", "rule", "items"}]: how many texts were looked for, by how they are found
    documents  {source: documents looked at}
    found      [{"measure", "benchmark", "part", "source", "items", "documents"}]: how many items stand in how many
               documents; source "all" joins the sources.  Measure "rule" is what documents are removed by,
               "whitespace-30" that of Llemma's authors (llemma.core.text.shared_ngrams)
    hits       [{"measure", "benchmark", "part", "ids"}]: ids of the items found in any source, to score a model on the
               others alone
    measures   ["rule", "whitespace-20", ...]: what was measured, found or not
The build's own copy (OUT/contamination.json) has besides what was done about it, for exact and near-copies are removed
first and need no cut:
    done       {source: {"removed", "cut", "reported": documents, "spans", "span_bytes"}}

params: overlap.   task.inputs: items.parquet, then found.json of every file.   task.args: sources [{name, files,
documents}], in order of the files.   counts: rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.files import read_json, write_json
from llemma.core.steps import Task

VERSION = 2
CONTAMINATION = "contamination.json"
ALL = "all"
RULE = "rule"
Key = tuple[str, str, str]


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes contamination.json."""
    import pyarrow.parquet as pq

    items = pq.read_table(task.inputs[0].path, columns=["benchmark", "id", "part", "rule"])
    paths = iter(item.path for item in task.inputs[1:])
    documents: dict[tuple[Key, str], int] = Counter()
    hits: dict[tuple[Key, str], set[int]] = {}
    for source in task.args["sources"]:
        for _ in range(source["files"]):
            for row in read_json(next(paths)):
                key = (row["measure"], row["benchmark"], row["part"])
                for name in (source["name"], ALL):
                    documents[key, name] += row["documents"]
                    hits.setdefault((key, name), set()).update(row["items"])
    names = [*(source["name"] for source in task.args["sources"]), ALL]
    found = [
        {**_named(key), "source": name, "items": len(hits[key, name]), "documents": documents[key, name]}
        for key in sorted({key for key, _ in documents})
        for name in names
        if (key, name) in documents
    ]
    ids = items.column("id").to_pylist()
    looked_for = Counter(zip(*(items.column(name).to_pylist() for name in ("benchmark", "part", "rule")), strict=True))
    report = {
        "items": [
            {"benchmark": benchmark, "part": part, "rule": rule, "items": count}
            for (benchmark, part, rule), count in sorted(looked_for.items())
        ],
        "measures": [RULE, *(f"whitespace-{n}" for n in sorted(params.get("overlap", ())))],
        "documents": {source["name"]: source["documents"] for source in task.args["sources"]},
        "found": found,
        "hits": [
            {**_named(key), "ids": [ids[item] for item in sorted(members)]}
            for (key, name), members in sorted(hits.items())
            if name == ALL
        ],
    }
    write_json(out / CONTAMINATION, report)
    return {"rows": len(found)}


def _named(key: Key) -> dict[str, str]:
    return dict(zip(("measure", "benchmark", "part"), key, strict=True))


@dataclass(frozen=True, kw_only=True)
class ContaminationRow:
    """How much of a part of a benchmark stands in a source: `found` has (items, documents) for each measure."""

    benchmark: str
    part: str
    source: str
    items: int
    found: Mapping[str, tuple[int, int]]


def contamination_rows(report: Mapping[str, Any]) -> list[ContaminationRow]:
    """A row for each part of each benchmark over all sources, and one for each source in which any of it was found.

    In the form of the overlap table of Llemma's authors (arXiv 2310.10631), by measure.
    """
    looked_for: Counter[tuple[str, str]] = Counter()
    for row in report["items"]:
        looked_for[row["benchmark"], row["part"]] += row["items"]
    found = {
        (row["benchmark"], row["part"], row["source"], row["measure"]): (row["items"], row["documents"])
        for row in report["found"]
    }
    rows = []
    for (benchmark, part), items in sorted(looked_for.items()):
        for source in (ALL, *report["documents"]):
            of = {name: found.get((benchmark, part, source, name), (0, 0)) for name in report["measures"]}
            if source == ALL or any(documents for _, documents in of.values()):
                rows.append(ContaminationRow(benchmark=benchmark, part=part, source=source, items=items, found=of))
    return rows


def measure_title(measure: str) -> str:
    """What a measure is called in a table."""
    if measure == RULE:
        return "by the rule"
    return f"{measure.rpartition('-')[2]} words"

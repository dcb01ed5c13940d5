"""Step function: what was found in every file -> what was found in every source, before anything was removed.

contamination.json
    items      [{"benchmark", "part", "rule", "items"}]: how many texts were looked for, by how they are found
    documents  {source: documents looked at}
    found      [{"measure", "benchmark", "part", "source", "items", "documents"}]: how many items stand in how many
               documents; source "all" joins the sources.  Measure "rule" is what documents are removed by,
               "whitespace-30" that of Llemma's authors (proof_pile.decontaminate.overlap)
    hits       [{"measure", "benchmark", "part", "ids"}]: ids of the items found in any source, to score a model on the
               others alone

task.inputs: items.parquet, then found.json of every file.   task.args: sources [{name, files, documents}], in order of
the files.   counts: rows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llemma.core.files import read_json, write_json
from llemma.core.steps import Task

VERSION = 1
CONTAMINATION = "contamination.json"
ALL = "all"
Key = tuple[str, str, str]


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes contamination.json."""
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


def contamination_table(report: dict[str, Any]) -> list[tuple[str, str, str, str, int, int]]:
    """(measure, benchmark, part, source, items found, documents) of a report, for whoever prints it."""
    columns = ("measure", "benchmark", "part", "source", "items", "documents")
    return [tuple(row[column] for column in columns) for row in report["found"]]

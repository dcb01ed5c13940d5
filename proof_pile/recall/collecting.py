"""Step function: the taken pages of one file of documents.

collected.parquet   url (the document's name where it has none), text, document_id (hex, in the pool), domain,
                    recall_score, meta_json (the meta as it came)

In a recipe it is read with  {kind: parquet, path: OUT/collected}.

task.inputs: documents.parquet, pages.arrow, scores.bin, taken.bin.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.steps import Task
from proof_pile.recall.addresses import address_of

VERSION = 2


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the taken pages of one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from proof_pile.words import text_batches

    documents, pages, scores_path, taken_path = (item.path for item in task.inputs)
    scores = np.fromfile(scores_path, np.float32)
    taken = np.fromfile(taken_path, np.uint8).astype(bool)
    with pa.memory_map(pages) as source:
        domains = pa.ipc.open_file(source).read_all().column("domain").combine_chunks()
        schema = pa.schema(
            [
                ("url", pa.string()),
                ("text", pa.large_string()),
                ("document_id", pa.string()),  # not "id": readers would take it for the name
                ("domain", pa.string()),
                ("recall_score", pa.float32()),
                ("meta_json", pa.string()),
            ]
        )
        num = num_bytes = 0
        with pq.ParquetWriter(out / "collected.parquet", schema, compression="zstd") as writer:
            for first, batch in text_batches(documents, ("id", "name", "text", "meta")):
                rows = np.flatnonzero(taken[first : first + batch.num_rows])
                if not len(rows):
                    continue
                chosen = batch.take(pa.array(rows))
                texts = chosen.column("text")
                writer.write_batch(
                    pa.record_batch(
                        [
                            pa.array(_addresses(chosen), pa.string()),
                            texts,
                            pa.array([value.hex() for value in chosen.column("id").to_pylist()]),
                            domains.take(pa.array(rows + first)),
                            pa.array(scores[rows + first]),
                            chosen.column("meta"),
                        ],
                        schema=schema,
                    )
                )
                num += len(rows)
                num_bytes += sum(len(text.encode()) for text in texts.to_pylist())
    return {"pages": num, "bytes": num_bytes}


def _addresses(batch: Any) -> list[str]:
    """The URL of each page, or its name."""
    names, metas = batch.column("name").to_pylist(), batch.column("meta").to_pylist()
    return [address_of(name, json.loads(meta)) or name for name, meta in zip(names, metas, strict=True)]

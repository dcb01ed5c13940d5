"""Step function: documents -> the classifier's lines, and a table of pages.

lines.bin       the lines of all pages one after the other (proof_pile.quality.prose.words)
pages.arrow     one row a page, in the order of the documents (Arrow IPC file, uncompressed so that it can be mapped):
    id      fixed_size_binary(16)
    domain  string      host without www.; "" where the page has no address
    prefix  string      host and the first folders of the path
    bytes   int64       bytes of the text
    end     int64       where the page's line ends in lines.bin
    known   int8        1 mathematics, 0 something else, -1 not known (`known` of the configuration)

params: prefix_depth, max_page_bytes, known {key, math, other} or null.   task.inputs: documents.parquet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from llemma.core.steps import Task
from proof_pile.documents import ID_BYTES
from proof_pile.recall.addresses import address_of, domain_and_prefix

VERSION = 1


def run(params: dict[str, Any], task: Task, out: Path) -> dict[str, int]:
    """Writes the lines and the table of one file of documents."""
    import pyarrow as pa

    from proof_pile.words import text_batches

    schema = pa.schema(
        [
            ("id", pa.binary(ID_BYTES)),
            ("domain", pa.string()),
            ("prefix", pa.string()),
            ("bytes", pa.int64()),
            ("end", pa.int64()),
            ("known", pa.int8()),
        ]
    )
    end = num_pages = num_bytes = 0
    with (
        open(out / "lines.bin", "wb") as lines,
        pa.OSFile(str(out / "pages.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for _, batch in text_batches(task.inputs[0].path, ("id", "name", "text", "meta")):
            rows: dict[str, list[Any]] = {name: [] for name in schema.names}
            for id_, name, text, meta in zip(*(batch.column(i).to_pylist() for i in range(4)), strict=True):
                found = json.loads(meta)
                domain, prefix = domain_and_prefix(address_of(name, found), params["prefix_depth"])
                line = page_line(text, params["max_page_bytes"])
                lines.write(line)
                end += len(line)
                size = len(text.encode())
                num_bytes += size
                values = (id_, domain, prefix, size, end, _known(found, params["known"]))
                for column, value in zip(schema.names, values, strict=True):
                    rows[column].append(value)
            num_pages += batch.num_rows
            writer.write_batch(pa.record_batch([pa.array(rows[f.name], f.type) for f in schema], schema=schema))
    return {"pages": num_pages, "bytes": num_bytes, "line_bytes": end}


def page_line(text: str, max_bytes: int) -> bytes:
    """What the classifier is shown of a page: its words, formulas and code too, from its first bytes."""
    from proof_pile.quality.prose import words

    data = np.frombuffer(text.encode("utf-8", "replace")[:max_bytes], np.uint8)
    return words(data).tobytes()


def _known(meta: dict[str, Any], known: dict[str, Any] | None) -> int:
    if known is None:
        return -1
    value = str(meta.get(known["key"], ""))
    return 1 if value in known["math"] else 0 if value in known["other"] else -1


class PagesTable:
    """A pages.arrow with its lines.bin, read where they lie."""

    def __init__(self, pages: str, lines: str) -> None:
        import pyarrow as pa

        with pa.memory_map(pages) as source:
            self.table = pa.ipc.open_file(source).read_all()
        ends = self.table.column("end").to_numpy()
        self.offsets = np.concatenate([np.zeros(1, np.int64), ends.astype(np.int64)])
        empty = not len(ends) or ends[-1] == 0
        self.data: np.ndarray = np.zeros(1, np.uint8) if empty else np.memmap(lines, np.uint8, "r")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def line(self, row: int) -> bytes:
        """The line of one page."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def draws(self, seed: int) -> np.ndarray:
        """A number from [0, 1) for each page, told by its id and the seed alone."""
        if not len(self):
            return np.zeros(0)
        chunks = self.table.column("id").chunks
        ids = np.concatenate(
            [np.frombuffer(c.buffers()[1], "<u8")[2 * c.offset : 2 * (c.offset + len(c))] for c in chunks]
        ).reshape(-1, 2)
        value = ids[:, 0] ^ (ids[:, 1] >> np.uint64(7)) ^ np.uint64((seed * 0x9E3779B97F4A7C15) & (2**64 - 1))
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        draws: np.ndarray = ((value ^ (value >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return draws

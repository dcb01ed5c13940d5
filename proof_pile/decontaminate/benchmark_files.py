"""Files of benchmarks as they are published, read into texts to look for.

.jsonl (.gz, .zst), .json (.gz; one row, or a list of them), .parquet and .csv hold rows, laid out as a `Layout` says; a
.csv whose first line names none of the layout's keys has no header, and its columns are "0", "1", ...  Of .lean and
.thy files each theorem or lemma is a formal statement; Isabelle's without its proof and without the theory's head,
which is the same in many.  A row that names no id is called by its file, as it lies below the folder that is named, and
its number.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llemma.core.benchmark_rows import Layout, texts_of_row
from llemma.core.errors import InputError
from llemma.core.schemas import BenchmarkText
from proof_pile.decontaminate.config import BenchmarkFile
from proof_pile.sources.inputs import walk
from proof_pile.sources.streams import BrokenStreamError, read_chunks, read_lines

ROW_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".parquet", ".csv")
SUFFIXES = (*ROW_SUFFIXES, ".lean", ".thy")
MAX_FILE_BYTES = 2 << 30  # chosen by us: a larger one was named by mistake
MAX_LINE_BYTES = 16 << 20
_BEFORE = r"^[ \t]*(?:@\[[^\]\n]*\]\s*)?(?:(?:private|protected|noncomputable)\s+)*"
_THEOREM = re.compile(_BEFORE + r"(?:theorem|lemma)\s+(\S+)", re.MULTILINE)
_NEXT = re.compile(r"\n\s*\n|" + _BEFORE + r"(?:theorem|lemma)\s", re.MULTILINE)
_ISABELLE_THEOREM = re.compile(r"^[ \t]*(?:theorem|lemma|corollary|proposition)\b[ \t]*([\w'.]*)", re.MULTILINE)
_ISABELLE_PROOF = re.compile(r"^[ \t]*(?:sorry|oops|proof|by|apply|using|unfolding|end)\b|\Z", re.MULTILINE)


def list_benchmark_files(spec: BenchmarkFile, base: Path) -> list[tuple[str, Path]]:
    """The files that a section of the recipe names, sorted, and what the ids of their rows begin with.

    Raises InputError where there are none.
    """
    path = Path(spec.path).expanduser()
    path = path if path.is_absolute() else base / path
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = [file for _, file, _ in walk(path, SUFFIXES)]
    else:
        globbed = path.parent.glob(path.name) if re.search(r"[*?\[]", path.name) and path.parent.is_dir() else ()
        found = sorted(file for file in globbed if file.is_file())
    if not found:
        raise InputError(
            f"{path}: there is no such file of benchmark texts ('decontaminate'; wanted {', '.join(SUFFIXES)}): "
            "correct the path, or make a file with  python -m eval_tasks export --out FILE"
        )
    # MATH is published as test/algebra/1.json, test/geometry/1.json, ...: a file's name alone is not an id.
    root = path if path.is_dir() else path.parent
    return [(_without_suffix(file.relative_to(root).as_posix()), file) for file in found]


def _without_suffix(name: str) -> str:
    return name.removesuffix(max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default=""))


def read_texts(path: str, layout: Layout | None, benchmark: str, place: str = "") -> Iterator[BenchmarkText]:
    """The texts of one file; ids of rows that name none begin with `place` (default: the file's name).

    Raises InputError with file and row where one is not what the layout says.
    A benchmark that is read in part would let through what it was given to keep out, so nothing is passed over.
    """
    if Path(path).stat().st_size > MAX_FILE_BYTES:
        raise InputError(f"{path}: too long for a benchmark (at most {MAX_FILE_BYTES:,} bytes)")
    place = place or _without_suffix(Path(path).name)
    if path.endswith((".lean", ".thy")):
        yield from _formal_texts(path, benchmark or Path(path).name, place)
        return
    for number, row in _rows(path, layout):
        try:
            if layout is None:
                yield BenchmarkText.model_validate(row)
            else:
                yield from texts_of_row(row, layout, benchmark, f"{place}/{number}" if number else place)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(item) for item in first["loc"])
            raise InputError(f"{path}:{number}: {key + ': ' if key else ''}{first['msg']}{_HINT}") from None
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from None


_HINT = " (for a benchmark's own file give a 'layout', or the key of its 'problem')"


def _rows(path: str, layout: Layout | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number, row), 0 where the file is one row."""
    try:
        if path.endswith(".parquet"):
            rows: Iterator[tuple[int, Any]] = _parquet_rows(path)
        elif path.endswith(".csv"):
            rows = _csv_rows(path, layout)
        elif path.endswith((".json", ".json.gz")):
            rows = _json_rows(path)
        else:
            rows = _jsonl_rows(path)
        for number, row in rows:
            if not isinstance(row, Mapping):
                raise InputError(f"{path}:{number}: this is not an object with keys")
            yield number, row
    except (OSError, EOFError, BrokenStreamError, csv.Error, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}): copy the file again") from None


def _jsonl_rows(path: str) -> Iterator[tuple[int, Any]]:
    import orjson

    with open(path, "rb") as handle:
        for number, line in read_lines(read_chunks(handle, path), MAX_LINE_BYTES):
            if line is None:
                raise InputError(f"{path}:{number}: this line has more than {MAX_LINE_BYTES:,} bytes")
            if line.strip():
                try:
                    yield number, orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: this line is not valid JSON ({error})") from None


def _json_rows(path: str) -> Iterator[tuple[int, Any]]:
    import orjson

    with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as handle:
        data = handle.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: too long for a benchmark (at most {MAX_FILE_BYTES:,} bytes)")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: this is not valid JSON ({error})") from None
    if isinstance(value, list):
        yield from enumerate(value, start=1)
    else:
        yield 0, value


def _csv_rows(path: str, layout: Layout | None) -> Iterator[tuple[int, Any]]:
    known = {key for keys in (layout or Layout()).model_dump().values() for key in keys if not key.isdigit()}
    with open(path, encoding="utf-8-sig", newline="") as handle:
        header: list[str] | None = None
        for number, cells in enumerate(csv.reader(handle), start=1):
            if header is None:
                named = any(cell in known for cell in cells)
                header = cells if named else [str(column) for column in range(len(cells))]
                if named:
                    continue
            yield number, dict(zip(header, cells, strict=False))


def _parquet_rows(path: str) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pa.ArrowException as error:
        raise InputError(f"{path}: this is not a Parquet file ({' '.join(str(error).split())[:200]})") from None


def _formal_texts(path: str, benchmark: str, place: str) -> Iterator[BenchmarkText]:
    with open(path, "rb") as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", errors="replace").read(MAX_FILE_BYTES)
    theorem, after = (_ISABELLE_THEOREM, _ISABELLE_PROOF) if path.endswith(".thy") else (_THEOREM, _NEXT)
    for match in theorem.finditer(text):
        end = after.search(text, match.end())
        statement = text[match.start() : end.start() if end else len(text)].strip()
        yield BenchmarkText(benchmark=benchmark, id=match[1] or place, part="formal", text=statement)

"""Damage of every sort to input: counted and set aside where it is, and nothing else is lost."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pydantic import TypeAdapter

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import SourceConfig, list_files, read
from proof_pile.sources.inputs import list_inputs

ADAPTER: TypeAdapter[Any] = TypeAdapter(SourceConfig)


def read_all(base: Path, **section: Any) -> tuple[list[Document], list[Quarantined]]:
    config = ADAPTER.validate_python(section)
    records = [record for file in list_files(config, base) for record in read(config, file, "s")]
    return (
        [record for record in records if isinstance(record, Document)],
        [record for record in records if isinstance(record, Quarantined)],
    )


def lines(first: int, last: int) -> bytes:
    return b"".join(json.dumps({"text": f"text {n} " + "x" * (n * 7 % 90), "id": n}).encode() + b"\n"
                    for n in range(first, last))  # fmt: skip


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("zst", zstandard.compress)])
def test_cut_stream_costs_the_lines_behind_the_cut_and_no_other_file(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(lines(0, 500)) + pack(lines(500, 1000))
    cut = len(pack(lines(0, 500))) + len(pack(lines(500, 1000))) // 2
    (tmp_path / f"a.jsonl.{ending}").write_bytes(whole[:cut])
    (tmp_path / f"b.jsonl.{ending}").write_bytes(pack(lines(1000, 1100)))
    documents, quarantined = read_all(tmp_path, kind="jsonl", path=".")
    names = [int(document.name) for document in documents]
    num_read = len([name for name in names if name < 1000])
    assert names == [*range(num_read), *range(1000, 1100)] and num_read >= 500
    [fault] = quarantined
    assert (fault.path, fault.line) == (f"a.jsonl.{ending}", num_read + 1) and fault.reason.startswith("truncated")


def test_line_of_more_than_is_allowed_costs_itself_alone_in_every_reader_of_lines(tmp_path: Path) -> None:
    """The limit is 64 MB in recipes; here it is lowered.  A file of one line of 1 GB was read so, too, by hand."""
    long = b'{"text": "' + b"a" * 300_000 + b'", "id": 7}\n'
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(lines(0, 5) + long + lines(5, 9)))
    (tmp_path / "whole.jsonl").write_bytes(b"b" * 300_000)  # one line without an end
    documents, quarantined = read_all(tmp_path, kind="jsonl", path=".", max_line_bytes=100_000)
    assert [document.name for document in documents] == [str(n) for n in range(9)]
    places = [(fault.path, fault.line, fault.reason) for fault in quarantined]
    assert places == [
        ("a.jsonl.zst", 6, "line longer than 100000 bytes"),
        ("whole.jsonl", 1, "line longer than 100000 bytes"),
    ]


# ---------------------------------------------------------------- Parquet


def parquet(path: Path) -> list[tuple[int, int]]:
    """400 rows in four row groups, with checksums; beginning and length of the text of each group."""
    texts = [f"text {n} " + "".join(chr(97 + (n * k * k) % 26) for k in range(300)) for n in range(400)]
    table = pa.table({"text": texts, "id": [str(n) for n in range(400)]})
    pq.write_table(table, path, row_group_size=100, compression="zstd", write_page_checksum=True, use_dictionary=False)
    metadata = pq.ParquetFile(path).metadata
    columns = [metadata.row_group(n).column(0) for n in range(4)]
    return [(column.data_page_offset, column.total_compressed_size) for column in columns]


@pytest.mark.parametrize("group", range(4))
def test_damaged_row_group_costs_its_rows_and_says_how_many(tmp_path: Path, group: int) -> None:
    path = tmp_path / "a.parquet"
    start, size = parquet(path)[group]
    data = bytearray(path.read_bytes())
    data[start + size // 2] ^= 0x40  # one bit: what it decodes to may well be text
    path.write_bytes(bytes(data))
    documents, [fault] = read_all(tmp_path, kind="parquet", path="a.parquet")
    lost = range(100 * group, 100 * group + 100)
    assert [int(document.name) for document in documents] == [n for n in range(400) if n not in lost]
    assert (fault.member, fault.line) == (f"row group {group}", 100 * group + 1)
    assert fault.reason.startswith("damaged row group, 100 rows are lost: ")


def test_parquet_that_ends_early_or_holds_no_footer_is_set_aside(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet")
    parquet(tmp_path / "b.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for damaged in (data[: len(data) // 2], data[:-3], b"", b"PAR1" * 3):
        (tmp_path / "a.parquet").write_bytes(damaged)
        documents, [fault] = read_all(tmp_path, kind="parquet", path=".")
        assert len(documents) == 400
        assert fault.path == "a.parquet" and fault.reason.startswith("not a Parquet file")


# ---------------------------------------------------------------- what may not be read, links, loops


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: gives that up for a while.  What is used then has to be imported before."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into, which tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="llemma-open-"))
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_folder_without_permission_is_a_piece_that_is_set_aside_and_not_passed_over(open_folder: Path) -> None:
    """All files below it were missing from the build without a word."""
    (open_folder / "closed").mkdir()
    for name in ("a.py", "closed/b.py", "c.py"):
        (open_folder / name).write_text("x = 1\n")
    assert [document.name for document in read_all(open_folder, kind="tree", path=".")[0]] == [
        "a.py", "c.py", "closed/b.py",
    ]  # fmt: skip
    (open_folder / "closed").chmod(0)
    with as_nobody():
        documents, [fault] = read_all(open_folder, kind="tree", path=".")
    assert [document.name for document in documents] == ["a.py", "c.py"]
    assert (fault.path, fault.reason.lower()) == ("closed/", "unreadable: permission denied")


def test_folder_of_repositories_without_permission_is_set_aside(open_folder: Path) -> None:
    from proof_pile.sources.git import find_repositories

    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0)
    closed: list[tuple[str, Path]] = []
    assert find_repositories(open_folder, closed) == [] and closed == []
    with as_nobody():
        assert find_repositories(open_folder, closed) == []
    assert closed == [("closed", open_folder / "closed")]


def test_input_of_which_nothing_may_be_read_is_an_error_that_says_why(open_folder: Path) -> None:
    (open_folder / "all").mkdir()
    (open_folder / "all").chmod(0)
    with as_nobody(), pytest.raises(InputError, match="all: Permission denied: no text files can be read there"):
        list_inputs("all", open_folder, (".txt",), wanted="text files")


def test_loops_of_links_and_links_to_nothing_end_and_cost_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "a.py").write_text("x = 1\n")
    (tree / "deep" / "b.py").write_text("y = 1\n")
    (tree / "deep" / "up").symlink_to(tree)
    (tree / "itself.py").symlink_to(tree / "itself.py")
    (tree / "one.py").symlink_to(tree / "two.py")
    (tree / "two.py").symlink_to(tree / "one.py")
    (tree / "nothing.py").symlink_to(tree / "absent.py")
    (tree / "stolen.py").symlink_to("/etc/passwd")
    (tree / "climbing.py").symlink_to("../../../../../../../../etc/passwd")
    documents, quarantined = read_all(tmp_path, kind="tree", path="tree")
    assert [document.name for document in documents] == ["a.py", "deep/b.py"] and quarantined == []


def test_names_that_climb_out_of_their_folder_stay_names(tmp_path: Path) -> None:
    """What a record calls itself is never a path of ours: nothing is opened or written by it."""
    name = "../../../../tmp/llemma-climbed.py"
    record = {"content": "import numpy", "lang": "Python", "max_stars_repo_path": name, "hexsha": "0"}
    (tmp_path / "a.jsonl").write_text(json.dumps({**record, "max_stars_repo_name": "a/b"}) + "\n")
    [document], _ = read_all(tmp_path, kind="jsonl", path="a.jsonl", layout="the-stack")
    assert document.name == f"a/b/{name}" and not Path("/tmp/llemma-climbed.py").exists()


def test_invalid_utf8_names_its_byte_and_spoils_its_own_record(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(0, 3) + b'{"text": "caf\xe9 and more", "id": 3}\n' + lines(4, 6))
    documents, [fault] = read_all(tmp_path, kind="jsonl", path="a.jsonl")
    assert [document.name for document in documents] == ["0", "1", "2", "4", "5"]
    assert fault.line == 4 and re.fullmatch(r"invalid UTF-8 at byte 13", fault.reason)

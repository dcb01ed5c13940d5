"""JSON lines: good records pass, bad ones are quarantined alone, streams are read in bounded memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined, document_id
from proof_pile.sources import jsonl


def lines_of(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def read_all(path: Path, **settings: object) -> tuple[list[Document], list[Quarantined]]:
    config = jsonl.Config(kind="jsonl", path=str(path), **settings)
    records = [r for file in jsonl.list_files(config, path.parent) for r in jsonl.read(config, file, "web")]
    return [r for r in records if isinstance(r, Document)], [r for r in records if isinstance(r, Quarantined)]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_jsonl_in_every_compression_gives_the_same_documents(tmp_path: Path, ending: str) -> None:
    data = lines_of({"text": "one", "id": "a"}, {"text": "two", "meta": {"url": "http://x"}, "score": 3})
    packed = {".jsonl": data, ".jsonl.gz": gzip.compress(data), ".jsonl.zst": zstandard.compress(data)}[ending]
    path = tmp_path / f"part{ending}"
    path.write_bytes(packed)
    documents, quarantined = read_all(path)
    assert [(d.name, d.text) for d in documents] == [("a", "one"), ("http://x", "two")]
    assert documents[1].meta == {"url": "http://x", "score": 3}
    assert documents[0].id == document_id("web", "a", "one")
    assert not quarantined


def test_jsonl_with_bad_lines_quarantines_each_with_its_line_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(
        b'{"text": "first"}\n'
        b'{"text": "cut\n'
        b'{"text": "caf\xe9"}\n'
        b"[1, 2]\n"
        b'{"title": "no text"}\n'
        b'{"text": "  "}\n'
        b"\n"
        b'{"text": "last"}'
    )
    documents, quarantined = read_all(path)
    assert [d.text for d in documents] == ["first", "last"]
    assert [(q.line, q.reason.split(":")[0].split(" at ")[0]) for q in quarantined] == [
        (2, "invalid JSON"),
        (3, "invalid UTF-8"),
        (4, "not an object but list"),
        (5, "no text under the key 'text'"),
        (6, "empty text"),
    ]
    assert quarantined[0].path == "part.jsonl"


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_jsonl_with_truncated_stream_keeps_what_came_before_and_names_the_line(tmp_path: Path, ending: str) -> None:
    """A reader that asks zstandard's stream_reader for the next block gets an end of file, not an error, at a cut."""
    rows = [{"text": f"document {n} " + "".join(chr(97 + (n * k) % 26) for k in range(400))} for n in range(2000)]
    compress = gzip.compress if ending == ".gz" else zstandard.compress
    first, second = lines_of(*rows[:1000]), lines_of(*rows[1000:])
    data = compress(first) + compress(second)
    path = tmp_path / f"part.jsonl{ending}"
    path.write_bytes(data[: len(compress(first)) + 20])
    documents, quarantined = read_all(path)
    assert [d.text for d in documents[:1000]] == [row["text"] for row in rows[:1000]]
    assert len(quarantined) == 1
    assert quarantined[0].reason.startswith("truncated")
    assert quarantined[0].line == len(documents) + 1


def test_jsonl_with_a_very_long_line_passes_over_it_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl.zst"
    bomb = b'{"text": "' + b"a" * 80_000_000 + b'"}\n'
    path.write_bytes(zstandard.compress(lines_of({"text": "before"}) + bomb + lines_of({"text": "after"})))
    del bomb
    tracemalloc.start()
    documents, quarantined = read_all(path, max_line_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [d.text for d in documents] == ["before", "after"]
    assert [(q.line, q.reason) for q in quarantined] == [(2, "line longer than 1000000 bytes")]
    assert peak < 75_000_000


def test_jsonl_with_deeply_nested_value_quarantines_it(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(b'{"text": ' + b"[" * 100_000 + b"\n" + lines_of({"text": "kept"}))
    documents, quarantined = read_all(path)
    assert [d.text for d in documents] == ["kept"]
    assert quarantined[0].line == 1


def test_document_without_a_name_takes_its_id_from_the_text(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(lines_of({"text": "same"}, {"text": "same"}, {"text": "other"}))
    documents, _ = read_all(path)
    assert documents[0].id == documents[1].id != documents[2].id


def test_listing_a_folder_without_jsonl_is_an_error_that_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no JSONL files"):
        read_all(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        read_all(tmp_path / "absent")


def test_jsonl_behind_a_url_of_fsspec_is_read(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://corpus/part.jsonl", "wb") as handle:
        handle.write(lines_of({"text": "remote", "id": "r"}))
    config = jsonl.Config(kind="jsonl", path="memory://corpus/*.jsonl")
    (file,) = jsonl.list_files(config, tmp_path)
    (document,) = jsonl.read(config, file, "web")
    assert isinstance(document, Document) and document.text == "remote"


def test_jsonl_whose_meta_nests_deeper_than_the_stack_keeps_the_document(tmp_path: Path) -> None:
    """900 levels, which the parser takes, ended the whole task with a RecursionError."""
    path = tmp_path / "part.jsonl"
    path.write_bytes(b'{"text": "kept", "meta": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}\n")
    documents, quarantined = read_all(path)
    assert [d.text for d in documents] == ["kept"] and not quarantined
    assert "nested too deeply" in str(documents[0].meta)

"""WARC files: records and their offsets, damage, and what of HTTP is undone."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard

import proof_pile.sample
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import html_text, warc
from proof_pile.sources.inputs import SourceFile
from proof_pile.sources.web.http import Response, parse_response
from proof_pile.sources.web.warc import WarcFault, WarcRecord, read_warc

PROSE = "<p>" + "Some words that make the page long enough to count as content. " * 5 + "</p>"
PAGE = f"<html><body><h1>Roots</h1>{PROSE}<p>so <math><msup><mi>x</mi><mn>2</mn></msup></math> holds</p></body></html>"


def http(body: bytes, kind: str = "text/html; charset=utf-8", status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{extra}\r\n".encode() + body


def record(url: str, block: bytes, kind: str = "response") -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2023-04-01T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def pages(num: int = 3) -> list[bytes]:
    return [record(f"https://example.org/{n}", http(PAGE.replace("Roots", f"Roots {n}").encode())) for n in range(num)]


def read_all(tmp_path: Path, data: bytes, name: str = "a.warc.gz", **settings: object) -> list[Document | Quarantined]:
    path = tmp_path / name
    path.write_bytes(data)
    config = warc.Config.model_validate({"kind": "warc", "path": ".", **settings})
    return list(warc.read(config, SourceFile(name=name, paths=(str(path),), size=len(data)), "web"))


def gz(parts: list[bytes]) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def zst(parts: list[bytes]) -> bytes:
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)


@pytest.mark.parametrize(("name", "pack"), [("a.warc", b"".join), ("a.warc.gz", gz), ("a.warc.zst", zst)])
def test_pages_of_a_file_come_out_named_by_address_with_date_and_offset(tmp_path, name, pack) -> None:  # type: ignore[no-untyped-def]
    parts = pages()
    documents = read_all(tmp_path, pack(parts), name)
    assert [d.name for d in documents if isinstance(d, Document)] == [f"https://example.org/{n}" for n in range(3)]
    for number, document in enumerate(documents):
        assert isinstance(document, Document)
        assert document.text.startswith(f"# Roots {number}") and "$x^{2}$" in document.text
        assert document.meta["date"] == "2023-04-01T00:00:00Z" and document.meta["warc"] == name
        assert document.meta["offset"] == len(pack(parts[:number]))


def test_zstd_records_packed_with_a_dictionary_are_read(tmp_path: Path) -> None:
    samples: list[bytes | bytearray | memoryview] = [
        part[n : n + 200] for part in pages(40) for n in range(0, 600, 100)
    ]
    dictionary = zstandard.train_dictionary(2048, samples)
    packed = [zstandard.ZstdCompressor(dict_data=dictionary).compress(part) for part in pages()]
    content = dictionary.as_bytes()
    head = b"\x5d\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content
    documents = read_all(tmp_path, head + b"".join(packed), "a.warc.zst")
    assert len(documents) == 3 and all(isinstance(d, Document) for d in documents)


def test_record_cut_off_at_the_end_is_quarantined_with_its_offset_and_the_rest_kept(tmp_path: Path) -> None:
    whole = gz(pages())
    start = len(gz(pages(2)))
    *kept, last = read_all(tmp_path, whole[:-40])
    assert len(kept) == 2 and all(isinstance(d, Document) for d in kept)
    assert isinstance(last, Quarantined) and last.member == f"offset {start}"
    assert "cut off" in last.reason and "truncated gzip stream" in last.reason


@pytest.mark.parametrize("place", [5, 60, 200])
def test_damage_inside_a_gzip_member_costs_that_record_only(tmp_path: Path, place: int) -> None:
    parts = [gzip.compress(part, mtime=0) for part in pages(4)]
    damaged = bytearray(parts[1])
    damaged[place : place + 8] = b"\xff" * 8
    found = read_all(tmp_path, parts[0] + bytes(damaged) + parts[2] + parts[3])
    names = [d.name[-1] for d in found if isinstance(d, Document)]
    assert set(names) >= {"0", "2", "3"}
    faults = [q for q in found if isinstance(q, Quarantined)]
    assert faults or "1" in names  # byte 5 is in the member's time stamp, which nobody reads


def test_damage_in_a_plain_file_costs_one_record(tmp_path: Path) -> None:
    parts = pages(3)
    broken = parts[1].replace(b"Content-Length: ", b"Content-Length: x")
    found = read_all(tmp_path, parts[0] + broken + parts[2], "a.warc")
    assert [d.name[-1] for d in found if isinstance(d, Document)] == ["0", "2"]
    (fault,) = [q for q in found if isinstance(q, Quarantined)]
    assert fault.member == f"offset {len(parts[0])}" and "Content-Length" in fault.reason


def test_gzip_bomb_is_bounded(tmp_path: Path) -> None:
    bomb = record("https://example.org/bomb", http(b"<html>" + b"x" * 60_000_000))
    packed = gzip.compress(bomb, 1, mtime=0)
    del bomb
    found = read_all(tmp_path, packed + gz(pages(1)), max_page_bytes=1_000_000)
    assert [type(r).__name__ for r in found] == ["Quarantined", "Document"]
    assert isinstance(found[0], Quarantined) and "longer than 1000000 bytes" in found[0].reason


def test_records_that_are_no_page_with_mathematics_are_counted_by_reason(tmp_path: Path) -> None:
    other = [
        record("https://example.org/a", http(b"%PDF", "application/pdf")),
        record("https://example.org/b", http(PAGE.encode(), status="404 Not Found")),
        record("https://example.org/c", http(f"<html>{PROSE}</html>".encode())),
        record("https://example.org/d", b"GET / HTTP/1.1\r\n\r\n", "request"),
        record("dns:example.org", b"x"),
    ]
    *documents, counts = read_all(tmp_path, gz([*other, *pages(1)]))
    assert len(documents) == 1
    assert isinstance(counts, Quarantined)
    assert counts.reason == "passed over: no mathematics 1, not HTML 1, not a web address 1, status is not 200 1"


def test_charset_of_the_http_head_is_used(tmp_path: Path) -> None:
    body = PAGE.replace("Roots", "Wurzeln nach M\u00f6bius").encode("iso-8859-2")
    (document,) = read_all(tmp_path, gz([record("https://e.org/", http(body, "text/html; charset=ISO-8859-2"))]))
    assert isinstance(document, Document) and "M\u00f6bius" in document.text and document.meta["charset"] == "iso8859-2"


def unpack(block: bytes, limit: int = 1000) -> Response:
    found = parse_response(block, limit)
    assert isinstance(found, Response)
    return found


def test_chunks_and_content_coding_are_undone() -> None:
    chunked = b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert unpack(http(chunked, extra="Transfer-Encoding: chunked\r\n")).body == b"hello world"
    assert unpack(http(b"not chunked", extra="Transfer-Encoding: chunked\r\n")).body == b"not chunked"
    packed = gzip.compress(b"hello")
    assert unpack(http(packed, extra="Content-Encoding: gzip\r\n")).body == b"hello"
    assert unpack(http(b"hello", extra="Content-Encoding: gzip\r\n")).body == b"hello"
    assert unpack(http(zlib.compress(b"hello"), extra="Content-Encoding: deflate\r\n")).body == b"hello"
    assert len(unpack(http(gzip.compress(b"x" * 10**7), extra="Content-Encoding: gzip\r\n")).body) == 1001
    assert parse_response(http(b"\x0b\x02\x80", extra="Content-Encoding: br\r\n"), 1000) == "body packed with br"


def test_block_is_kept_up_to_the_bound_and_its_size_told() -> None:
    (found,) = read_warc(io.BytesIO(record("https://e.org/", b"x" * 5000)), "a.warc", 100)
    assert isinstance(found, WarcRecord) and len(found.block) == 100 and found.size == 5000


@pytest.mark.parametrize("change", [-30, 30, 10**12])
@pytest.mark.parametrize(("name", "pack"), [("a.warc", b"".join), ("a.warc.gz", gz), ("a.warc.zst", zst)])
def test_wrong_content_length_costs_at_most_its_record_and_the_next(tmp_path, name, pack, change) -> None:  # type: ignore[no-untyped-def]
    """A length too great ran on into the members after it: with a great one, every later record of the file was lost."""
    parts = pages(4)
    length = int(parts[1].partition(b"Content-Length: ")[2].split(b"\r")[0])
    parts[1] = parts[1].replace(f"Content-Length: {length}".encode(), f"Content-Length: {length + change}".encode())
    found = read_all(tmp_path, pack(parts), name)
    names = {d.name[-1] for d in found if isinstance(d, Document)}
    assert any(isinstance(q, Quarantined) for q in found)
    if change == 10**12 and name == "a.warc":  # nothing tells where such a record of a plain file ends
        assert names == {"0"}
    else:
        assert names >= {"0", "3"}
        assert name == "a.warc" or "2" in names  # packed records end where their members do


def test_body_in_chunks_and_packed_is_read_and_a_packed_one_of_unknown_coding_is_quarantined(tmp_path: Path) -> None:
    packed = gzip.compress(PAGE.encode(), mtime=0)
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (packed[:50], packed[50:]))
    coded = "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n"
    both = record("https://e.org/1", http(chunks + b"0\r\n\r\n", extra=coded))
    brotli = record("https://e.org/2", http(b"\x0b\x02\x80mathjax", extra="Content-Encoding: br\r\n"))
    broken = record("https://e.org/3", http(packed[:10] + b"\xff" * 30, extra="Content-Encoding: gzip\r\n"))
    first, second, third, last = read_all(tmp_path, gz([both, brotli, broken, *pages(1)]))
    assert isinstance(first, Document) and "$x^{2}$" in first.text
    assert isinstance(second, Quarantined) and second.reason == "body packed with br"
    assert isinstance(third, Quarantined) and third.reason.startswith("damaged gzip body")
    assert isinstance(last, Document)


def test_page_that_breaks_the_extraction_is_quarantined_and_the_next_one_read(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """One page that meets a fault of ours must not cost the other fifty thousand of its file."""
    real = html_text.extract_page

    def fragile(markup: str, rules: html_text.PageRules) -> html_text.Page:
        if "Roots 1" in markup:
            raise IndexError("list index out of range")
        return real(markup, rules)

    monkeypatch.setattr(html_text, "extract_page", fragile)
    first, second, third = read_all(tmp_path, gz(pages(3)))
    assert isinstance(first, Document) and isinstance(third, Document)
    assert isinstance(second, Quarantined) and second.member == f"offset {len(gz(pages(1)))} https://example.org/1"
    assert second.reason == "extraction failed: IndexError: list index out of range"


def test_one_line_longer_than_a_page_may_be_is_quarantined_without_being_held(tmp_path: Path) -> None:
    """A record of 40 MB without a line break, its bytes in a gzip member of 40 kB; the bound is 1 MB."""
    line = record("https://e.org/1", http(b"<html><p>$x$ " + b"x" * 40_000_000))
    packed = gzip.compress(line, 1, mtime=0)
    del line
    tracemalloc.start()
    first, second = read_all(tmp_path, packed + gz(pages(1)), max_page_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(first, Quarantined) and "longer than 1000000 bytes" in first.reason
    assert isinstance(second, Document) and peak < 16_000_000


def test_page_with_invalid_utf8_is_read_with_replacement_marks_and_says_so(tmp_path: Path) -> None:
    body = PAGE.replace("Roots", "Roots \u00e9").encode().replace(b"holds", b"holds \xff\xfe here")
    (document,) = read_all(tmp_path, gz([record("https://e.org/", http(body))]))
    assert isinstance(document, Document) and document.meta["charset"] == "utf-8 with errors"
    assert "Roots \u00e9" in document.text and "holds \ufffd\ufffd here" in document.text


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"WARC/", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"garbage" * 1000, b"\0" * 500]
)
def test_file_that_is_no_warc_gives_faults_and_no_exception(data: bytes) -> None:
    assert all(isinstance(found, WarcFault) for found in read_warc(io.BytesIO(data), "a.warc", 1000))


def test_archive_of_the_sample_holds_a_page_of_each_kind() -> None:
    path = Path(proof_pile.sample.__file__).parent / "documents" / "web" / "crawl.warc"
    config = warc.Config(kind="warc", path=str(path))
    found = list(warc.read(config, SourceFile(name=path.name, paths=(str(path),), size=0), "web"))
    mathml, katex_in_chunks, fault, scripts, counts = found
    assert isinstance(mathml, Document) and r"$\sqrt{2} = \frac{p}{q}$" in mathml.text
    assert isinstance(katex_in_chunks, Document) and katex_in_chunks.text.count("n^{2}") == 2
    assert isinstance(scripts, Document) and r"$$\sum_{k \geq 1}" in scripts.text
    assert isinstance(fault, Quarantined) and isinstance(counts, Quarantined)
    assert not any("All notes" in d.text or "drawn" in d.text for d in found if isinstance(d, Document))

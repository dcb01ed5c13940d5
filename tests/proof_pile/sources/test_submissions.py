"""Papers in archives: what is read, what is refused, what a damaged part costs."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from proof_pile.sources.submissions import Limits, Stream, Submission, read_submission, tar_members

ENDINGS = (".tex", ".sty")


def tar(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def read(data: bytes, name: str = "paper.gz", **limits: int) -> Submission:
    return read_submission(name, ENDINGS, Limits(**limits), data)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_of_every_form_gives_its_members(form: int) -> None:
    long = "/".join(["folder" * 3] * 5) + "/main.tex"
    members = {long: b"a" * 1000, "b.tex": b"", "figure.png": b"x" * 700, "c.sty": b"c" * 512}
    found = read(gzip.compress(tar(members, form)))
    assert found.files == {name: data for name, data in members.items() if name != "figure.png"}
    assert found.problems == [] and found.timestamp == 1_600_000_000


def test_lone_file_is_told_by_its_content() -> None:
    assert read(gzip.compress(b"\\documentclass{a}")).files == {"main.tex": b"\\documentclass{a}"}
    assert read(gzip.compress(b"%PDF-1.5 ...")).problems == [(None, "no TeX source but PDF")]
    assert read(gzip.compress(b"%!PS-Adobe")).problems == [(None, "no TeX source but PostScript or binary data")]
    assert read(gzip.compress(b"")).files == {}


def test_zip_gives_its_members_and_refuses_what_leaves_it() -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/main.tex", b"text")
        archive.writestr("../evil.tex", b"evil")
        archive.writestr("inner.zip", b"zip")
        link = zipfile.ZipInfo("link.tex")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    found = read(raw.getvalue(), "p.zip")
    assert found.files == {"a/main.tex": b"text"}
    assert found.problems == [
        ("../evil.tex", "member path leaves the archive"),
        ("inner.zip", "archive within an archive"),
        ("link.tex", "member is a link or a device"),
    ]


def test_zip_bombs_are_refused() -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.tex", b"\0" * 5_000_000)
        archive.writestr("b.tex", b"fine")
    found = read(raw.getvalue(), "p.zip", max_member_bytes=1_000_000)
    assert list(found.files) == ["b.tex"] and "longer than" in found.problems[0][1]
    lying = bytearray(raw.getvalue())
    at = lying.rfind(b"PK\x05\x06")
    lying[at + 10 : at + 12] = (60_000).to_bytes(2, "little")
    assert read(bytes(lying), "p.zip").problems == [(None, "more than 20000 members")]
    assert read(raw.getvalue()[:-40], "p.zip").problems == [(None, "damaged zip: no directory")]
    assert read(b"PK\x05\x06" + b"\xff" * 30, "p.zip").problems


def test_links_devices_and_absolute_names_are_refused() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, kind in (
            ("l.tex", tarfile.SYMTYPE),
            ("h.tex", tarfile.LNKTYPE),
            ("d.tex", tarfile.CHRTYPE),
            ("p.tex", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name in ("/abs.tex", "../up.tex", "a/../../up.tex", "C:/x.tex", "good.tex"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    found = read(gzip.compress(raw.getvalue()))
    assert found.files == {"good.tex": b"x"}
    assert len(found.problems) == 8


def test_damaged_header_costs_its_member_alone() -> None:
    data = bytearray(tar({"a.tex": b"a" * 600, "b.tex": b"b" * 600, "c.tex": b"c" * 600}, tarfile.USTAR_FORMAT))
    data[1536 + 20] ^= 1  # in the name of b.tex
    found = read(gzip.compress(bytes(data)))
    assert list(found.files) == ["a.tex", "c.tex"]
    assert found.problems == [(None, "damaged tar header at byte 1536")]


def test_truncated_archive_gives_what_came_before() -> None:
    packed = gzip.compress(tar({"a.tex": b"a" * 600, "b.tex": bytes(range(256)) * 400}))
    found = read(packed[: len(packed) - 300])
    assert list(found.files) == ["a.tex"]
    assert found.problems == [(None, "truncated gzip stream")]
    whole = tar({"a.tex": b"a" * 600, "b.tex": b"b" * 5000})
    assert list(read(gzip.compress(whole[:3000])).files) == ["a.tex"]


def test_archive_that_expands_without_end_is_stopped_in_little_memory() -> None:
    bomb = gzip.compress(tar({"a.tex": b"a", "big.png": b"\0" * 60_000_000}))
    tracemalloc.start()
    found = read(bomb, max_total_bytes=20_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.files == {"a.tex": b"a"} and found.problems == [(None, "expands to more than 20000000 bytes")]
    assert peak < 10_000_000


def test_tar_of_a_million_members_is_stopped() -> None:
    header = tar({"a": b""}, tarfile.USTAR_FORMAT)[:512]
    found = list(tar_members(Stream(iter([header * 2000])), 1000))
    assert found[-1] == "more than 1000 members" and len(found) == 1001


@pytest.mark.parametrize("seed", range(30))
def test_archive_with_flipped_bytes_never_raises(seed: int) -> None:
    import random

    draw = random.Random(seed)
    data = bytearray(tar({"a.tex": b"a" * 100, "b.tex": b"b" * 900, "x" * 120 + ".tex": b"c"}))
    for _ in range(draw.randrange(1, 30)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    read(gzip.compress(bytes(data)))
    packed = bytearray(gzip.compress(bytes(data)))
    packed[draw.randrange(len(packed))] ^= 1 << draw.randrange(8)
    read(bytes(packed))


def test_nothing_is_written_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read(gzip.compress(tar({"a.tex": b"a", "d/b.tex": b"b"})))
    assert list(tmp_path.iterdir()) == []

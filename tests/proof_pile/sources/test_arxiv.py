"""arXiv's bulk tars and single papers, and RedPajama's JSONL."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from proof_pile.build.recipe import load_recipe
from proof_pile.documents import Document, Quarantined
from proof_pile.sample import RECIPE
from proof_pile.sources import arxiv, jsonl, list_files
from proof_pile.sources import read as read_kind

PAPER = (
    b"\\documentclass{a}\\newcommand{\\R}{R}\n\\title{On %s}\n\\begin{document}\n\\section{x} $\\R$\n\\end{document}\n"
)


def tar(members: dict[str, bytes], mtime: int = 1_600_000_000) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def read(path: Path, **settings: Any) -> list[Document | Quarantined]:
    config = arxiv.Config(kind="arxiv", path=str(path), **settings)
    return [r for file in arxiv.list_files(config, path.parent) for r in arxiv.read(config, file, "arxiv")]


def bulk() -> dict[str, bytes]:
    return {
        "2101/2101.00001.gz": gzip.compress(PAPER.replace(b"%s", b"One")),
        "2101/2101.00002.pdf": b"%PDF",
        "2101/2101.00003.gz": gzip.compress(
            tar({"ms.tex": PAPER.replace(b"%s", b"Three"), "anc/b.tex": PAPER, "f.png": b"x"})
        ),
        "2101/2101.00004.gz": gzip.compress(PAPER.replace(b"%s", b"Four"))[:-20],
        "2101/2101.00005.gz": gzip.compress(b"%PDF-1.4"),
        "0001/math0001006.gz": gzip.compress(PAPER.replace(b"%s", b"Gr\xf6bner")),
    }


def test_bulk_tar_gives_a_document_a_paper_and_quarantines_the_damaged_one_alone(tmp_path: Path) -> None:
    (tmp_path / "arXiv_src_2101_001.tar").write_bytes(tar(bulk()))
    records = read(tmp_path)
    documents = [r for r in records if isinstance(r, Document)]
    assert [d.name for d in documents] == ["2101.00001", "2101.00003", "math/0001006"]
    assert [(r.member, r.reason) for r in records if isinstance(r, Quarantined)] == [
        ("2101.00004", "truncated gzip stream"),
        ("2101.00005", "no TeX source but PDF"),
    ]
    first, old = documents[0], documents[2]
    assert first.text == "\\title{On One}\n\n\\section{x} $R$\n"
    assert first.meta == {
        "arxiv_id": "2101.00001", "yymm": "2101", "url": "https://arxiv.org/abs/2101.00001", "language": "tex",
        "timestamp": "2020-09-13T12:26:40", "title": "On One", "main": "main.tex", "abstract": False, "macros_expanded": 1,
    }  # fmt: skip
    assert documents[1].meta["main"] == "ms.tex"
    assert (old.meta["yymm"], old.meta["title"], old.meta["encodings"]) == ("0001", "On Gr\u00f6bner", ["cp1252"])


def test_damage_in_the_bulk_tar_itself_costs_one_paper(tmp_path: Path) -> None:
    data = bytearray(tar(bulk()))
    at = data.index(b"2101/2101.00003.gz")
    data[at + 3] ^= 1
    (tmp_path / "arXiv_src_2101_001.tar").write_bytes(bytes(data))
    records = read(tmp_path)
    assert [d.name for d in records if isinstance(d, Document)] == ["2101.00001", "math/0001006"]
    assert any(isinstance(r, Quarantined) and r.reason == f"damaged tar header at byte {at}" for r in records)


def test_truncated_bulk_tar_gives_what_came_before(tmp_path: Path) -> None:
    data = tar(bulk())
    (tmp_path / "arXiv_src_2101_001.tar").write_bytes(data[: data.index(b"2101/2101.00003.gz") + 600])
    records = read(tmp_path)
    assert [d.name for d in records if isinstance(d, Document)] == ["2101.00001"]
    assert isinstance(records[-1], Quarantined) and "tar ends within the member" in records[-1].reason


def test_single_papers_and_folders_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "2101.00001v2.gz").write_bytes(gzip.compress(PAPER))
    (tmp_path / "2101.00002.tar.gz").write_bytes(gzip.compress(tar({"a.tex": PAPER})))
    (tmp_path / "2101.00003.tar").write_bytes(tar({"a.tex": PAPER}))
    (tmp_path / "2101.00004").mkdir()
    (tmp_path / "2101.00004" / "a.tex").write_bytes(PAPER)
    (tmp_path / "more" / "2102").mkdir(parents=True)
    (tmp_path / "more" / "2102" / "2102.00005.gz").write_bytes(gzip.compress(PAPER))
    records = read(tmp_path)
    assert sorted(d.name for d in records if isinstance(d, Document)) == [
        "2101.00001", "2101.00002", "2101.00003", "2101.00004", "2102.00005"]  # fmt: skip
    assert len({d.text for d in records if isinstance(d, Document)}) == 1


@pytest.mark.parametrize(
    ("stem", "wanted"),
    [
        ("2101.00001", "2101.00001"),
        ("0704.0001v12", "0704.0001"),
        ("math0001001", "math/0001001"),
        ("math.AG_0001001", "math.AG/0001001"),
        ("hep-th9901001", "hep-th/9901001"),
        ("paper", None),
        ("2101.1", None),
    ],
)
def test_id_is_told_from_the_file_name(stem: str, wanted: str | None) -> None:
    assert arxiv.arxiv_id(stem) == wanted


def test_bulk_tar_with_bombs_links_and_paths_out_of_it_gives_the_other_papers(tmp_path: Path) -> None:
    raw = io.BytesIO()
    bombs = {
        "2101/2101.00001.gz": gzip.compress(b"\\section{x}" + b" " * 60_000_000),
        "2101/2101.00002.gz": gzip.compress(tar({"../up.tex": PAPER, "/etc/abs.tex": PAPER, "ms.tex": PAPER})),
        "2101/2101.00003.gz": gzip.compress(tar({"inner.tar.gz": b"x", "ms.tex": PAPER})),
        "../2101.00005.gz": gzip.compress(PAPER),  # a paper's name counts, not where the tar would put it
    }
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in bombs.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("2101/2101.00004.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / "arXiv_src_2101_001.tar").write_bytes(raw.getvalue())
    records = read(tmp_path)
    assert [d.name for d in records if isinstance(d, Document)] == ["2101.00002", "2101.00003", "2101.00005"]
    assert [(r.member, r.reason) for r in records if isinstance(r, Quarantined)] == [
        ("2101.00001", "paper longer than 10000000 bytes"),
        ("2101.00002/../up.tex", "member path leaves the archive"),
        ("2101.00002//etc/abs.tex", "member path leaves the archive"),
        ("2101.00003/inner.tar.gz", "archive within an archive"),
        ("2101/2101.00004.gz", "member is a link or a device"),
    ]


def test_submission_of_the_sample_is_read_as_one_paper(tmp_path: Path) -> None:
    folder = RECIPE.parent / "documents" / "submissions"
    (document,) = read(folder)
    assert isinstance(document, Document)
    assert (document.name, document.meta["main"], document.meta["timestamp"]) == (
        "2108.00010", "farey.tex", "2021-08-17T09:00:00")  # fmt: skip
    assert "the function of M\u00f6bius" in document.text and 'print("%d fractions"' in document.text
    for gone in ("\\Farey", "\\dtm", "\\fr{", "TODO", "\\input", "\\bibitem", "\\author"):
        assert gone not in document.text


def test_shipped_recipe_loads_and_reads_a_bulk_tar(tmp_path: Path) -> None:
    text = (RECIPE.parents[1] / "recipes" / "arxiv.yml").read_text(encoding="utf-8")
    (tmp_path / "arxiv.yml").write_text(text, encoding="utf-8")
    (tmp_path / "arxiv" / "src").mkdir(parents=True)
    (tmp_path / "arxiv" / "src" / "arXiv_src_2101_001.tar").write_bytes(tar(bulk()))
    (source,) = load_recipe(tmp_path / "arxiv.yml").sources
    (config,) = source.inputs
    records = [r for f in list_files(config, tmp_path) for r in read_kind(config, f, source.name)]
    assert sum(isinstance(r, Document) for r in records) == 3


def test_every_input_that_the_shipped_recipe_offers_in_comments_loads_too(tmp_path: Path) -> None:
    text = (RECIPE.parents[1] / "recipes" / "arxiv.yml").read_text(encoding="utf-8")
    (tmp_path / "all.yml").write_text(text.replace("# - {kind", "- {kind"), encoding="utf-8")
    (source,) = load_recipe(tmp_path / "all.yml").sources
    assert [config.kind for config in source.inputs] == ["arxiv", "latex", "jsonl", "arxiv"]
    assert len(source.filters) == 5


def test_same_bytes_give_the_same_documents(tmp_path: Path) -> None:
    (tmp_path / "arXiv_src_2101_001.tar").write_bytes(tar(bulk()))
    assert read(tmp_path) == read(tmp_path)


def test_redpajama_jsonl_is_read_with_its_metadata(tmp_path: Path) -> None:
    meta = {
        "timestamp": "2020-01-01T00:00:00", "yymm": "2001", "arxiv_id": "2001.00001", "language": "en",
        "url": "https://arxiv.org/abs/2001.00001", "source": "arxiv",
    }  # fmt: skip
    (tmp_path / "arxiv_1.jsonl").write_text(json.dumps({"text": "\\section{A} x", "meta": meta}) + "\n")
    config = jsonl.Config(kind="jsonl", path=str(tmp_path), name_keys=("meta.arxiv_id",), meta={"language": "tex"})
    (record,) = (r for f in jsonl.list_files(config, tmp_path) for r in jsonl.read(config, f, "arxiv"))
    assert isinstance(record, Document)
    assert (record.name, record.text) == ("2001.00001", "\\section{A} x")
    assert record.meta == {**meta, "language": "tex"}

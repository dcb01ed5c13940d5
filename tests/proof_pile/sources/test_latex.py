"""LaTeX papers from folders and archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import latex


def read_all(base: Path, **settings: object) -> list[Document | Quarantined]:
    config = latex.Config(kind="latex", path=str(base), **settings)
    return [r for file in latex.list_files(config, base) for r in latex.read(config, file, "arxiv")]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(raw.getvalue()))


PAPER = r"""\documentclass{article}
\newcommand{\R}{\mathbb{R}}
\title{On \R}
\author{Somebody}
\begin{document}
\maketitle
\begin{abstract}
Short. % note
\end{abstract}
\section{One}
In $\R$ we count. \input{parts/two}
\bibliographystyle{plain}
\bibliography{refs}
\begin{thebibliography}{9}\bibitem{a} Gone.\end{thebibliography}
\appendix
\section{More} Kept.
\end{document}
after the end
"""


def test_paper_in_a_folder_becomes_one_document(tmp_path: Path) -> None:
    (tmp_path / "1001.1" / "parts").mkdir(parents=True)
    (tmp_path / "1001.1" / "main.tex").write_text(PAPER)
    (tmp_path / "1001.1" / "parts" / "two.tex").write_text("Second part with $\\R^2$.\n")
    (document,) = read_all(tmp_path)
    assert isinstance(document, Document)
    assert document.name == "1001.1"
    assert document.meta["title"] == r"On \mathbb{R}"
    assert document.text == (
        "\\title{On \\mathbb{R}}\n\n"
        "\\begin{abstract}\nShort.\n\\end{abstract}\n"
        "\\section{One}\nIn $\\mathbb{R}$ we count. Second part with $\\mathbb{R}^2$.\n"
        "\\appendix\n\\section{More} Kept.\n"
    )


def test_same_paper_in_an_archive_gives_the_same_text(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "main.tex").write_text(PAPER)
    write_tar(tmp_path / "b.tar.gz", {"main.tex": PAPER.encode(), "figure.png": b"\0\1"})
    (tmp_path / "c.gz").write_bytes(gzip.compress(PAPER.encode()))
    (tmp_path / "d.tex").write_text(PAPER)
    documents = read_all(tmp_path)
    assert [d.name for d in documents if isinstance(d, Document)] == ["a", "b", "c", "d"]
    assert len({d.text for d in documents if isinstance(d, Document)}) == 1
    assert all(isinstance(d, Document) and d.meta["missing_inputs"] == ["parts/two"] for d in documents)


def test_appendix_can_be_cut(tmp_path: Path) -> None:
    (tmp_path / "d.tex").write_text(PAPER)
    (document,) = read_all(tmp_path, appendix="cut")
    assert isinstance(document, Document) and "Kept." not in document.text


def test_input_never_leaves_the_paper_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "secret.tex").write_text(r"\section{s} secret")
    paper = tmp_path / "papers" / "1"
    paper.mkdir(parents=True)
    (paper / "main.tex").write_text(
        r"\documentclass{a}\begin{document}\section{x} A \input{../../secret} \input{main} \input{b}\end{document}"
    )
    (paper / "b.tex").write_text(r"B \input{b} \input{/etc/passwd}")
    (document,) = read_all(tmp_path / "papers")
    assert isinstance(document, Document)
    assert "secret" not in document.text
    assert document.text.split() == [r"\section{x}", "A", "B"]


def test_commented_and_verbatim_inputs_are_not_resolved(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "main.tex").write_text(
        "\\documentclass{a}\\begin{document}\\section{x}\n% \\input{b}\n\\verb|\\input{b}|\n\\end{document}"
    )
    (tmp_path / "1" / "b.tex").write_text("INCLUDED")
    (document,) = read_all(tmp_path)
    assert isinstance(document, Document) and "INCLUDED" not in document.text


def test_paper_in_latin_1_keeps_its_letters(tmp_path: Path) -> None:
    text = "\\documentclass{a}\\usepackage[latin1]{inputenc}\\begin{document}\\section{x} Gr\u00f6bner\\end{document}"
    (tmp_path / "1.tex").write_bytes(text.encode("latin-1"))
    (document,) = read_all(tmp_path)
    assert isinstance(document, Document) and "Gr\u00f6bner" in document.text


def test_archive_with_members_outside_or_links_quarantines_them_and_reads_the_rest(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in ("../evil.tex", "/abs.tex", "ok.tex"):
            data = b"\\documentclass{a}\\begin{document}\\section{x} fine\\end{document}"
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.tex")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (tmp_path / "1.tar.gz").write_bytes(gzip.compress(raw.getvalue()))
    records = read_all(tmp_path)
    assert [(r.member, r.reason) for r in records if isinstance(r, Quarantined)] == [
        ("../evil.tex", "member path leaves the archive"),
        ("/abs.tex", "member path leaves the archive"),
        ("link.tex", "member is a link or a device"),
    ]
    assert [r.text for r in records if isinstance(r, Document)] == ["\\section{x} fine\n"]


def test_archive_that_expands_without_end_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"\\section{x}" + b" " * 60_000_000))
    (record,) = read_all(tmp_path)
    assert isinstance(record, Quarantined) and "paper longer than" in record.reason


def test_truncated_archive_is_quarantined(tmp_path: Path) -> None:
    write_tar(tmp_path / "1.tar.gz", {"main.tex": PAPER.encode() * 50})
    data = (tmp_path / "1.tar.gz").read_bytes()
    (tmp_path / "1.tar.gz").write_bytes(data[: len(data) // 2])
    (record,) = read_all(tmp_path)
    assert isinstance(record, Quarantined) and "truncated gzip stream" in record.reason


def test_archive_without_tex_says_so(tmp_path: Path) -> None:
    write_tar(tmp_path / "1.tar.gz", {"paper.pdf": b"%PDF"})
    (record,) = read_all(tmp_path)
    assert isinstance(record, Quarantined) and record.reason == "no TeX source"


HOSTILE = [
    "\\begin{verbatim}",
    "\\begin{comment}",
    "\\verb|",
    "\\author{",
    "\\newcommand{\\a}[1]{#1}" + "\\a{",
    "\\a{",
    "\\iffalse",
    "\\begin{thebibliography}",
    "\\begin{abstract}",
    "\\input{b}",
    "{",
    "%",
    "\\",
    "\\section{x}\\newcommand{\\b}{\\b\\b}\\b",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_paper_made_of_one_construct_is_read_in_time_that_grows_with_its_length(tmp_path: Path, unit: str) -> None:
    head = "\\documentclass{a}\\newcommand{\\a}[1]{#1#1}\\begin{document}\\section{x}"
    (tmp_path / "1.tex").write_text(head + unit * (100_000 // len(unit)))
    assert len(read_all(tmp_path)) == 1


def test_files_that_stand_alone_beside_the_main_one_become_documents(tmp_path: Path) -> None:
    """Of a checkout with 727 TeX files, a folder each, five documents were left, the others were lost in silence."""
    folder = tmp_path / "book"
    (folder / "parts").mkdir(parents=True)
    (folder / "main.tex").write_text(PAPER)
    (folder / "parts/two.tex").write_text("\\documentclass{subfiles}\\begin{document}Read in.\\end{document}")
    (folder / "parts/three.tex").write_text("\\documentclass{subfiles}\\begin{document}Not read in.\\end{document}")
    (folder / "notes.tex").write_text("\\section{Scraps} No document.")
    documents = read_all(tmp_path)
    assert [d.name for d in documents if isinstance(d, Document)] == ["book", "book/parts/three.tex"]
    assert "Read in." in documents[0].text and documents[1].text == "Not read in.\n"
    assert len(documents) == 2


def test_folder_of_chapters_without_a_main_file_becomes_a_document_a_chapter(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book/long.tex").write_text("\\chapter{Long} " + "words " * 50)
    (tmp_path / "book/short.tex").write_text("\\chapter{Short} words")
    (tmp_path / "book/macros.tex").write_text("\\newcommand{\\R}{R}")
    assert [d.name for d in read_all(tmp_path) if isinstance(d, Document)] == ["book", "book/short.tex"]

r"""Papers made to be slow or large: the work stays in proportion to their length."""

from __future__ import annotations

import time

import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources.tex.config import TexConfig
from proof_pile.sources.tex.paper import paper_documents

HANG_S = 60.0  # a guard against work that never ends, no measure of speed: each takes under a second
HEAD = "\\documentclass{a}\\begin{document}\\section{x} "


def read(raw: dict[str, str], **settings: object) -> tuple[list[Document | Quarantined], float]:
    """The records of a paper and the CPU-seconds that they took."""
    config = TexConfig(**settings)  # type: ignore[arg-type]
    files = {path: text.encode() for path, text in raw.items()}
    started = time.process_time()
    records = list(paper_documents(files, config, source="s", name="n", meta={}))
    return records, time.process_time() - started


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    read({"a.tex": HEAD})


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        # A heading of commands and blanks made the pattern of "References" try 3^25 ways.
        (HEAD + "\\section{" + "\\a  " * 25 + "x}text", {}),
        # Each drawing looked through the ends of all drawings before it.
        (HEAD + "\\begin{axis}\\end{axis}" * 30_000, {}),
        # Each abstract in the preamble looked for an end that is not there.
        ("\\documentclass{a}" + "\\begin{abstract}" * 30_000 + "\\begin{document} x", {}),
        # Groups that are never closed cost a search of 100,000 bytes each.
        ("\\documentclass{a}" + "\\title{" * 30_000 + "\\begin{document} x", {}),
        (HEAD + "\\abstract{" * 30_000, {}),
        (HEAD + "\\section{" * 30_000, {}),
        (HEAD + "\\bibliography{" * 30_000, {}),
        (HEAD + "\\psfig{" * 30_000, {"drawings": "drop"}),
        (HEAD + "\\IfFileExists{b}{" * 20_000, {}),
    ],
)
def test_paper_of_one_construct_takes_no_more_than_seconds(text: str, settings: dict[str, object]) -> None:
    records, seconds = read({"a.tex": text}, **settings)
    assert len(records) == 1 and seconds < HANG_S


def test_a_million_braces_within_each_other_are_text() -> None:
    records, seconds = read({"a.tex": HEAD + "{" * 1_000_000 + "x" + "}" * 1_000_000 + " end\\end{document}"})
    (document,) = records
    assert isinstance(document, Document) and document.text.endswith(" end\n") and seconds < HANG_S


def test_half_a_million_calls_within_each_other_stay_as_they_stand() -> None:
    call = "\\newcommand{\\a}[1]{#1}" + HEAD + "\\a{" * 500_000 + "x" + "}" * 500_000 + " end\\end{document}"
    records, seconds = read({"a.tex": "\\documentclass{a}" + call})
    (document,) = records
    assert isinstance(document, Document) and document.text.endswith(" end\n") and seconds < HANG_S


def test_files_that_all_read_each_other_are_one_document() -> None:
    """Each of 700 files asked anew what it reads, 700 names a file, and the files that those read: it took hours."""
    inputs = "".join(f"\\input{{a{n:03}}}" for n in range(200))
    records, seconds = read({f"a{n:03}.tex": "\\section{x}" + inputs for n in range(200)})
    assert len(records) == 1 and seconds < HANG_S


def test_thousands_of_files_without_a_main_one_are_read_in_seconds() -> None:
    records, seconds = read({f"a{n:05}.tex": "\\section{x} y" for n in range(5000)})
    assert len(records) == 5000 and seconds < HANG_S


@pytest.mark.parametrize("step", ["next", "ring"])
def test_long_chain_of_files_is_followed_to_the_bound_of_its_depth(step: str) -> None:
    number = 3000
    last = "" if step == "next" else "\\input{a0}"
    raw = {f"a{n}.tex": f"\\section{{x}}\\input{{a{n + 1}}} y" for n in range(number)} | {f"a{number}.tex": last}
    records, seconds = read(raw)
    (document,) = records
    assert isinstance(document, Document) and document.meta["input_limit"] is True and seconds < HANG_S


def test_bibliography_is_inlined_once() -> None:
    """A command a hundred times put the list in a hundred times: 20,000 of them filled the memory."""
    raw = {"a.tex": HEAD + "\\bibliography{x} " * 1000 + "end\\end{document}", "a.bbl": "\\bibitem{b} Entry."}
    (document,), _ = read(raw, bibliography="inline")
    assert isinstance(document, Document) and document.text.count("Entry.") == 1


def test_main_file_of_nothing_but_short_inputs_reads_them_all() -> None:
    """Marks were counted on for one input in 20 bytes: of a book of 700 short names 420 files were lost."""
    raw = {
        "m.tex": "\\documentclass{a}\\begin{document}"
        + "".join(f"\\input c{n}\n" for n in range(700))
        + "\\end{document}"
    }
    raw |= {f"c{n}.tex": f"Chapter {n}.\n" for n in range(700)}
    (document,), _ = read(raw)
    assert isinstance(document, Document) and all(f"Chapter {n}." in document.text for n in range(700))


@pytest.mark.parametrize("declared", ["utf9", "foo", "latin1", ""])
def test_encoding_that_nobody_knows_costs_no_paper(declared: str) -> None:
    option = f"\\usepackage[{declared}]{{inputenc}}" if declared else ""
    text = f"\\documentclass{{a}}{option}\\begin{{document}}\\section{{x}} Gr\u00f6bner\\end{{document}}"
    (record,) = paper_documents({"a.tex": text.encode("latin-1")}, TexConfig(), source="s", name="n", meta={})
    assert isinstance(record, Document) and "Gr\u00f6bner" in record.text

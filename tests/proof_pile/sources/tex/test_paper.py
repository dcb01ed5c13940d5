r"""Papers as wholes: which files become documents, what they read in, what the policies keep."""

from __future__ import annotations

import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources.tex import project
from proof_pile.sources.tex.config import TexConfig
from proof_pile.sources.tex.paper import paper_documents

HEAD = "\\documentclass{article}\n"


def documents(files: dict[str, str | bytes], **settings: object) -> dict[str, str]:
    raw = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    found = paper_documents(raw, TexConfig(**settings), source="arxiv", name="p", meta={})
    return {d.name: d.text for d in found if isinstance(d, Document)}


def body(text: str, **settings: object) -> str:
    return documents({"main.tex": HEAD + "\\begin{document}\n" + text + "\n\\end{document}\n"}, **settings)["p"]


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("\\input{b}", "b.tex"),
        ("\\input b ", "b.tex"),
        ('\\input{"b"}', "b.tex"),
        ("\\include{parts/b}", "parts/b.tex"),
        ("\\subfile{parts/b.tex}", "parts/b.tex"),
        ("\\import{parts/}{b}", "parts/b.tex"),
        ("\\subimport{parts/}{b.tex}", "parts/b.tex"),
        ("\\InputIfFileExists{b}{}{NO}", "b.tex"),
        ("\\IfFileExists{b.tex}{\\input{b}}{NO}", "b.tex"),
        ("\\IfFileExists{none.tex}{NO}{\\input{b}}", "b.tex"),
        ("\\input{fig.tikz}", "fig.tikz"),
    ],
)
def test_file_is_read_in_where_the_command_stands(command: str, path: str) -> None:
    main = HEAD + "\\begin{document}A " + command + " C\\end{document}"
    assert documents({"main.tex": main, path: "Bee\n"})["p"].split() == ["A", "Bee", "C"]


def test_file_is_found_beside_the_one_that_reads_it_and_beside_the_main_one() -> None:
    files = {
        "src/main.tex": HEAD + "\\begin{document}\\input{chapters/one}\\end{document}",
        "src/chapters/one.tex": "One \\input{local} \\input{chapters/other}",
        "src/chapters/local.tex": "local",
        "src/chapters/other.tex": "other",
    }
    assert documents(files) == {"p": "One local other\n"}


def test_document_that_another_reads_in_appears_once() -> None:
    """A chapter with a \\documentclass of its own, named so that it came before the book, appeared twice: in the book,
    and as a document of its own, for the book had not been read yet."""
    files = {
        "a_chapter.tex": HEAD + "\\begin{document}\\section{x} Chapter. " + "word " * 100 + "\\end{document}",
        "book.tex": HEAD + "\\begin{document}Book: \\input{a_chapter}\\end{document}",
    }
    found = documents(files)
    assert list(found) == ["p"]
    assert found["p"].startswith("Book: \\section{x} Chapter.")


def test_documents_that_read_each_other_in_turn_give_one() -> None:
    files = {
        "a.tex": HEAD + "\\begin{document}A \\input{b}\\end{document}",
        "b.tex": HEAD + "\\begin{document}B \\input{a}\\end{document}",
    }
    assert len(documents(files)) == 1


def test_main_file_is_what_the_readme_names_and_the_rest_follows_by_choice() -> None:
    files = {
        "long.tex": HEAD + "\\begin{document}Long " + "word " * 50 + "\\end{document}",
        "short.tex": HEAD + "\\begin{document}Short\\end{document}",
        "old.tex": HEAD + "\\begin{document}Old\\end{document}",
        "00README.XXX": "short.tex toplevelfile\nold.tex ignore\n",
    }
    assert list(documents(files)) == ["p", "p/long.tex"]
    assert documents(files, mains="first") == {"p": "Short\n"}


def test_class_in_one_file_and_document_in_another_are_one_paper() -> None:
    files = {
        "top.tex": HEAD + "\\newcommand{\\R}{R}\n\\input{body}",
        "body.tex": "\\begin{document}$\\R$\\end{document}",
    }
    assert documents(files) == {"p": "$R$\n"}
    files = {
        "head.tex": HEAD + "\\newcommand{\\R}{R}\n",
        "body.tex": "\\input{head}\n\\begin{document}$\\R$\\end{document}",
    }
    assert documents(files) == {"p": "$R$\n"}


def test_macros_of_the_papers_own_style_file_count() -> None:
    files = {
        "main.tex": HEAD + "\\usepackage{amsmath,my}\\begin{document}$\\R$\\end{document}",
        "my.sty": "\\def\\R{R}",
    }
    assert documents(files) == {"p": "$R$\n"}


def test_input_bomb_is_bounded() -> None:
    files = {f"{n}.tex": f"\\input{{{n + 1}}}" * 10 for n in range(12)}
    files["main.tex"] = HEAD + "\\begin{document}x \\input{0} y\\end{document}"
    files["12.tex"] = "word"
    assert len(documents(files)["p"]) < 100_000


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    ("data", "codec"),
    [
        ("Gr\u00f6bner".encode(), "utf-8"),
        (b"\xef\xbb\xbf" + "Gr\u00f6bner".encode(), "utf-8"),
        ("Gr\u00f6bner".encode("utf-16"), "utf-16"),
        ("Gr\u00f6bner \\x".encode("utf-16-le"), "utf-16"),
        ("Gr\u00f6bner".encode("latin-1"), "cp1252"),
        ("Gr\u00f6bner \u0153uvre".encode("cp1252"), "cp1252"),
        (b"\x81 Gr\xf6bner", "latin-1"),
        ("\u0433\u0440\u0443\u043f\u043f\u0430 ".encode() * 5 + b"\xff", "utf-8 with errors"),
    ],
)
def test_file_is_decoded(data: bytes, codec: str) -> None:
    found = project.decode(data)
    assert found is not None and found[1] == codec
    assert "Gr\u00f6bner" in found[0].decode() or "\u0433\u0440\u0443" in found[0].decode()


def test_encoding_that_one_file_declares_holds_for_all() -> None:
    files = {
        "main.tex": HEAD + "\\usepackage[cp1251]{inputenc}\\begin{document}\\input{b}\\end{document}",
        "b.tex": "\u0433\u0440\u0443\u043f\u043f\u0430".encode("cp1251"),
    }
    assert documents(files) == {"p": "\u0433\u0440\u0443\u043f\u043f\u0430\n"}


def test_binary_file_is_quarantined_and_the_others_are_read() -> None:
    raw = {"main.tex": (HEAD + "\\begin{document}x\\end{document}").encode(), "b.tex": b"\0\1\2\3" * 100}
    found = list(paper_documents(raw, TexConfig(), source="s", name="p", meta={}))
    assert [(r.member, r.reason) for r in found if isinstance(r, Quarantined)] == [("b.tex", "binary data")]
    assert [r.text for r in found if isinstance(r, Document)] == ["x\n"]


# ---------------------------------------------------------------- policies


def test_abstract_is_kept_wherever_it_stands() -> None:
    """RedPajama drops all text before the first section, so every abstract."""
    abstract = "\\begin{abstract}\nWe prove it.\n\\end{abstract}"
    assert body(abstract + "\n\\section{One} x").startswith(abstract)
    before = documents({"m.tex": HEAD + abstract + "\\begin{document}\\section{One} x\\end{document}"})["p"]
    assert before == abstract + "\n\n\\section{One} x\n"
    assert body("\\abstract{We prove it.}\n\\section{One} x") == abstract + "\n\\section{One} x\n"
    five = body("\\abstract{Context.}{Aims.}{Methods.}{Results.}{}\n\\section{One} x")
    assert five == "\\begin{abstract}\nContext.\nAims.\nMethods.\nResults.\n\\end{abstract}\n\\section{One} x\n"


def test_paper_without_a_section_is_kept() -> None:
    """RedPajama drops every file without a section: letters, and chapters that begin in another file."""
    assert body("A letter without headings.") == "A letter without headings.\n"


def test_text_after_the_appendix_is_kept_or_cut() -> None:
    assert body("a\n\\appendix\n\\section{b}") == "a\n\\appendix\n\\section{b}\n"
    assert body("a\n\\appendix\n\\section{b}", appendix="cut") == "a\n"
    assert body("a\n\\begin{appendices}\nb\n\\end{appendices}", appendix="cut") == "a\n"


@pytest.mark.parametrize(
    "references",
    [
        "\\begin{thebibliography}{9}\\bibitem{a} A. Uthor, 1999.\\end{thebibliography}",
        "\\bibliographystyle{plain}\n\\bibliography{refs}",
        "\\printbibliography[title=References]",
        "\\section*{References}\n\\begin{thebibliography}{9}\\bibitem{a} A.\\end{thebibliography}",
        "\\section*{References}\n\\noindent [1] A. Uthor, Title, 1999.\n\n\\noindent [2] B. Ook, Title, 2001.",
        "\\section*{\\bf References}\n\\begin{enumerate}\\item A 1999 \n\\item B 2000\n\\end{enumerate}",
        "\\begin{references}\\bibitem{a} A.\\end{references}",
    ],
)
def test_references_go_and_what_follows_them_stays(references: str) -> None:
    text = body("Text \\cite{a}.\n" + references + "\n\\section{More}\nKept.")
    assert text == "Text \\cite{a}.\n\\section{More}\nKept.\n"
    assert (
        "thebib" in body(references, bibliography="keep")
        or "1999" in body(references, bibliography="keep")
        or (
            "refer" in body(references, bibliography="keep").lower()
            or "bibliography" in body(references, bibliography="keep")
        )
    )


def test_section_on_the_literature_with_prose_is_kept() -> None:
    text = "\\section{References}\nThe standard reference is the book of Hartshorne, from 1977.\n"
    assert body(text) == text


def test_bbl_file_is_inlined_by_choice() -> None:
    files = {"m.tex": HEAD + "\\begin{document}x\n\\bibliography{r}\\end{document}", "m.bbl": "\\bibitem{a} A."}
    assert documents(files, bibliography="inline") == {"p": "x\n\\bibitem{a} A.\n"}
    assert documents(files) == {"p": "x\n"}


def test_front_matter_follows_the_recipe() -> None:
    paper = {
        "m.tex": HEAD + "\\title[short]{On \\emph{Sets}\\thanks{Grant 5}}\\author{A. Uthor}\\date{May}\n"
        "\\begin{document}\n\\maketitle\nText.\n\\address{Town}\n\\end{document}"
    }
    assert documents(paper) == {"p": "\\title{On \\emph{Sets}}\n\nText.\n"}
    assert documents(paper, front="keep")["p"].split("\n\n")[:3] == [
        "\\title{On \\emph{Sets}}",
        "\\author{A. Uthor}",
        "\\date{May}",
    ] or ("\\author{A. Uthor}" in documents(paper, front="keep")["p"])
    assert documents(paper, front="drop") == {"p": "Text.\n"}


def test_drawings_follow_the_recipe() -> None:
    short = "\\begin{tikzpicture}\\draw (0,0);\\end{tikzpicture}"
    long = "\\begin{tikzpicture}" + "\\draw (0,0);\n" * 1000 + "\\end{tikzpicture}"
    assert body(f"a\n{short}\nb\n{long}\nc") == f"a\n{short}\nb\nc\n"
    assert body(f"a\n{short}\nb", drawings="drop") == "a\nb\n"
    assert body(f"a\n{long}\nb", drawings="keep") == f"a\n{long}\nb\n"
    nested = "\\begin{pspicture}\\begin{tikzpicture}x\\end{tikzpicture}\\end{pspicture}"
    assert body(f"a\n{nested}\nb", drawings="drop") == "a\nb\n"


def test_acknowledgements_are_kept_or_dropped() -> None:
    text = "a\n\\section*{Acknowledgments}\nThanks.\n\\section{b}\n"
    assert body(text) == text
    assert body(text, acknowledgements="drop") == "a\n\\section{b}\n"


def test_what_is_not_printed_goes() -> None:
    assert body("a\\index{a!b} b\n\\clearpage\n\\pagestyle{empty}\nc") == "a b\nc\n"


# ---------------------------------------------------------------- RedPajama's rules


def redpajama(text: str) -> str | None:
    return documents({"main.tex": text}, mode="redpajama").get("p")


def test_redpajama_mode_has_the_published_faults() -> None:
    """So that figures compare: each of these is mended in ours, as the tests above tell."""
    assert redpajama("\\begin{abstract}Gone.\\end{abstract}\\section{A} x\n") == "\\section{A} x\n"
    assert redpajama("No header.\n") is None
    assert redpajama("\\section{A}\nOne text% note\nend\n") == "\\section{A}\nOne tex\nend\n"
    assert redpajama("\\section{A}\na\n\\appendix\nb\n") == "\\section{A}\na\n"
    assert redpajama("\\section{A}\n\\verb|50%| of it\n") == "\\section{A}\n\\verb|5\n"
    text = "\\section{A}\n\\newcommand{\\R}{\\mathbb{R}}\n\\newcommand{\\n}[1]{|#1|}\n$\\R\\n{x}$\n"
    assert redpajama(text) == text.replace("$\\R", "$\\mathbb{R}").replace("{\\R}{", "{\\mathbb{R}}{")
    assert documents({"main.tex": b"\\section{A} Gr\xf6bner"}, mode="redpajama") == {}


def test_redpajama_mode_finds_paragraph_and_subparagraph_only_together() -> None:
    r"""The list of headers lacks a "|" before \subparagraph, so neither of the two alone begins a text."""
    assert redpajama("x \\paragraph{A} y\n") is None
    assert redpajama("x \\subparagraph{A} y\n") is None
    assert redpajama("x \\paragraph{A}\\subparagraph{B} y\n") == "\\paragraph{A}\\subparagraph{B} y\n"
    assert documents({"main.tex": "x \\paragraph{A} y\n"}) == {"p": "x \\paragraph{A} y\n"}


def test_link_that_git_wrote_as_a_file_is_followed_within_the_paper() -> None:
    r"""A checkout without links had "../header.tex" as the text of each course's header: no macro was expanded."""
    raw = {
        "header.tex": b"\\newcommand{\\R}{\\mathbb{R}}",
        "one/header.tex": b"../header.tex",
        "one/notes.tex": b"\\documentclass{a}\\input{header}\\begin{document}\\section{x} $\\R$ \\input{out}\\end{document}",
        "one/out.tex": b"../../../etc/passwd",
    }
    (document,) = paper_documents(raw, TexConfig(), source="s", name="n", meta={})
    assert isinstance(document, Document) and "$\\mathbb{R}$ ../../../etc/passwd" in document.text

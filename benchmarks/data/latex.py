r"""LaTeX papers to text: our reader and our copy of RedPajama's rules beside RedPajama's own cleaner, on one core.

    python benchmarks/data/latex.py [--redpajama-dir CHECKOUT] [--papers FOLDER ...] [--num-papers 300] [--runs 5]

CHECKOUT (or REDPAJAMA_DIR) is togethercomputer/RedPajama-Data at its branch rp_v1, of which data_prep/arxiv is run;
without it only our two rows are printed.  What it imports stands in requirements-latex.txt, an environment of its own.

Speed: files in memory to text, MB of TeX read a CPU-second (median), MB of text that comes out a CPU-second, and MB of
TeX a CPU-second from a bulk tar as arXiv hands it out to JSON lines (language detection, which ours leaves to a filter,
is switched off in RedPajama's).  The generated papers differ only in the number of macros that they define.
Generated papers: things are planted under numbers of their own, and the share of them that came out as they should is
printed.  --papers adds real papers, a folder each or, with "/*" behind it, a file each: what is left of comments, calls
of the paper's own macros with arguments, references and \input, and what is kept of proofs, by plain patterns.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import pickle
import random
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENGINES = ("llemma", "llemma, RedPajama's rules", "RedPajama")
Paper = dict[str, bytes]

WORDS = """
let the sequence of partial sums be bounded and increasing so that it has a limit which we call its value and every
other choice of the constant gives the same estimate up to a factor that does not depend on the function or on the
interval where we look at it while the proof of the lemma needs nothing but induction and a small computation
""".split()  # noqa: SIM905

# ---------------------------------------------------------------- generated papers


class Planted:
    """Numbers that are planted in the papers: what each is about, and the pattern that it must or must not leave."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, str, bool]] = []

    def number(self) -> int:
        """A number that stands nowhere else."""
        return 1_000_000 + len(self.wanted)

    def must(self, subject: str, text: str) -> None:
        """This text has to stand in what comes out."""
        self.wanted.append((subject, text, True))

    def must_not(self, subject: str, text: str) -> None:
        """This text may not stand there."""
        self.wanted.append((subject, text, False))


def prose(draw: random.Random, num_words: int) -> str:
    """So many words in lines as an author's editor breaks them."""
    words = [draw.choice(WORDS) for _ in range(num_words)]
    return "\n".join(" ".join(words[i : i + 14]) for i in range(0, num_words, 14))


def paragraph(draw: random.Random, planted: Planted) -> str:
    """Prose with planted things between."""
    parts = [prose(draw, draw.randint(40, 90))]
    for kind in draw.sample(range(10), 4):
        n = planted.number()
        if kind < 3:
            planted.must("macro with arguments expanded", f"\\langle u_{{{n}}}, v\\rangle")
            parts.append(f"and $\\ip{{u_{{{n}}}}}{{v}} \\leq 1$ for all")
        elif kind == 3:
            planted.must("macro without arguments expanded", f"x_{{{n}}} \\in \\mathbb{{R}}")
            parts.append(f"where $x_{{{n}}} \\in \\RR$ and")
        elif kind == 4:
            planted.must("text before a comment whole", f"number {n}.")
            planted.must_not("comment gone", f"todo{n}")
            parts.append(f"see number {n}.% todo{n} look this up\nThen")
        elif kind == 5:
            planted.must("text after \\% kept", f"50\\% of {n}")
            parts.append(f"holds for 50\\% of {n} cases and")
        elif kind == 6:
            planted.must_not("comment gone", f"note{n}")
            parts.append(f"\\begin{{align*}}\n a &= b \\\\% note{n} check the sign\n c &= d\n\\end{{align*}}\n")
        elif kind == 7:
            planted.must("verbatim and \\url whole", f'print("%d items" % x{n})')
            parts.append(f'\\begin{{verbatim}}\nprint("%d items" % x{n})\n\\end{{verbatim}}\n')
        elif kind == 8:
            planted.must("verbatim and \\url whole", f"a%20b{n}")
            parts.append(f"as in \\url{{http://example.org/a%20b{n}}} and")
        else:
            planted.must("display equation kept", f"\\sum_{{k=1}}^{{{n}}}")
            inner = f"\\sum_{{k=1}}^{{{n}}} \\frac{{1}}{{k^2}} < 2 \\label{{e{n}}}"
            parts.append(f"\\begin{{equation}}\n{inner}\n\\end{{equation}}\n")
        parts.append(prose(draw, draw.randint(10, 30)))
    return "\n".join(parts) + "\n\n"


def definitions(num_macros: int) -> str:
    """So many definitions without arguments, as preambles hold them."""
    letters = [
        f"\\newcommand{{\\{kind}{letter}}}{{\\math{kind}{{{letter}}}}}\n"
        for kind in ("cal", "bb", "frak")
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ]
    return "".join(letters[:num_macros])


def paper(draw: random.Random, planted: Planted, num_macros: int) -> Paper:
    """One paper of several files; one in ten is in latin-1."""
    a, b, r, i, p = (planted.number() + k for k in range(5))
    latin = draw.random() < 0.1
    planted.must("abstract kept", f"We show bound {a}.")
    planted.must("appendix kept", f"Long computation {b}.")
    planted.must_not("references gone", f"Entry {r}")
    planted.must("\\input in its place", f"Before {i}. Within {i}. After {i}.")
    planted.must("file without a section kept", f"Proof {p} is by induction.")
    if latin:
        planted.must("paper in latin-1 kept", f"Long computation {b}.")
    preamble = (
        "\\documentclass[11pt]{article}\n\\usepackage{amsmath,amssymb}\n"
        + ("\\usepackage[latin1]{inputenc}\n" if latin else "")
        + "\\newcommand{\\RR}{\\mathbb{R}}\n\\newcommand{\\ip}[2]{\\langle #1, #2\\rangle}\n"
        + definitions(num_macros - 3)
        + "\\def\\eps{\\varepsilon}\n\\newtheorem{theorem}{Theorem}\n"
        f"\\title{{On {prose(draw, 4)}}}\n\\author{{A. Nobody\\thanks{{Nowhere}}}}\n"
    )
    sections = "".join(
        f"\\section{{{prose(draw, 3)}}}\n" + "".join(paragraph(draw, planted) for _ in range(draw.randint(4, 8)))
        for _ in range(draw.randint(2, 4))
    )
    main = (
        preamble
        + "\\begin{document}\n\\maketitle\n"
        + f"\\begin{{abstract}}\nWe show bound {a}. {prose(draw, 40)}\n\\end{{abstract}}\n"
        + sections
        + f"\\section{{Parts}}\nBefore {i}. \\input{{within}} After {i}.\n"
        + "\\begin{proof}\n\\input{proof}\n\\end{proof}\n"
        + f"\\begin{{thebibliography}}{{9}}\n\\bibitem{{x}} Entry {r}, 1999.\n\\end{{thebibliography}}\n"
        + f"\\appendix\n\\section{{More}}\nLong computation {b}.\n{paragraph(draw, planted)}\\end{{document}}\n"
    )
    if latin:
        main = main.replace("\\section{Parts}", "\\section{Gr\u00f6bner}")
    codec = "latin-1" if latin else "utf-8"
    return {
        "main.tex": main.encode(codec),
        "proof.tex": f"Proof {p} is by induction. {prose(draw, 200)}\n".encode(codec),
        "within.tex": f"Within {i}.%\n".encode(codec),
    }


def generated(num_papers: int, num_macros: int) -> tuple[list[Paper], list[list[tuple[str, str, bool]]]]:
    """So many papers, each with so many macros, and what is planted in each."""
    draw = random.Random(0)
    planted = Planted()
    papers, truth = [], []
    for _ in range(num_papers):
        first = len(planted.wanted)
        papers.append(paper(draw, planted, num_macros))
        truth.append(planted.wanted[first:])
    return papers, truth


def judged(texts: Sequence[str], truth: Sequence[Sequence[tuple[str, str, bool]]]) -> dict[str, str]:
    """The share of each subject that came out as it should."""
    right, total = Counter[str](), Counter[str]()
    for text, wanted in zip(texts, truth, strict=True):
        shown = " ".join(text.split())
        for subject, piece, present in wanted:
            total[subject] += 1
            # What is not to be there counts only where the paper came out at all.
            right[subject] += (" ".join(piece.split()) in shown) == present and bool(shown)
    return {subject: f"{100 * right[subject] / total[subject]:.1f}" for subject in total}


# ---------------------------------------------------------------- real papers


def real_papers(argument: str) -> list[Paper]:
    """A folder as one paper, or with "/*" behind it each of its TeX files as one."""
    folder = Path(argument.removesuffix("/*"))
    endings = (".tex", ".sty", ".cls", ".bbl", ".tikz", ".inc", ".def", ".ltx")
    files = {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.suffix.lower() in endings and p.is_file() and not p.is_symlink()
    }
    if not files:
        raise SystemExit(f"{folder}: no TeX files (wanted a checkout or a folder of papers)")
    if argument.endswith("/*"):
        return [{path: data} for path, data in files.items() if path.endswith(".tex")]
    return [files]


_MACRO = re.compile(r"\\(?:re)?newcommand\*?\{?\\([A-Za-z]{2,})\}?\[\d\]")
_VERBATIM = re.compile(r"\\begin\{(verbatim|lstlisting|alltt|Verbatim|minted)\*?\}.*?\\end\{\1\*?\}", re.DOTALL)
_COMMENT = re.compile(r"(?<!\\)(?:\\\\)*%.*")


def counted(inputs: Sequence[Paper], texts: Sequence[str]) -> dict[str, str]:
    """What plain patterns find in the output, beside what they find in the input where that tells something."""
    source = "\n".join(d.decode("utf-8", "replace") for paper in inputs for n, d in paper.items() if n.endswith(".tex"))
    bare = _COMMENT.sub("", _VERBATIM.sub("", source))
    text = "\n".join(texts)
    shown = _VERBATIM.sub("", text)
    macros = {m for m in _MACRO.findall(bare) if len(re.findall(rf"\\newcommand\*?\{{?\\{m}\b", bare)) == 1}
    calls = re.compile(r"\\(" + "|".join(sorted(macros, key=len, reverse=True) or ["-"]) + r")(?![A-Za-z@])")
    proofs = r"\\begin\{proof\}"
    return {
        "MB": f"{len(text) / 1e6:.1f}",
        "comments": str(sum(bool(line.strip()) for line in _COMMENT.findall(shown))),
        "own macros": f"{len(calls.findall(shown))} of {len(calls.findall(bare))}",
        "\\bibitem": str(len(re.findall(r"\\bibitem", shown))),
        "proofs": f"{len(re.findall(proofs, shown))} of {len(re.findall(proofs, bare))}",
        "\\input": str(len(re.findall(r"\\(?:input|include)\b\s*\{[^#}]*\}", shown))),
    }


# ---------------------------------------------------------------- engines, each in a process of its own


def cleaner(name: str, checkout: str) -> Callable[[Paper], str]:
    """A function from a paper's files to its text, empty where the engine drops the paper."""
    if name == "RedPajama":
        module = redpajama_module(checkout)

        def theirs(files: Paper) -> str:
            try:
                texts = [data.decode("utf-8") for path, data in files.items() if path.endswith(".tex")]
                return str(module.clean_tex_files(texts))
            except Exception:  # as its create_record and _tex_proj_loader do
                return ""

        return theirs
    from proof_pile.documents import Document
    from proof_pile.sources.tex.config import TexConfig
    from proof_pile.sources.tex.paper import paper_documents

    config = TexConfig(mode="redpajama" if "rules" in name else "scan", max_paper_bytes=200_000_000)

    def ours(files: Paper) -> str:
        found = paper_documents(files, config, source="s", name="n", meta={})
        return "\n".join(record.text for record in found if isinstance(record, Document))

    return ours


def redpajama_module(checkout: str) -> Any:
    """RedPajama's arxiv_cleaner."""
    sys.path.insert(0, str(Path(checkout) / "data_prep" / "arxiv"))
    import arxiv_cleaner

    return arxiv_cleaner


def tar_reader(name: str, checkout: str, tar: Path, folder: Path) -> Callable[[], None]:
    """A function that reads a bulk tar into a file of JSON lines."""
    out = folder / "out.jsonl"
    if name == "RedPajama":
        module = redpajama_module(checkout)
        module.fasttext.load_model = lambda path: None
        module.predict_lang = lambda text, lang_model, k: (["en"], [1.0])
        (folder / "in").mkdir(exist_ok=True)
        (folder / "in" / tar.name).write_bytes(tar.read_bytes())
        reader = module.ArxivCleaner(data_dir=folder / "in", work_dir=folder / "work", target_dir=folder)

        def theirs() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                reader.run(out_fname=out.name)

        return theirs
    from proof_pile.documents import Document
    from proof_pile.sources import arxiv

    config = arxiv.Config(kind="arxiv", path=str(tar), mode="redpajama" if "rules" in name else "scan")

    def ours() -> None:
        with open(out, "w", encoding="utf-8") as file:
            for source in arxiv.list_files(config, folder):
                for record in arxiv.read(config, source, "arxiv"):
                    if isinstance(record, Document):
                        file.write(json.dumps({"text": record.text, "meta": record.meta}) + "\n")

    return ours


def bulk_tar(papers: Sequence[Paper]) -> bytes:
    """The papers as arXiv's bulk tars hold them: a gzipped tar each."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as outer:
        for number, files in enumerate(papers):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                for name, data in files.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            data = gzip.compress(inner.getvalue(), mtime=0)
            info = tarfile.TarInfo(f"2101/2101.{number + 1:05d}.gz")
            info.size = len(data)
            outer.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def work(name: str, checkout: str, file: str, runs: int) -> dict[str, Any]:
    """CPU seconds of each run over the papers, and the texts."""
    # Written by this program a moment ago.
    papers: list[Paper] = pickle.loads(Path(file).read_bytes())
    clean = cleaner(name, checkout)
    clean({"main.tex": b"\\documentclass{a}\\begin{document}\\section{x} $x$ y\\end{document}"})
    seconds, tar_seconds = [], []
    texts: list[str] = []
    for _ in range(runs):
        started = time.process_time()
        texts = [clean(files) for files in papers]
        seconds.append(time.process_time() - started)
    if len(papers) > 50:
        with tempfile.TemporaryDirectory() as folder:
            tar = Path(folder) / "arXiv_src_2101_001.tar"
            tar.write_bytes(bulk_tar(papers))
            read = tar_reader(name, checkout, tar, Path(folder))
            for _ in range(max(1, runs // 2)):
                started = time.process_time()
                read()
                tar_seconds.append(time.process_time() - started)
    return {"seconds": seconds, "tar_seconds": tar_seconds, "texts": texts}


def run_engine(python: Path, name: str, args: argparse.Namespace, file: Path) -> dict[str, Any]:
    """Runs one engine in a process of its own."""
    options = ["--redpajama-dir", args.redpajama_dir, "--runs", str(args.runs), "--work", name, str(file)]
    env = {**os.environ, "PYTHONPATH": "" if name == "RedPajama" else str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(python), __file__, *options], capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"{name}: ended with {done.returncode}\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redpajama-dir", default=os.environ.get("REDPAJAMA_DIR", ""))
    parser.add_argument("--papers", nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--num-papers", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", nargs=2, metavar=("ENGINE", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(args.work[0], args.redpajama_dir, args.work[1], args.runs)))
        return
    sys.path.insert(0, str(HERE.parent))
    from peers import machine, peer_python, print_rows

    names = list(ENGINES)
    if not args.redpajama_dir or not (Path(args.redpajama_dir) / "data_prep/arxiv/arxiv_cleaner.py").is_file():
        print(
            "RedPajama's cleaner left out: name a checkout of its branch rp_v1 with --redpajama-dir or REDPAJAMA_DIR\n"
        )
        names.remove("RedPajama")
    pythons = {
        name: peer_python(HERE / "requirements-latex.txt") if name == "RedPajama" else Path(sys.executable)
        for name in names
    }
    made, truth = generated(args.num_papers, 24)
    sets = {"3 macros": generated(args.num_papers, 3)[0], "24 macros": made}
    sets |= {Path(a.removesuffix("/*")).name + ("/*" if a.endswith("/*") else ""): real_papers(a) for a in args.papers}
    speed, real = [], []
    shares: dict[str, dict[str, str]] = {}
    same: list[str] = []
    for label, papers in sets.items():
        size = sum(len(d) for files in papers for n, d in files.items() if n.endswith(".tex")) / 1e6
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "papers.pickle"
            file.write_bytes(pickle.dumps(papers))
            results = {name: run_engine(pythons[name], name, args, file) for name in names}
        ours = statistics.median(results["llemma"]["seconds"])
        for name, result in results.items():
            seconds = statistics.median(result["seconds"])
            kept = sum(len(text.encode()) for text in result["texts"]) / 1e6
            cells = [f"{size / seconds:.1f}", f"{seconds / ours:.2f}", f"{kept / seconds:.1f}", f"{kept / size:.2f}"]
            tar = statistics.median(result["tar_seconds"]) if result["tar_seconds"] else 0.0
            speed.append([f"{label}, {size:.1f} MB", name, *cells, f"{size / tar:.1f}" if tar else "-"])
            if label == "24 macros":
                shares[name] = judged(result["texts"], truth)
            elif label != "3 macros":
                found = counted(papers, result["texts"])
                real.append([label, name, *found.values()])
        if "RedPajama" in results:
            copies = zip(results[ENGINES[1]]["texts"], results["RedPajama"]["texts"], strict=True)
            equal = sum(mine == theirs for mine, theirs in copies)
            same.append(f"{label} {equal} of {len(papers)}")
    print(machine())
    print("\nSpeed")
    print_rows(["papers", "engine", "MB/CPU-s", "ours is x", "MB out/CPU-s", "out/in", "tar MB/CPU-s"], speed)
    print("\nGenerated papers: % that came out as it should")
    subjects = sorted({subject for found in shares.values() for subject in found})
    print_rows(["planted", *names], [[s, *(shares[name][s] for name in names)] for s in subjects])
    if real:
        print("\nReal papers: what is left or kept in the output (of so many in the input)")
        columns = ["MB", "comments", "own macros", "\\bibitem", "proofs", "\\input"]
        print_rows(["papers", "engine", *columns], real)
    if same:
        print("\nTexts of our copy of RedPajama's rules that equal RedPajama's: " + ", ".join(same))


if __name__ == "__main__":
    main()

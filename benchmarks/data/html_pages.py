"""HTML to text: our extraction beside OpenWebMath's own, trafilatura and resiliparse's main content.

    python benchmarks/data/html_pages.py [--pages FOLDER] [--openwebmath CHECKOUT] [--megabytes 6] [--runs 3]

Four kinds of pages are generated with known equations: documentation (Sphinx with MathJax), articles with MathJax,
pages set by KaTeX, and MathML as wikis (annotation), LaTeXML (alttext) and editors (nothing but MathML) write it.
--pages adds a folder of real pages, of which only speed is measured.  --openwebmath or OPENWEBMATH_DIR names a checkout
of keirp/OpenWebMath; without it that row is left out.  Peers stand in requirements-html.txt and get an environment of
their own.  Printed: MB of HTML a CPU-second (median), how many times as fast ours is, and the share of the equations
that the text holds between delimiters ($, $$, \\( or \\[).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SPAN = re.compile(r"\$\$.+?\$\$|\$.+?\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
WORDS = [
    "the",
    "sequence",
    "of",
    "partial",
    "sums",
    "is",
    "bounded",
    "and",
    "increasing",
    "so",
    "that",
    "it",
    "has",
    "a",
    "limit",
    "which",
    "we",
    "call",
    "its",
    "value",
    "and",
    "every",
    "other",
    "choice",
    "of",
    "the",
    "constant",
    "gives",
    "the",
    "same",
    "estimate",
    "up",
    "to",
    "a",
    "factor",
    "that",
    "does",
    "not",
    "depend",
    "on",
    "the",
    "function",
    "or",
    "the",
    "interval",
    "where",
    "we",
    "look",
    "at",
    "it",
    "while",
    "the",
    "proof",
    "of",
    "the",
    "lemma",
    "needs",
    "nothing",
    "but",
    "induction",
    "and",
    "a",
    "small",
    "computation",
]


# ---------------------------------------------------------------- generated pages


def equation(draw: random.Random, number: int) -> tuple[str, str]:
    """An equation with a number of its own, as TeX and as presentation MathML without its <math>."""
    n = 1_000_000 + number
    return draw.choice(
        [
            (
                rf"\frac{{x_{{{n}}}}}{{1 + y^{{2}}}} \leq \alpha",
                f"<mfrac><msub><mi>x</mi><mn>{n}</mn></msub><mrow><mn>1</mn><mo>+</mo><msup><mi>y</mi><mn>2</mn></msup>"
                "</mrow></mfrac><mo>&#x2264;</mo><mi>&#x3B1;</mi>",
            ),
            (
                rf"\sum_{{k=1}}^{{{n}}} \sqrt{{k + t}}",
                "<munderover><mo>&#x2211;</mo><mrow><mi>k</mi><mo>=</mo><mn>1</mn></mrow>"
                f"<mn>{n}</mn></munderover><msqrt><mi>k</mi><mo>+</mo><mi>t</mi></msqrt>",
            ),
            (
                rf"f({n}) = \int_{{0}}^{{1}} g(s) \, ds",
                f"<mi>f</mi><mo>(</mo><mn>{n}</mn><mo>)</mo><mo>=</mo><msubsup><mo>&#x222B;</mo><mn>0</mn><mn>1</mn>"
                "</msubsup><mi>g</mi><mo>(</mo><mi>s</mi><mo>)</mo><mi>d</mi><mi>s</mi>",
            ),
            (rf"a_{{{n}}}", f"<msub><mi>a</mi><mn>{n}</mn></msub>"),
        ]
    )


def prose(draw: random.Random, num_words: int) -> str:
    """Words of no meaning."""
    return " ".join(draw.choice(WORDS) for _ in range(num_words))


def escaped(tex: str) -> str:
    """TeX as it stands in markup."""
    return tex.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def frame(title: str, head: str, body: str) -> str:
    """A page around its content, with the menus that a site has."""
    menu = "".join(
        f'<li class="nav-item"><a class="nav-link" href="/topic/{n}.html">Topic {n}</a></li>' for n in range(30)
    )
    return (
        f"<!DOCTYPE html>\n<html lang=en><head><meta charset='utf-8'><title>{title}</title>\n{head}"
        f"<style>body {{ margin: 0 }} .nav-link {{ color: #336699; padding: 4px }}</style></head><body>\n"
        f'<nav class="navbar"><ul>{menu}</ul></nav>\n<div class="content" role="main">\n{body}\n</div>\n'
        f'<div class="sidebar"><h3>Related</h3><ul>{menu}</ul></div>\n<footer><p>All rights reserved.</p></footer>\n'
        "<script>var page = {views: 12, paths: ['a', 'b']}; window.start && window.start(page);</script></body></html>\n"
    )


def formula_markup(kind: str, tex: str, mathml: str, *, display: bool, draw: random.Random) -> str:
    """A formula as pages of the kind write it."""
    shown = escaped(tex)
    if kind == "docs":
        inner = rf"\[{shown}\]" if display else rf"\({shown}\)"
        return f'<{"div" if display else "span"} class="math notranslate nohighlight">{inner}</{"div" if display else "span"}>'
    if kind == "mathjax":
        if draw.random() < 0.5:
            return f"$${shown}$$" if display else rf"\({shown}\)"
        mode = "; mode=display" if display else ""
        return f'<span class="MathJax_Preview">x</span><script type="math/tex{mode}">{tex}</script>'
    block = ' display="block"' if display else ""
    annotation = f'<annotation encoding="application/x-tex">{shown}</annotation>'
    if kind == "katex":
        spans = "".join(
            f'<span class="mord"><span class="mord mathnormal" style="margin-right:0.02em">{c}</span></span>'
            for c in "abcdef"
        )
        inline = (
            f'<span class="katex"><span class="katex-mathml"><math xmlns="http://www.w3.org/1998/Math/MathML"{block}>'
            f"<semantics><mrow>{mathml}</mrow>{annotation}</semantics></math></span>"
            f'<span class="katex-html" aria-hidden="true"><span class="base">{spans}</span></span></span>'
        )
        return f'<span class="katex-display">{inline}</span>' if display else inline
    which = draw.random()
    if which < 1 / 3:
        return (
            f'<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;"><math{block} '
            f'alttext="{{\\displaystyle {shown}}}"><semantics><mrow>{mathml}</mrow><annotation encoding='
            f'"application/x-tex">{{\\displaystyle {shown}}}</annotation></semantics></math></span><img src="/m/svg/1" '
            f'class="mwe-math-fallback-image-inline" alt="{{\\displaystyle {shown}}}"></span>'
        )
    if which < 2 / 3:
        return f'<math id="S1.m1" class="ltx_Math" alttext="{shown}"{block}><mrow id="S1.m1.1">{mathml}</mrow></math>'
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{block}>{mathml}</math>'


def generate(kind: str, num_bytes: int) -> tuple[list[str], list[list[str]]]:
    """Pages of a kind and, for each, the numbers of its equations."""
    draw = random.Random(kind)
    head = (
        ""
        if kind in ("mathml", "katex")
        else '<script src="https://cdn.example.org/mathjax@3/tex-chtml.js"></script>\n'
    )
    pages: list[str] = []
    numbers: list[list[str]] = []
    size = count = 0
    while size < num_bytes:
        body = [f"<h1>{prose(draw, 4)}</h1>"]
        own: list[str] = []
        for _ in range(30):
            sentences = []
            for _ in range(draw.randint(2, 4)):
                sentences.append(prose(draw, draw.randint(10, 30)))
                tex, mathml = equation(draw, count)
                own.append(str(1_000_000 + count))
                count += 1
                sentences.append(formula_markup(kind, tex, mathml, display=draw.random() < 0.25, draw=draw))
            body.append(
                f"<p>{' '.join(sentences)} <em>{prose(draw, 3)}</em>, <a href='/p/{count}'>{prose(draw, 2)}</a>.</p>"
            )
            if kind == "docs" and draw.random() < 0.6:
                lines = "".join(
                    f'<span class="n">total</span> <span class="o">+=</span> <span class="n">step</span><span class="p">(</span>'
                    f'<span class="mi">{n}</span><span class="p">)</span>\n'
                    for n in range(8)
                )
                body.append(
                    f'<div class="highlight-python notranslate"><div class="highlight"><pre>{lines}</pre></div></div>'
                )
            if draw.random() < 0.2:
                body.append(f"<h2>{prose(draw, 3)}</h2>")
        page = frame(prose(draw, 5), head, "\n".join(body))
        pages.append(page)
        numbers.append(own)
        size += len(page.encode())
    return pages, numbers


def real_pages(folder: Path, num_bytes: int) -> list[str]:
    """Pages of a folder up to so many bytes, spread over it by a hash-like order of their names."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".html", ".htm", ".xhtml") and p.is_file())
    random.Random(0).shuffle(files)
    pages: list[str] = []
    size = 0
    for file in files:
        data = file.read_bytes()
        if size + len(data) > num_bytes or b"\0" in data:
            continue
        pages.append(data.decode("utf-8", "replace"))
        size += len(data)
    return pages


# ---------------------------------------------------------------- engines, each in a process of its own


def engine(name: str, checkout: str) -> Callable[[str], str]:
    """A function from a page's markup to its text."""
    if name == "llemma":
        from proof_pile.sources.html_text import PageRules, extract_page

        rules = PageRules(max_links=1_000_000)
        return lambda page: extract_page(page, rules).text
    if name == "openwebmath":
        sys.path.insert(0, str(Path(checkout) / "text_extraction"))
        from text_extract.extract import extract_text
        from text_extract.utils import Config

        config = Config(str(Path(checkout) / "extract_from_cc" / "configs" / "randomized_all.yaml"))
        random.seed(0)

        def extract(page: str) -> str:
            found = extract_text(page, config.sample(), fast=False)
            return found[0] if found else ""

        return extract
    if name == "trafilatura":
        from trafilatura import extract as extract_main

        return lambda page: extract_main(page, fast=True) or ""
    from resiliparse.extract.html2text import extract_plain_text

    return lambda page: extract_plain_text(page, main_content=True)


def work(name: str, checkout: str, pages_file: str, runs: int) -> dict[str, Any]:
    """CPU seconds of each run over the pages, and what was found of the equations."""
    pages: list[str] = []
    numbers: list[list[str]] = []
    with open(pages_file, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            pages.append(record["page"])
            numbers.append(record["numbers"])
    extract = engine(name, checkout)
    extract(pages[0])
    seconds, failed, found = [], 0, 0
    for run in range(runs):
        started = time.process_time()
        texts = []
        for page in pages:
            try:
                texts.append(extract(page))
            except Exception:
                texts.append("")
                failed += run == 0
        seconds.append(time.process_time() - started)
    for text, own in zip(texts, numbers, strict=True):
        delimited = set(re.findall(r"\d{7}", " ".join(SPAN.findall(text))))
        found += sum(number in delimited for number in own)
    return {"seconds": seconds, "failed": failed, "found": found, "characters": sum(map(len, texts))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path)
    parser.add_argument("--openwebmath", default=os.environ.get("OPENWEBMATH_DIR", ""))
    parser.add_argument("--megabytes", type=float, default=6)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", nargs=2, metavar=("ENGINE", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work(args.work[0], args.openwebmath, args.work[1], args.runs)))
        return
    sys.path.insert(0, str(HERE.parent))
    from peers import machine, peer_python, print_rows

    peers = peer_python(HERE / "requirements-html.txt")
    engines = {"llemma": Path(sys.executable), "openwebmath": peers, "trafilatura": peers, "resiliparse": peers}
    if not (Path(args.openwebmath) / "text_extraction").is_dir() or not args.openwebmath:
        print("OpenWebMath's extractor left out: name a checkout with --openwebmath or OPENWEBMATH_DIR\n")
        del engines["openwebmath"]
    num_bytes = int(args.megabytes * 1e6)
    sets = {kind: generate(kind, num_bytes) for kind in ("docs", "mathjax", "katex", "mathml")}
    if args.pages:
        pages = real_pages(args.pages, num_bytes)
        sets[args.pages.name] = (pages, [[] for _ in pages])
    rows = []
    for kind, (pages, numbers) in sets.items():
        size = sum(len(page.encode()) for page in pages) / 1e6
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pages.jsonl"
            with open(file, "w", encoding="utf-8") as out:
                for page, own in zip(pages, numbers, strict=True):
                    out.write(json.dumps({"page": page, "numbers": own}) + "\n")
            results = {name: run_engine(python, name, args, file) for name, python in engines.items()}
        total = sum(map(len, numbers))
        ours = size / statistics.median(results["llemma"]["seconds"])
        for name, result in results.items():
            speed = size / statistics.median(result["seconds"])
            kept = f"{100 * result['found'] / total:.1f} %" if total else "-"
            rows.append(
                [f"{kind}, {size:.1f} MB", name, f"{speed:.1f}", f"{ours / speed:.1f}", kept, str(result["failed"])]
            )
    print(machine())
    print_rows(["pages", "engine", "MB/CPU-s", "ours is x", "equations kept", "failed"], rows)


def run_engine(python: Path, name: str, args: argparse.Namespace, file: Path) -> dict[str, Any]:
    """Runs one engine in a process of its own."""
    command = [
        str(python),
        __file__,
        "--openwebmath",
        args.openwebmath,
        "--runs",
        str(args.runs),
        "--work",
        name,
        str(file),
    ]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent.parent) if name == "llemma" else "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"{name}: ended with {done.returncode}\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()

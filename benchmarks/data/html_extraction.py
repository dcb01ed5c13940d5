r"""HTML to text: our extraction beside OpenWebMath's own, trafilatura and resiliparse's main content.

    python benchmarks/data/html_extraction.py [--open-web-math-dir CHECKOUT] [--pages FOLDER ...] [--megabytes 3]

One kind of page is generated for each way of writing equations (`html_pages.py`); --pages adds folders of real pages.
--open-web-math-dir or OPEN_WEB_MATH_DIR names a checkout of keirp/OpenWebMath; without it that row is left out.  Peers
stand in requirements-html.txt and get an environment of their own.  A run is a process of its own on one core that
reads every page once (so that what an engine remembers of a page does not help it), markup already decoded.

Printed: MB of HTML a CPU-second (median of the runs, start and imports left out), how many times as fast ours is, peak
MB, the share of the equations that the text holds between delimiters ($, $$, \( or \[), and the share that is also the
same TeX.  The last rows take all generated kinds together.  (The name is not html.py: that would hide Python's own
module from every program in this folder.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from html_pages import KINDS, Page, equations_kept, generate, real_pages  # noqa: E402

ENGINES = ("llemma", "openwebmath", "trafilatura", "resiliparse")
RESULT = "RESULT "


def engine(name: str, checkout: str) -> Callable[[str], str]:
    """A function from a page's markup to its text."""
    if name == "llemma":
        from proof_pile.sources.html_text import PageRules, extract_page

        rules = PageRules(max_links=1_000_000)
        return lambda page: extract_page(page, rules).text
    if name == "openwebmath":
        import random

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


def work(name: str, checkout: str, folder: Path) -> dict[str, Any]:
    """For each set of pages: CPU seconds, and what was found of the equations."""
    extract = engine(name, checkout)
    results: dict[str, Any] = {}
    for file in sorted(folder.glob("*.jsonl")):
        with open(file, encoding="utf-8") as lines:
            pages = [Page(**json.loads(line)) for line in lines]
        extract(pages[0].markup)
        texts, failed = [], 0
        started = time.process_time()
        for page in pages:
            try:
                texts.append(extract(page.markup))
            except Exception:
                texts.append("")
                failed += 1
        seconds = time.process_time() - started
        kept = [equations_kept(text, page.equations) for text, page in zip(texts, pages, strict=True)]
        results[file.stem.partition("_")[2]] = {
            "seconds": seconds,
            "failed": failed,
            "kept": sum(k for k, _ in kept),
            "same": sum(s for _, s in kept),
        }
    # Not the usage that the parent is told of: that begins with the parent's own memory.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    results["peak"] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, nargs="*", default=[], help="folders of real pages")
    parser.add_argument("--open-web-math-dir", default=os.environ.get("OPEN_WEB_MATH_DIR", ""))
    parser.add_argument("--megabytes", type=float, default=3, help="of each kind (3)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--work", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(RESULT + json.dumps(work(args.work[0], args.open_web_math_dir, Path(args.work[1]))))
        return
    from peers import machine, measure, peer_python, print_rows

    engines = list(args.engines)
    if "openwebmath" in engines and not (Path(args.open_web_math_dir or "/-") / "text_extraction").is_dir():
        print("OpenWebMath's extractor is left out: name a checkout with --open-web-math-dir or OPEN_WEB_MATH_DIR\n")
        engines.remove("openwebmath")
    peers = peer_python(HERE / "requirements-html.txt") if engines != ["llemma"] else Path()
    num_bytes = int(args.megabytes * 1e6)
    sets = {kind: generate(kind, num_bytes) for kind in args.kinds}
    sets |= {folder.name: real_pages(folder, num_bytes) for folder in args.pages}
    results: dict[str, Any] = {}
    peak: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, pages) in enumerate(sets.items()):
            with open(Path(folder) / f"{number:02}_{kind}.jsonl", "w", encoding="utf-8") as out:
                out.writelines(json.dumps({"markup": p.markup, "equations": p.equations}) + "\n" for p in pages)
        for name in engines:
            python = Path(sys.executable) if name == "llemma" else peers
            command = [python, __file__, "--work", name, folder]
            if args.open_web_math_dir:
                command += ["--open-web-math-dir", args.open_web_math_dir]
            path = str(HERE.parent.parent) if name == "llemma" else ""
            one_core = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
            runs = [measure([str(part) for part in command], env=one_core) for _ in range(args.runs)]
            found = [json.loads(run.output.rpartition(RESULT)[2]) for run in runs]
            results[name] = found[0]
            peak[name] = f"{max(run.pop('peak') for run in found):.0f}"
            for kind, result in found[0].items():
                result["seconds"] = statistics.median(run[kind]["seconds"] for run in found)
    sizes = {kind: sum(len(p.markup.encode()) for p in pages) / 1e6 for kind, pages in sets.items()}
    totals = {kind: sum(len(p.equations) for p in pages) for kind, pages in sets.items()}
    if len(args.kinds) > 1:
        kinds = list(args.kinds)
        sizes["all kinds"] = sum(sizes[kind] for kind in kinds)
        totals["all kinds"] = sum(totals[kind] for kind in kinds)
        for name in engines:
            own = results[name]
            keys = ("seconds", "failed", "kept", "same")
            own["all kinds"] = {key: sum(own[kind][key] for kind in kinds) for key in keys}
    print(machine())
    columns = ["pages", "engine", "MB/CPU-s", "ours is x", "peak MB", "delimited", "same TeX", "failed"]
    print_rows(columns, [_row(kind, name, results, sizes, totals, peak) for kind in sizes for name in engines])


def _row(
    kind: str,
    name: str,
    results: dict[str, Any],
    sizes: dict[str, float],
    totals: dict[str, int],
    peak: dict[str, str],
) -> list[str]:
    result, total = results[name][kind], totals[kind]
    ours = results.get("llemma", {}).get(kind, result)["seconds"]
    shares = [f"{100 * result[key] / total:.1f} %" if total else "-" for key in ("kept", "same")]
    label = f"{kind}, {sizes[kind]:.1f} MB" + (f", {total} equations" if total else "")
    speed = f"{sizes[kind] / result['seconds']:.1f}"
    return [label, name, speed, f"{result['seconds'] / ours:.1f}", peak[name], *shares, str(result["failed"])]


if __name__ == "__main__":
    main()

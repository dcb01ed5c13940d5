"""Decontamination on one core: our step beside datatrove's, on text of installed packages with planted problems.

    python benchmarks/data/decontamination.py [FOLDER ...] [--megabytes 200] [--peer-megabytes 10] [--runs 3]
        [--benchmark gsm8k:test.jsonl --benchmark math:MATH/test ...]

The corpus is text of the folders and of installed packages (corpus.py), and one document in a hundred with a problem
of the benchmarks (default: those of the built-in sample) planted in it.  Besides, each problem is planted once in a
document of its own, in one of the forms below, in turn.  Printed: MB of text a CPU-second of the step itself, from
Parquet, without start-up (ours: the rule, and the rule together with the overlap of 20 and 30 words between white
space; datatrove: its filter over 13-grams, with an index made by its own functions, for its indexer cannot run without
lighteval), peak memory of the process, how many of the planted problems are found in each form by 13, 20 and 30 words,
which documents both engines mark, and how many documents without a planted problem are marked.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import site
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", ARROW_NUM_THREADS="1")
HERE = Path(__file__).resolve().parent
sys.path.pop(0)  # the modules beside this one have names of the standard library
sys.path += [str(HERE.parent), str(HERE.parents[1])]
PREFIX = "planted/"

_UNICODE = {
    r"\pi": "π", r"\sqrt": "√", r"\times": "×", r"\cdot": "·", r"\le": "≤", r"\ge": "≥", r"\leq": "≤", r"\geq": "≥",
    r"\ne": "≠", r"\neq": "≠", r"\infty": "∞", r"\angle": "∠", r"\alpha": "α", r"\theta": "θ", r"^2": "²", r"^3": "³",
    r"\circ": "°", r"\div": "÷", r"\pm": "±",
}  # fmt: skip


def rewrapped(text: str) -> str:
    """Broken into lines of forty characters, quoted as mail is."""
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > 40:
            lines.append(line)
            line = ""
        line += word + " "
    return "> " + "\n> ".join([*lines, line])


def typographic(text: str) -> str:
    """As a word processor sets it: curly quotes, dashes, spaces that do not break."""
    return text.replace("'", "’").replace("-", "–").replace(", ", ",\u00a0").replace(" a ", " a\u202f")


def without_latex(text: str) -> str:
    """Formulas typed plainly: 1/2 for a fraction, signs for commands, no dollars."""
    text = re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\1", text)
    for command, sign in sorted(_UNICODE.items(), key=lambda pair: -len(pair[0])):
        text = re.sub(re.escape(command) + (r"(?![A-Za-z])" if command[0] == "\\" else r"(?!\d)"), sign, text)
    return re.sub(r"\\left|\\right|\\[,;! ]|\$|\\\(|\\\)|\\\[|\\\]", "", text)


def to_latex(text: str) -> str:
    """Numbers and prices set as formulas."""
    return re.sub(r"\$?(\d[\d,]*)(?:/(\d+))?(?![\d\w}])", _formula, text)


def _formula(match: re.Match[str]) -> str:
    return rf"$\frac{{{match[1]}}}{{{match[2]}}}$" if match[2] else f"${match[1]}$"


def middle(text: str) -> str:
    """Without its first and its last words: a quote that leaves something out."""
    words = text.split(" ")
    return " ".join(words[len(words) // 6 : len(words) - len(words) // 6])


FORMS: dict[str, Callable[[str], str]] = {
    "as it stands": lambda text: text,
    "rewrapped, quoted": rewrapped,
    "typographic": typographic,
    "capitals": str.upper,
    "formulas typed plainly": without_latex,
    "numbers as formulas": to_latex,
    "middle two thirds": middle,
}


def read_items(specs: list[str]) -> list[tuple[str, str]]:
    """(id, text) of the problems."""
    from llemma.core.benchmark_rows import LAYOUTS
    from proof_pile.decontaminate.benchmark_files import list_benchmark_files, read_texts
    from proof_pile.decontaminate.config import BenchmarkFile

    texts: dict[tuple[str, str], str] = {}
    for spec in specs:
        layout, _, path = spec.partition(":") if spec.split(":")[0] in LAYOUTS else ("exported", "", spec)
        section = BenchmarkFile.model_validate({"path": path, "layout": layout})
        for place, file in list_benchmark_files(section, Path.cwd()):
            for text in read_texts(str(file), section.row_layout, section.benchmark, place):
                if text.part == "problem":
                    texts.setdefault((text.benchmark, text.id), text.text)
    return [("/".join(key), text) for key, text in texts.items()]


def prepare(work: Path, folders: list[Path], num_bytes: int, peer_bytes: int, specs: list[str]) -> None:
    """Writes benchmark.jsonl, corpus.parquet (clean documents, then planted ones), and a small one for the peer."""
    from data.corpus import texts

    items = read_items(specs)
    lines = [{"benchmark": "planted", "id": id_, "part": "problem", "text": text} for id_, text in items]
    (work / "benchmark.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    clean = list(texts(folders, num_bytes))
    around = [text for _, text in clean if 2000 < len(text) < 20_000][: max(50, len(items))]
    rng = random.Random(0)
    planted = []
    for number, (id_, text) in enumerate(items):
        form = list(FORMS)[number % len(FORMS)]
        filler = rng.choice(around)
        cut = filler.find("\n", len(filler) // 2) + 1
        name = f"{PREFIX}{form}/{id_}"
        planted.append((name, f"{filler[:cut]}\n{FORMS[form](text)}\n\n{filler[cut:]}"))
    write_documents(work / "corpus.parquet", [*clean, *planted[: len(clean) // 100]])
    size, few = 0, []
    for name, text in clean:
        few.append((name, text))
        size += len(text.encode())
        if size > peer_bytes:
            break
    write_documents(work / "peer.parquet", few)
    write_documents(work / "planted.parquet", planted)
    sizes: dict[str, Any] = {name: text_bytes(work / f"{name}.parquet") / 1e6 for name in ("corpus", "peer", "planted")}
    sizes["forms"] = Counter(list(FORMS)[number % len(FORMS)] for number in range(len(items)))
    (work / "sizes.json").write_text(json.dumps(sizes))


def write_documents(path: Path, rows: list[tuple[str, str]]) -> None:
    """A documents Parquet, as a build's reading stage leaves it."""
    import pyarrow.parquet as pq

    from proof_pile.documents import documents_batch, documents_schema, make_document

    with pq.ParquetWriter(path, documents_schema(), compression="zstd") as writer:
        batch, size = [], 0
        for name, text in rows:
            batch.append(make_document("benchmark", name, text))
            size += len(text)
            if size > 8 << 20:
                writer.write_batch(documents_batch(batch))
                batch, size = [], 0
        if batch:
            writer.write_batch(documents_batch(batch))


def text_bytes(path: Path) -> int:
    """Bytes of text in a documents Parquet."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return sum(
        pc.sum(pc.binary_length(batch.column(0))).as_py() or 0
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"])
    )


# ---------------------------------------------------------------- one engine a process


def run_ours(work: Path, corpus: str, ngram: int, overlap: list[int]) -> dict[str, Any]:
    """CPU seconds of our step function, and the names of the documents that it marks."""
    import pyarrow.parquet as pq

    from llemma.core.steps import InputFile, Task
    from proof_pile.decontaminate import index, search

    params = {"ngram": ngram, "min_words": 5, "overlap": overlap, "action": {"problem": "remove-document"}}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        out = Path(folder)
        task = Task(inputs=(InputFile(path=str(work / "benchmark.jsonl"), sha256=""),))
        index.run(params, task, out)
        names = ("items.parquet", "ngrams.parquet", "short.parquet", "overlap.parquet")
        inputs = [InputFile(path=str(out / name), sha256="") for name in names]
        warm = Task(inputs=(InputFile(path=str(work / "planted.parquet"), sha256=""), *inputs))
        search.run(params, warm, out)
        task = Task(inputs=(InputFile(path=str(work / corpus), sha256=""), *inputs))
        started = time.process_time()
        search.run(params, task, out)
        seconds = time.process_time() - started
        rows = pq.read_table(out / "marks.parquet").column("row").to_pylist()
        found = json.loads((out / "found.json").read_text())
    names = pq.read_table(work / corpus, columns=["name"]).column(0).to_pylist()
    whitespace = {row["measure"]: len(row["items"]) for row in found if row["measure"] != "rule"}
    return {"seconds": seconds, "marked": [names[row] for row in rows], "whitespace": whitespace}


def run_datatrove(work: Path, corpus: str, ngram: int) -> dict[str, Any]:
    """The same for datatrove's filter. It is run by the peers' Python."""
    import numpy as np
    import pyarrow.parquet as pq
    from datatrove.data import Document
    from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import ngrams, simplify_text

    config = NGramsDecontConfig(n_grams=ngram, find_query_ngrams=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        step = NGramsDecontFilter(folder, config=config)
        hashes: set[int] = set()
        for line in (work / "benchmark.jsonl").read_text(encoding="utf-8").splitlines():
            words = step.tokenizer.word_tokenize(simplify_text(json.loads(line)["text"], config.norm_config))
            hashes.update(map(step.hash_func, map(" ".join, ngrams(words, ngram))))
        np.array(sorted(hashes), config.hash_config.np_descr).tofile(Path(folder) / "planted.index.hashes")
        step.load_index_hashes()
        marked: list[str] = []
        started = time.process_time()
        for batch in pq.ParquetFile(work / corpus).iter_batches(columns=["name", "text"], batch_size=256):
            for row in batch.to_pylist():
                if step.filter(Document(text=row["text"], id=row["name"])) is not True:
                    marked.append(row["name"])
        return {"seconds": time.process_time() - started, "marked": marked, "whitespace": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--peer-megabytes", type=int, default=10, help="the peer takes the first of them (it is slow)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--benchmark", action="append", metavar="[LAYOUT:]PATH")
    parser.add_argument("--engine", nargs=5, metavar=("NAME", "WORK", "CORPUS", "N", "OVERLAP"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        name, work, corpus, n, overlap = args.engine
        if name == "datatrove":
            result = run_datatrove(Path(work), corpus, int(n))
        else:
            result = run_ours(Path(work), corpus, int(n), [int(length) for length in overlap.split(",") if length])
        print("RESULT " + json.dumps(result))
        return
    folders = [*args.folders, *(Path(path) for path in site.getsitepackages())]
    specs = args.benchmark or [str(HERE.parents[1] / "proof_pile" / "sample" / "benchmarks.jsonl")]
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: the memory of a process counts as that of those that it starts.
        order = (Path(folder), folders, args.megabytes * 1_000_000, args.peer_megabytes * 1_000_000, specs)
        process = multiprocessing.get_context("spawn").Process(target=prepare, args=order)
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the corpus could not be made")
        compare(Path(folder), args)


def measured(python: str, name: str, work: Path, corpus: str, n: int, overlap: str, runs: int) -> Iterator[Any]:
    """The results of some runs of an engine, each in a process of its own, and the peak memory of each."""
    from peers import measure

    for _ in range(runs):
        command = [python, __file__, "--engine", name, str(work), corpus, str(n), overlap]
        done = measure(command, 1)
        line = next(line for line in done.output.splitlines() if line.startswith("RESULT "))
        yield json.loads(line.removeprefix("RESULT ")), done.peak_mb


def compare(work: Path, args: argparse.Namespace) -> None:
    """Runs all engines and prints what came of it."""
    from statistics import median

    from peers import machine, peer_python, print_rows

    print(machine())
    peer = str(peer_python(HERE / "requirements-decontamination.txt"))
    sizes = json.loads((work / "sizes.json").read_text())
    engines = {
        "llemma, the rule": (sys.executable, "llemma", "corpus", "", args.runs),
        "llemma, rule and overlap": (sys.executable, "llemma", "corpus", "20,30", args.runs),
        "datatrove 0.10.1": (peer, "datatrove", "peer", "", 1),
    }
    rows, speeds = [], {}
    for title, (python, name, corpus, overlap, runs) in engines.items():
        results = list(measured(python, name, work, f"{corpus}.parquet", 13, overlap, runs))
        speeds[title] = sizes[corpus] / median(result["seconds"] for result, _ in results)
        rows.append([title, f"{sizes[corpus]:.0f}", f"{speeds[title]:.2f}", f"{max(peak for _, peak in results):.0f}"])
        if name == "llemma":
            marked = [doc for doc in results[0][0]["marked"] if not doc.startswith(PREFIX)]
    rows = [
        [*row, f"{speed / speeds['datatrove 0.10.1']:.0f}x"] for row, speed in zip(rows, speeds.values(), strict=True)
    ]
    print_rows(["13-grams", "MB of text", "MB/CPU-s", "peak MB", "ratio"], rows)
    print()
    found, named = {}, {}
    for column, (python, name, n) in {
        "llemma 13": (sys.executable, "llemma", 13),
        "llemma 20": (sys.executable, "llemma", 20),
        "llemma 30": (sys.executable, "llemma", 30),
        "datatrove 13": (peer, "datatrove", 13),
    }.items():
        [(result, _)] = measured(python, name, work, "planted.parquet", n, "20,30", 1)
        named[column] = set(result["marked"])
        found[column] = Counter(doc.removeprefix(PREFIX).split("/")[0] for doc in named[column])
        if n == 13 and name == "llemma":
            whitespace = result["whitespace"]
    total = sizes["forms"]
    table = [
        [form, str(total.get(form, 0)), *(f"{found[c][form] / max(total.get(form, 0), 1):.3f}" for c in found)]
        for form in FORMS
    ]
    everything = sum(total.values())
    table.append(["all", str(everything), *(f"{found[c].total() / everything:.3f}" for c in found)])
    print_rows(["planted", "items", *found], table)
    ours, theirs = named["llemma 13"], named["datatrove 13"]
    print(
        f"\nplanted documents marked by both: {len(ours & theirs):,}; by neither: {everything - len(ours | theirs):,};"
    )
    print(f"by llemma alone: {len(ours - theirs):,}; by datatrove alone: {len(theirs - ours):,}")
    print(f"by datatrove alone, the first: {sorted(theirs - ours)[:8]}")
    shared = ", ".join(f"{name.removeprefix('whitespace-')}: {count}" for name, count in sorted(whitespace.items()))
    print(f"\nof all {everything:,} items, found by words between white space as they stand: {shared}")
    print(f"documents without a planted item that were marked: {len(marked)} {marked[:10]}")


if __name__ == "__main__":
    main()

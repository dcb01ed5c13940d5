"""Which runs of words are evidence: false removals on clean text beside true items lost, for several rules.

    python benchmarks/data/decontamination_rules.py CORPUS [CORPUS ...] --benchmark gsm8k:test.jsonl [--benchmark ...]
        [--ngram 13] [--show 20]

CORPUS is text that is thought to hold none of the benchmarks: a folder, or a Parquet of documents as a build's reading
stage leaves it.  A row of the table is a rule: a run of n words counts when it holds so many different words of two
letters or more (0: number-only runs count too).  Columns: texts of problems and of solutions that have no run which
counts, so that they are looked for as a whole; documents of the corpus marked for a problem or a solution; and how many
items are found in a document that holds the item, or its middle two thirds.  --show prints what was marked by each
rule and not by the next one, to be read: what of it is false is for the reader to say.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", ARROW_NUM_THREADS="1")
HERE = Path(__file__).resolve().parent
sys.path.pop(0)  # the modules beside this one have names of the standard library
sys.path += [str(HERE.parent), str(HERE.parents[1])]
RULES = (0, 1, 2, 3, 4, 5, 6)


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A document that was marked: which parts of items it holds, and the longest match."""

    name: str
    parts: frozenset[str]
    best: str


def written_corpus(specs: list[Path], work: Path) -> list[Path]:
    """Parquet files of documents: those given, and one of the text files below each folder."""
    from data.corpus import documents
    from data.decontamination import write_documents

    found = []
    for number, spec in enumerate(specs):
        if spec.is_file():
            found.append(spec)
            continue
        rows = []
        for path in documents([spec]):
            try:
                rows.append((path.relative_to(spec).as_posix(), path.read_text(encoding="utf-8")))
            except (UnicodeDecodeError, OSError):
                continue
        found.append(work / f"corpus-{number}.parquet")
        write_documents(found[-1], rows)
    return found


def make_index(specs: list[str], ngram: int, out: Path) -> tuple[Any, dict[str, int], Counter[tuple[str, str]]]:
    """The index of the benchmarks, its counts, and how many items of each part are found by which rule."""
    import pyarrow.parquet as pq

    from llemma.core.benchmark_rows import LAYOUTS
    from llemma.core.steps import InputFile, Task
    from proof_pile.decontaminate import index, search
    from proof_pile.decontaminate.benchmark_files import list_benchmark_files
    from proof_pile.decontaminate.config import BenchmarkFile

    out.mkdir()
    inputs, files = [], []
    for spec in specs:
        layout, _, path = spec.partition(":") if spec.split(":")[0] in LAYOUTS else ("exported", "", spec)
        section = BenchmarkFile.model_validate({"path": path, "layout": layout})
        paths = list_benchmark_files(section, Path.cwd())
        inputs += [InputFile(path=str(file), sha256="") for _, file in paths]
        of_rows = section.row_layout
        described = None if of_rows is None else of_rows.model_dump(mode="json")
        files.append({"places": [place for place, _ in paths], "benchmark": section.benchmark, "layout": described})
    task = Task(inputs=tuple(inputs), args={"files": files})
    counts = index.run({"ngram": ngram, "min_words": 5, "overlap": []}, task, out)
    names = ("items.parquet", "ngrams.parquet", "short.parquet", "overlap.parquet")
    search.load_index.cache_clear()
    loaded = search.load_index(*(str(out / name) for name in names), 5, ())
    table = pq.read_table(out / "items.parquet", columns=["part", "rule"])
    return loaded, counts, Counter(zip(table["part"].to_pylist(), table["rule"].to_pylist(), strict=True))


def marked_documents(index: Any, corpora: list[Path], ngram: int) -> list[Marked]:
    """All documents of the corpora that hold anything of the index."""
    from proof_pile.decontaminate.lookup import buffers
    from proof_pile.decontaminate.search import find_matches
    from proof_pile.words import text_batches

    found = []
    for corpus in corpora:
        for _, batch in text_batches(str(corpus), ("name", "text")):
            data, offsets = buffers(batch.column("text"))
            for document, hits, _ in find_matches(data, offsets, index, ngram, 5):
                best = max(hits.best.values(), key=lambda match: match.words)
                here = int(offsets[document])
                quoted = data[here + best.begin : here + best.end].tobytes().decode("utf-8", "replace")
                item = f"{index.benchmark[best.item]} {index.id[best.item]} {index.part[best.item]}"
                found.append(
                    Marked(
                        name=batch.column("name")[document].as_py(),
                        parts=frozenset(index.part[item] for item in hits.best),
                        best=f"[{item}, {best.rule} {best.words}] {' '.join(quoted.split())[:160]}",
                    )
                )
    return found


def share_found(index: Any, ngram: int, part: str, *, whole: bool) -> float:
    """Share of the texts of a part that are found in a document which holds them, or their middle two thirds."""
    import pyarrow as pa
    from data.decontamination import middle

    from proof_pile.decontaminate.lookup import buffers
    from proof_pile.decontaminate.search import find_matches

    items = [number for number, of in enumerate(index.part) if of == part]
    texts = [index.texts[item].as_py() for item in items]
    planted = pa.array([f"Zwei {text if whole else middle(text)} drei" for text in texts], pa.large_string())
    data, offsets = buffers(planted)
    hit = sum(items[document] in found.best for document, found, _ in find_matches(data, offsets, index, ngram, 5))
    return hit / max(len(items), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--benchmark", action="append", required=True, metavar="[LAYOUT:]PATH")
    parser.add_argument("--ngram", type=int, default=13)
    parser.add_argument("--show", type=int, default=0, metavar="N")
    args = parser.parse_args()
    from peers import machine, print_rows

    from proof_pile.decontaminate import index as index_step

    print(machine())
    rows, marked = [], {}
    with tempfile.TemporaryDirectory() as folder:
        corpora = written_corpus(args.corpora, Path(folder))
        for rule in RULES:
            index_step.MIN_LETTERED = rule
            index, _, rules = make_index(args.benchmark, args.ngram, Path(folder) / str(rule))
            found = marked_documents(index, corpora, args.ngram)
            marked[rule] = {document.name: document for document in found}
            without = [str(rules[part, "whole"] + rules[part, "too-short"]) for part in ("problem", "solution")]
            hit = [str(sum(part in document.parts for document in found)) for part in ("problem", "solution")]
            shares = [
                f"{share_found(index, args.ngram, part, whole=whole):.4f}"
                for part in ("problem", "solution")
                for whole in (True, False)
            ]
            rows.append([str(rule), *without, str(len(found)), *hit, *shares])
    head = ["lettered words", "problems without", "solutions without", "marked", "for a problem", "for a solution"]
    print_rows([*head, "problem", "its middle", "solution", "its middle"], rows)
    for rule, after in zip(RULES, (*RULES[1:], None), strict=True):
        only = [document for name, document in marked[rule].items() if after is None or name not in marked[after]]
        if args.show:
            print(f"\nmarked by {rule}" + ("" if after is None else f" and not by {after}") + f": {len(only)}")
            for document in only[: args.show]:
                print(f"  {document.name}: {document.best}")


if __name__ == "__main__":
    main()

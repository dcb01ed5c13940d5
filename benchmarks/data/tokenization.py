"""Tokenize and write: this library beside GPT-NeoX's preprocess_data.py, datatrove and the bare tokenizer libraries.

    python benchmarks/data/tokenization.py [--corpus FILE_OR_FOLDER] [--megabytes 200] [--runs 3] [--vocab-size 32000]
                                           [--neox-dir DIR --neox-python PYTHON] [--large] [--work DIR]

From the same documents (.jsonl.zst with a "text" each) to token files, with one Llama-style SentencePiece vocabulary
trained on them, one process each, on one core.  Without --corpus the text is that of benchmarks/data/corpus.py.
NeoX runs from a checkout (--neox-dir, or NEOX_DIR) with a Python that has its packages (--neox-python, or NEOX_PYTHON);
without them its row is left out.  --large adds a row for a byte-level tokenizer.json of Llama 3's kind with
128,000 entries, as far as the text makes so many (int32 tokens).

Printed: MB of text per CPU-second (whole process, its start included), median of the runs; ratio to each peer; peak
memory; and how many documents have other ids than SentencePiece's.  Rows of ours:
    tokenize, merge        the build's steps from documents Parquet, the tokens shuffled
    read ... merge         from .jsonl.zst: read, consolidate, tokenize, merge, as a build without filters does
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import Measured, machine, measure, peer_python, print_rows

HERE = Path(__file__).resolve().parent
ONE_CORE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}

DATATROVE = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
corpus, tokenizer, eod, out, shuffle = sys.argv[1:]
LocalPipelineExecutor(pipeline=[
    JsonlReader(corpus, glob_pattern="*.jsonl.zst"),
    DocumentTokenizer(out, tokenizer, eos_token=eod, shuffle_documents=shuffle == "yes", save_final_metadata=False),
], tasks=1, workers=1, logging_dir=out + "/logs").run()
"""

LIBRARY = """
import io, json, sys
from pathlib import Path
import numpy as np, zstandard
kind, corpus, tokenizer, out = sys.argv[1:]
if kind == "sentencepiece":
    import sentencepiece
    processor = sentencepiece.SentencePieceProcessor(model_file=tokenizer)
    encode = lambda texts: processor.encode(texts, num_threads=1)
else:
    import tokenizers
    engine = tokenizers.Tokenizer.from_file(tokenizer)
    engine.encode_special_tokens = True
    encode = lambda texts: [e.ids for e in engine.encode_batch_fast(texts, add_special_tokens=False)]
with open(out, "wb") as file:
    for path in sorted(Path(corpus).glob("*.jsonl.zst")):
        texts = []
        with open(path, "rb") as packed:
            reader = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed), 1 << 20)
            for line in reader:
                texts.append(json.loads(line)["text"])
                if len(texts) == 64:
                    for ids in encode(texts): np.array(ids, np.int32).tofile(file)
                    texts = []
        for ids in encode(texts): np.array(ids, np.int32).tofile(file)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="a .jsonl.zst file or a folder of them")
    parser.add_argument("--megabytes", type=float, default=200, help="size of the text that is made without --corpus")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--neox-dir", type=Path, default=os.environ.get("NEOX_DIR"))
    parser.add_argument("--neox-python", type=Path, default=os.environ.get("NEOX_PYTHON"))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--ours", nargs=4, help=argparse.SUPPRESS)  # corpus or documents, tokenizer, eod, folder
    args = parser.parse_args()
    if args.ours:
        run_ours(*args.ours)
        return
    with tempfile.TemporaryDirectory(prefix="tokenization-", dir=args.work) as work:
        compare(args, Path(work))


def compare(args: argparse.Namespace, work: Path) -> None:
    """All rows, printed."""
    corpus = work / "corpus"
    prepare_corpus(args.corpus, corpus, args.megabytes)
    documents, num_bytes = prepare_documents(corpus, work)
    folder = train(documents, work / "tokenizer", args.vocab_size)
    model = folder / "tokenizer.model"
    peers = peer_python(HERE / "requirements-tokenization.txt")
    rows: list[tuple[str, Measured, str]] = []

    def row(name: str, command: list[str | Path], out: Path, *, kind: str = "") -> None:
        print(f"{name} ...", file=sys.stderr, flush=True)
        env = dict(ONE_CORE)
        measured = None
        for _ in range(args.runs):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            found = measure(command, env=env)
            measured = found if measured is None or found.cpu_s < measured.cpu_s else measured
        assert measured is not None
        rows.append((name, measured, different(kind, out, work, model) if kind else ""))

    ours = [sys.executable, Path(__file__), "--ours"]
    eod = "</s>"
    row("ours: tokenize, merge", [*ours, documents, model, eod, work / "a"], work / "a", kind="ours")
    row("ours: read ... merge", [*ours, corpus, model, eod, work / "b"], work / "b", kind="ours")
    if args.neox_dir and args.neox_python:
        row("GPT-NeoX preprocess_data.py", neox_command(args, corpus, model, work), work / "n", kind="neox")
    command = [peers, "-c", DATATROVE, corpus, folder / "tokenizer.json", eod, work / "d"]
    row("datatrove", [*command, "no"], work / "d", kind="datatrove")
    row("datatrove, shuffled", [*command, "yes"], work / "d")
    library = [peers, "-c", LIBRARY]
    row("sentencepiece alone", [*library, "sentencepiece", corpus, model, work / "s" / "ids"], work / "s")
    row("tokenizers alone", [*library, "tokenizers", corpus, folder / "tokenizer.json", work / "t" / "ids"], work / "t")
    print(f"{machine()}; {num_bytes / 1e6:.0f} MB of text, vocabulary {args.vocab_size:,}, best of {args.runs} runs")
    print_table(rows, num_bytes)
    if args.large:
        large = train_large(corpus, work / "large", peers)
        rows.clear()
        row("ours: tokenize, merge", [*ours, documents, large, "<|end_of_text|>", work / "a"], work / "a")
        command = [peers, "-c", DATATROVE, corpus, large, "<|end_of_text|>", work / "d", "no"]
        row("datatrove", command, work / "d")
        row("tokenizers alone", [*library, "tokenizers", corpus, large, work / "t" / "ids"], work / "t")
        size = len(json.loads(large.read_text(encoding="utf-8"))["model"]["vocab"])
        print(f"byte-level BPE, Llama 3's pattern, {size:,} entries; tokens int32 where they are over 65,500")
        print_table(rows, num_bytes)


def print_table(rows: list[tuple[str, Measured, str]], num_bytes: int) -> None:
    """The rows, with ours as the measure of the others."""
    first, second = (rows[0][1].cpu_s, rows[1][1].cpu_s if rows[1][0].startswith("ours") else None)
    table = [
        [
            name,
            f"{num_bytes / 1e6 / m.cpu_s:.1f}",
            f"{m.cpu_s / first:.1f}x",
            f"{m.cpu_s / second:.1f}x" if second else "",
            f"{m.peak_mb:.0f}",
            other,
        ]
        for name, m, other in rows
    ]
    print_rows(
        ["", "MB/CPU-s", "tokenize, merge is", "read ... merge is", "peak MB", "documents with other ids"], table
    )


def prepare_corpus(given: Path | None, corpus: Path, megabytes: float) -> None:
    """A folder of .jsonl.zst files."""
    if given is None:
        from corpus import write_corpus

        write_corpus(corpus, int(megabytes * 1e6), [])
        return
    corpus.mkdir(parents=True)
    for path in sorted(given.glob("*.jsonl.zst")) if given.is_dir() else [given]:
        os.symlink(path.resolve(), corpus / path.name)


def read_texts(corpus: Path) -> Iterator[str]:
    """The texts of a folder of .jsonl.zst files, in order."""
    import zstandard

    for path in sorted(corpus.glob("*.jsonl.zst")):
        with open(path, "rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            for line in io.BufferedReader(reader, 1 << 20):
                yield json.loads(line)["text"]


def prepare_documents(corpus: Path, work: Path) -> tuple[Path, int]:
    """A folder of consolidated documents Parquet files as the build has them, and the bytes of their text."""
    out = work / "documents"
    out.mkdir()
    files = build_steps(corpus, out)
    for number, path in enumerate(files):
        shutil.move(path, out / f"{number:05d}.parquet")
    return out, sum(len(text.encode()) for text in read_texts(corpus))


def train(documents: Path, folder: Path, vocab_size: int) -> Path:
    """A tokenizer of this text, in SentencePiece's and in Hugging Face's form."""
    from llemma.core.steps import InputFile, Task
    from proof_pile.tokenize import training

    folder.mkdir()
    inputs = tuple(InputFile(path=str(path), sha256="") for path in sorted(documents.glob("*.parquet")))
    training.run({"vocab_size": vocab_size, "max_bytes": 16_000_000, "split": None}, Task(inputs=inputs), folder)
    return folder


def train_large(corpus: Path, folder: Path, python: Path) -> Path:
    """A tokenizer.json of Llama 3's kind (its pre-tokenizer as published, vocabulary of this text)."""
    program = """
import io, json, sys, zstandard
from pathlib import Path
from tokenizers import Tokenizer, Regex, models, pre_tokenizers, decoders, trainers
pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
           r"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
def texts():
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl.zst")):
        for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(open(path, "rb")), 1 << 20):
            yield json.loads(line)["text"]
t = Tokenizer(models.BPE(ignore_merges=True))
t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
t.decoder = decoders.ByteLevel()
t.train_from_iterator(texts(), trainers.BpeTrainer(vocab_size=128000, show_progress=False,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
t.save(sys.argv[2])
"""
    folder.mkdir()
    path = folder / "tokenizer.json"
    subprocess.run([str(python), "-c", program, str(corpus), str(path)], check=True)
    return path


def neox_command(args: argparse.Namespace, corpus: Path, model: Path, work: Path) -> list[str | Path]:
    """GPT-NeoX's tool as its documentation calls it, with one worker."""
    tool = Path(args.neox_dir) / "tools" / "datasets" / "preprocess_data.py"
    files = ",".join(str(path) for path in sorted(corpus.glob("*.jsonl.zst")))
    options = ["--input", files, "--output-prefix", work / "n" / "out", "--vocab-file", model, "--workers", "1"]
    return [args.neox_python, tool, *options, "--tokenizer-type", "SPMTokenizer", "--append-eod"]


def different(kind: str, out: Path, work: Path, model: Path) -> str:
    """How many documents have other ids than SentencePiece gives, ends of documents left out."""
    import hashlib

    import numpy as np

    wanted_path = work / "wanted.json"
    if not wanted_path.exists():
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        ids = (processor.encode(text) for text in read_texts(work / "corpus"))
        wanted_path.write_text(json.dumps([hashlib.md5(np.array(i, np.int32).tobytes()).hexdigest() for i in ids]))
    wanted = json.loads(wanted_path.read_text())
    found = [hashlib.md5(ids.astype(np.int32).tobytes()).hexdigest() for ids in token_rows(kind, out)]
    if kind == "ours":  # shuffled
        wanted, found = sorted(wanted), sorted(found)
    return f"{sum(a != b for a, b in zip(found, wanted, strict=True))} of {len(wanted):,}"


def token_rows(kind: str, out: Path) -> Iterator:
    """The ids of each document, without the one that ends it."""
    import numpy as np

    if kind == "datatrove":
        ends = np.concatenate([np.fromfile(path, np.uint64) for path in sorted(out.glob("*.ds.index"))]).astype(int)
        tokens = np.concatenate([np.fromfile(path, np.uint16) for path in sorted(out.glob("*.ds"))])
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            yield tokens[start : end - 1]
        return
    from llemma.core.indexed import IndexedReader

    reader = IndexedReader(next(iter(sorted(out.rglob("*.idx")))).with_suffix(""))
    bounds = reader.document_index
    for first, last in itertools.pairwise(bounds):
        yield np.concatenate([reader.get(i) for i in range(first, last)])[:-1]


# ---------------------------------------------------------------- ours, in a process of its own


def run_ours(source: str, tokenizer: str, eod: str, out: str) -> None:
    """The build's steps, one after the other in this process: from a folder of documents Parquet or of .jsonl.zst."""
    from llemma.core.files import sha256_file
    from llemma.core.steps import InputFile, Step, StepDirectory, Task
    from proof_pile.tokenize import encode, merge

    files = sorted(Path(source).glob("*.parquet")) or build_steps(Path(source), Path(out))
    vocabulary = InputFile(path=tokenizer, sha256=sha256_file(tokenizer))
    tasks = [Task(inputs=(InputFile(path=str(path), sha256=str(path)), vocabulary)) for path in files]
    params = {"eod": eod, "shuffle_seed": 0}
    step = Step(name="tokenize", version=encode.VERSION, function="proof_pile.tokenize.encode:run", params=params)
    directory = StepDirectory.create(out, step, tasks)
    records = [directory.run_task(number) for number in range(len(tasks))]
    tasks = merge.merge_tasks(records)
    step = Step(name="merge", version=merge.VERSION, function="proof_pile.tokenize.merge:run", params=params)
    directory = StepDirectory.create(out, step, tasks)
    for number in range(len(tasks)):
        directory.run_task(number)
    shutil.rmtree(Path(out) / "steps", ignore_errors=True)
    for path in Path(out).glob("tokenize-*"):
        shutil.rmtree(path)


def build_steps(corpus: Path, out: Path) -> list[Path]:
    """Reads and consolidates .jsonl.zst files, and returns the documents Parquet files."""
    from llemma.core.files import sha256_file
    from llemma.core.steps import InputFile, Step, StepDirectory, Task

    source = {"kind": "jsonl", "path": str(corpus)}
    tasks = []
    for path in sorted(corpus.glob("*.jsonl.zst")):
        args = {"files": [{"name": path.name, "size": path.stat().st_size, "paths": 1}]}
        tasks.append(Task(inputs=(InputFile(path=str(path), sha256=sha256_file(path)),), args=args))
    read = {"source": "text", "input": source, "filters": []}
    records = StepDirectory.create(
        out / "steps", Step(name="read", version=0, function="proof_pile.build.reading:run", params=read), tasks
    )
    done = [records.run_task(number) for number in range(len(tasks))]
    tasks = [Task(inputs=(record.output("documents.parquet").as_input(),)) for record in done]
    params = {"validation": 0.0, "test": 0.0, "seed": 0}
    step = Step(name="consolidate", version=0, function="proof_pile.consolidate:run", params=params)
    kept = StepDirectory.create(out / "steps", step, tasks)
    return [Path(kept.run_task(number).output("documents.parquet").path) for number in range(len(tasks))]


if __name__ == "__main__":
    main()

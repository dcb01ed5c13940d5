"""Tokenize and write: this library beside GPT-NeoX's preprocess_data.py, datatrove and the bare tokenizer libraries.

    python benchmarks/data/tokenization.py [--corpus FILE_OR_FOLDER] [--megabytes 200] [--runs 3] [--vocab-size 32000]
                                           [--neox-dir DIR --neox-python PYTHON] [--large] [--only-ours] [--work DIR]

From the same documents (.jsonl.zst with a "text" each) to token files, with one Llama-style SentencePiece vocabulary
trained on them, one process each, on one core.  Without --corpus the text is that of benchmarks/data/corpus.py.
NeoX runs from a checkout (--neox-dir, or NEOX_DIR) with a Python that has its packages (--neox-python, or NEOX_PYTHON);
without them its row is left out.  --large takes a byte-level tokenizer.json of Llama 3's kind with 128,000 entries, as
far as the text makes so many (int32 tokens where they are over 65,500), in place of the SentencePiece vocabulary.
--only-ours leaves the peers out.

Printed: MB of text per CPU-second (whole process, its start included), median of the runs; how many times faster ours
is; peak memory; and how many documents have other ids than the vocabulary's own library gives (sentencepiece, or
tokenizers with literal special tokens kept as text).  Rows of ours:
    tokenize, merge        the build's steps from documents Parquet, the tokens shuffled
    read ... merge         from .jsonl.zst: read, consolidate, tokenize, merge, as a build without filters does
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import Measured, machine, measure, peer_python, print_rows

T = TypeVar("T")
Row = tuple[str, Measured, str]
"""Name, what was measured, and how many documents have other ids ("" where nobody looked)."""

HERE = Path(__file__).resolve().parent
LARGE_END = "<|endoftext|>"  # the name that GPT-NeoX asks a tokenizer.json for
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
    parser.add_argument("--megabytes", type=int, default=200, help="size of the text that is made without --corpus")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--neox-dir", type=Path, default=os.environ.get("NEOX_DIR"))
    parser.add_argument("--neox-python", type=Path, default=os.environ.get("NEOX_PYTHON"))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only-ours", action="store_true", help="no peers")
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
    in_process(prepare_corpus, args.corpus, corpus, args.megabytes)
    documents, num_bytes = in_process(prepare_documents, corpus, work)
    peers = peer_python(HERE / "requirements-tokenization.txt")
    if args.large:
        vocabulary = exported = train_large(corpus, work / "tokenizer", peers)
        eod, neox_kind = LARGE_END, "HFTokenizer"
        what = f"byte-level BPE, Llama 3's pattern, {in_process(num_entries, vocabulary):,} entries"
    else:
        folder = in_process(train, documents, work / "tokenizer", args.vocab_size)
        vocabulary, exported = folder / "tokenizer.model", folder / "tokenizer.json"
        eod, neox_kind = "</s>", "SPMTokenizer"
        what = f"SentencePiece BPE, {args.vocab_size:,} pieces"

    def row(name: str, command: list[str | Path], out: str, *, compared: bool = True) -> Row:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = []
        for _ in range(args.runs):
            shutil.rmtree(work / out, ignore_errors=True)
            (work / out).mkdir()
            found.append(measure(command, env=ONE_CORE))
        measured = sorted(found, key=lambda one: one.cpu_s)[len(found) // 2]
        return name, measured, in_process(different, out, work, vocabulary) if compared else ""

    ours: list[str | Path] = [sys.executable, Path(__file__), "--ours"]
    rows = [
        row("ours: tokenize, merge", [*ours, documents, vocabulary, eod, work / "a"], "a"),
        row("ours: read ... merge", [*ours, corpus, vocabulary, eod, work / "b"], "b"),
    ]
    if args.neox_dir and args.neox_python and not args.only_ours:
        rows.append(row("GPT-NeoX preprocess_data.py", neox_command(args, corpus, work, neox_kind, vocabulary), "n"))
    if not args.only_ours:
        trove: list[str | Path] = [peers, "-c", DATATROVE, corpus, exported, eod, work / "d"]
        library: list[str | Path] = [peers, "-c", LIBRARY]
        rows.append(row("datatrove", [*trove, "no"], "d"))
        rows.append(row("datatrove, shuffled", [*trove, "yes"], "d", compared=False))
        if not args.large:
            command = [*library, "sentencepiece", corpus, vocabulary, work / "s" / "ids"]
            rows.append(row("sentencepiece alone", command, "s", compared=False))
        command = [*library, "tokenizers", corpus, exported, work / "t" / "ids"]
        rows.append(row("tokenizers alone", command, "t", compared=False))
    print(f"{machine()}; {num_bytes / 1e6:.0f} MB of text; {what}; median of {args.runs} runs")
    print_table(rows, num_bytes)


def in_process(function: Callable[..., T], *args: Any) -> T:
    """The result of a function that ran in a process of its own.

    This process stays small so: what it starts counts the memory of this one at that moment as its own peak.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def print_table(rows: list[Row], num_bytes: int) -> None:
    """The rows, with both of ours as measures of the others."""
    first, second = rows[0][1].cpu_s, rows[1][1].cpu_s
    table = [
        [
            name,
            f"{num_bytes / 1e6 / m.cpu_s:.1f}",
            f"{m.cpu_s / first:.1f}x",
            f"{m.cpu_s / second:.1f}x",
            f"{m.peak_mb:.0f}",
            other,
        ]
        for name, m, other in rows
    ]
    columns = ["", "MB/CPU-s", "tokenize, merge is", "read ... merge is", "peak MB", "documents with other ids"]
    print_rows(columns, table)


def prepare_corpus(given: Path | None, corpus: Path, megabytes: int) -> None:
    """A folder of .jsonl.zst files."""
    if given is None:
        from corpus import write_corpus

        write_corpus(corpus, megabytes)
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
t.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
t.save(sys.argv[2])
"""
    folder.mkdir()
    path = folder / "tokenizer.json"
    subprocess.run([str(python), "-c", program, str(corpus), str(path)], check=True)
    return path


def num_entries(path: Path) -> int:
    """How many tokens a tokenizer.json has, added ones left out."""
    return len(json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"])


def neox_command(args: argparse.Namespace, corpus: Path, work: Path, kind: str, vocabulary: Path) -> list[str | Path]:
    """GPT-NeoX's tool as its documentation calls it, with one worker."""
    tool = Path(args.neox_dir) / "tools" / "datasets" / "preprocess_data.py"
    files = ",".join(str(path) for path in sorted(corpus.glob("*.jsonl.zst")))
    options = ["--input", files, "--output-prefix", work / "n" / "out", "--vocab-file", vocabulary, "--workers", "1"]
    return [args.neox_python, tool, *options, "--tokenizer-type", kind, "--append-eod"]


def different(out: str, work: Path, vocabulary: Path) -> str:
    """How many documents have other ids than the vocabulary's library gives, ends of documents left out."""
    digests = work / f"{vocabulary.name}.wanted.json"
    if not digests.exists():
        encode = library_encoder(vocabulary)
        digests.write_text(json.dumps([digest(encode(text)) for text in read_texts(work / "corpus")]))
    wanted = json.loads(digests.read_text())
    found = [digest(ids) for ids in token_rows(work / out)]
    if out in ("a", "b"):  # ours are shuffled
        wanted, found = sorted(wanted), sorted(found)
    return f"{sum(a != b for a, b in zip(found, wanted, strict=True))} of {len(wanted):,}"


def digest(ids: Any) -> str:
    """A hash of ids."""
    import numpy as np

    return hashlib.md5(np.asarray(ids, np.int32).tobytes()).hexdigest()


def library_encoder(vocabulary: Path) -> Callable[[str], list[int]]:
    """What gives the ids of a text by the library that a vocabulary is of."""
    if vocabulary.suffix == ".model":
        import sentencepiece

        encode: Callable[[str], list[int]] = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary)).encode
        return encode
    import tokenizers

    engine = tokenizers.Tokenizer.from_file(str(vocabulary))
    engine.encode_special_tokens = True
    return lambda text: engine.encode_batch_fast([text], add_special_tokens=False)[0].ids


def token_rows(out: Path) -> Iterator[Any]:
    """The ids of each document, without the one that ends it."""
    import numpy as np

    indexes = sorted(out.glob("*.ds.index"))  # datatrove
    if indexes:
        ends = np.concatenate([np.fromfile(path, np.uint64) for path in indexes]).astype(int)
        data = np.concatenate([np.fromfile(path, np.uint8) for path in sorted(out.glob("*.ds"))])
        tokens = data.view(np.uint16 if len(data) == 2 * ends[-1] else np.uint32)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            yield tokens[start : end - 1]
        return
    from llemma.core.indexed import IndexedReader

    reader = IndexedReader(next(iter(sorted(out.rglob("*.idx")))).with_suffix(""))
    for first, last in itertools.pairwise(reader.document_index):
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

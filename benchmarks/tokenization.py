"""Tokenization of a build's own text: our encoder beside sentencepiece and Hugging Face's tokenizers.

    python benchmarks/tokenization.py DATA [--runs 5] [--megabytes 4]

DATA is the output of `python -m proof_pile.build`. All three use one thread and the same vocabulary, and are run in
turn, so that a machine whose speed drifts slows all of them. Printed: MB of UTF-8 text a CPU-second, median of the
runs, its ratio to ours, and on how many documents the ids differ from sentencepiece's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"


def read_texts(data: Path, num_bytes: int) -> list[str]:
    """Documents that the build kept, up to so many bytes."""
    import pyarrow.parquet as pq

    texts: list[str] = []
    size = 0
    for file in sorted(data.glob("steps/consolidate-*/*.parquet")):
        if "text" not in pq.read_schema(file).names or "split" not in pq.read_schema(file).names:
            continue
        for text in pq.read_table(file, columns=["text"])["text"].to_pylist():
            texts.append(text)
            size += len(text.encode())
            if size >= num_bytes:
                return texts
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=4)
    args = parser.parse_args()
    import sentencepiece
    import tokenizers

    from llemma.core.text.tokenizers import load_tokenizer

    texts = read_texts(args.data, int(args.megabytes * 1e6))
    if not texts:
        raise SystemExit(f"{args.data}: holds no kept documents: build it with  python -m proof_pile.build")
    size = sum(len(text.encode()) for text in texts) / 1e6
    folder = args.data / "tokenizer"
    ours = load_tokenizer(folder / "tokenizer.model")
    peer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    fast.encode_special_tokens = True
    engines: dict[str, Callable[[], list[list[int]]]] = {
        "llemma": lambda: [list(ids) for ids in ours.encode_batch(texts)],
        "sentencepiece": lambda: peer.encode(texts, num_threads=1),
        "tokenizers": lambda: [e.ids for e in fast.encode_batch_fast(texts, add_special_tokens=False)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    results: dict[str, list[list[int]]] = {}
    for _ in range(args.runs + 1):  # the first round warms caches up and is not counted
        for name, encode in engines.items():
            started = time.process_time()
            results[name] = encode()
            seconds[name].append(time.process_time() - started)
    wanted = results["sentencepiece"]
    median = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    print(f"{size:.1f} MB, {len(texts):,} documents, vocabulary {ours.vocab_size:,}, median of {args.runs} runs")
    print(f"{'engine':<15} {'MB/CPU-s':>9} {'ours is':>9} {'documents with other ids':>26}")
    for name, took in median.items():
        other = sum(a != b for a, b in zip(results[name], wanted, strict=True))
        print(f"{name:<15} {size / took:>9.1f} {took / median['llemma']:>8.2f}x {other:>26}")


if __name__ == "__main__":
    main()

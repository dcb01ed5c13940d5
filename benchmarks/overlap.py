"""Overlap on one core: our search beside the paper's method in plain Python, on text of installed packages.

    python benchmarks/overlap.py --texts EXPORTED.jsonl [FOLDER ...] [--megabytes 200] [--peer-megabytes 20] [--runs 3]
        [--tokenizer PATH]

--texts is a file of `llemma-eval export`.  The corpus is text of the folders and of installed packages
(data/corpus.py), written as Parquet (zstd); every tenth document holds one of the texts.  With --tokenizer it is
also written as a .bin/.idx pair.  The plain method is that of wellecks/overlap, check_overlap.py, written anew: each
document is split at white space, and each n words in a row are looked up in a set of tuples.  Printed: MB of text a
CPU-second of one thread, table and start-up apart, from file to hits; peak memory; and whether both find the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", ARROW_NUM_THREADS="1")
HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE / "data")]
ROWS = 2000  # of a row group


def write_corpus(path: Path, prefix: Path, folders: Sequence[Path], num_bytes: int, texts: Any, tokenizer: Any) -> None:
    """Writes documents as Parquet, and as a pair where there is a tokenizer."""
    import corpus  # benchmarks/data/corpus.py
    import pyarrow as pa
    import pyarrow.parquet as pq

    from llemma.core.indexed import IndexedWriter, best_dtype

    schema = pa.schema([("id", pa.string()), ("source", pa.string()), ("text", pa.large_string())])
    rows: list[dict[str, str]] = []
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
        pair = None
        if tokenizer is not None:
            pair = stack.enter_context(IndexedWriter(prefix, best_dtype(tokenizer.vocab_size)))

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema))
            if pair is not None:
                for tokens in tokenizer.encode_batch([row["text"] for row in rows]):
                    pair.add_document(tokens)
            rows.clear()

        for number, (_, text) in enumerate(corpus.texts(folders, num_bytes)):
            planted = f"{text}\n\n{texts[number // 10 % len(texts)].text}\n" if number % 10 == 0 else text
            rows.append({"id": f"{number:08d}", "source": "packages", "text": planted})
            if len(rows) == ROWS:
                flush()
        flush()


def plain_search(path: Path, texts: Any, n: int, num_bytes: int) -> tuple[int, set[str], float]:
    """(bytes read, ids of items found, CPU seconds) of the paper's method on the first bytes of the corpus."""
    import pyarrow.parquet as pq

    wanted: dict[tuple[str, ...], set[str]] = {}
    for text in texts:
        words = text.text.split()
        for at in range(len(words) - n + 1):
            wanted.setdefault(tuple(words[at : at + n]), set()).add(text.id)
    size, found, begun = 0, set(), time.process_time()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(512, columns=["text"], use_threads=False):
            for text in batch.column("text").to_pylist():
                words = text.split()
                for at in range(len(words) - n + 1):
                    found |= wanted.get(tuple(words[at : at + n]), set())
                size += len(text.encode())
            if size >= num_bytes:
                break
    return size, found, time.process_time() - begun


def measured(search: Callable[[], Any], runs: int) -> tuple[Any, float]:
    """What a search gives, and the median of its CPU seconds."""
    seconds, result = [], None
    for _ in range(runs):
        begun = time.process_time()
        result = search()
        seconds.append(time.process_time() - begun)
    return result, statistics.median(seconds)


def main() -> None:
    """Writes the corpus, measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--texts", required=True, type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--peer-megabytes", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tokenizer", type=Path)
    args = parser.parse_args()

    from eval_tasks.overlap.corpus import list_pieces
    from eval_tasks.overlap.search import Found, look_for, search_piece
    from eval_tasks.overlap.texts import read_texts
    from llemma.core.memory import forget_peak, peak_bytes
    from llemma.core.text.token_bytes import token_bytes
    from llemma.core.text.tokenizers import load_for_counting

    texts, _ = read_texts([args.texts])
    tokenizer = None if args.tokenizer is None else load_for_counting(args.tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        path, prefix = Path(scratch, "corpus.parquet"), Path(scratch, "corpus")
        write_corpus(path, prefix, args.folders, args.megabytes * 1_000_000, texts, tokenizer)
        forms = [("Parquet", path, None)]
        if tokenizer is not None:
            forms.append((".bin/.idx", prefix, token_bytes(tokenizer)))
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
        print(f"{date.today()}, {os.cpu_count()} x {processor}, Python {platform.python_version()}")
        print(f"{len(texts):,} texts")
        print(f"\n{'':<44} {'MB':>6} {'MB/CPU-s':>9} {'peak MB':>8} {'ratio':>7}")
        size, _, seconds = plain_search(path, texts, 20, args.peer_megabytes * 1_000_000)
        plain = size / seconds / 1e6
        print(f"{'plain Python, white space, n 20':<44} {size / 1e6:>6.0f} {plain:>9.2f} {'':>8} {'1x':>7}")
        for words in ("whitespace", "normalized"):
            for lengths in ((20,), (10, 20, 30)):
                looked = look_for(texts, lengths, words)
                for name, place, spelled in forms:
                    pieces = list_pieces([place], args.tokenizer)

                    def search(looked: Any = looked, pieces: Any = pieces, spelled: Any = spelled) -> Found:
                        whole = Found()
                        for piece in pieces:
                            whole.merge(search_piece(looked, piece, spelled))
                        return whole

                    search()  # compiles
                    forget_peak()
                    whole, seconds = measured(search, args.runs)
                    speed = whole.num_bytes / seconds / 1e6
                    title = f"llemma, {words}, n {','.join(map(str, lengths))}, {name}"
                    print(
                        f"{title:<44} {whole.num_bytes / 1e6:>6.0f} {speed:>9.2f} {peak_bytes() / 1e6:>8.0f} "
                        f"{speed / plain:>6.0f}x"
                    )
        looked = look_for(texts, (20,), "whitespace")
        whole = Found()
        for piece in list_pieces([path]):
            whole.merge(search_piece(looked, piece, None))
        same = plain_search(path, texts, 20, 1 << 62)[1]
        ours = {looked.items[item][1] for _, item in whole.hits}
        print(f"\nitems found by 20 words in the whole corpus: plain {len(same)}, llemma {len(ours)}, ", end="")
        print("the same" if same == ours else f"DIFFERENT: {sorted(same ^ ours)[:10]}")


if __name__ == "__main__":
    main()

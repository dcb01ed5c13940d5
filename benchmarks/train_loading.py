"""How fast training samples are drawn, what share of a core it takes, and whether memory grows with their number.

    python benchmarks/train_loading.py PREFIX [PREFIX …] [--batches 100000]

Each PREFIX is a .bin/.idx pair; all of them make one mixture of equal weights, in GPT-NeoX's order.  Measured at
sequences of 2,048 and 4,096 tokens, two a micro-batch: tokens and micro-batches a second of one thread that only
draws, the seconds of processor time behind a million tokens, and the memory (anonymous, that is without the mapped
shards) after a thousand micro-batches and after `--batches` of them, drawn ahead by the trainer's thread.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import machine, print_rows

MICRO_BATCH = 2
STEP = 4  # micro-batches of a step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefixes", nargs="+", metavar="PREFIX", help="shards, without their ending")
    parser.add_argument("--batches", type=int, default=100_000, help="micro-batches of the long run")
    options = parser.parse_args()
    rows = [measured(options.prefixes, seq_length, options.batches) for seq_length in (2048, 4096)]
    print(f"{machine()}\n")
    print_rows(
        ["sequence", "micro-batches/s", "million tokens/s", "processor s a million tokens", "MiB after 1,000",
         f"MiB after {options.batches:,}", "million tokens/s through the thread"],
        rows,
    )  # fmt: skip


def measured(prefixes: list[str], seq_length: int, batches: int) -> list[str]:
    """A line of the table."""
    from llemma.train.data.batch import BatchRules
    from llemma.train.data.loading import MicroBatches
    from llemma.train.data.samples import Samples
    from llemma.train.settings import Settings, WeightedPath

    size = STEP * MICRO_BATCH
    settings = cast(
        Settings,
        SimpleNamespace(
            packing="packed", allow_chopped=True, config=SimpleNamespace(seq_length=seq_length, seed=1234),
            batch_size=size, micro_batch=MICRO_BATCH, num_micro_batches=STEP, last_iteration=batches // STEP,
        ),
    )  # fmt: skip
    sources = tuple(WeightedPath(prefix=prefix, weight=1.0, name=prefix) for prefix in prefixes)
    samples = Samples.build(settings, sources, batches * MICRO_BATCH, 1 << 17)
    rules = BatchRules()
    draw(samples, rules, 0, 200)  # what the disk has to bring is not the loader's speed
    began, processor = time.perf_counter(), time.process_time()
    draw(samples, rules, 0, 2000)
    seconds, busy = time.perf_counter() - began, time.process_time() - processor
    tokens = 2000 * MICRO_BATCH * seq_length
    memory = []
    with MicroBatches(samples, settings, rules) as data:
        began = time.perf_counter()
        for step in range(batches // STEP):
            data.take(step * size)
            if step == 1000 // STEP:
                memory.append(anonymous_mib())
        through = batches * MICRO_BATCH * seq_length / (time.perf_counter() - began)
        memory.append(anonymous_mib())
    return [
        f"{seq_length:,}", f"{2000 / seconds:,.0f}", f"{tokens / seconds / 1e6:.1f}", f"{busy / tokens * 1e6:.4f}",
        *(f"{value:,.0f}" for value in memory), f"{through / 1e6:.1f}",
    ]  # fmt: skip


def draw(samples: Any, rules: Any, first: int, count: int) -> None:
    for number in range(first, first + count):
        samples.batch(samples.numbers(number * MICRO_BATCH, MICRO_BATCH), rules)


def anonymous_mib() -> float:
    """Memory of this process that no file stands behind."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()

"""`python -m eval_tasks perplexity`: how well a model foretells texts, per token, byte and document, by source.

Writes into --out: documents.jsonl (a line a document, so that a run that was stopped goes on from there) and
perplexity.json.  The format of both: eval_tasks.perplexity.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval_tasks.perplexity import DocumentLoss, Text, Totals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `perplexity`."""
    parser.add_argument(
        "--model", required=True, type=Path, metavar="DIR", help="a Hugging Face folder or NeoX checkpoint"
    )
    parser.add_argument(
        "--texts",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="prefixes of .bin/.idx pairs, a mixture.json, .txt files, rows with a text (.jsonl, .parquet, packed too)",
    )
    parser.add_argument(
        "--tasks", default="", help="benchmarks whose worked solutions are scored, for example minerva_math,gsm8k"
    )
    parser.add_argument(
        "--data", dest="data_dir", type=Path, metavar="DIR", help="folder with local copies of their data"
    )
    parser.add_argument("--split", help="of the benchmarks (default: their own) or of mixture.json (default: test)")
    parser.add_argument("--text-key", default="text", metavar="KEY", help="of rows (default: %(default)s)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="only the first N documents of each file, source or benchmark",
    )
    parser.add_argument("--stride", type=int, metavar="N", help="new tokens a window (default: the model's context)")
    parser.add_argument(
        "--batch-tokens", type=int, default=8192, metavar="N", help="tokens at a time (default: %(default)s)"
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: cuda where there is one)")


def run(args: argparse.Namespace) -> None:
    """Scores the documents that were not scored yet, then writes and prints the totals."""
    import json
    import time
    from dataclasses import asdict

    from eval_tasks.perplexity import by_source, total
    from eval_tasks.run.earlier_results import keep_earlier, run_key_of
    from eval_tasks.run.model_folder import find_model
    from llemma.core.errors import InputError
    from llemma.core.files import read_json, stable_hash, write_json
    from llemma.core.progress import progress
    from llemma.core.records import installed_versions

    started = time.monotonic()
    if not args.texts and not args.tasks:
        raise InputError("nothing to score: give --texts FILE... or --tasks NAMES")
    for name, value in (("--limit", args.limit), ("--stride", args.stride), ("--batch-tokens", args.batch_tokens)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be greater than 0, found {value}")
    if args.data_dir is not None and not args.data_dir.is_dir():
        raise InputError(f"{args.data_dir}: there is no such folder of data sets")
    model = find_model(args.model, args.out)
    settings = {
        "run_key": stable_hash([model.sha256, args.stride]),
        "stride": args.stride,
        "limit": args.limit,
        "texts": [str(path) for path in args.texts],
        "tasks": args.tasks,
        "split": args.split,
        "text_key": args.text_key,
    }
    path, results_path = args.out / "documents.jsonl", args.out / "perplexity.json"
    if results_path.exists() and read_json(results_path).get("settings") != settings:
        keep_earlier([results_path], run_key_of(results_path))
    done = _read_done(path, str(settings["run_key"]))
    wanted: set[tuple[str, str]] = set()
    todo = _not_done(_texts(args), done, wanted)
    first = next(todo, None)
    if first is not None:
        from eval_tasks.run.scorer import Scorer

        scorer = Scorer(
            model.path,
            context_length=model.context_length,
            stride=args.stride,
            batch_tokens=args.batch_tokens,
            device=args.device,
        )
        with path.open("a", encoding="utf-8") as file, progress("perplexity", None, "documents") as bar:
            for loss in scorer.losses(itertools.chain([first], todo)):
                file.write(json.dumps(asdict(loss)) + "\n")
                file.flush()
                done[loss.source, loss.id] = loss
                bar.advance()
    if not wanted:
        raise InputError("the texts hold no document")
    sources = by_source(loss for key, loss in done.items() if key in wanted)
    totals = {name: total(losses) for name, losses in sources.items()}
    totals["all"] = total([loss for losses in sources.values() for loss in losses])
    write_json(
        results_path,
        {
            "model": str(args.model),
            "model_sha256": model.sha256,
            "settings": settings,
            "sources": {name: one.as_dict() for name, one in totals.items()},
            "versions": installed_versions(("llemma", "torch", "transformers", "tokenizers")),
            "seconds": round(time.monotonic() - started, 3),
        },
    )
    print(_table(totals))


def _not_done(
    texts: Iterator[Text], done: dict[tuple[str, str], DocumentLoss], wanted: set[tuple[str, str]]
) -> Iterator[Text]:
    """The texts that were not scored yet, or have changed since; `wanted` takes the names of all."""
    from llemma.core.errors import InputError

    for text in texts:
        key = (text.source, text.id)
        if key in wanted:
            raise InputError(f"two documents are called {text.id} of {text.source}: rename one of the files or sources")
        wanted.add(key)
        if key not in done or done[key].sha != text.sha:
            yield text


def _texts(args: argparse.Namespace) -> Iterator[Text]:
    from eval_tasks.perplexity import Text, texts_of_benchmark, texts_of_file
    from llemma.core.logging import get_logger

    logger = get_logger(__name__)
    found: list[Iterator[object]] = [
        texts_of_file(path, args.split or "test", args.text_key, args.limit) for path in args.texts
    ]
    names = [name.strip() for name in args.tasks.split(",") if name.strip()]
    found += [itertools.islice(texts_of_benchmark(name, args.data_dir, args.split), args.limit) for name in names]
    for texts in found:
        for text in texts:
            if isinstance(text, Text):
                yield text
            else:
                logger.warning("left out: %s", text)


def _read_done(path: Path, key: str) -> dict[tuple[str, str], DocumentLoss]:
    """What an earlier run of the same model and settings has scored; a file of others is kept under another name."""
    import json
    import os

    from eval_tasks.perplexity import DocumentLoss
    from eval_tasks.run.earlier_results import keep_earlier

    done: dict[tuple[str, str], DocumentLoss] = {}
    whole, earlier = 0, None
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    row = json.loads(line)
                    if earlier is None:
                        earlier = str(row["key"])
                        if earlier != key:
                            break
                    else:
                        loss = DocumentLoss(**row)
                        done[loss.source, loss.id] = loss
                except (ValueError, KeyError, TypeError):
                    break
                whole += len(line)
        if earlier == key:
            os.truncate(path, whole)
            return done
        keep_earlier([path], earlier or "unknown")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")
    return {}


def _table(totals: dict[str, Totals]) -> str:
    head = f"{'source':<28} {'documents':>9} {'tokens':>12}  {'per token':>10}  {'95 % interval':<20}"
    lines = [f"{head} {'bits per byte':>13}"]
    for name, one in totals.items():
        row = one.as_dict()
        numbers = [row["token_perplexity"], row["bits_per_byte"]]
        per_token, bits = (f"{number:.4g}" if isinstance(number, float) else "-" for number in numbers)
        interval = f"{one.interval[0]:.4g} to {one.interval[1]:.4g}"
        lines.append(f"{name:<28} {one.documents:>9,} {one.tokens:>12,}  {per_token:>10}  {interval:<20} {bits:>13}")
    return "\n".join(lines)

"""README.md of a build: a dataset card, which also tells `datasets.load_dataset(OUT)` where the texts lie.

Source of the form: the metadata block of Hugging Face dataset cards (`configs`, `data_files`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from llemma.core.files import write_text
from llemma.core.schemas import Mixture
from proof_pile.datasheet import escape_markdown
from proof_pile.manifest import SourceCounts, with_split_counts
from proof_pile.mixture import SPLITS
from proof_pile.publish.files import TEXT

CARD = "README.md"
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"))  # fmt: skip


_HEAD = "| source | documents | tokens | share of training | licence | what it is |"


def write_card(out: str | Path, *, name: str, sources: Mapping[str, SourceCounts]) -> None:
    """Writes OUT/README.md over what lies in OUT."""
    out = Path(out)
    mixture = Mixture.read(out / "mixture.json")
    sources = with_split_counts(out, sources)
    splits = {
        source: [split for split in SPLITS if any((out / TEXT / source).glob(f"{split}-*.parquet"))]
        for source in sources
    }
    write_text(out / CARD, render_card(name, sources, mixture, {s: found for s, found in splits.items() if found}))


def render_card(
    name: str, sources: Mapping[str, SourceCounts], mixture: Mixture, splits: Mapping[str, list[str]]
) -> str:
    """The card's text; `splits` are those of each source whose texts are published."""
    documents = sum(counts.kept for counts in sources.values())
    front = ["---", f"pretty_name: {json.dumps(name)}", "tags: [mathematics, pretraining]"]
    front.append(f"size_categories: [{json.dumps(_size(documents))}]")
    if splits:
        front.append("configs:")
        everything = [split for split in SPLITS if any(split in found for found in splits.values())]
        front += _config("default", "*", everything, is_default=True)
        for source, found in splits.items():
            front += _config(source, source, found, is_default=False)
    front.append("---")
    tokens = sum(counts.tokens for counts in sources.values())
    rows = [
        f"| {escape_markdown(source)} | {counts.kept:,} | {counts.tokens:,} | {_share(mixture, source)} | "
        f"{escape_markdown(counts.licence) or 'not stated'} | {escape_markdown(counts.description) or '-'} |"
        for source, counts in sources.items()
    ]
    parts = [
        "\n".join(front),
        f"# {escape_markdown(name)}",
        f"A corpus for the continued pretraining of a language model on mathematics: {tokens:,} tokens in "
        f"{documents:,} documents of {len(sources)} sources, filtered, deduplicated across sources and cleaned of "
        "benchmark texts where they were given. `DATASHEET.md` tells how it was made and what its limits are, "
        "`index.html` shows it with samples of kept and of removed documents, `manifest.json` names every file.",
        "\n".join([_HEAD, "|---|---:|---:|---:|---|---|", *rows]),
    ]
    if splits:
        first = next(iter(splits))
        parts.append(
            "```python\nfrom datasets import load_dataset\n\n"
            'everything = load_dataset("path/of/this/folder")\n'
            f'one_source = load_dataset("path/of/this/folder", {json.dumps(first)}, split="{splits[first][0]}")\n```'
        )
        parts.append(
            "Each row is a document: `id` (32 hexadecimal digits), `source`, `name`, `text`, `meta` (JSON) and "
            f"`num_tokens` (of this corpus's tokenizer of {mixture.tokenizer.vocab_size:,} entries)."
        )
    parts.append(
        "Each document keeps the licence of its origin. The test splits come from the same sources as the training "
        "splits: they measure loss, not skill."
    )
    return "\n\n".join(parts) + "\n"


def _config(name: str, folder: str, splits: list[str], *, is_default: bool) -> list[str]:
    lines = [f"- config_name: {name}"]
    if is_default:
        lines.append("  default: true")
    lines.append("  data_files:")
    for split in splits:
        lines += [f"  - split: {split}", f"    path: {json.dumps(f'{TEXT}/{folder}/{split}-*.parquet')}"]
    return lines


def _share(mixture: Mixture, name: str) -> str:
    return next((f"{source.weight:.2%}" for source in mixture.sources if source.name == name), "not used")


def _size(documents: int) -> str:
    return next(
        (words for limit, words in _SIZES if documents < limit), "n>1T" if documents >= 10**12 else "10B<n<100B"
    )

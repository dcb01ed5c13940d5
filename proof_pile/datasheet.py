"""DATASHEET.md: what a reader must know before using the corpus, in the form of Datasheets for Datasets.

Source of the form: Gebru et al. 2021, arXiv 1803.09010.  All names and words that come from recipes or documents are
escaped, so that nothing in them is read as Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llemma.core.files import read_json, write_text
from llemma.core.schemas import Mixture
from proof_pile.decontaminate.report import CONTAMINATION, contamination_rows, measure_title
from proof_pile.manifest import SourceCounts, with_split_counts
from proof_pile.mixture import SPLITS

DATASHEET = "DATASHEET.md"


def write_datasheet(
    out: str | Path,
    *,
    name: str,
    sources: Mapping[str, SourceCounts],
    warnings: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> None:
    """Writes OUT/DATASHEET.md over OUT/mixture.json, OUT/contamination.json and what became of each source's documents.

    `settings` says in a line what each stage did, by its name, such as {"near-duplicates": "MinHash of 5-grams ..."}.
    """
    out = Path(out)
    mixture = Mixture.read(out / "mixture.json")
    counts = with_split_counts(out, sources)
    path = out / CONTAMINATION
    report = read_json(path) if path.exists() else None
    write_text(out / DATASHEET, render_datasheet(name, counts, mixture, warnings, settings or {}, report))


def render_datasheet(
    name: str,
    sources: Mapping[str, SourceCounts],
    mixture: Mixture,
    warnings: Sequence[str],
    settings: Mapping[str, str],
    contamination: Mapping[str, Any] | None = None,
) -> str:
    """The text of the datasheet; `contamination` is what contamination.json holds, where benchmarks were given."""
    parts = [
        f"# Datasheet of the corpus {escape_markdown(name)}",
        "After the form of *Datasheets for Datasets* (Gebru et al. 2021). Numbers are those of `manifest.json`; "
        "the same recipe over the same input gives the same files.",
        _motivation(),
        _composition(sources, mixture),
        _collection(sources),
        _preprocessing(sources, settings),
        *([_contamination(contamination)] if contamination else []),
        _mixture(mixture),
        _uses(),
        _distribution(sources),
        _limits(sources, mixture, warnings),
        _maintenance(),
    ]
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML any more."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)
    # What Markdown dialects make a link of by themselves, and marks of a heading or a list at the beginning of a line.
    line = line.replace("://", ":&#47;&#47;").replace("www.", "www&#46;").replace("@", "&#64;")
    return re.sub(r"^([-+=#]|\d+(?=[.)]))", lambda match: f"&#{ord(match[0][0])};{match[0][1:]}", line)


def _motivation() -> str:
    return (
        "## Motivation\n\n"
        "Made to continue the pretraining of a language model on mathematical text and code, in the manner of "
        "Proof-Pile-2 (Azerbayev et al. 2023)."
    )


def _composition(sources: Mapping[str, SourceCounts], mixture: Mixture) -> str:
    rows = []
    for name, counts in sources.items():
        by_split = [counts.splits[split].documents if split in counts.splits else 0 for split in SPLITS]
        rows.append(
            [escape_markdown(name), *map(_number, by_split), _number(counts.kept_bytes), _number(counts.tokens)]
        )
    totals = [sum(c.splits[s].documents for c in sources.values() if s in c.splits) for s in SPLITS]
    sums = [*totals, sum(c.kept_bytes for c in sources.values()), sum(c.tokens for c in sources.values())]
    rows.append(["**all**", *map(_number, sums)])
    table = _table(["source", *(f"{split} documents" for split in SPLITS), "bytes of text", "tokens"], rows)
    tokenizer = mixture.tokenizer
    return (
        "## Composition\n\n"
        "Each instance is one document: a source file, a paper, a web page or another text. "
        f"Tokens are those of a {tokenizer.kind} vocabulary of {tokenizer.vocab_size:,} entries "
        f"(`{tokenizer.sha256[:16]}`), with one end-of-document token (id {tokenizer.eod_id}) a document. "
        "Splits are made by a hash of each document's id. There are no labels. "
        "The file `<split>.documents.parquet` beside each shard names every document; `text/` "
        "holds the documents themselves where the recipe asks for it.\n\n" + table + _languages(sources)
    )


def _languages(sources: Mapping[str, SourceCounts]) -> str:
    """Tokens and documents by source and language, in the form of Llemma's Table 9 (arXiv 2310.10631)."""
    rows = [
        [escape_markdown(name), escape_markdown(language), _number(c.documents), _number(c.tokens), _number(c.bytes)]
        for name, counts in sources.items()
        for language, c in sorted(counts.languages.items(), key=lambda item: (-item[1].tokens, item[0]))
        if language
    ]
    if not rows:
        return ""
    head = ["source", "language", "documents", "tokens", "bytes of text"]
    return "\n\n### By language\n\nWhere documents say what language they are in.\n\n" + _table(head, rows)


def _collection(sources: Mapping[str, SourceCounts]) -> str:
    rows = [
        [
            escape_markdown(name),
            escape_markdown(c.description) or "not stated",
            escape_markdown(c.origin) or "not stated",
        ]
        for name, c in sources.items()
    ]
    return "## Collection process\n\nRead from what the recipe (`recipe.yml`) names.\n\n" + _table(
        ["source", "what it is", "origin"], rows
    )


def _preprocessing(sources: Mapping[str, SourceCounts], settings: Mapping[str, str]) -> str:
    header = ["source", "read", "filtered", "exact duplicates", "near-duplicates", "contaminated", "kept", "unreadable"]
    rows = [
        [
            escape_markdown(name),
            *map(
                _number,
                (
                    c.read,
                    sum(c.filtered.values()),
                    c.exact_duplicates,
                    c.near_duplicates,
                    c.contaminated,
                    c.kept,
                    c.quarantined,
                ),
            ),
        ]
        for name, c in sources.items()
    ]
    text = (
        "## Preprocessing\n\n"
        "What became of each document that was read. Every removal stands in `removed.parquet` with its reason and "
        "evidence; records that could not be read stand in `quarantine.jsonl`.\n\n" + _table(header, rows)
    )
    if settings:
        text += "\n\n### How\n\n" + "\n".join(
            f"- {escape_markdown(k)}: {escape_markdown(v)}" for k, v in settings.items()
        )
    reasons: dict[str, int] = {}
    for counts in sources.values():
        for reason, number in counts.filtered.items():
            reasons[reason] = reasons.get(reason, 0) + number
    if reasons:
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        rows = [[escape_markdown(reason), _number(number)] for reason, number in ordered]
        text += "\n\n### Why documents were filtered out\n\n" + _table(["reason", "documents"], rows)
    return text


def _contamination(report: Mapping[str, Any]) -> str:
    measures = list(report["measures"])
    head = ["benchmark", "part", "source", "texts"]
    head += [f"{measure_title(measure)}: {what}" for measure in measures for what in ("texts", "documents")]
    rows = [
        [
            *map(escape_markdown, (row.benchmark, row.part, row.source)),
            *map(_number, (row.items, *(number for name in measures for number in row.found[name]))),
        ]
        for row in contamination_rows(report)
    ]
    done = [
        [escape_markdown(name), *map(_number, counts.values())]
        for name, counts in report["done"].items()
        if any(counts.values())
    ]
    text = (
        "## Contamination\n\n"
        "How many texts of benchmarks were found in how many documents, before any was removed: by the rule that "
        "documents are removed by, and by n words between white space exactly as they stand, the measure of Llemma's "
        "authors. `contamination.json` has the ids of all that were found.\n\n" + _table(head, rows)
    )
    if not done:
        return text + "\n\nNo document was removed or changed for it."
    columns = ["source", "documents removed", "documents cut", "documents only reported", "spans cut", "bytes cut"]
    return text + (
        "\n\nWhat was done about it; copies of other documents were removed as such before. `removed.parquet` and "
        "`changed.parquet` have the evidence.\n\n" + _table(columns, done)
    )


def _mixture(mixture: Mixture) -> str:
    rows = [
        [escape_markdown(s.name), escape_markdown(s.group), f"{s.weight:.2%}", f"{s.epochs:.2f}"]
        for s in mixture.sources
    ]
    return (
        "## Mixture\n\n"
        f"Shares of tokens, and how often each source is repeated over {mixture.planned_tokens:,} planned tokens "
        "(`mixture.json`).\n\n" + _table(["source", "group", "share", "epochs"], rows)
    )


def _uses() -> str:
    return (
        "## Uses\n\n"
        "For pretraining and for research on data. Not for testing models: the test split comes from the same sources "
        "as the training split. Text may be wrong, and code may be unsafe to run."
    )


def _distribution(sources: Mapping[str, SourceCounts]) -> str:
    rows = [[escape_markdown(name), escape_markdown(c.licence) or "not stated"] for name, c in sources.items()]
    return (
        "## Distribution and licences\n\n"
        "Each document keeps the licence of its origin. Whoever passes the corpus on must see to these:\n\n"
        + _table(["source", "licence"], rows)
        + _named_licences(sources)
    )


def _named_licences(sources: Mapping[str, SourceCounts]) -> str:
    counted: dict[str, int] = {}
    for counts in sources.values():
        for licence, number in counts.licences.items():
            counted[licence] = counted.get(licence, 0) + number
    unknown = counted.pop("", 0)
    if not counted:
        return ""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    rows = [[escape_markdown(licence), _number(number)] for licence, number in ordered]
    return f"\n\nLicences that documents name themselves ({_number(unknown)} name none):\n\n" + _table(
        ["licence", "documents"], rows
    )


def _limits(sources: Mapping[str, SourceCounts], mixture: Mixture, warnings: Sequence[str]) -> str:
    limits = [
        "Near-duplicates below the threshold stay, and rewritten or translated benchmark problems are not found.",
        "Personal data that authors left in code or text may still be there.",
        "Shares are of this tokenizer's tokens; another tokenizer gives others.",
    ]
    unlicensed = [name for name, counts in sources.items() if not counts.licence]
    if unlicensed:
        limits.append("No licence is stated for: " + ", ".join(escape_markdown(name) for name in unlicensed) + ".")
    unused = sorted(set(sources) - {source.name for source in mixture.sources})
    if unused:
        limits.append("Built but not in the mixture: " + ", ".join(escape_markdown(name) for name in unused) + ".")
    text = "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in limits)
    if warnings:
        text += "\n\nThe build warned:\n\n" + "\n".join(f"- {escape_markdown(warning)}" for warning in warnings)
    return text


def _maintenance() -> str:
    return (
        "## Maintenance\n\n"
        "Rebuilt from its recipe: changed input or parameters redo only what depends on them. "
        "`python -m proof_pile.build verify` checks every file against `manifest.json`."
    )


def _number(value: int) -> str:
    return f"{value:,}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first column of words and those of numbers aligned right."""
    body = [list(row) for row in rows]
    numeric = [all(re.fullmatch(r"[\d,.%]+", row[i]) for row in body) and bool(body) for i in range(len(header))]
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---:" if right else "---" for right in numeric) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])

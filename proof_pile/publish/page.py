"""index.html of a build: what the corpus is made of, what was removed and why, and documents of both to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llemma.core.files import read_json, write_text
from llemma.core.pages.document import Section, render_document
from llemma.core.pages.figures import BarFigure, Figure, StackFigure
from llemma.core.pages.html import code, escape, shortened, table
from llemma.core.pages.numbers import format_bytes, format_count, format_share
from llemma.core.pages.svg import draw
from llemma.core.schemas import Mixture
from proof_pile.decontaminate.report import CONTAMINATION, contamination_rows, measure_title
from proof_pile.manifest import SourceCounts, with_split_counts
from proof_pile.publish.describe import EXCERPT_CHARS, Sample

PAGE = "index.html"
MAX_LANGUAGES = 20  # bars of a figure; the table has all
REMOVALS = ("filtered", "exact copies", "near-copies", "contaminated")


def write_page(
    out: str | Path,
    *,
    name: str,
    sources: Mapping[str, SourceCounts],
    warnings: Sequence[str] = (),
    samples: Sequence[Sample] = (),
) -> None:
    """Writes OUT/index.html over OUT/mixture.json, its proof, OUT/contamination.json and what became of documents."""
    out = Path(out)
    proof = read_json(out / "mixture.record.json").get("proof", {})
    counts = with_split_counts(out, sources)
    path = out / CONTAMINATION
    report = read_json(path) if path.exists() else None
    mixture = Mixture.read(out / "mixture.json")
    write_text(out / PAGE, render_page(name, counts, warnings, mixture, proof, samples, report))


def render_page(
    name: str,
    sources: Mapping[str, SourceCounts],
    warnings: Sequence[str],
    mixture: Mixture,
    proof: Mapping[str, Any],
    samples: Sequence[Sample],
    contamination: Mapping[str, Any] | None = None,
) -> str:
    """The page as one HTML document; `contamination` is what contamination.json holds, where benchmarks were given."""
    sections = [
        Section(key="sources", title="Sources", html=_sources(sources)),
        Section(key="mixture", title="Mixture", html=_mixture(mixture, proof)),
        Section(key="languages", title="Languages", html=_languages(sources)),
        Section(key="lengths", title="Lengths", html=_lengths(sources)),
        Section(key="removed", title="What was removed", html=_removed(sources)),
        *(
            [Section(key="contamination", title="Contamination", html=_contamination(contamination))]
            if contamination
            else []
        ),
        Section(key="licences", title="Licences", html=_licences(sources)),
        Section(key="kept-samples", title="Kept documents", html=_kept_samples(samples)),
        Section(key="removed-samples", title="Removed documents", html=_removed_samples(samples)),
    ]
    return render_document(
        kind="Corpus",
        title=name,
        lead=f"{len(sources)} sources, tokenized with {mixture.tokenizer.vocab_size:,} pieces "
        f"({mixture.tokenizer.kind}), mixed for {format_count(mixture.planned_tokens)} tokens of training.",
        cards=_cards(sources, mixture),
        sections=sections,
        notes=warnings[:20],
        footer="Made by <code>python -m proof_pile.build</code>; every number stands in <code>manifest.json</code>, "
        "every removal in <code>removed.parquet</code>. Documents are shown as they were written.",
    )


def _cards(sources: Mapping[str, SourceCounts], mixture: Mixture) -> list[tuple[str, str, str]]:
    read = sum(counts.read for counts in sources.values())
    kept = sum(counts.kept for counts in sources.values())
    train = sum(counts.splits["train"].tokens for counts in sources.values() if "train" in counts.splits)
    most = max(mixture.sources, key=lambda source: source.epochs)
    size = sum(counts.kept_bytes for counts in sources.values())
    return [
        ("Training tokens", format_count(train), f"of {format_count(sum(c.tokens for c in sources.values()))} in all"),
        ("Documents kept", f"{kept:,}", f"{format_share(kept / read) if read else '0 %'} of {read:,} read"),
        ("Text", format_bytes(size), "UTF-8"),
        ("Most repeated", f"{most.epochs:.2f} x", most.name),
        ("Unreadable records", f"{sum(c.quarantined for c in sources.values()):,}", "quarantine.jsonl"),
    ]


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f'<div class="figures"><figure><figcaption>{escape(figure.title)}</figcaption>{draw(figure)}</figure></div>'


def _removals(counts: SourceCounts) -> tuple[int, int, int, int]:
    return sum(counts.filtered.values()), counts.exact_duplicates, counts.near_duplicates, counts.contaminated


def _sources(sources: Mapping[str, SourceCounts]) -> str:
    figure = StackFigure(
        key="removals",
        title="What became of the documents that were read",
        parts=("kept", *REMOVALS),
        rows=tuple((name, (counts.kept, *_removals(counts))) for name, counts in sources.items()),
        unit="documents",
    )
    rows = [
        [
            escape(name),
            *(f"{number:,}" for number in (counts.read, *_removals(counts), counts.kept, counts.tokens)),
            format_bytes(counts.kept_bytes),
            escape(shortened(counts.description, 300)) or "-",
        ]
        for name, counts in sources.items()
    ]
    head = ["source", "read", *REMOVALS, "kept", "tokens", "text", "what it is"]
    return _figure(figure) + table(
        head, rows, caption="Documents by source", numeric=range(1, len(head) - 1), prose=[len(head) - 1]
    )


def _mixture(mixture: Mixture, proof: Mapping[str, Any]) -> str:
    tokens = {s.name: s.splits["train"].num_tokens if "train" in s.splits else 0 for s in mixture.sources}
    total = sum(tokens.values()) or 1
    figure = BarFigure(
        key="mixture",
        title="Share of the corpus and share of training",
        series=("share of unique tokens", "share of training tokens"),
        rows=tuple((source.name, (tokens[source.name] / total, source.weight)) for source in mixture.sources),
        format_value=format_share,
        x_label="share of tokens",
    )
    drawn = proof.get("sources", {})
    rows = []
    for source in mixture.sources:
        entry = drawn.get(source.name, {})
        rows.append(
            [
                escape(source.name),
                escape(source.group),
                f"{tokens[source.name]:,}",
                f"{entry['asked']:.3%}" if "asked" in entry else "",
                f"{source.weight:.3%}",
                f"{entry['drawn']:.3%}" if "drawn" in entry else "",
                f"{source.epochs:.2f}",
            ]
        )
    head = ["source", "group", "training tokens", "asked", "weight", "drawn", "epochs"]
    words = ""
    if proof:
        words = (
            f"<p>Drawn: what GPT-NeoX's and megatron-core's blending takes from each source in "
            f"{int(proof['num_samples']):,} samples of {int(proof['seq_length']):,} tokens, counted to the last one; "
            f"at most {100 * float(proof['largest_difference']):.4f} percentage points off the weight.</p>"
        )
    return _figure(figure) + words + table(head, rows, caption="Weights and epochs", numeric=range(2, len(head)))


def _languages(sources: Mapping[str, SourceCounts]) -> str:
    rows: list[list[str]] = []
    tokens: dict[str, int] = defaultdict(int)
    for name, counts in sources.items():
        ordered = sorted(counts.languages.items(), key=lambda item: (-item[1].tokens, item[0]))
        for language, of in ordered:
            shown = language or "not stated"
            rows.append([escape(name), escape(shown), f"{of.documents:,}", f"{of.tokens:,}", format_bytes(of.bytes)])
            tokens[shown] += of.tokens
    if not rows:
        return "<p>No document says what language it is in.</p>"
    largest = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))[:MAX_LANGUAGES]
    figure = BarFigure(
        key="languages",
        title="Tokens by language",
        series=("tokens",),
        rows=tuple((name, (float(number),)) for name, number in largest),
        format_value=format_count,
        x_label="tokens",
    )
    head = ["source", "language", "documents", "tokens", "text"]
    return _figure(figure) + table(head, rows, caption="Documents and tokens by language", numeric=range(2, 5))


def _lengths(sources: Mapping[str, SourceCounts]) -> str:
    counted: dict[int, int] = defaultdict(int)
    for counts in sources.values():
        for digits, number in counts.lengths.items():
            counted[int(digits)] += number
    if not counted:
        return "<p>No document was kept.</p>"
    rows = tuple(
        (f"{1 << max(digits - 1, 0):,} to {(1 << digits) - 1:,} tokens", (float(counted.get(digits, 0)),))
        for digits in range(min(counted), max(counted) + 1)
    )
    return _figure(
        BarFigure(
            key="lengths",
            title="Documents by length",
            series=("documents",),
            rows=rows,
            format_value=lambda value: f"{value:,.0f}",
            x_label="documents",
        )
    )


def _removed(sources: Mapping[str, SourceCounts]) -> str:
    reasons = sorted({reason for counts in sources.values() for reason in counts.filtered})
    if not reasons:
        return "<p>No filter dropped a document.</p>"
    totals = {reason: sum(counts.filtered.get(reason, 0) for counts in sources.values()) for reason in reasons}
    ordered = sorted(reasons, key=lambda reason: (-totals[reason], reason))
    rows = [
        [escape(reason), f"{totals[reason]:,}", *(f"{counts.filtered.get(reason, 0):,}" for counts in sources.values())]
        for reason in ordered
    ]
    head = ["reason", "all", *sources]
    return table(head, rows, caption="Documents that filters dropped", numeric=range(1, len(head)))


def _contamination(report: Mapping[str, Any]) -> str:
    measures = list(report["measures"])
    rows = [
        [
            *map(escape, (row.benchmark, row.part, row.source)),
            *(f"{number:,}" for number in (row.items, *(n for name in measures for n in row.found[name]))),
        ]
        for row in contamination_rows(report)
    ]
    head = ["benchmark", "part", "source", "texts"]
    head += [f"{measure_title(measure)}: {what}" for measure in measures for what in ("texts", "documents")]
    words = (
        "<p>Texts of benchmarks found in documents before any was removed: by the rule that documents are removed by, "
        "and by n words between white space exactly as they stand, the measure of Llemma's authors.</p>"
    )
    done = [
        [
            escape(name),
            *(f"{counts[key]:,}" for key in ("removed", "cut", "reported", "spans")),
            format_bytes(counts["span_bytes"]),
        ]
        for name, counts in report["done"].items()
        if any(counts.values())
    ]
    columns = ["source", "documents removed", "documents cut", "only reported", "spans cut", "text cut"]
    found = table(head, rows, caption="Texts and documents by benchmark", numeric=range(3, len(head)))
    if not done:
        return words + found + "<p>No document was removed or changed for it.</p>"
    return words + found + table(columns, done, caption="What was done about it", numeric=range(1, len(columns)))


def _licences(sources: Mapping[str, SourceCounts]) -> str:
    rows = []
    for name, counts in sources.items():
        said = sorted(counts.licences.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{escape(licence)} {number:,}" for licence, number in said[:30] if licence)
        rows.append([escape(name), escape(counts.licence) or "not stated", listed or "not stated"])
    head = ["source", "licence of the source", "licences that documents name, documents each"]
    return table(head, rows, caption="Licences", prose=[1, 2])


def _kept_samples(samples: Sequence[Sample]) -> str:
    parts = [f"<p>Drawn by a hash of their ids, not chosen; the first {EXCERPT_CHARS:,} characters of each.</p>"]
    for source, group in _grouped(sample for sample in samples if sample.reason is None):
        parts.append(_details(f"{source} ({len(group)})", group))
    return "".join(parts) if len(parts) > 1 else "<p>No samples were asked for.</p>"


def _removed_samples(samples: Sequence[Sample]) -> str:
    parts = ["<p>Drawn in the same way, by source and reason.</p>"]
    removed = [sample for sample in samples if sample.reason is not None]
    for source, group in _grouped(removed):
        parts.append(f"<h3>{escape(source)}</h3>")
        by_reason: dict[str, list[Sample]] = defaultdict(list)
        for sample in group:
            by_reason[sample.reason or ""].append(sample)
        parts += [_details(f"{reason} ({len(by_reason[reason])})", by_reason[reason]) for reason in sorted(by_reason)]
    return "".join(parts) if len(parts) > 1 else "<p>Nothing was removed, or no samples were asked for.</p>"


def _grouped(samples: Iterable[Sample]) -> list[tuple[str, list[Sample]]]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.source].append(sample)
    return list(groups.items())


def _details(title: str, samples: Sequence[Sample]) -> str:
    return (
        f"<details><summary>{escape(title)}</summary>"
        f"<div class='answers' style='margin-top:.8rem'>{''.join(map(_article, samples))}</div></details>"
    )


def _article(sample: Sample) -> str:
    verdict = "v0" if sample.reason is None else "v1"
    badge = "kept" if sample.reason is None else sample.reason
    evidence = f'<p class="where">{escape(shortened(sample.evidence, 600))}</p>' if sample.evidence else ""
    more = "" if len(sample.text) < EXCERPT_CHARS else " …"
    return (
        f'<article class="{verdict}"><header><span class="badge">{escape(badge)}</span>'
        f'<span class="where">{escape(shortened(sample.name or sample.id, 200))} · {format_bytes(sample.num_bytes)} · '
        f"{code(sample.id[:12])}</span></header>{evidence}<pre>{escape(sample.text)}{more}</pre></article>"
    )

"""The rounds of a recall for people: a table on the terminal, report.json, report.md, and a page of HTML.

Whatever comes from a page or an address is escaped.  The files hold no time: the same rounds give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llemma.core.files import write_json, write_text
from llemma.core.pages.figures import BarFigure, LineFigure, Series
from llemma.core.pages.html import code, escape, shortened, table
from llemma.core.pages.numbers import format_bytes, format_count, format_share
from llemma.core.pages.svg import draw
from proof_pile.recall.publishing import samples_of
from proof_pile.recall.samples import merged

if TYPE_CHECKING:
    from proof_pile.recall.rounds import Recall, Round

KINDS = (
    ("taken", "Taken, at random"),
    ("above", "Taken, nearest to the threshold"),
    ("below", "Left, nearest to the threshold"),
    ("left", "Left, at random"),
)
_SHOWN_ROUNDS = 4  # lines in one figure that can still be told apart
_COLUMNS = (
    "round",
    "positives",
    "negatives",
    "threshold",
    "taken",
    "new",
    "overlap",
    "latex",
    "math",
    "recall",
    "precision",
)


def round_facts(number: int, found: Round, num_judged: int) -> dict[str, Any]:
    """What the report says of one round."""
    parts = samples_of([output.path for output in found.samples])
    counts, result = found.trained.counts, found.result
    proxies = {}
    for kind in ("taken", "left"):
        rows = merged(parts, kind, num_judged)
        if rows:
            proxies[kind] = {
                "pages": len(rows),
                "with_latex": round(sum(row["latex"] for row in rows) / len(rows), 4),
                "math_score_above_half": round(sum(row["math_score"] > 0.5 for row in rows) / len(rows), 4),
            }
    return {
        **result,
        "round": number,
        "positives": counts["positives"],
        "negatives": counts["negatives"],
        "grown": counts["grown"],
        "model_words": counts["words"],
        "model_sha256": found.trained.output("model.bin").sha256,
        "sampled": proxies,
    }


def all_facts(recall: Recall) -> list[dict[str, Any]]:
    """The facts of all rounds."""
    from proof_pile.recall.rounds import NUM_JUDGED

    return [round_facts(found.number, found, NUM_JUDGED) for found in recall.rounds]


def _cells(facts: dict[str, Any]) -> list[str]:
    sampled, known = facts["sampled"].get("taken"), facts["known"]
    return [
        str(facts["round"]),
        f"{facts['positives']:,}",
        f"{facts['negatives']:,}",
        f"{facts['threshold']:.4f}",
        f"{facts['taken']:,}",
        f"{facts['new']:,}",
        format_share(facts["overlap"]) if facts["round"] > 1 else "-",
        format_share(sampled["with_latex"]) if sampled else "-",
        format_share(sampled["math_score_above_half"]) if sampled else "-",
        format_share(known["recall"]) if known else "-",
        format_share(known["precision"]) if known and known["precision"] is not None else "-",
    ]


def print_rounds(recall: Recall) -> None:
    """A line a round, and where things are."""
    from proof_pile.build.tables import print_table

    print_table("", _COLUMNS, [_cells(facts) for facts in all_facts(recall)], num_text=0)
    print(f"stopped: {recall.stopped}")
    print(f"pages:       {recall.out / 'collected'}")
    print(f"report:      {recall.out / 'report.html'}")
    print(f"annotations: {recall.out / 'annotations.yml'}")


def write_reports(recall: Recall, collected: dict[str, int]) -> None:
    """Writes report.json, report.md and report.html."""
    facts = all_facts(recall)
    value = {
        "kind": "recall",
        "name": recall.config.name,
        "config": recall.config.model_dump(mode="json"),
        "annotations": recall.annotations,
        "stopped": recall.stopped,
        "collected": collected,
        "rounds": facts,
    }
    write_json(recall.out / "report.json", value)
    write_text(recall.out / "report.md", _markdown(recall, facts, collected))
    write_text(recall.out / "report.html", _page(recall, facts, collected))


# ---------------------------------------------------------------- Markdown


def _markdown(recall: Recall, facts: Sequence[dict[str, Any]], collected: dict[str, int]) -> str:
    lines = [f"# Recall {recall.config.name}", ""]
    lines.append(
        f"{collected['pages']:,} pages, {format_bytes(collected['bytes'])} of text. Stopped: {recall.stopped}."
    )
    lines += ["", "| " + " | ".join(_COLUMNS) + " |", "|" + "---:|" * len(_COLUMNS)]
    lines += ["| " + " | ".join(_cells(item)) + " |" for item in facts]
    lines += [
        "",
        "latex, math: shares of a sample of the taken pages with LaTeX commands, with a MathScore above one half.",
        "recall, precision: over pages of which it is known what they are.",
    ]
    for item in facts:
        lines += ["", f"## Round {item['round']}: prefixes of candidate domains", ""]
        lines += ["| prefix | pages | taken | approved |", "|---|---:|---:|---|"]
        for asked in item["asked"][:30]:
            prefix = "".join(c if c.isalnum() or c in "./-_~:%" else "?" for c in asked["prefix"])
            lines.append(f"| `{prefix}` | {asked['pages']:,} | {asked['taken']:,} | {_said(asked['approved'])} |")
    return "\n".join(lines) + "\n"


def _said(approved: bool | None) -> str:
    return {True: "yes", False: "no", None: "not decided"}[approved]


# ---------------------------------------------------------------- HTML


def _page(recall: Recall, facts: Sequence[dict[str, Any]], collected: dict[str, int]) -> str:
    from llemma.core.pages.document import Section, render_document

    last = facts[-1]
    cards = [
        ("Pages collected", format_count(collected["pages"]), format_bytes(collected["bytes"])),
        ("Of the pool", format_share(last["taken"] / max(1, last["pages"])), f"{last['pages']:,} pages"),
        ("Rounds", str(len(facts)), recall.stopped),
        ("Approved prefixes", f"{len(last['approved']):,}", f"{last['num_candidates']:,} candidate domains"),
    ]
    sections = [Section(key="rounds", title="Rounds", html=_rounds_html(facts))]
    sections.append(Section(key="scores", title="Scores", html=_scores_html(facts)))
    sections.append(Section(key="domains", title="Domains", html=_domains_html(facts)))
    for found, item in zip(recall.rounds, facts, strict=True):
        parts = samples_of([output.path for output in found.samples])
        html = "".join(_samples_html(merged(parts, kind, recall.config.num_samples), title) for kind, title in KINDS)
        title = f"Pages of round {item['round']}"
        sections.append(Section(key=f"pages-{item['round']}", title=title, html=html))
    lead = "Which pages of the pool a classifier trained on the seeds takes for mathematics, round by round."
    return render_document(kind="Recall", title=recall.config.name, lead=lead, cards=cards, sections=sections)


def _rounds_html(facts: Sequence[dict[str, Any]]) -> str:
    rows = [[escape(cell) for cell in _cells(item)] for item in facts]
    shown = table(_COLUMNS, rows, caption="What each round was trained on and took", numeric=range(1, len(_COLUMNS)))
    note = (
        "<p>latex, math: shares of a random sample of the taken pages that have LaTeX commands, and that have a "
        "MathScore above one half; neither chose the page. recall, precision: over pages of which it is known what "
        "they are.</p>"
    )
    figure = BarFigure(
        key="taken",
        title="Pages taken in each round, and those of them that were new",
        series=("taken", "new"),
        rows=tuple((f"round {item['round']}", (float(item["taken"]), float(item["new"]))) for item in facts),
        format_value=format_count,
        x_label="pages",
    )
    return shown + note + draw(figure)


def _scores_html(facts: Sequence[dict[str, Any]]) -> str:
    import math

    shown = facts[-_SHOWN_ROUNDS:]
    thresholds = sorted({round(item["threshold"], 4) for item in shown})
    series = tuple(
        Series(
            name=f"round {item['round']}",
            points=tuple(
                ((n + 0.5) / len(item["histogram"]) * 100, math.log10(count + 1))
                for n, count in enumerate(item["histogram"])
            ),
            colour=number,
        )
        for number, item in enumerate(shown)
    )
    figure = LineFigure(
        key="scores",
        title="Pages by score",
        x_label="score x 100",
        y_label="log10 of pages + 1",
        series=series,
        format_y=lambda value: f"{value:.1f}",
        borders=((thresholds[0] * 100, "taken from here"),) if len(thresholds) == 1 else (),
        from_zero=True,
    )
    rounds = "all rounds" if len(shown) == len(facts) else f"the last {len(shown)} rounds"
    said = ", ".join(f"{item['threshold']:.4f} in round {item['round']}" for item in shown)
    if len(thresholds) == 1:
        said = f"{thresholds[0]:.4f} in all of them"
    return (
        f"<p>How many pages have which score, in {rounds}: log10 of pages + 1. A good model leaves few pages in the "
        f"middle. Threshold: {escape(said)}.</p>" + draw(figure)
    )


def _domains_html(facts: Sequence[dict[str, Any]]) -> str:
    parts = []
    for item in facts:
        rows = [
            [
                code(asked["prefix"]),
                f"{asked['pages']:,}",
                f"{asked['taken']:,}",
                format_share(asked["taken"] / max(1, asked["pages"])),
                _said(asked["approved"]),
            ]
            for asked in item["asked"][:60]
        ]
        caption = f"Round {item['round']}: prefixes of the {item['num_candidates']:,} candidate domains"
        head = ("prefix", "pages", "taken", "share", "approved")
        parts.append(
            table(head, rows, caption=caption, numeric=(1, 2, 3)) if rows else f"<p>{escape(caption)}: none.</p>"
        )
    return "".join(parts)


def _samples_html(rows: Sequence[dict[str, Any]], title: str) -> str:
    if not rows:
        return f"<p>{escape(title)}: none.</p>"
    cells = [
        [
            f"{row['score']:.4f}",
            f"{code(shortened(row['name'], 200))}<br>{escape(shortened(row['excerpt'], 600))}",
            "yes" if row["latex"] else "no",
            f"{row['math_score']:.2f}",
        ]
        for row in rows
    ]
    head = ("score", "page, and what it begins with", "LaTeX", "MathScore")
    return table(head, cells, caption=title, numeric=(3,), prose=(1,))

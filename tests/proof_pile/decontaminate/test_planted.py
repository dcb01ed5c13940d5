"""Benchmark texts planted in a corpus go the whole way: found, cut or removed, named as evidence, counted, shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.files import read_json, sha256_file
from llemma.core.steps import InputFile, Task, TaskRecord
from proof_pile.build.pipeline import Build
from proof_pile.build.stages.contamination import CHANGED, INDEX_FILES, publish_contamination
from proof_pile.decontaminate.report import CONTAMINATION, contamination_rows
from proof_pile.documents import documents_batch, make_document

LATEX = (
    r"A regular hexagon has side length $\frac{7}{2}$ cm and its vertices lie on a circle. What is the area of the "
    r"region that lies inside of the circle and outside of the hexagon, in terms of $\pi$?"
)
UNICODE = (
    "A regular hexagon has side length 7⁄2 cm and its vertices lie on a circle. What is the area of the "
    "region that lies inside of the circle and outside of the hexagon, in terms of π?"
)
SHORT = r"Compute $\sqrt{50}\cdot\frac{3}{5}-2$."
SOLUTION = (
    "The circle has radius equal to the side of the hexagon, so that six equilateral triangles fill the hexagon and "
    "the wanted region is what is left of the disc."
)
FORMAL = "theorem hexagon_gap (s r : ℝ) (h : s = r) (hs : s = 7 / 2) : circle_area r - hexagon_area s = gap s r := by"
ITEMS = [
    ("MATH", "geometry/7", "problem", LATEX),
    ("MATH", "geometry/7", "solution", SOLUTION),
    ("GSM8K", "12", "problem", SHORT),
    ("miniF2F", "hexagon_gap", "formal", FORMAL),
]
AROUND = "Ein Absatz über Größen und ∑ von Reihen, der sonst nichts enthält und lang genug ist. " * 12
DOCUMENTS = {
    "as it stands": f"{AROUND}\n\n{LATEX}\n\n{AROUND}",
    "at the beginning": f"{LATEX}\n\n{AROUND}",
    "at the end": f"{AROUND}\n\n{LATEX}",
    "in Unicode": f"{AROUND}\n\n{UNICODE}\n\n{AROUND}",
    "in capitals, quoted": f"{AROUND}\n\n> {UNICODE.upper().replace(' LIE', chr(10) + '> LIE')}\n\n{AROUND}",
    "other commands": f"{AROUND}\n\n"
    + LATEX.replace(r"\frac{7}{2}", r"\dfrac 72").replace("What", r"\emph{What}").replace("$", r"\(", 1)
    + f"\n\n{AROUND}",
    "short": f"{AROUND}\n\nCompute √50 · 3/5 − 2.\n\n{AROUND}",
    "short with another sign": f"{AROUND}\n\nCompute √50 · 3/5 + 2.\n\n{AROUND}",
    "solution": f"{AROUND}\n\n{SOLUTION}\n\n{AROUND}",
    "formal": f"{AROUND}\n\n{FORMAL}\n  sorry\n\n{AROUND}",
    "clean": AROUND,
    "nothing else": UNICODE,
}
ACTION = {"problem": "remove-span", "solution": "remove-document", "formal": "report"}
CUT = ("as it stands", "at the beginning", "at the end", "in Unicode", "in capitals, quoted", "other commands", "short")


def as_input(path: Path | str) -> InputFile:
    return InputFile(path=str(path), sha256=sha256_file(path))


class LittleBuild:
    """The records of a build's stages, as its finishing reads them."""

    def __init__(self, out: Path, records: dict[str, list[TaskRecord]]) -> None:
        self.out, self._records = out, records
        self.recipe = SimpleNamespace()

    def flat(self, stage: str) -> list[TaskRecord]:
        return self._records.get(stage, [])

    def by_source(self, stage: str) -> list[tuple[str, list[TaskRecord]]]:
        return [("web", self.flat(stage))]


@pytest.fixture
def build(run_step: Callable[..., Any], tmp_path: Path) -> LittleBuild:
    """The planted corpus after consolidation."""
    names = ("benchmark", "id", "part", "text")
    lines = [json.dumps(dict(zip(names, item, strict=True))) for item in ITEMS]
    (tmp_path / "benchmark.jsonl").write_text("\n".join(lines), encoding="utf-8")
    batch = documents_batch([make_document("web", name, text) for name, text in DOCUMENTS.items()])
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "documents.parquet", row_group_size=5)
    params = {"ngram": 13, "min_words": 5, "overlap": [20, 30]}
    [index] = run_step(
        tmp_path,
        "proof_pile.decontaminate.index:run",
        [Task(inputs=(as_input(tmp_path / "benchmark.jsonl"),))],
        **params,
    )
    files = tuple(index.output(name).as_input() for name in INDEX_FILES)
    task = Task(inputs=(as_input(tmp_path / "documents.parquet"), *files))
    [found] = run_step(tmp_path, "proof_pile.decontaminate.search:run", [task], **params, action=ACTION)
    task = Task(
        inputs=(files[0], found.output("found.json").as_input()),
        args={"sources": [{"name": "web", "files": 1, "documents": len(DOCUMENTS)}]},
    )
    [report] = run_step(tmp_path, "proof_pile.decontaminate.report:run", [task], overlap=[20, 30])
    marks = tuple(found.output(name).as_input() for name in ("marks.parquet", "reported.parquet"))
    task = Task(inputs=(as_input(tmp_path / "documents.parquet"), *marks))
    [kept] = run_step(tmp_path, "proof_pile.consolidate:run", [task], validation=0.0, test=0.0, seed=0)
    (tmp_path / "out").mkdir()
    return LittleBuild(tmp_path / "out", {"contamination-report": [report], "consolidate": [kept]})


def test_planted_texts_are_cut_removed_or_reported_and_the_rest_is_as_it_was(build: LittleBuild) -> None:
    [record] = build.flat("consolidate")
    kept = {row["name"]: row["text"] for row in pq.read_table(record.output("documents.parquet").path).to_pylist()}
    removed = pq.read_table(record.output("removed.parquet").path).to_pylist()
    assert {row["name"]: row["reason"] for row in removed} == {
        "solution": "contaminated",
        "nothing else": "contaminated",
    }
    one_side = {"at the beginning": AROUND, "at the end": f"{AROUND}\n\n"}
    for name in CUT:
        assert kept[name] == one_side.get(name, f"{AROUND}\n\n{AROUND}"), name
    for name in ("short with another sign", "formal", "clean"):
        assert kept[name] == DOCUMENTS[name]


def test_evidence_names_document_item_part_and_place(build: LittleBuild) -> None:
    publish_contamination(cast("Build", build))
    changed = {row["name"]: row for row in pq.read_table(build.out / CHANGED).to_pylist()}
    assert set(changed) == {*CUT, "formal"}
    assert {name: row["reason"] for name, row in changed.items() if name not in CUT} == {
        "formal": "contaminated-reported"
    }
    for name in CUT:
        evidence = json.loads(changed[name]["evidence"])
        [item] = evidence["items"]
        wanted = ("GSM8K", "12", "whole") if name == "short" else ("MATH", "geometry/7", "ngram")
        assert (item["benchmark"], item["id"], item["rule"]) == wanted
        assert (item["part"], item["word"]) == ("problem", 0)
        begin, end = item["bytes"]
        assert DOCUMENTS[name].encode()[begin:end].decode() == item["text"]
        [(first, stop)] = evidence["spans"]
        assert first <= begin < end <= stop


def test_report_counts_by_rule_and_by_words_as_they_stand(build: LittleBuild) -> None:
    publish_contamination(cast("Build", build))
    report = read_json(build.out / CONTAMINATION)
    rows = {(row.benchmark, row.part): dict(row.found) for row in contamination_rows(report) if row.source == "all"}
    assert rows["MATH", "problem"] == {"rule": (1, 7), "whitespace-20": (1, 6), "whitespace-30": (1, 3)}
    assert rows["GSM8K", "problem"]["rule"] == (1, 1)
    assert rows["MATH", "solution"]["rule"] == (1, 1)
    assert rows["miniF2F", "formal"]["rule"] == (1, 1)
    assert {hit["measure"]: hit["ids"] for hit in report["hits"] if hit["benchmark"] == "miniF2F"}["rule"] == [
        "hexagon_gap"
    ]
    done = report["done"]["web"]
    assert (done["removed"], done["cut"], done["reported"], done["spans"]) == (2, 7, 1, 7)
    assert done["span_bytes"] == sum(len(DOCUMENTS[name].encode()) for name in CUT) - sum(
        len((f"{AROUND}\n\n{AROUND}" if name not in ("at the beginning", "at the end") else AROUND).encode())
        + (2 if name == "at the end" else 0)
        for name in CUT
    )


def test_build_without_benchmarks_leaves_no_report_of_an_earlier_one(build: LittleBuild) -> None:
    publish_contamination(cast("Build", build))
    assert (build.out / CONTAMINATION).exists()
    publish_contamination(cast("Build", LittleBuild(build.out, {})))
    assert not (build.out / CONTAMINATION).exists()
    assert not (build.out / CHANGED).exists()


def test_datasheet_and_page_show_what_was_found_and_done(build: LittleBuild) -> None:
    from llemma.core.schemas import Mixture
    from proof_pile.datasheet import render_datasheet
    from proof_pile.publish.page import render_page

    publish_contamination(cast("Build", build))
    report = read_json(build.out / CONTAMINATION)
    mixture = Mixture.model_validate(
        {
            "name": "m",
            "planned_tokens": 10,
            "tokenizer": {
                "path": "t",
                "sha256": "0" * 64,
                "kind": "huggingface",
                "vocab_size": 8,
                "eod_id": 1,
                "dtype": "uint16",
            },
            "sources": [{"name": "web", "group": "g", "weight": 1.0, "epochs": 1.0, "splits": {}}],
        }
    )
    sheet = render_datasheet("m", {}, mixture, [], {}, report)
    assert "## Contamination" in sheet
    assert "| MATH | problem | all | 1 | 1 | 7 | 1 | 6 | 1 | 3 |" in sheet
    assert "| web | 2 | 7 | 1 | 7 |" in sheet
    assert "Contamination" not in render_datasheet("m", {}, mixture, [], {}, None).replace("Decontamination", "")
    page = render_page("m", {}, [], mixture, {}, [], report)
    assert "20 words: documents" in page
    assert "hexagon" not in page

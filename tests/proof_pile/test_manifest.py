"""manifest.json and DATASHEET.md: complete, the same every time, and safe to look at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llemma.core.files import sha256_file
from proof_pile.datasheet import escape_markdown, write_datasheet
from proof_pile.manifest import Manifest, SourceCounts, write_manifest


def test_manifest_names_every_file_with_its_hash_and_nothing_that_changes_by_itself(pristine_build: Path) -> None:
    manifest = Manifest.read(pristine_build)
    names = [entry.path for entry in manifest.files]
    assert names == sorted(names)
    assert {"recipe.yml", "mixture.json", "DATASHEET.md", "tokenizer/tokenizer.json", "data/code/train.bin"} < set(
        names
    )
    assert not [name for name in names if name.startswith("steps") or "record" in name or name == "manifest.json"]
    for entry in manifest.files:
        assert sha256_file(pristine_build / entry.path) == entry.sha256
    text = (pristine_build / "manifest.json").read_text()
    assert str(pristine_build) not in text
    assert not re.search(r"\d\d:\d\d:\d\d", text)


def test_manifest_written_again_has_the_same_bytes(small_build: Path) -> None:
    before = (small_build / "manifest.json").read_bytes()
    manifest = Manifest.read(small_build)
    (small_build / ".partial-x").write_text("of a killed build")
    (small_build / "data" / ".partial-y").write_text("of a killed build")
    write_manifest(small_build, name=manifest.name, sources=manifest.sources, warnings=manifest.warnings)
    assert (small_build / "manifest.json").read_bytes() == before


def test_split_counts_come_from_the_shards(pristine_build: Path) -> None:
    counts = Manifest.read(pristine_build).sources["papers"]
    assert sum(split.documents for split in counts.splits.values()) == counts.kept
    sizes = [(pristine_build / f"data/papers/{split}.bin").stat().st_size for split in counts.splits]
    assert counts.tokens == sum(sizes) // 2


def test_datasheet_tells_of_every_source_and_every_removal(pristine_build: Path) -> None:
    text = (pristine_build / "DATASHEET.md").read_text()
    for heading in ("Motivation", "Composition", "Collection process", "Preprocessing", "Mixture", "Uses",
                    "Distribution and licences", "Known limits", "Maintenance"):  # fmt: skip
        assert f"\n## {heading}\n" in text
    assert "| too-short | 2 |" in text
    assert "97.00%" in text and "3.00%" in text
    assert "No licence is stated for: code." in text
    assert "by hash of the id" in text
    papers = next(line for line in text.splitlines() if line.startswith("| papers | 1"))
    assert papers.endswith("|")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_words_of_a_recipe_cannot_become_markup_in_the_datasheet(small_build: Path) -> None:
    hostile = "<script>alert(1)</script> | [x](javascript:y) `z`\n# heading\n![i](http://e.x/i.png) **b** www.e.x a@b.c"
    sources = {"papers": SourceCounts(read=1, kept=1, description=hostile, licence=hostile, filtered={hostile: 1})}
    write_datasheet(small_build, name=hostile, sources=sources, warnings=[hostile], settings={hostile: hostile})
    text = (small_build / "DATASHEET.md").read_text()
    assert "<script" not in text and "](" not in text.replace("\\](", "")
    assert "\n# heading" not in text and "http://" not in text
    for line in text.splitlines():
        if line.startswith("| papers |"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 7, 5, 3, 9)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain words, 3.5 %", "plain words, 3.5 %"),
        ("a_b*c", r"a\_b\*c"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("- item", "&#45; item"),
        ("1. item", "&#49;. item"),
        ("# title (of a thing)", "&#35; title (of a thing)"),
        ("[x](javascript:y) www.a.b", r"\[x\](javascript:y) www&#46;a.b"),
        ("two\nlines\x00\x1b[0m", r"two lines \[0m"),
    ],
)
def test_escaping_leaves_plain_words_and_defuses_marks(text: str, wanted: str) -> None:
    assert escape_markdown(text) == wanted

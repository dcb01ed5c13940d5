"""Two whole builds by the command: what the first holds is not taken again by the second."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from proof_pile.build.cli import main

from .conftest import random_words, similar

RECIPE = """\
name: {name}
sources: [{{name: notes, inputs: [{{kind: jsonl, path: notes.jsonl}}], licence: none}}]
deduplicate: {deduplicate}
split: {{validation: 0.2, test: 0.2}}
tokenizer: {{train: {{vocab_size: 400, max_bytes: 50000}}}}
mixture: {{groups: {{all: {{share: 1, sources: {{notes: 1}}}}}}, seq_length: 64}}
"""


def make_build(root: Path, name: str, texts: dict[str, str], deduplicate: str) -> int:
    """Writes documents and a recipe and builds them; returns the exit code."""
    (root / name).mkdir(exist_ok=True)
    lines = [json.dumps({"name": key, "text": text}) + "\n" for key, text in texts.items()]
    (root / name / "notes.jsonl").write_text("".join(lines), encoding="utf-8")
    recipe = root / name / "recipe.yml"
    recipe.write_text(RECIPE.format(name=name, deduplicate=deduplicate), encoding="utf-8")
    return main(["--recipe", str(recipe), "--out", str(root / name / "out"), "--workers", "1"])


def spoken(words: list[str]) -> str:
    """The text of words of letters, of which a vocabulary can be made."""
    return " ".join("".join("bdfgklmnrst"[int(digit)] + "aeiou"[int(digit) % 5] for digit in w[1:]) for w in words)


def text(seed: int) -> str:
    return spoken(random_words(seed, 150))


def test_second_build_leaves_out_what_is_like_the_first_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = "near: {threshold: 0.7}"
    assert make_build(tmp_path, "first", {f"old {n}": text(n) for n in range(30)}, f"{{{near}}}") == 0
    later = {
        "copy": text(3),
        "longer": spoken(similar(random_words(4, 150), 0.9, 77)) + " and more words",
        **{f"new {n}": text(100 + n) for n in range(30)},
    }
    against = f"{{{near}, against: [../first/out]}}"
    assert make_build(tmp_path, "second", later, against) == 0
    out = tmp_path / "second" / "out"
    removed = {row["name"]: row for row in pq.read_table(out / "removed.parquet").to_pylist()}
    assert {name: row["reason"] for name, row in removed.items()} == {
        "copy": "exact-duplicate",
        "longer": "near-duplicate",
    }
    for name, kept in (("copy", "old 3"), ("longer", "old 4")):
        evidence = json.loads(removed[name]["evidence"])["kept"]
        assert (evidence["build"], evidence["source"], evidence["name"]) == ("first", "notes", kept)
    datasheet = (out / "DATASHEET.md").read_text(encoding="utf-8")
    assert "21 bands of 6 out of 128 values" in datasheet
    assert "what stands in an earlier build (first)" in datasheet
    assert main(["verify", "--out", str(out)]) == 0
    # The same size and another content: no size tells, and every document would be compared with noise.
    keys = tmp_path / "first" / "out" / "fingerprints" / "000000.keys.bin"
    content = bytearray(keys.read_bytes())
    content[100] ^= 1
    keys.unlink()  # not through the link into the first build's own steps
    keys.write_bytes(content)
    capsys.readouterr()
    assert make_build(tmp_path, "third", {"only": text(200)}, against) == 2
    assert f"{keys}: its content is not what that build published" in capsys.readouterr().err


def test_earlier_build_that_cannot_be_compared_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was found when the fingerprints of all documents were made: after hours."""
    assert make_build(tmp_path, "new", {"a": text(1)}, "{against: [../nowhere]}") == 2
    assert "nowhere: there is no such build" in capsys.readouterr().err
    assert not list((tmp_path / "new" / "out").rglob("documents.parquet"))

"""Records beside artefacts, and the files that parts exchange."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from llemma.core.errors import ConfigError, DamagedFileError, InputError
from llemma.core.records import installed_versions, write_record
from llemma.core.schemas import MetricLine, Mixture, RunRecord, read_lines, write_lines

MIXTURE = {
    "schema": 1,
    "name": "tiny",
    "tokenizer": {
        "kind": "sentencepiece",
        "path": "tokenizer/tokenizer.model",
        "sha256": "0" * 64,
        "vocab_size": 4096,
        "eod_id": 2,
        "dtype": "uint16",
    },
    "planned_tokens": 1000,
    "sources": [
        {"name": "web", "group": "proof-pile-2", "weight": 0.75, "epochs": 2.0, "splits": {}},
        {"name": "code", "group": "proof-pile-2", "weight": 0.25, "epochs": 1.0, "splits": {}},
    ],
}


def test_record_names_its_files_with_hashes_and_versions_without_importing_them(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.bin").write_bytes(b"abc")
    write_record(
        tmp_path / "record.json",
        kind="test",
        config={"x": 1},
        outputs=[tmp_path / "out/a.bin"],
        counts={"documents": 3},
        seconds=1.5,
    )
    record = json.loads((tmp_path / "record.json").read_text())
    digest = hashlib.sha256(b"abc").hexdigest()
    assert record["outputs"] == [{"path": "out/a.bin", "bytes": 3, "sha256": digest}]
    assert record["config"] == {"x": 1} and record["counts"] == {"documents": 3} and record["seconds"] == 1.5
    assert record["versions"]["numpy"] == installed_versions(["numpy"])["numpy"]


def test_mixture_read_and_written_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(MIXTURE))
    mixture = Mixture.read(path)
    mixture.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == MIXTURE
    assert mixture.sources[0].weight == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"planned_tokens": 0}, "'planned_tokens'"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"sources": MIXTURE["sources"][:1]}, "the weights sum to 0.750000"),
        ({"schema": 2}, "'schema'"),
    ],
)
def test_mixture_that_is_wrong_is_refused_with_the_key(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(MIXTURE | change))
    with pytest.raises(ConfigError) as caught:
        Mixture.read(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_json_lines_with_a_damaged_line_name_it_after_giving_the_good_ones(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_lines(path, [MetricLine(kind="train", stage="a", iteration=1, loss=8.3)])
    with open(path, "a") as file:
        file.write('{"kind": "train", "stage": "a", "iter')
    lines = read_lines(path, MetricLine)
    assert next(lines).loss == 8.3
    with pytest.raises(DamagedFileError, match=r"metrics\.jsonl:2"):
        next(lines)


def test_run_record_of_a_folder_that_is_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="llemma plan RECIPE --out RUN"):
        RunRecord.read(tmp_path)

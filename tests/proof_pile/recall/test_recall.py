"""The recall loop: finds what the seeds are like, grows by domain, stops, goes on after a kill with the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llemma.core.files import read_json, sha256_file
from proof_pile.recall.addresses import address_of, domain_and_prefix, is_under
from proof_pile.recall.cli import main
from proof_pile.recall.ranking import CLASSES, first_taken_class, score_classes
from proof_pile.sources import Document, parquet, read
from proof_pile.sources import list_files as list_source_files

SEEDED = "group kernel homomorphism subgroup quotient lemma proof normal"
UNSEEDED = "integral derivative limit continuous series lemma proof bounded"
OTHER = "ship captain harbour rain bread lamp village road old river"
COMMON = "the of and a is that in to"


def page(draw: random.Random, words: str) -> str:
    return " ".join(draw.choices(f"{words} {COMMON}".split(), k=60)) + "."


def write_pool(folder: Path) -> Path:
    """60 pages like the seeds, 40 of mathematics with other words on the same domain, 300 others."""
    draw = random.Random(5)
    rows: list[dict[str, Any]] = []
    for number in range(300):
        rows.append(
            {"url": f"https://www.news{number % 6}.example/a/{number}.html", "text": page(draw, OTHER), "is": "other"}
        )
    for number in range(60):
        rows.append({"url": f"https://maths.example/notes/{number}.html", "text": page(draw, SEEDED), "is": "math"})
    for number in range(40):
        rows.append({"url": f"https://maths.example/notes/c{number}.html", "text": page(draw, UNSEEDED), "is": "math"})
    draw.shuffle(rows)
    folder.mkdir(parents=True)
    for part in range(4):
        lines = "".join(json.dumps(row) + "\n" for row in rows[part::4])
        (folder / f"pool{part}.jsonl").write_text(lines, encoding="utf-8")
    seeds = "".join(json.dumps({"text": page(draw, SEEDED)}) + "\n" for _ in range(30))
    (folder / "seeds.jsonl").write_text(seeds, encoding="utf-8")
    config = folder / "RECALL.yml"
    config.write_text(
        """name: small
seeds: {inputs: [{kind: jsonl, path: seeds.jsonl}]}
pool: {inputs: [{kind: jsonl, path: "pool*.jsonl"}]}
negatives_per_positive: 2
training: {dim: 4, rate: 0.5, word_ngrams: 1, min_count: 1, epochs: 10, buckets: 10}
select: {min_score: 0.5}
domains: {min_pages: 10, min_share: 0.1, prefix_depth: 1}
known: {key: is, math: [math], other: [other]}
num_samples: 4
shard_bytes: 20000
""",
        encoding="utf-8",
    )
    return config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(tmp_path_factory.mktemp("recall") / "corpus")


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recall-out") / "out"
    assert main(["run", str(config), "--out", str(out), "--workers", "1"]) == 0
    return out


def test_recall_grows_by_domain_to_pages_that_the_seeds_do_not_resemble(finished: Path) -> None:
    rounds = read_json(finished / "report.json")["rounds"]
    assert rounds[0]["approved"] == ["maths.example/notes"]
    assert rounds[1]["grown"] == 100
    assert rounds[-1]["known"]["recall"] == 1.0
    assert rounds[-1]["known"]["precision"] == 1.0
    assert rounds[0]["known"]["recall"] < 1.0


def test_recall_stops_when_nearly_all_was_taken_before(finished: Path) -> None:
    report = read_json(finished / "report.json")
    assert len(report["rounds"]) < 4
    assert "had been taken before" in report["stopped"]
    assert report["rounds"][-1]["overlap"] >= 0.98


def test_recall_that_takes_no_page_stops_and_says_why(config: Path, tmp_path: Path) -> None:
    """It ran all rounds in silence, each as empty as the one before."""
    text = config.read_text(encoding="utf-8").replace("epochs: 10", "epochs: 1").replace("rate: 0.5", "rate: 0.001")
    weak = config.with_name("weak.yml")
    weak.write_text(text.replace("min_score: 0.5", "min_score: 0.9"), encoding="utf-8")
    assert main(["run", str(weak), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    report = read_json(tmp_path / "out/report.json")
    assert len(report["rounds"]) == 1
    assert "round 1 took no page: the highest of 400 scores is 0." in report["stopped"]
    assert list((tmp_path / "out/collected").iterdir()) == []


def test_collected_pages_are_a_source_of_a_recipe(finished: Path) -> None:
    """The pages' ids stood in a column "id", which a reader takes for the name: the addresses were lost to it, and with
    them the filters that ask for them.
    """
    config = parquet.Config(kind="parquet", path=str(finished / "collected"))
    records = [r for file in list_source_files(config, Path()) for r in read(config, file, "web")]
    assert all(isinstance(record, Document) for record in records)
    assert len(records) == 100
    assert all(record.name.startswith("https://maths.example/") for record in records if isinstance(record, Document))
    first = records[0]
    assert isinstance(first, Document)
    assert first.meta["domain"] == "maths.example"
    assert 0.5 <= first.meta["recall_score"] <= 1


def test_reports_agree_and_hold_no_time(finished: Path) -> None:
    html = (finished / "report.html").read_text(encoding="utf-8")
    assert "maths.example/notes" in html
    assert "<svg" in html
    assert "<script" not in html
    assert "maths.example/notes" in (finished / "report.md").read_text(encoding="utf-8")
    assert '"maths.example/notes": true' in (finished / "annotations.yml").read_text(encoding="utf-8")


def contents(out: Path) -> dict[str, str]:
    """Hashes of what a recall leaves behind."""
    names = ["report.json", "report.md", "report.html", "annotations.yml", "model.bin"]
    return {
        str(p.relative_to(out)): sha256_file(p) for p in [*(out / "collected").iterdir(), *(out / n for n in names)]
    }


def start(config: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "proof_pile.recall", "run", str(config), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def num_records(out: Path) -> int:
    return len(list(out.glob("steps/*/????????????????.json")))


def test_recall_killed_at_random_and_run_again_with_two_workers_has_the_same_bytes(
    config: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    draw = random.Random()
    moment = draw.randrange(1, num_records(finished))
    recall = start(config, out)
    while recall.poll() is None and num_records(out) < moment:
        signal.sigtimedwait([], 0.005)
    was_running = recall.poll() is None
    whom = draw.choice(["driver", "all"])
    if whom == "all":
        os.killpg(recall.pid, signal.SIGKILL)
    else:
        recall.kill()
    recall.communicate()
    assert was_running, (moment, whom)
    again = start(config, out)
    shown, _ = again.communicate(timeout=300)
    assert again.returncode == 0, shown
    assert contents(out) == contents(finished), (moment, whom)


def test_what_a_person_said_of_a_prefix_is_final(config: Path, tmp_path: Path) -> None:
    (tmp_path / "said.yml").write_text("maths.example/notes: false\nnews1.example: null\n", encoding="utf-8")
    text = config.read_text(encoding="utf-8").replace(
        "prefix_depth: 1}", f"prefix_depth: 1, annotations: {tmp_path}/said.yml}}"
    )
    changed = config.with_name("said.yml")
    changed.write_text(text, encoding="utf-8")
    assert main(["run", str(changed), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    rounds = read_json(tmp_path / "out/report.json")["rounds"]
    assert all(item["approved"] == [] for item in rounds)
    assert '"maths.example/notes": false' in (tmp_path / "out/annotations.yml").read_text(encoding="utf-8")


def test_hostile_page_is_shown_as_text(tmp_path: Path) -> None:
    config = write_pool(tmp_path / "corpus")
    bad = {
        "url": "https://x.example/<script>alert(1)</script>/a.html",
        "text": "<img src=x onerror=alert(1)> " + f"{SEEDED} " * 9,
    }
    with open(config.parent / "pool0.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(bad) + "\n")
    text = config.read_text(encoding="utf-8").replace("num_samples: 4", "num_samples: 500\nmax_rounds: 1")
    config.write_text(text, encoding="utf-8")
    assert main(["run", str(config), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    html = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "&lt;img src=x" in html
    assert "<img" not in html
    assert "<script" not in html


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("select: {min_score: 0.5}", "select: {}", "give 'min_score', 'max_tokens' or both"),
        ("path: seeds.jsonl", "path: nowhere.jsonl", "nowhere.jsonl"),
        ("num_samples: 4", "num_sample: 4", "did you mean 'num_samples'"),
    ],
)
def test_wrong_configuration_is_refused(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    wrong = config.with_name("wrong.yml")
    wrong.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert main(["run", str(wrong), "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    assert message in capsys.readouterr().err


def test_annotation_that_is_neither_true_nor_false_is_refused_with_its_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "said.yml").write_text("a.example: true\nb.example: maybe\n", encoding="utf-8")
    changed = config.with_name("maybe.yml")
    text = config.read_text(encoding="utf-8").replace("prefix_depth: 1}", f"annotations: {tmp_path}/said.yml}}")
    changed.write_text(text, encoding="utf-8")
    assert main(["run", str(changed), "--out", str(tmp_path / "out")]) == 2
    assert "said.yml:2: 'b.example' is 'maybe'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "depth", "expected"),
    [
        ("https://www.Example.org:8080/a/b/c.html", 1, ("example.org", "example.org/a")),
        ("https://example.org/a/b/c.html", 2, ("example.org", "example.org/a/b")),
        ("https://example.org/c.html", 2, ("example.org", "example.org")),
        ("https://example.org", 0, ("example.org", "example.org")),
        ("http://[broken", 1, ("", "")),
        ("", 1, ("", "")),
    ],
)
def test_address_has_a_domain_and_a_prefix(address: str, depth: int, expected: tuple[str, str]) -> None:
    assert domain_and_prefix(address, depth) == expected


def test_address_of_a_page_is_its_url_or_a_name_that_is_one() -> None:
    assert address_of("n", {"url": "https://a.example/x"}) == "https://a.example/x"
    assert address_of("https://b.example/y", {}) == "https://b.example/y"
    assert address_of("notes/y.html", {"url": 3}) == ""


def test_prefix_is_under_itself_and_under_those_above_it() -> None:
    approved = frozenset({"a.example/x", "b.example"})
    assert is_under("a.example/x/y", approved)
    assert is_under("b.example/z", approved)
    assert not is_under("a.example", approved)
    assert not is_under("a.example/xy", approved)


def test_limit_of_tokens_takes_the_best_pages_that_fit() -> None:
    import numpy as np

    scores = np.array([0.9, 0.8, 0.8, 0.1], np.float32)
    sizes = np.array([100, 50, 60, 500], np.int64)
    by_class = np.zeros(CLASSES, np.int64)
    np.add.at(by_class, score_classes(scores), sizes)

    def taken(**select: Any) -> list[bool]:
        chosen = {"min_score": None, "max_tokens": None, "bytes_per_token": 1.0, **select}
        found: list[bool] = (score_classes(scores) >= first_taken_class(chosen, by_class)).tolist()
        return found

    assert taken(max_tokens=99) == [False] * 4
    assert taken(max_tokens=209) == [True, False, False, False]  # the two of 0.8 go together
    assert taken(max_tokens=210) == [True, True, True, False]
    assert taken(max_tokens=10_000, min_score=0.85) == [True, False, False, False]
    assert taken(min_score=0.0) == [True] * 4


def test_collected_rows_keep_what_they_came_with(finished: Path) -> None:
    table = pq.read_table(finished / "collected")
    assert json.loads(table.column("meta_json")[0].as_py())["is"] == "math"

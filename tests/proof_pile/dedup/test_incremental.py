"""Deduplication of a corpus that grows, and against builds that are finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.build.pipeline import Stage, make_step
from proof_pile.build.stages import duplicates
from proof_pile.dedup.marks import write_marks

from .conftest import Corpus, random_words, run_stage, similar

NEAR = {"threshold": 0.7}
Make = Callable[..., Corpus]


def texts(*seeds: int, prefix: str = "d") -> list[tuple[str, str]]:
    return [(f"{prefix}{seed}", " ".join(random_words(seed, 120))) for seed in seeds]


def publish(corpus: Corpus, contaminated: dict[int, list[int]] | None = None) -> Path:
    """Finishes a build as far as its fingerprints; `contaminated` are rows of files that go for another reason."""
    build, _ = corpus.run()
    marks = {output.name: output for record in build.flat("duplicate-marks") for output in record.outputs}
    tasks = []
    for number, file in enumerate(build.documents_files()):
        inputs = [file.documents]
        if f"marks.{number:06d}.parquet" in marks:
            inputs.append(marks[f"marks.{number:06d}.parquet"].as_input())
        if contaminated and number in contaminated:
            path = corpus.root / f"contaminated-{number}.parquet"
            write_marks(path, [(row, bytes(16), "contaminated", {}) for row in contaminated[number]])
            inputs.append(InputFile(path=str(path), sha256=sha256_file(path)))
        tasks.append(Task(inputs=tuple(inputs), args={"of": file.of}))
    step = make_step("consolidate", "proof_pile.consolidate", validation=0.0, test=0.0, seed=0)
    run_stage(build, Stage(name="consolidate", title="", plan=lambda _: [(step, tasks)]))
    run_stage(build, duplicates.PUBLISHED_FINGERPRINTS)
    duplicates.publish_fingerprints(build)
    out: Path = build.out
    return out


def test_documents_of_an_earlier_build_keep_theirs_and_remove_ours(corpus: Make) -> None:
    earlier = publish(corpus({"old": [texts(1, 2, 3), texts(4)]}, folder="earlier", near=NEAR))
    copy_of_2 = " ".join(random_words(2, 120))
    near_4 = " ".join(similar(random_words(4, 120), 0.9, 99)) + " and a much longer end"
    new = [("copy", copy_of_2), ("near", near_4), *texts(50)]
    shutil.rmtree(earlier / "steps")  # nothing but what is published may be read
    marks = corpus({"new": [new]}, folder="later", near=NEAR, against=[str(earlier)]).marks()
    assert {row: kind for (_, row), (kind, _) in marks.items()} == {0: "exact-duplicate", 1: "near-duplicate"}
    assert {key: marks[0, 0][1]["kept"][key] for key in ("source", "name", "build")} == {
        "source": "old",
        "name": "d2",
        "build": "earlier",
    }
    assert marks[0, 1][1]["kept"]["name"] == "d4"
    assert marks[0, 1][1]["estimated"]


def test_documents_that_an_earlier_build_removed_do_not_remove_ours(corpus: Make) -> None:
    old = [*texts(1, 2), ("copy-of-1", " ".join(random_words(1, 120))), *texts(3)]
    earlier = publish(corpus({"old": [texts(9), old]}, folder="earlier", near=NEAR), contaminated={1: [3]})
    index = json.loads((earlier / "fingerprints" / "fingerprints.json").read_text())
    assert sum(group["documents"] for group in index["groups"]) == 3
    later = corpus({"new": [texts(1, 3, 9, prefix="n")]}, folder="later", near=NEAR, against=[str(earlier)])
    marks = later.marks()
    assert sorted(marks) == [(0, 0), (0, 2)]
    assert marks[0, 0][1]["kept"]["name"] in ("d1", "copy-of-1")
    assert marks[0, 2][1]["kept"]["name"] == "d9"


def test_several_earlier_builds_are_asked_in_one_go(corpus: Make) -> None:
    folders = [str(publish(corpus({"old": [texts(n)]}, folder=f"earlier-{n}", near=NEAR))) for n in (1, 2)]
    marks = corpus({"new": [texts(1, 2, 3, prefix="n")]}, folder="later", near=NEAR, against=folders).marks()
    assert [evidence["kept"]["build"] for _, evidence in marks.values()] == ["earlier-1", "earlier-2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ngram": 4}, "ngram 5 \\(here 4\\)"),
        ({"bands": 8, "rows": 8}, "bands"),
        (None, "near True \\(here False\\)"),
    ],
)
def test_earlier_build_of_other_settings_is_refused_with_both(corpus: Make, change: Any, words: str) -> None:
    earlier = publish(corpus({"old": [texts(1)]}, folder="earlier", near=NEAR))
    near = None if change is None else {**NEAR, **change}
    with pytest.raises(InputError, match=words):
        corpus({"new": [texts(1)]}, folder="later", near=near, against=[str(earlier)]).run()


def test_folders_that_are_no_finished_builds_are_refused(corpus: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such build"):
        corpus({"new": [texts(1)]}, near=NEAR, against=["nowhere"]).run()
    with pytest.raises(InputError, match="without fingerprints"):
        corpus({"new": [texts(1)]}, near=NEAR, against=[str(tmp_path)]).run()
    earlier = publish(corpus({"old": [texts(1)]}, folder="earlier", near=NEAR))
    with pytest.raises(InputError, match="named twice"):
        corpus({"new": [texts(1)]}, near=NEAR, against=[str(earlier), f"{earlier}/."]).run()
    keys = earlier / "fingerprints" / "000000.keys.bin"
    whole = keys.read_bytes()
    keys.unlink()
    keys.write_bytes(whole[:-16])
    with pytest.raises(InputError, match="gone or not"):
        corpus({"new": [texts(1)]}, near=NEAR, against=[str(earlier)]).run()
    for content in ("{", "[]", '{"format": 1}', '{"format": 7}'):
        (earlier / "fingerprints" / "fingerprints.json").write_text(content)
        with pytest.raises(InputError, match="fingerprints"):
            corpus({"new": [texts(1)]}, near=NEAR, against=[str(earlier)]).run()


def test_added_file_has_only_its_own_fingerprints_made_and_the_merging_done_again(corpus: Make) -> None:
    files = [texts(*range(10 * n, 10 * n + 5)) for n in range(3)]
    made = corpus({"s": files}, near=NEAR)
    _, first = made.run()
    assert sum(line.startswith("fingerprints ") for line in first) == 3
    _, again = made.run()
    assert again == []
    made.sources["s"] = [*files, [("copy", files[0][0][1])]]
    _, added = made.run()
    assert [line for line in added if line.startswith("fingerprints ")] == ["fingerprints s-3.parquet"]
    assert not [line for line in added if line.startswith("shingles ") and "group 1 of 2" in line]
    assert [kind for kind, _ in made.marks().values()] == ["exact-duplicate"]


def test_killed_task_leaves_nothing_and_is_done_again_to_the_same_bytes(
    corpus: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [[*texts(1, 2), ("c", " ".join(random_words(1, 118)))], texts(3)]
    whole = corpus({"s": files}, folder="whole", near=NEAR)
    expected = whole.marks()
    from proof_pile.dedup import clusters

    made = corpus({"s": files}, folder="killed", near=NEAR)
    with monkeypatch.context() as patch:
        patch.setattr(clusters, "choose", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made.run()
    build, ran = made.run()
    assert ran[0].startswith("duplicate-clusters")
    assert not list(build.steps.rglob("scratch"))
    found = made.marks()
    assert {place: kind for place, (kind, _) in found.items()} == {place: kind for place, (kind, _) in expected.items()}


def test_partitions_and_memory_change_no_mark(corpus: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MB are more than a small corpus needs: here a key and a pair are said to be larger than they are."""
    files = [
        [(f"{n}-{m}", " ".join(similar(random_words(n, 100), 0.6 + 0.08 * m, m))) for n in range(12)] for m in range(5)
    ]
    expected = corpus({"s": files}, folder="one", near=NEAR).marks()
    from proof_pile.dedup import candidates, clusters, fingerprints

    monkeypatch.setattr(fingerprints, "WAITING_BYTES", 4096)
    monkeypatch.setattr(candidates, "BYTES_A_KEY", 1 << 20)
    monkeypatch.setattr(clusters, "_BYTES_A_PAIR", 1 << 20)
    monkeypatch.setattr(duplicates, "GROUP_FILES", 2)
    made = corpus({"s": files}, folder="many", near=NEAR, memory_mb=64)
    assert len(made.marks()) == len(expected)
    build, _ = made.run()
    assert len(build.flat("duplicate-candidates")) > 8
    assert len(build.flat("fingerprint-groups")) > 1
    found = {place: (kind, evidence["kept"]["name"]) for place, (kind, evidence) in made.marks().items()}
    assert found == {place: (kind, evidence["kept"]["name"]) for place, (kind, evidence) in expected.items()}

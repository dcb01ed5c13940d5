"""What a build shows of itself: texts for `datasets`, tallies, samples, the card and the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.schemas import Mixture, read_lines
from llemma.core.steps import InputFile, Task
from proof_pile.build.cli import main
from proof_pile.consolidate import removed_schema
from proof_pile.documents import documents_batch, make_document
from proof_pile.manifest import Manifest
from proof_pile.publish import describe
from proof_pile.publish.describe import Sample, draw, licence_of, merge_samples

sys.path.insert(0, str(Path(__file__).parents[1] / "build"))

from little_corpus import sentences, write_corpus

HOSTILE = "</pre><script>alert(1)</script> \u202e **x** | [a](b)"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build whose documents name languages and licences, one of them hostile; some are too short to be kept."""
    root = tmp_path_factory.mktemp("published")
    recipe = write_corpus(root / "corpus")
    lines = [
        {"name": f"extra-{i}", "text": f"{HOSTILE} {sentences(777 + i, 60)}", "language": ("coq", HOSTILE)[i % 2],
         "license": ["MIT", HOSTILE][i % 2]}
        for i in range(6)
    ]  # fmt: skip
    lines += [{"name": f"short-{i}", "text": f"{i} {HOSTILE}"} for i in range(5)]
    (root / "corpus" / "beta" / "extra.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    text = recipe.read_text()
    recipe.write_text(text + "publish: {samples: 3}\n")
    assert main(["--recipe", str(recipe), "--out", str(root / "out"), "--workers", "1"]) == 0
    return root / "out"


def test_published_texts_are_the_documents_of_the_shards(build: Path) -> None:
    mixture = Mixture.read(build / "mixture.json")
    assert len(mixture.sources) == 2
    for source in mixture.sources:
        for split, shard in source.splits.items():
            tables = [pq.read_table(path) for path in sorted((build / "text" / source.name).glob(f"{split}-*.parquet"))]
            texts = pa.concat_tables(tables)
            side = pq.read_table(build / f"{shard.path}.documents.parquet")
            assert sorted(texts["id"].to_pylist()) == sorted(side["id"].to_pylist())
            tokens = dict(zip(side["id"].to_pylist(), side["num_tokens"].to_pylist(), strict=True))
            assert dict(zip(texts["id"].to_pylist(), texts["num_tokens"].to_pylist(), strict=True)) == tokens


def test_datasets_library_loads_the_folder_and_each_source(build: Path, tmp_path: Path) -> None:
    program = (
        "import sys, json; from datasets import load_dataset\n"
        "whole = load_dataset(sys.argv[1]); one = load_dataset(sys.argv[1], 'alpha', split='train')\n"
        "sizes = {k: len(v) for k, v in whole.items()}\n"
        "print(json.dumps([sizes, len(one), one.column_names, sorted(set(one['source']))]))"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(build)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    splits, one, columns, sources = json.loads(done.stdout.splitlines()[-1])
    manifest = Manifest.read(build)
    wanted = Counter[str]()
    for counts in manifest.sources.values():
        wanted.update({split: of.documents for split, of in counts.splits.items()})
    assert splits == dict(wanted)
    assert one == manifest.sources["alpha"].splits["train"].documents and sources == ["alpha"]
    assert columns == ["id", "source", "name", "text", "meta", "num_tokens"]


def test_manifest_counts_languages_licences_and_lengths(build: Path) -> None:
    beta = Manifest.read(build).sources["beta"]
    assert beta.languages["coq"].documents == 3 and beta.languages[HOSTILE].documents == 3
    assert beta.licences["MIT"] == 3
    assert sum(of.documents for of in beta.languages.values()) == sum(beta.lengths.values()) == beta.kept
    assert sum(of.tokens for of in beta.languages.values()) == beta.tokens
    assert sum(of.bytes for of in beta.languages.values()) == beta.kept_bytes


def test_samples_are_so_many_of_each_source_and_reason_with_their_texts(build: Path) -> None:
    samples = list(read_lines(build / "samples.jsonl", Sample))
    manifest = Manifest.read(build)
    counted = Counter((sample.source, sample.reason) for sample in samples)
    assert counted["alpha", None] == counted["beta", None] == 3
    for source, counts in manifest.sources.items():
        reasons = dict(counts.filtered)
        reasons |= {"exact-duplicate": counts.exact_duplicates, "near-duplicate": counts.near_duplicates,
                    "contaminated": counts.contaminated}  # fmt: skip
        for reason, number in reasons.items():
            assert counted[source, reason] == min(3, number), (source, reason)
    assert all(sample.text for sample in samples)
    removed = [sample for sample in samples if sample.reason in ("near-duplicate", "contaminated")]
    assert removed and all(json.loads(sample.evidence) for sample in removed)


def test_page_card_and_datasheet_show_hostile_text_as_text(build: Path) -> None:
    page = (build / "index.html").read_text()
    assert "<script" not in page and "\u202e" not in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page
    for name in ("README.md", "DATASHEET.md"):
        words = (build / name).read_text()
        assert "<script" not in words and "[a](b)" not in words.replace("\\[a\\](b)", "")
    datasheet = (build / "DATASHEET.md").read_text()
    assert "### By language" in datasheet and "| beta | coq | 3 |" in datasheet


def test_build_without_texts_publishes_none_and_says_nothing_of_loading_them(build: Path) -> None:
    recipe = build.parent / "corpus" / "recipe.yml"
    before = recipe.read_text()
    recipe.write_text(before.replace("publish: {samples: 3}", "publish: {samples: 0, text: false}"))
    out = build.parent / "bare"
    assert main(["--recipe", str(recipe), "--out", str(out), "--workers", "1"]) == 0
    recipe.write_text(before)
    assert not (out / "text").exists() and (out / "samples.jsonl").read_text() == ""
    assert "load_dataset" not in (out / "README.md").read_text()


def test_samples_of_one_file_are_those_of_its_parts_put_together(tmp_path: Path) -> None:
    """However the documents are cut into files, the same ones are drawn."""
    documents = [make_document("s", f"d{i}", f"text {i}") for i in range(60)]

    def samples(name: str, part: list) -> list[Sample]:  # type: ignore[type-arg]
        folder = tmp_path / name
        folder.mkdir()
        read = pa.Table.from_batches([documents_batch(part)])
        kept = read.append_column("split", pa.array(["train"] * len(part)))
        dropped = pa.Table.from_batches([documents_batch(part[:5], ["too-short"] * len(part[:5]))])
        for file, table in (("kept", kept), ("read", read), ("dropped", dropped)):
            pq.write_table(table, folder / f"{file}.parquet")
        ids = pa.array([document.id for document in part], pa.binary(16))
        side = pa.table({"id": ids, "num_tokens": pa.array([3] * len(part), pa.int64())})
        with pa.OSFile(str(folder / "side.parquet"), "wb") as sink, pa.ipc.new_file(sink, side.schema) as writer:
            writer.write_table(side)
        pq.write_table(removed_schema().empty_table(), folder / "removed.parquet")
        names = ("kept", "read", "dropped", "removed", "side")
        inputs = tuple(InputFile(path=str(folder / f"{file}.parquet"), sha256="") for file in names)
        out = folder / "out"
        out.mkdir()
        params = {"text": False, "samples": 7, "seed": 5}
        describe.run(params, Task(inputs=inputs, args={"splits": ["train"]}), out)
        return list(read_lines(out / "samples.jsonl", Sample))

    parts = [samples("a", documents[:20]), samples("b", documents[20:33]), samples("c", documents[33:])]
    merged = merge_samples((sample for part in parts for sample in part if sample.reason is None), 7, 5)
    whole = [sample for sample in samples("whole", documents) if sample.reason is None]
    assert merged == whole
    lowest = sorted(documents, key=lambda document: draw(document.id, 5))[:7]
    assert [sample.id for sample in whole] == [document.hex_id for document in lowest]


@pytest.mark.parametrize(
    ("meta", "licence"),
    [
        ({"license": "MIT"}, "MIT"),
        ({"licenses": ["MIT", "Apache-2.0"]}, "Apache-2.0 / MIT"),
        ({"license": 3}, ""),
        ({"licence": ""}, ""),
        ({}, ""),
    ],
)
def test_licence_is_what_the_metadata_say(meta: dict[str, object], licence: str) -> None:
    assert licence_of(meta) == licence

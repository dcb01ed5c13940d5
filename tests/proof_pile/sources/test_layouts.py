"""Records of The Stack, of AlgebraicStack's crawl and of Proof-Pile-2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import jsonl, parquet
from proof_pile.sources.languages import language_named, language_of
from proof_pile.sources.layouts import file_language

STACK = {
    "hexsha": "ab12",
    "size": 11,
    "ext": "jl",
    "lang": "Julia",
    "max_stars_repo_path": "src/x.jl",
    "max_stars_repo_name": "owner/Thing.jl",
    "max_stars_repo_licenses": ["MIT"],
    "max_stars_count": 3.0,
    "max_forks_repo_name": "someone/else",
    "content": "f(x) = x\r\n",
}
NOTEBOOK = json.dumps(
    {"cells": [{"cell_type": "code", "source": ["from sympy import *"], "outputs": []}], "nbformat": 4}
)


def read_json(path: Path, records: list[Any], **settings: Any) -> list[Document | Quarantined]:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    config = jsonl.Config(kind="jsonl", path=str(path), **settings)
    return [r for file in jsonl.list_files(config, path.parent) for r in jsonl.read(config, file, "code")]


def one(tmp_path: Path, record: Any, name: str = "part.jsonl", **settings: Any) -> Document:
    (found,) = read_json(tmp_path / name, [record], **settings)
    assert isinstance(found, Document), found
    return found


@pytest.mark.parametrize("layout", ["the-stack", "auto"])
def test_row_of_the_stack_has_its_repository_path_language_and_licences(tmp_path: Path, layout: str) -> None:
    document = one(tmp_path, STACK, layout=layout, meta={"note": 1})
    assert (document.name, document.text) == ("owner/Thing.jl/src/x.jl", "f(x) = x\n")
    assert document.meta == {
        "language": "julia", "repo": "owner/Thing.jl", "path": "src/x.jl", "sha": "ab12", "ext": "jl",
        "licences": ["MIT"], "stars": 3.0, "note": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"lang": "C++"}, "cpp"),
        ({"lang": "Jupyter Notebook", "content": NOTEBOOK}, "jupyter"),
        ({"lang": None}, "julia"),
        ({"lang": None, "max_stars_repo_path": "x"}, "julia"),
        ({"lang": None, "max_stars_repo_path": "x", "ext": ""}, "lean"),
    ],
)
def test_language_follows_from_the_row_then_the_ending_then_the_file(
    tmp_path: Path, changes: dict[str, Any], wanted: str
) -> None:
    document = one(tmp_path, {**STACK, **changes}, "lean0001.jsonl", layout="the-stack")
    assert document.meta["language"] == wanted


def test_notebook_of_the_stack_becomes_markdown_and_keeps_what_its_json_held(tmp_path: Path) -> None:
    row = {**STACK, "lang": "Jupyter Notebook", "content": NOTEBOOK}
    document = one(tmp_path, row, layout="the-stack")
    assert document.text == "```python\nfrom sympy import *\n```\n"
    assert document.meta["raw_holds"] == ["from sympy"]
    (bad,) = read_json(tmp_path / "b.jsonl", [{**row, "content": '{"cells": 3'}], layout="the-stack")
    assert isinstance(bad, Quarantined) and bad.reason.startswith("invalid JSON")


def test_row_without_a_path_is_named_by_its_hash(tmp_path: Path) -> None:
    assert one(tmp_path, {"content": "x", "hexsha": "ff"}, layout="the-stack").name == "ff"


@pytest.mark.parametrize("layout", ["github", "auto", "proof-pile-2"])
def test_record_of_the_github_crawl_is_named_by_repository_and_path(tmp_path: Path, layout: str) -> None:
    folder = "repos/lean/a---proofs"
    meta = {"author": "a", "repo": "proofs", "sha": "77", "save_path": folder, "path": f"{folder}/src/x.lean"}
    document = one(tmp_path, {"text": "theorem", "meta": meta}, layout=layout)
    assert document.name == "a/proofs/src/x.lean"
    assert document.meta == {"language": "lean", "repo": "a/proofs", "path": "src/x.lean", "commit": "77"}


def test_record_of_proof_pile_2_may_have_its_meta_as_a_string(tmp_path: Path) -> None:
    meta = json.dumps({"max_stars_repo_name": "o/r", "max_stars_repo_path": "a.py", "lang": "Python", "num_tokens": 3})
    document = one(tmp_path, {"text": "import numpy", "meta": meta}, layout="auto")
    assert (document.name, document.meta["language"]) == ("o/r/a.py", "python")
    paper = one(tmp_path, {"text": "x", "meta": {"arxiv_id": "2101.1", "language": "en"}}, layout="proof-pile-2")
    assert paper.name == "2101.1"


def test_isabelle_proof_steps_under_proof_and_metadata_are_read(tmp_path: Path) -> None:
    """process_isabelle_proofsteps.py writes proof and metadata; AlgebraicStack has text and meta elsewhere."""
    record = {"proof": "[STATEMENT]\nlemma a", "metadata": {"file": "T", "length": 0}}
    document = one(tmp_path, record, "isa_proofsteps.jsonl", layout="auto")
    assert document.text == "[STATEMENT]\nlemma a" and document.meta["file"] == "T"


def test_page_in_a_numbered_file_has_no_language_that_the_file_s_name_would_tell(tmp_path: Path) -> None:
    """OpenWebMath's files in Proof-Pile-2 are called shard-0000, and all pages were in the language "shard"."""
    page = {"text": "Let $x$ be given.", "meta": json.dumps({"url": "http://a.org/b", "date": "2020"})}
    (document,) = read_json(tmp_path / "shard-0000.jsonl", [page], layout="auto")
    assert isinstance(document, Document)
    assert (document.name, document.meta) == ("http://a.org/b", {"url": "http://a.org/b", "date": "2020"})


def test_record_of_no_known_layout_is_read_by_the_keys_of_the_section(tmp_path: Path) -> None:
    assert one(tmp_path, {"body": "x", "id": 7}, layout="auto", text_key="body").name == "7"
    (bad,) = read_json(tmp_path / "b.jsonl", [{"content": 3}], layout="the-stack")
    assert isinstance(bad, Quarantined) and bad.reason == "no text under the key 'content'"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("algebraic-stack/train/lean0000.jsonl.zst", "lean"),
        ("algebraic-stack/train/jupyter-notebook0001.jsonl.zst", "jupyter"),
        ("data/cpp/train-00000-of-00012.parquet", "cpp"),
        ("lean-test.jsonl", "lean"),
        ("c-validation.jsonl", "c"),
        ("train/github-coq-train-0000.jsonl", "coq"),
        ("train/github-MATLAB-train-0001.jsonl.zst", "matlab"),
        ("lean_proofsteps.jsonl", "lean"),
        ("train/isa_proofsteps.jsonl", "isabelle"),
        ("data/fortran-free-form/data-00000.parquet", "fortran"),
        ("data/c++/x.parquet", "cpp"),
    ],
)
def test_file_of_a_collection_tells_its_language(name: str, wanted: str) -> None:
    assert file_language(name) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a/b.lagda.md", "agda"),
        ("README.md", "markdown"),
        ("x.F90", "fortran"),
        ("a.b/c", None),
        ("n.ipynb", "jupyter"),
    ],
)
def test_longer_ending_counts_before_the_shorter(name: str, wanted: str | None) -> None:
    assert language_of(name) == wanted
    assert language_named("Jupyter Notebook") == "jupyter"


# ---------------------------------------------------------------- Parquet of that form


def stack_table(texts: list[bytes]) -> pa.Table:
    content = pa.Array.from_buffers(
        pa.string(), len(texts), pa.array(texts, pa.binary()).buffers()
    )  # as a writer would that does not check
    names = [f"f{n}.lean" for n in range(len(texts))]
    return pa.table({"content": content, "max_stars_repo_path": names, "max_stars_repo_name": ["o/r"] * len(texts)})


def read_parquet(path: Path, **settings: Any) -> list[Document | Quarantined]:
    config = parquet.Config(kind="parquet", path=str(path), **settings)
    return [r for file in parquet.list_files(config, path.parent) for r in parquet.read(config, file, "code")]


def test_row_with_one_invalid_byte_is_quarantined_alone(tmp_path: Path) -> None:
    """datatrove lost a whole file of 100 documents to one invalid byte, and marked it complete."""
    texts = [b"theorem t%d" % n for n in range(100)]
    texts[41] = b"theorem \xff"
    pq.write_table(stack_table(texts), tmp_path / "p.parquet")
    records = read_parquet(tmp_path / "p.parquet", layout="the-stack")
    assert sum(isinstance(r, Document) for r in records) == 99
    (bad,) = [r for r in records if isinstance(r, Quarantined)]
    assert (bad.line, bad.reason) == (42, "invalid UTF-8 at byte 8")


def test_large_row_group_is_streamed_in_bounded_memory(tmp_path: Path) -> None:
    """The Stack's files hold row groups of many hundred megabytes; a reader that takes one whole holds all of it."""
    path = tmp_path / "p.parquet"
    num_rows, size = 600, 200_000
    pages = {"data_page_size": 1 << 20, "write_batch_size": 4}
    with pq.ParquetWriter(path, stack_table([b"x"]).schema, compression="zstd", **pages) as writer:
        texts = [(f"-- {n}\n".encode() * 40_000)[:size] for n in range(num_rows)]
        writer.write_table(stack_table(texts), row_group_size=num_rows)
    del texts
    before = pa.total_allocated_bytes()
    pa.default_memory_pool().release_unused()
    peak, count = 0, 0
    for record in read_parquet_lazily(path):
        count += 1
        peak = max(peak, pa.total_allocated_bytes() - before)
        assert isinstance(record, Document) and len(record.text) == size
    assert count == num_rows and num_rows * size == 120_000_000
    assert peak < 60_000_000


def read_parquet_lazily(path: Path) -> Any:
    config = parquet.Config(kind="parquet", path=str(path), layout="the-stack")
    for file in parquet.list_files(config, path.parent):
        yield from parquet.read(config, file, "code")


def test_more_than_a_shard_of_documents_is_read_to_the_end(tmp_path: Path) -> None:
    """process_github.py cut its shards at index * 50,000 of an index that was a multiple already: all after the first
    50,000 documents of a language were lost."""
    pq.write_table(pa.table({"text": [f"d{n}" for n in range(120_001)]}), tmp_path / "p.parquet", row_group_size=50_000)
    records = read_parquet(tmp_path / "p.parquet")
    assert len(records) == 120_001
    assert isinstance(records[-1], Document) and records[-1].text == "d120000"

"""The recipe of AlgebraicStack that ships, and a build of its form from repositories and proof steps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from proof_pile.build.cli import main
from proof_pile.build.recipe import load_recipe

SHIPPED = Path(__file__).parents[2] / "proof_pile" / "recipes" / "algebraic-stack.yml"
NUM_FILES = 60


def test_shipped_recipe_loads_and_has_all_languages_and_both_proof_steps() -> None:
    recipe = load_recipe(SHIPPED)
    kinds = {config.kind for source in recipe.sources for config in source.inputs}
    assert {"git", "hub", "lean-proof-steps", "isabelle-proof-steps"} <= kinds
    asked = [language for s in recipe.sources for c in s.inputs for language in getattr(c, "languages", None) or ()]
    assert len(asked) == len(set(asked)) == 17


def lean_file(number: int) -> str:
    return "".join(
        f"theorem t{number}_{k} (x : nat) : x + {k} * {number} = {number} * {k} + x := by simp\n\n" for k in range(30)
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a build from a repository of 63 files and a theory of proof steps, with shards of 4 kB."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("algebraic-stack")
    repository = root / "repositories" / "proofs"
    files = {f"src/f{n}.lean": lean_file(n) for n in range(NUM_FILES)}
    files["src/repeats.lean"] = ("-- " + "a" * 2044 + "\n") * 3 + lean_file(100)
    files["src/copy.lean"] = lean_file(7)
    files["src/test.lean"] = "".join(
        f"theorem secret_{n} : {n} = {n} :=\nrfl\n\n" for n in range(3)
    ) + lean_file(200)  # fmt: skip
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=repository, env=environment, check=True)
    names = [{"file_path": "src/test.lean", "full_name": f"secret_{n}"} for n in range(3)]
    (root / "names.json").write_text(json.dumps(names))
    steps = [["", "lemma a: True"], ["goal: True", "by simp"]]
    (root / "T.json").write_text(json.dumps({"translations": steps}))
    (root / "recipe.yml").write_text(
        "name: small\n"
        "sources:\n"
        "  - name: repositories\n"
        "    inputs: [{kind: git, path: repositories, languages: [lean]}]\n"
        "    filters:\n"
        "      - {kind: language-rules, preset: algebraic-stack}\n"
        "      - {kind: theorems, lean: [names.json]}\n"
        "  - name: steps\n"
        "    inputs: [{kind: isabelle-proof-steps, path: T.json}]\n"
        "deduplicate: {exact: true, near: null}\n"
        "split: {validation: 0.1, test: 0.1}\n"
        "tokenizer: {train: {vocab_size: 350}}\n"
        "mixture: {groups: {all: {share: 1, sources: {repositories: 1, steps: 1}}}}\n"
        "publish: {text: true}\n"
        "shard_bytes: 4096\n"
    )
    assert main(["--recipe", str(root / "recipe.yml"), "--out", str(root / "out"), "--workers", "1"]) == 0
    return root / "out"


def published(build: Path, source: str) -> dict[str, str]:
    files = sorted((build / "text" / source).glob("*.parquet"))
    return {row["name"]: row["text"] for file in files for row in pq.read_table(file).to_pylist()}


def test_document_that_repeats_itself_stays_and_a_copy_goes(build: Path) -> None:
    """process_github.py hashed pieces of 2,048 characters and dropped a document with one seen before, also in itself.

    So a file with two equal pieces was lost, although no other document is like it.  Copies are whole documents here.
    """
    removed = pq.read_table(build / "removed.parquet").to_pylist()
    copies = [(row["name"], row["reason"]) for row in removed]
    assert copies == [("proofs/src/f7.lean", "exact-duplicate")]  # of equal length, the smaller id stays
    kept = published(build, "repositories")
    assert "proofs/src/repeats.lean" in kept and kept["proofs/src/copy.lean"] == lean_file(7)


def test_documents_after_the_first_shard_are_all_there(build: Path) -> None:
    """process_github.py multiplied a shard's first number by its size twice: all after the first 50,000 were lost."""
    kept = published(build, "repositories")
    wanted = {f"proofs/src/f{n}.lean": lean_file(n) for n in range(NUM_FILES) if n != 7}
    assert {name: kept[name] for name in wanted} == wanted
    assert len(kept) == NUM_FILES + 2


def test_all_test_theorems_of_a_file_are_gone_and_the_others_are_not(build: Path) -> None:
    """process_github.py held one name for each file, so that only a file's last test theorem was removed."""
    assert published(build, "repositories")["proofs/src/test.lean"] == lean_file(200)


def test_isabelle_steps_are_published_as_text_beside_the_sources(build: Path) -> None:
    """process_isabelle_proofsteps.py wrote them under proof and metadata, which the corpus' loader does not read."""
    assert list(published(build, "steps").values()) == [
        "[STATEMENT]\nlemma a: True\n[PROOF STATE]\ngoal: True\n[PROOF STEP]\nby simp\n"
    ]

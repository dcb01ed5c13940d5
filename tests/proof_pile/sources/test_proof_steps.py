"""Proof steps of Lean and of Isabelle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proof_pile.documents import Document, Quarantined
from proof_pile.sources import isabelle_steps, lean_steps

STEPS = "[GOAL]\nx : ℕ\n⊢ x = x\n[PROOFSTEP]\nrfl\n[GOAL]\n⊢ True\n[PROOFSTEP]\ntrivial\n"


def block(declared: str, goal: str, tactic: str) -> str:
    fields = ["===\nMathlib.Logic", "12", declared, goal, "64:2-64:7", tactic, "no goals", ""]
    return "\n---\n".join(fields)


VERBOSE = block("theorem foo (x : ℕ) : x = x := by\n  ", "x : ℕ\n⊢ x = x", "rfl") + block(
    "lemma bar : True := by\n  ", "⊢ True", "trivial"
)


def read(module: Any, path: Path, **settings: Any) -> list[Document | Quarantined]:
    kind = "lean-proof-steps" if module is lean_steps else "isabelle-proof-steps"
    config = module.Config(kind=kind, path=str(path), **settings)
    return [r for file in module.list_files(config, path.parent) for r in module.read(config, file, "steps")]


@pytest.mark.parametrize("content", [STEPS, VERBOSE])
def test_both_forms_of_output_give_goal_and_step_under_text_and_meta(tmp_path: Path, content: str) -> None:
    (tmp_path / "Mathlib.Logic.Hydra.train").write_text(content)
    (document,) = read(lean_steps, tmp_path)
    assert isinstance(document, Document)
    assert document.text == STEPS
    assert document.name == "Mathlib.Logic.Hydra"
    assert document.meta == {
        "language": "lean", "format": "lean-proof-steps", "mathlib_filename": "Mathlib.Logic.Hydra", "num_steps": 2,
    }  # fmt: skip


def test_json_lines_of_proof_steps_keep_their_module_and_what_else_is_known(tmp_path: Path) -> None:
    record = {"text": STEPS, "meta": {"mathlib_filename": "Mathlib.Data.Nat", "llama_tokens": 40}}
    (tmp_path / "lean_proofsteps.jsonl").write_text(json.dumps(record) + "\n" + '{"text": "no steps"}\n')
    document, bad = read(lean_steps, tmp_path)
    assert isinstance(document, Document) and document.meta["llama_tokens"] == 40
    assert document.name == "Mathlib.Data.Nat" and document.meta["num_steps"] == 2
    assert isinstance(bad, Quarantined) and "holds no proof steps" in bad.reason


def test_steps_of_a_test_theorem_are_left_out_where_the_output_names_it(tmp_path: Path) -> None:
    (tmp_path / "M.txt").write_text(VERBOSE)
    (document,) = read(lean_steps, tmp_path, without=("Nat.foo",))
    assert isinstance(document, Document) and "rfl" not in document.text and "trivial" in document.text


def test_module_without_a_tactic_is_no_document_and_no_fault(tmp_path: Path) -> None:
    (tmp_path / "M.train").write_text("")
    assert read(lean_steps, tmp_path) == []


TRANSLATIONS = [
    ["", "theory T imports Main begin"],
    ["", 'lemma foo: "x = (x::nat)"'],
    ["proof (prove)\ngoal: x = x", "by simp"],
    ["", 'definition "a = 1"'],
    ["", "theorem bar:\n  shows True"],
    ["goal: True", "proof -"],
    ["state", "qed"],
    ["", 'lemma "True"'],
]


def test_each_lemma_becomes_a_document_in_the_published_form(tmp_path: Path) -> None:
    (tmp_path / "2022-12-06_thys_Abc_T.thy_output.json").write_text(json.dumps({"translations": TRANSLATIONS}))
    first, second = read(isabelle_steps, tmp_path)
    assert isinstance(first, Document) and isinstance(second, Document)
    assert first.text == (
        '[STATEMENT]\nlemma foo: "x = (x::nat)"\n[PROOF STATE]\nproof (prove)\ngoal: x = x\n[PROOF STEP]\nby simp\n'
    )
    assert first.meta == {"language": "isabelle", "format": "isabelle-proof-steps", "file": "Abc_T", "length": 1}
    assert second.meta["length"] == 2 and second.name == "Abc_T:theorem bar: shows True"


def test_two_lemmas_with_one_heading_are_two_documents(tmp_path: Path) -> None:
    steps = [["", "lemma a: True"], ["g", "by simp"]] * 2
    (tmp_path / "T.json").write_text(json.dumps({"translations": steps}))
    records = read(isabelle_steps, tmp_path)
    assert len({r.id for r in records if isinstance(r, Document)}) == 2


def test_damaged_extraction_loses_only_what_is_damaged(tmp_path: Path) -> None:
    steps = [["", "lemma a: True"], ["g", 7], ["", "lemma b: True"], ["g", "by simp"]]
    (tmp_path / "a.json").write_text(json.dumps({"translations": steps}))
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_text("[]")
    records = read(isabelle_steps, tmp_path)
    assert [r.name for r in records if isinstance(r, Document)] == ["a:lemma b: True"]
    reasons = [r.reason.split(":")[0] for r in records if isinstance(r, Quarantined)]
    assert reasons == ["a step is no pair of texts", "invalid JSON", "no list under the key 'translations'"]

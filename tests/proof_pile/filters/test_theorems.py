"""Theorems of provers' test sets leave sources and proof steps, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llemma.core.errors import InputError
from proof_pile.documents import make_document
from proof_pile.filters import Drop, Keep
from proof_pile.filters.theorems import Config, isabelle_heading, lean_test_spans, load_theorems, make

LEAN = """import order.basic

namespace nat

/-- Twice two. -/
@[simp]
theorem two_mul_two : 2 * 2 = 4 :=
begin
  norm_num,

  done
end

lemma two_mul_two' : 2 * 2 = 4 := rfl

section
theorem kept (n : ℕ) : n = n := rfl
end

end nat

theorem two_mul_two : 2 * 2 = 4 := rfl

namespace A.B
protected theorem _root_.last {α} (a : α) : a = a := rfl

lemma symm_inv.{u} : true := trivial

end A.B
"""


def lean_list(path: Path, *records: tuple[str, str]) -> str:
    path.write_text(json.dumps([{"file_path": file, "full_name": name, "url": ""} for file, name in records]))
    return str(path)


def judge(text: str, language: str, path: str = "mathlib/src/a.lean", **settings: Any) -> Any:
    meta = {"language": language, "path": path}
    return make(Config(kind="theorems", **settings))(make_document("code", path, text, meta))


def test_every_theorem_of_a_file_is_removed_and_not_the_last_alone(tmp_path: Path) -> None:
    """process_github.py kept its names in a dictionary from file to name: of a file's test theorems the last one won.

    All others stayed in the training text.
    """
    names = lean_list(tmp_path / "t.json", ("src/a.lean", "nat.two_mul_two"), ("src/a.lean", "A.B.symm_inv"))
    verdict = judge(LEAN, "lean", lean=(names,))
    assert isinstance(verdict, Keep)
    text = verdict.document.text
    assert verdict.document.meta["test_theorems"] == 2
    assert "theorem two_mul_two : 2 * 2 = 4 :=\nbegin" not in text and "symm_inv" not in text
    assert "Twice two" not in text and "@[simp]" not in text and "norm_num" not in text


def test_removal_ends_at_the_proof_and_spares_names_that_only_begin_alike(tmp_path: Path) -> None:
    """The original cut at the first blank line, which may stand inside of a proof, and left names without a dot in."""
    names = lean_list(tmp_path / "t.json", ("src/a.lean", "nat.two_mul_two"))
    text = judge(LEAN, "lean", lean=(names,)).document.text
    assert "lemma two_mul_two' : 2 * 2 = 4 := rfl" in text
    assert "end nat\n\ntheorem two_mul_two : 2 * 2 = 4 := rfl" in text  # another one, outside of the namespace
    assert "\n  done" not in text


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("nat.kept", "theorem kept"),
        ("last", "protected theorem _root_.last"),
        ("two_mul_two", "theorem two_mul_two : 2 * 2 = 4 := rfl"),
        ("A.B.symm_inv", "lemma symm_inv.{u}"),
        ("absent.kept", "theorem kept"),  # in no namespace that the file opens: what could be it goes
        ("nat.missing", None),
    ],
)
def test_lean_name_is_followed_through_namespaces(name: str, beginning: str | None) -> None:
    spans = list(lean_test_spans(LEAN, {name}))
    found = LEAN[spans[0][0] :] if spans else None
    assert (found is None) if beginning is None else (found is not None and found.startswith(beginning))


def test_section_with_a_comment_behind_it_does_not_hide_the_namespaces_after_it() -> None:
    """mathlib's category_theory/types.lean: "section -- We verify ..." was a section called "--", never closed."""
    text = "namespace a\nsection -- why\nend\nend a\nnamespace b\ntheorem x : true := trivial\nend b\n"
    assert len(lean_test_spans(text, {"b.x"})) == 1
    prose = "/-!\nnamespace so, that a\n-/\ntheorem x : true := trivial\ntheorem y : true := trivial\n"
    assert [prose[a:b] for a, b in lean_test_spans(prose, {"x"})] == [prose[: prose.index("theorem y")]]


def test_lean_theorem_in_another_file_stays(tmp_path: Path) -> None:
    names = lean_list(tmp_path / "t.json", ("src/other/a.lean", "nat.kept"))
    assert judge(LEAN, "lean", lean=(names,)).document.text == LEAN
    assert "theorem kept" not in judge(LEAN, "lean", path="x/src/other/a.lean", lean=(names,)).document.text


def test_folder_of_leandojo_gives_its_test_splits_alone(tmp_path: Path) -> None:
    folder = tmp_path / "random"
    folder.mkdir()
    for split, name in (("train", "nat.kept"), ("val", "nat.two_mul_two"), ("test", "A.B.symm_inv")):
        lean_list(folder / f"{split}.json", ("src/a.lean", name))
    found = load_theorems([str(folder)], [])
    assert found.lean == {"src/a.lean": {"nat.two_mul_two", "A.B.symm_inv"}}


THY = """theory T imports Main begin

lemma foo: "x = (x::nat)"
proof -
  show ?thesis

  by simp
qed

lemma foobar: "True" by simp

lemma "1 + 1 = (2::nat)"
  by simp

theorem bar [simp]:
  fixes x :: nat
  shows "x \\<ge> 0"
  by auto

end
"""


def pisa(folder: Path, *statements: str) -> str:
    folder.mkdir(exist_ok=True)
    for number, statement in enumerate(statements):
        (folder / f"{number}.json").write_text(json.dumps([["/afp/thys/T.thy", statement]]))
    return str(folder)


def test_isabelle_theorems_go_by_heading_or_by_statement(tmp_path: Path) -> None:
    tests = pisa(tmp_path / "p", 'lemma foo: "x = (x::nat)"', 'lemma "1 + 1 = (2::nat)"', "theorem bar[simp]: x")
    verdict = judge(THY, "isabelle", isabelle=(tests,))
    assert isinstance(verdict, Keep)
    assert "lemma foo:" not in verdict.document.text and "qed" not in verdict.document.text
    assert "1 + 1" not in verdict.document.text
    assert 'lemma foobar: "True" by simp' in verdict.document.text
    assert verdict.document.text.rstrip().endswith("end")


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ('lemma foo: "a"', ("lemma foo", True)),
        ("lemma (in group)\n  foo [simp]: \\<open>a\\<close>", ("lemma (in group) foo [simp]", True)),
        ('lemma "x = (x::nat)"', ('lemma "x = (x::nat)"', False)),
        ('lemma fixes x :: nat shows "x = x"', ('lemma fixes x :: nat shows "x = x"', False)),
    ],
)
def test_isabelle_heading_is_what_stands_before_the_colon(statement: str, wanted: tuple[str, bool]) -> None:
    assert isabelle_heading(statement) == wanted


def test_proof_steps_that_hold_a_test_statement_are_dropped(tmp_path: Path) -> None:
    tests = pisa(tmp_path / "p", 'lemma foo: "x = x"')
    ask = make(Config(kind="theorems", isabelle=(tests,)))
    meta = {"language": "isabelle", "format": "isabelle-proof-steps"}
    assert ask(make_document("s", "a", '[STATEMENT]\nlemma foo: "x = x"\n[PROOF STATE]', meta)) == Drop("test-theorem")
    assert isinstance(ask(make_document("s", "b", '[STATEMENT]\nlemma foo: "x = y"', meta)), Keep)


def test_file_of_test_theorems_alone_is_dropped() -> None:
    verdict = judge("theorem a : true :=\ntrivial\n", "lean", names=("a",))
    assert verdict == Drop("only-test-theorems")


def test_blank_lines_close_up_where_a_theorem_was_and_stay_elsewhere() -> None:
    """All blank lines of the file were squeezed, and a file that began with a test theorem began with blank lines."""
    theorem = "theorem a : true :=\ntrivial\n"
    kept = "lemma b : true := trivial\n"
    text = f"{theorem}\n\n{kept}\n\n\n{kept}\n{theorem.replace(' a ', ' c ')}\n{kept}"
    verdict = judge(text, "lean", names=("a", "c"))
    assert verdict.document.text == f"{kept}\n\n\n{kept}\n{kept}"


def test_settled_section_changes_with_what_its_lists_hold(tmp_path: Path) -> None:
    lean_list(tmp_path / "t.json", ("a.lean", "x"))
    first = Config(kind="theorems", lean=("t.json",)).settled(tmp_path)
    assert first.lean == (str(tmp_path / "t.json"),) and len(first.hashes) == 1
    lean_list(tmp_path / "t.json", ("a.lean", "y"))
    assert Config(kind="theorems", lean=("t.json",)).settled(tmp_path) != first


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "["])
def test_list_of_another_form_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(InputError, match=r"t\.json"):
        load_theorems([str(tmp_path / "t.json")], [])
    with pytest.raises(InputError, match="no such file"):
        load_theorems([str(tmp_path / "absent.json")], [])

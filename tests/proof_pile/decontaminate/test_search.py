"""Planted benchmark texts are found with their evidence, and nothing else is."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from llemma.core.steps import InputFile, Task
from proof_pile.documents import documents_batch, make_document

WORDS = ["".join(letters) for letters in itertools.product("bdklmnprst", "aeiou", "bdklmnpr")]
LONG = (
    "A farmer plants seventeen rows of apple trees with twenty three trees in each row and then removes every fifth "
    "tree from the whole orchard. How many trees remain?"
)
PARAMS = {
    "ngram": 13,
    "min_words": 5,
    "overlap": [20, 30],
    "action": dict.fromkeys(("problem", "solution", "formal"), "remove-document"),
}
Found = dict[str, dict[str, Any]]


def filler(seed: int, count: int = 40) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(count))


@pytest.fixture
def search(run_step: Callable[..., Any], tmp_path: Path) -> Callable[..., tuple[Found, dict[str, int]]]:
    """Evidence by name of the document, and the counts of the index, for documents against benchmark items."""

    def run(items: list[tuple[str, str]], documents: dict[str, str], **changed: Any) -> tuple[Found, dict[str, int]]:
        params = {**PARAMS, **changed}
        benchmark = tmp_path / "benchmark.jsonl"
        lines = [
            {"benchmark": "b", "id": id_.split(":")[0], "part": [*id_.split(":"), "problem"][1], "text": text}
            for id_, text in items
        ]
        benchmark.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        path = tmp_path / "documents.parquet"
        batch = documents_batch([make_document("s", name, text) for name, text in documents.items()])
        pq.write_table(pa.Table.from_batches([batch]), path, row_group_size=3)
        [index] = run_step(
            tmp_path, "proof_pile.decontaminate.index:run", [Task(inputs=(as_input(benchmark),))], **params
        )
        names = ("items.parquet", "ngrams.parquet", "short.parquet", "overlap.parquet")
        inputs = (as_input(path), *(index.output(name).as_input() for name in names))
        [record] = run_step(tmp_path, "proof_pile.decontaminate.search:run", [Task(inputs=inputs)], **params)
        marks = pq.read_table(record.output("marks.parquet").path).to_pylist()
        rows = list(documents)
        assert [mark["row"] for mark in marks] == sorted(mark["row"] for mark in marks)
        marks += pq.read_table(record.output("reported.parquet").path).to_pylist()
        for kind in ("contaminated", "contaminated-span", "contaminated-reported"):
            assert record.counts[kind] == sum(mark["kind"] == kind for mark in marks)
        found = {rows[mark["row"]]: {**json.loads(mark["evidence"]), "kind": mark["kind"]} for mark in marks}
        return found, index.counts

    return run


def as_input(path: Path) -> InputFile:
    return InputFile(path=str(path), sha256=sha256_file(path))


def planted(text: str, seed: int = 1) -> str:
    return f"{filler(seed)} {text} {filler(seed + 1000)}"


def test_long_item_is_found_by_thirteen_words_in_a_row_and_not_by_twelve(search: Callable[..., Any]) -> None:
    words = LONG.split()
    documents = {
        "whole": planted(LONG),
        "thirteen": planted(" ".join(words[4:17])),
        "twelve": planted(" ".join(words[4:16])),
        "clean": filler(3),
    }
    found, _ = search([("apple", LONG)], documents)
    assert set(found) == {"whole", "thirteen"}
    assert found["thirteen"]["items"][0]["words"] == 13
    assert found["thirteen"]["items"][0]["text"] == " ".join(words[4:17])
    begin, end = found["whole"]["items"][0]["bytes"]
    assert documents["whole"].encode()[begin:end].decode() == LONG.removesuffix("?")
    assert found["thirteen"]["items"][0]["word"] == 4
    assert found["whole"]["items"][0] | {"text": "", "bytes": []} == {
        "benchmark": "b", "id": "apple", "part": "problem", "rule": "ngram", "words": len(words), "word": 0,
        "bytes": [], "text": "",
    }  # fmt: skip


def test_long_item_in_other_typography_is_found(search: Callable[..., Any]) -> None:
    changed = LONG.upper().replace(" ", "\n  ").replace("TREES", "$\\textit{TREES}$".replace("\\textit", ""))
    found, _ = search([("apple", LONG)], {"changed": planted(changed)})
    assert set(found) == {"changed"}


def test_short_item_is_found_as_a_whole_only(search: Callable[..., Any]) -> None:
    documents = {
        "whole": planted("compute $17+4*9$ for zed"),
        "part": planted("Compute 17 + 4 * 9 for"),
        "other sign": planted("Compute 17 - 4 * 9 for Zed."),
        "at the start": "Compute 17 + 4 * 9 for Zed. " + filler(1),
        "at the end": filler(1) + " Compute 17 + 4 * 9 for Zed",
        "alone": "Compute 17 + 4 * 9 for Zed.",
        "too short a document": "9 for Zed",
    }
    found, counts = search([("sum", "Compute 17 + 4 * 9 for Zed.")], documents)
    assert set(found) == {"whole", "at the start", "at the end", "alone"}
    assert found["whole"]["items"][0]["rule"] == "whole"
    assert found["whole"]["items"][0]["text"] == "compute $17+4*9$ for zed"
    assert counts["whole"] == 1


def test_short_item_across_two_documents_is_not_found(search: Callable[..., Any]) -> None:
    """The words of a batch lie in one array: a match must not reach over the end of a document."""
    found, _ = search([("sum", "one two three four five 6")], {"a": "zero one two", "b": "three four five 6 seven"})
    assert found == {}


def test_item_of_too_few_words_is_counted_and_not_looked_for(search: Callable[..., Any]) -> None:
    found, counts = search([("x", "What is x?"), ("apple", LONG)], {"d": planted("What is x?")})
    assert found == {}
    assert (counts["items"], counts["too_short"], counts["ngram"]) == (2, 1, 1)


def test_phrase_of_a_few_words_without_a_number_is_not_looked_for(search: Callable[..., Any]) -> None:
    items = [
        ("phrase", "Which of the following is true?"),
        ("sentence", "Show that no odd square leaves rest three by four."),
    ]
    found, counts = search(items, {"book": planted("Which of the following is true?"), "copy": planted(items[1][1])})
    assert set(found) == {"copy"}
    assert (counts["whole"], counts["too_short"]) == (1, 1)


def test_number_lists_are_evidence_only_as_a_whole_item(search: Callable[..., Any]) -> None:
    """Thirteen numbers in a row stand in documents that know no benchmark."""
    numbers = " ".join(str(number) for number in range(1, 30))
    documents = {"a table": planted(" ".join(str(n) for n in range(1, 21))), "the item": planted("Sum: " + numbers)}
    found, _ = search([("list", "Sum: " + numbers)], documents)
    assert set(found) == {"the item"}


def test_document_with_many_items_names_the_longest_and_their_number(search: Callable[..., Any]) -> None:
    items = [(f"i{number}", filler(100 + number, 20 + number)) for number in range(8)]
    found, _ = search(items, {"copy": planted(" \n ".join(text for _, text in items))})
    assert found["copy"]["num_items"] == 8
    assert [item["id"] for item in found["copy"]["items"]] == ["i7", "i6", "i5", "i4", "i3"]


def test_item_twice_in_a_document_is_one_match_of_its_longest_part(search: Callable[..., Any]) -> None:
    words = LONG.split()
    text = " ".join(words[:15]) + " " + filler(5) + " " + " ".join(words[:20])
    found, _ = search([("apple", LONG)], {"d": text})
    assert found["d"]["num_items"] == 1
    assert found["d"]["items"][0]["words"] == 20


def test_search_agrees_with_a_slow_search_over_random_texts(search: Callable[..., Any]) -> None:
    draw = random.Random(11)
    items = [(f"i{number}", filler(number, draw.randrange(13, 40))) for number in range(20)]
    documents = {}
    for number in range(60):
        words = filler(5000 + number, 30).split()
        source = draw.choice(items)[1].split()
        length = draw.randrange(5, len(source) + 1)
        start = draw.randrange(len(source) - length + 1)
        documents[f"d{number}"] = " ".join(words[:15] + source[start : start + length] + words[15:])
    grams = {tuple(text.split()[i : i + 13]) for _, text in items for i in range(len(text.split()) - 12)}
    expected = {
        name
        for name, text in documents.items()
        if any(tuple(text.split()[i : i + 13]) in grams for i in range(len(text.split()) - 12))
    }
    assert 10 < len(expected) < 60
    assert set(search(items, documents)[0]) == expected


def test_benchmark_without_items_is_refused(search: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="no benchmark text"):
        search([], {"d": "text"})


def test_benchmark_with_a_broken_line_names_the_line(run_step: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "benchmark.jsonl"
    path.write_text('{"benchmark": "b", "id": "1", "part": "problem", "text": "t"}\n{"benchmark": "b"}\n')
    with pytest.raises(InputError, match=r"benchmark\.jsonl:2: "):
        run_step(tmp_path, "proof_pile.decontaminate.index:run", [Task(inputs=(as_input(path),))], **PARAMS)


def test_action_is_that_of_the_part_and_the_strongest_where_there_are_several(search: Callable[..., Any]) -> None:
    problem, solution, formal = LONG, filler(70), filler(71)
    items = [("i:problem", problem), ("i:solution", solution), ("i:formal", formal)]
    documents = {
        "problem": planted(problem),
        "solution": planted(solution) + "\n\n" + filler(9, 200),
        "formal": planted(formal),
        "solution and formal": f"{filler(1, 200)}\n\n{solution}\n\n{filler(2, 200)} {formal}",
        "problem and solution": problem + solution,
    }
    action = {"problem": "remove-document", "solution": "remove-span", "formal": "report"}
    found, _ = search(items, documents, action=action)
    assert {name: evidence["kind"] for name, evidence in found.items()} == {
        "problem": "contaminated",
        "solution": "contaminated-span",
        "formal": "contaminated-reported",
        "solution and formal": "contaminated-span",
        "problem and solution": "contaminated",
    }
    [span] = found["solution and formal"]["spans"]
    text = documents["solution and formal"].encode()
    assert text[: span[0]] + text[span[1] :] == f"{filler(1, 200)}\n\n{filler(2, 200)} {formal}".encode()


def test_document_of_which_little_would_be_left_goes_as_a_whole(search: Callable[..., Any]) -> None:
    action = dict.fromkeys(("problem", "solution", "formal"), "remove-span")
    found, _ = search([("i", LONG)], {"copy": "Title\n\n" + LONG}, action=action)
    assert found["copy"]["kind"] == "contaminated"
    assert "little" in found["copy"]["because"]


def test_document_longer_than_a_block_of_words_is_searched_over_the_seams(
    search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words pass through a block of fixed size: a match must be found wherever the seam between two blocks falls."""
    monkeypatch.setattr("proof_pile.decontaminate.lookup.BLOCK_WORDS", 1)
    short = "Compute 17 + 4 * 9 for zed"
    documents = {str(number): f"{filler(1, number)} {LONG} {filler(2, number)} {short}" for number in range(0, 200, 3)}
    found, _ = search([("long", LONG), ("short", short)], documents)
    assert set(found) == set(documents)
    assert {evidence["num_items"] for evidence in found.values()} == {2}
    assert {evidence["items"][0]["words"] for evidence in found.values()} == {len(LONG.split())}


def test_document_with_too_many_places_is_cut_short_and_goes(
    search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a benchmark holds more places than any quote: memory stays bounded, and it is marked all the same."""
    monkeypatch.setattr("proof_pile.decontaminate.lookup.MAX_HITS", 40)
    action = dict.fromkeys(("problem", "solution", "formal"), "remove-span")
    clean = "\n\n".join(filler(seed, 60) for seed in range(50, 60))
    documents = {
        "one quote": f"{clean}\n\n{LONG}\n\n{clean}",
        "a copy": f"{clean}\n\n{LONG} {LONG} {LONG} {LONG}",
        "another quote": f"{LONG}\n\n{clean}",
    }
    found, _ = search([("i", LONG)], documents, action=action)
    kinds = {name: evidence["kind"] for name, evidence in found.items()}
    assert kinds == {"one quote": "contaminated-span", "a copy": "contaminated", "another quote": "contaminated-span"}


def test_copy_of_a_benchmark_names_every_item(search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of all of MATH filled the places with its first items: the report said that a third of it was found."""
    monkeypatch.setattr("proof_pile.decontaminate.lookup.MAX_HITS", 40)
    monkeypatch.setattr("proof_pile.decontaminate.search.PIECE_BYTES", 700)
    monkeypatch.setattr("proof_pile.decontaminate.search.PIECE_OVERLAP_BYTES", 300)
    items = [(f"i{number}", filler(100 + number, 20)) for number in range(30)]
    found, _ = search(items, {"copy": "é\n".join(text for _, text in items), "clean": filler(7)})
    assert found["copy"]["num_items"] == 30
    assert found["copy"]["items"][0]["words"] == 20


def test_phrase_of_many_items_is_no_evidence(search: Callable[..., Any]) -> None:
    """MATH asks "enter your answer in the form (r, theta) where ..." often: training problems went for it."""
    phrase = " ".join(WORDS[:20])
    items = [(f"i{number}", f"{filler(500 + number, 20)} {phrase}") for number in range(4)]
    documents = {"phrase": planted(phrase), "item": planted(items[2][1]), "both": planted(items[3][1][-300:])}
    assert set(search(items, documents)[0]) == {"item", "both"}
    assert set(search(items[:3], documents)[0]) == {"phrase", "item", "both"}
    # An item that is nothing but the phrase is found as a whole; the forms of one item are not many.
    assert set(search([*items, ("only", phrase)], {"phrase": planted(phrase)})[0]) == {"phrase"}
    forms = [("i", f"{phrase} {number}") for number in range(9)]
    assert set(search(forms, {"phrase": planted(phrase)})[0]) == {"phrase"}


def test_code_of_a_drawing_is_no_evidence(search: Callable[..., Any]) -> None:
    """Labels of a triangle in Asymptote stand in every document with a figure, thirteen words in a row."""
    drawing = '[asy]\ndraw(A--B--C--cycle);\nlabel("$A$", A, NW);\nlabel("$B$", B, SW);\nlabel("$C$", C, SE);\n[/asy]'
    documents = {"figure": planted(drawing), "item": planted(LONG), "short": planted(f"Find {drawing} now")}
    items = [("long", f"{LONG}\n{drawing}\nSay why."), ("short", f"Find {drawing} now")]
    assert set(search(items, documents)[0]) == {"item", "short"}


def test_forms_of_one_text_are_one_item(search: Callable[..., Any]) -> None:
    """A solution with calculator notes and without: found in either form, and counted once."""
    forms = [("i:solution", LONG + " <<3+4=7>> so seven"), ("i:solution", LONG + " so seven")]
    found, counts = search(forms, {"a": planted(forms[0][1]), "b": planted(forms[1][1])})
    assert set(found) == {"a", "b"}
    assert (counts["items"], found["a"]["num_items"], found["b"]["num_items"]) == (1, 1, 1)


def test_problem_in_latex_is_found_typed_plainly(search: Callable[..., Any]) -> None:
    items = [
        (
            "long",
            r"Let $f(x)=\frac{x^2}{3}$ for all real $x \ge 0$. What is the sum of $f(1)$ and $f\left(\frac12\right)$?",
        ),
        ("short", r"Compute $\sqrt{16}\cdot\frac{3}{4}$ now."),
    ]
    documents = {
        "long": planted("let f(x) = x²/3 for all real x ≥ 0. What is the sum of f(1) and f(1/2)?"),
        "short": planted("Compute √16 · 3/4 now."),
        "other": planted("Compute √16 · 4/3 now."),
    }
    assert set(search(items, documents)[0]) == {"long", "short"}


def test_run_of_one_word_over_and_over_is_no_evidence(search: Callable[..., Any]) -> None:
    """True/false tables of multiple choice hold one lettered word thirteen times; that word alone tells nothing."""
    table = "true " * 40
    found, _ = search([("table", "Fill in: " + table)], {"d": planted(table)})
    assert found == {}


def test_same_documents_give_the_same_marks_in_any_batching(
    search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [(f"i{number}", filler(100 + number, 20)) for number in range(12)]
    documents = {str(number): planted(items[number % 12][1], number) for number in range(30)}
    whole, _ = search(items, documents)
    monkeypatch.setattr("proof_pile.decontaminate.lookup.MAX_HITS", 20)
    assert search(items, documents)[0] == whole

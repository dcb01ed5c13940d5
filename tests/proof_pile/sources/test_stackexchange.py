"""Questions and answers of a data dump: together, in the right order, and whatever one line holds the rest is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import list_files, read, stackexchange
from proof_pile.sources.stackexchange import Config

QUOTED = {'"': "&quot;", "\n": "&#xA;"}


def row(**attributes: Any) -> str:
    return "  <row " + " ".join(f'{name}="{escape(str(value), QUOTED)}"' for name, value in attributes.items()) + " />"


def question(id_: int, title: str = "A title", body: str = "<p>A question</p>", **others: Any) -> str:
    return row(Id=id_, PostTypeId=1, Score=3, Body=body, Title=title, Tags="<algebra><rings>", **others)


def answer(id_: int, parent: int, score: int, body: str) -> str:
    return row(Id=id_, PostTypeId=2, ParentId=parent, Score=score, Body=f"<p>{body}</p>")


def dump(folder: Path, lines: list[str], site: str = "math.stackexchange.com") -> Path:
    path = folder / site / "Posts.xml"
    path.parent.mkdir(parents=True)
    text = '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + "\n".join(lines) + "\n</posts>"
    path.write_text("\ufeff" + text, encoding="utf-8")
    return path


def documents(folder: Path, **settings: Any) -> tuple[list[Document], list[Quarantined]]:
    config = Config(kind="stackexchange", path=str(folder), **settings)
    records = [record for file in list_files(config, folder) for record in read(config, file, "se")]
    kept = [record for record in records if isinstance(record, Document)]
    return kept, [record for record in records if isinstance(record, Quarantined)]


def test_answers_stand_in_order_of_their_scores_as_numbers(tmp_path: Path) -> None:
    """RedPajama sorted the scores as strings: "9" came before "10" and "100", and "-1" before "1"."""
    scores = [9, 100, -1, 10, 2, 0]
    dump(tmp_path, [question(1), *(answer(10 + n, 1, score, f"score {score}") for n, score in enumerate(scores))])
    [document], _ = documents(tmp_path)
    assert document.meta["answer_scores"] == [100, 10, 9, 2, 0, -1]
    places = [document.text.index(f"A: score {score}") for score in sorted(scores, reverse=True)]
    assert places == sorted(places)


def test_document_has_the_published_form_and_keeps_equations(tmp_path: Path) -> None:
    body = '<p>Is <span class="math-container">$a < b$</span> &amp; so on?</p>\n\n<ul><li>one</li><li>two</li></ul>'
    body = body.replace("a < b", "a &lt; b")
    dump(tmp_path, [question(7, "Why is $a<b$?", body), answer(8, 7, 1, "Because <code>x$y</code>.")])
    [document], _ = documents(tmp_path)
    assert document.text == "Q: Why is $a<b$?\n\nIs $a < b$ & so on?\n\n- one\n- two\n\nA: Because `x$y`.\n"
    assert document.name == "https://math.stackexchange.com/questions/7"
    assert document.meta["tags"] == ["algebra", "rings"]
    assert document.meta["question_score"] == 3


def test_question_without_answers_stays_and_other_posts_go(tmp_path: Path) -> None:
    dump(tmp_path, [question(1), row(Id=2, PostTypeId=5, Score=0, Body="about a tag"), answer(4, 3, 1, "orphan")])
    kept, bad = documents(tmp_path)
    assert [document.text.split("\n")[0] for document in kept] == ["Q: A title"]
    assert [(record.member, "not in the file" in record.reason) for record in bad] == [("post 4", True)]


def test_answer_before_its_question_is_found(tmp_path: Path) -> None:
    dump(tmp_path, [answer(4, 9, 1, "early"), question(9)])
    [document], _ = documents(tmp_path)
    assert "A: early" in document.text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('<row Id="2" PostTypeId="1" Body="&evil;" Title="x" />', "none of XML's own"),
        ('<row Id="2" PostTypeId="1" Body="a', "not a <row"),
        ('<row Id="two" PostTypeId="1" Body="b" />', "Id is not a number"),
        ('<row Id="2" PostTypeId="2" Body="b" />', "ParentId is missing"),
        ('<!DOCTYPE posts [<!ENTITY evil SYSTEM "file:///etc/passwd">]>', "not a <row"),
    ],
)
def test_bad_line_is_set_aside_alone(line: str, reason: str, tmp_path: Path) -> None:
    dump(tmp_path, [question(1), line, question(3)])
    kept, [bad] = documents(tmp_path)
    assert [document.name.rpartition("/")[2] for document in kept] == ["1", "3"]
    assert bad.line == 4
    assert reason in bad.reason


def test_entities_that_the_file_declares_are_not_followed(tmp_path: Path) -> None:
    lines = ['<!ENTITY a "aaaaaaaaaa">', '<!ENTITY b "&a;&a;&a;&a;&a;">', question(1), '<row Id="5" Body="&b;"']
    dump(tmp_path, lines)
    kept, bad = documents(tmp_path)
    assert len(kept) == 1
    assert len(bad) == 3


def test_line_without_end_is_bounded(tmp_path: Path) -> None:
    dump(tmp_path, [question(1), question(2, body="x" * 5000), question(3)])
    kept, [bad] = documents(tmp_path, max_line_bytes=2000)
    assert len(kept) == 2
    assert "longer than 2000 bytes" in bad.reason


def test_invalid_utf8_spoils_its_own_line_only(tmp_path: Path) -> None:
    path = dump(tmp_path, [question(1), question(2, body="SPOIL"), question(3)])
    path.write_bytes(path.read_bytes().replace(b"SPOIL", b"\xff\xfe"))
    kept, [bad] = documents(tmp_path)
    assert len(kept) == 2
    assert "utf-8" in bad.reason


def test_long_file_passes_through_temporary_files_and_gives_the_same_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [question(number, f"title {number}") for number in range(1, 60)]
    lines += [answer(1000 + n, 1 + n % 59, n % 7, f"answer {n}") for n in range(200)]
    dump(tmp_path, lines)
    whole, _ = documents(tmp_path)
    monkeypatch.setattr(stackexchange, "PART_BYTES", 2000)
    parts, _ = documents(tmp_path)
    assert [document.id for document in whole] != [document.id for document in parts]
    assert sorted(whole, key=lambda d: d.id) == sorted(parts, key=lambda d: d.id)


def test_fewer_answers_or_lower_scores_than_wanted_are_left_out(tmp_path: Path) -> None:
    dump(tmp_path, [question(1), answer(2, 1, 5, "good"), answer(3, 1, -2, "bad"), question(4), answer(5, 4, -1, "no")])
    kept, _ = documents(tmp_path, min_answers=1, min_answer_score=0)
    assert [document.meta["answer_scores"] for document in kept] == [[5]]


def test_sites_are_chosen_by_name_and_by_size(tmp_path: Path) -> None:
    dump(tmp_path, [question(1)], "small.stackexchange.com")
    dump(tmp_path, [question(n) for n in range(1, 9)], "stackoverflow.com")
    (tmp_path / "physics.stackexchange.com-Posts.xml").write_text("\n".join(question(n) for n in range(1, 4)))
    assert {d.meta["site"] for d in documents(tmp_path)[0]} == {
        "small.stackexchange.com", "stackoverflow.com", "physics.stackexchange.com",
    }  # fmt: skip
    assert {d.meta["site"] for d in documents(tmp_path, largest=2)[0]} == {
        "stackoverflow.com", "physics.stackexchange.com",
    }  # fmt: skip
    assert {d.meta["site"] for d in documents(tmp_path, sites=("stackoverflow.com",))[0]} == {"stackoverflow.com"}
    with pytest.raises(InputError, match="no posts of gaming"):
        documents(tmp_path, sites=("gaming.stackexchange.com",))


def test_dollars_are_formulas_only_where_the_site_sets_them(tmp_path: Path) -> None:
    body = "<p>It costs $5 and then $6 more.</p>"
    dump(tmp_path, [question(1, body=body)], "money.stackexchange.com")
    [document], _ = documents(tmp_path)
    assert r"\$5 and then \$6" in document.text


def test_redpajama_pairs_are_sorted_anew(tmp_path: Path) -> None:
    pair = {
        "question": {"id": "3", "text": "Title <p>Body</p>", "score": "4"},
        "answers": [{"id": "5", "text": "<p>nine</p>", "score": "9"}, {"id": "6", "text": "<p>ten</p>", "score": "10"}],
    }
    lines = [json.dumps(pair), json.dumps({"question": {"id": "4"}}), json.dumps([1])]
    (tmp_path / "math.stackexchange.com.jsonl").write_text("\n".join(lines) + "\n")
    [document], bad = documents(tmp_path)
    assert document.text.index("A: ten") < document.text.index("A: nine")
    assert document.meta["url"] == "https://math.stackexchange.com/questions/3"
    assert [record.line for record in bad] == [2, 3]

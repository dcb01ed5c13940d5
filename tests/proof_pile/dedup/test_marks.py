"""Which documents go as duplicates, and what is said of each: the stages of deduplication on small corpora."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proof_pile.documents import document_id

from .conftest import Corpus, random_words, similar, true_jaccard

THRESHOLD = 0.7
NEAR = {"threshold": THRESHOLD}
Make = Callable[..., Corpus]


def test_exact_duplicates_of_several_sources_leave_the_one_of_the_first_source(corpus: Make) -> None:
    text = " ".join(random_words(1, 50))
    sources = {"first": [[("p", "something"), ("q", text)]], "later": [[("x", text), ("y", "other text")]]}
    marks = corpus(sources, near=NEAR).marks()
    assert list(marks) == [(1, 0)]
    kind, evidence = marks[1, 0]
    assert kind == "exact-duplicate"
    assert (evidence["kept"]["source"], evidence["kept"]["name"]) == ("first", "q")


@pytest.mark.parametrize("near", [NEAR, None])
def test_exact_duplicates_with_the_same_id_leave_one(corpus: Make, near: Any) -> None:
    """Documents without a name have their text's hash as id: marks by id alone would remove every copy."""
    marks = corpus({"s": [[("", "the same text"), ("", "the same text"), ("", "no")]]}, near=near).marks()
    assert sorted(marks) == [(0, 1)]


def test_exact_duplicates_are_left_where_only_near_duplicates_are_to_go(corpus: Make) -> None:
    long = " ".join(random_words(3, 60))
    sources = {"s": [[("a", "too short"), ("b", "too short"), ("c", long), ("d", long)]]}
    marks = corpus(sources, exact=False, near=NEAR).marks()
    assert {place: kind for place, (kind, _) in marks.items()} == {(0, 3): "near-duplicate"} or list(marks) == [(0, 2)]


def test_texts_too_short_for_a_shingle_are_no_near_duplicates(corpus: Make) -> None:
    assert corpus({"s": [[("1", "a b c"), ("2", "d e"), ("3", ""), ("4", "a b  c")]]}, near=NEAR).marks() == {}


def test_source_of_nothing_but_copies_leaves_one_document(corpus: Make) -> None:
    text = " ".join(random_words(4, 30))
    marks = corpus({"s": [[(str(n), text) for n in range(9)], [(f"b{n}", text) for n in range(5)]]}, near=NEAR).marks()
    assert len(marks) == 13
    assert len({evidence["kept"]["id"] for _, evidence in marks.values()}) == 1


def test_files_without_documents_are_no_hindrance(corpus: Make) -> None:
    text = " ".join(random_words(4, 30))
    marks = corpus({"a": [[], [("x", text)], []], "b": [[("y", text)], []]}, near=NEAR).marks()
    assert list(marks) == [(3, 0)]
    assert corpus({"a": [[]]}, folder="nothing", near=NEAR).marks() == {}


def test_near_duplicates_are_found_by_their_true_similarity(corpus: Make) -> None:
    """Pairs of known Jaccard similarity on both sides of the threshold, none so near to it that LSH may miss it."""
    originals, copies, truth = [], [], []
    for number in range(60):
        words = random_words(number, 300)
        copy = similar(words, (0.98, 0.9, 0.85, 0.6, 0.4, 0.1)[number % 6], 1000 + number)
        originals.append((f"o{number}", " ".join(words)))
        copies.append((f"c{number}", " ".join(copy)))
        truth.append(true_jaccard(originals[-1][1], copies[-1][1]))
    marks = corpus({"a": [originals[:13], originals[13:]], "b": [copies]}, near=NEAR).marks()
    assert {row for _, row in marks} == {row for row, value in enumerate(truth) if value >= THRESHOLD}
    for (file, row), (kind, evidence) in marks.items():
        assert (file, kind, evidence["kept"]["name"]) == (2, "near-duplicate", f"o{row}")
        assert evidence["jaccard"] == pytest.approx(truth[row], abs=0.15 if evidence["estimated"] else 1e-4)


def test_doubtful_pairs_are_decided_by_their_texts_and_not_by_the_estimate(corpus: Make) -> None:
    """Just below and just above the threshold, where an estimate from 128 values is wrong every other time."""
    originals, copies = [], []
    for number in range(40):
        words = random_words(number, 400)
        originals.append((f"o{number}", " ".join(words)))
        copies.append((f"c{number}", " ".join(similar(words, 0.92 if number % 2 else 0.88, 500 + number))))
    truth = [true_jaccard(a[1], b[1]) for a, b in zip(originals, copies, strict=True)]
    assert min(abs(value - 0.9) for value in truth) > 0.005
    near = {"threshold": 0.9, "bands": 16, "rows": 8}
    marks = corpus({"a": [originals], "b": [copies]}, near=near).marks()
    assert {row for _, row in marks} == {row for row, value in enumerate(truth) if value >= 0.9}
    assert not any(evidence["estimated"] for _, evidence in marks.values())


def test_cluster_of_near_duplicates_keeps_the_longest_of_the_first_source(corpus: Make) -> None:
    words = random_words(5, 200)
    versions = [" ".join(words[:194]), " ".join(words), " ".join(words[:197]), " ".join([*words, "and", "more"])]
    sources = {"a": [[("0", versions[0]), ("1", versions[1])]], "b": [[("2", versions[2]), ("3", versions[3])]]}
    marks = corpus(sources, near=NEAR).marks()
    assert sorted(marks) == [(0, 0), (1, 0), (1, 1)]
    assert {evidence["kept"]["name"] for _, evidence in marks.values()} == {"1"}


def test_near_duplicates_of_one_length_keep_the_smallest_id(corpus: Make) -> None:
    words = random_words(6, 100)
    texts = [" ".join([*words[:99], f"w000{n}"]) for n in range(6)]
    built, _ = (made := corpus({"a": [[(f"name{n}", text) for n, text in enumerate(texts)]]}, near=NEAR)).run()
    marks = made.marks()
    ids = [document_id("a", f"name{n}", "") for n in range(6)]
    assert sorted(row for _, row in marks) == sorted(set(range(6)) - {ids.index(min(ids))})
    assert built.flat("duplicate-clusters")[0].counts["clusters"] == 1


def test_chain_of_near_duplicates_is_one_cluster_and_says_by_which_document(corpus: Make) -> None:
    words = random_words(8, 420)
    texts = [" ".join(words[start : start + 300]) for start in (0, 40, 80)]
    ends, steps = true_jaccard(texts[0], texts[2]), (true_jaccard(*texts[:2]), true_jaccard(*texts[1:]))
    assert ends < THRESHOLD < min(steps)
    marks = corpus({f"s{n}": [[(str(n), text)]] for n, text in enumerate(texts)}, near=NEAR).marks()
    assert sorted(marks) == [(1, 0), (2, 0)]
    assert "via" not in marks[1, 0][1]
    assert marks[2, 0][1]["via"] != marks[2, 0][1]["kept"]["id"]


def test_exact_duplicates_of_a_near_duplicate_all_name_what_stays(corpus: Make) -> None:
    words = random_words(9, 200)
    near = " ".join(words[:190])
    marks = corpus({"a": [[("copy", near), ("whole", " ".join(words)), ("copy-too", near)]]}, near=NEAR).marks()
    assert sorted(kind for kind, _ in marks.values()) == ["exact-duplicate", "near-duplicate"]
    assert {evidence["kept"]["name"] for _, evidence in marks.values()} == {"whole"}
    [copy] = [evidence for kind, evidence in marks.values() if kind == "exact-duplicate"]
    assert copy["via"] != copy["kept"]["id"]


def test_ten_thousand_copies_and_near_copies_cost_two_comparisons_each(corpus: Make) -> None:
    words = random_words(10, 120)
    texts = [("", " ".join(words))] * 5000
    texts += [(f"n{number}", " ".join([*words[:118], f"v{number}", "end"])) for number in range(5000)]
    build, _ = (made := corpus({"a": [texts]}, near=NEAR)).run()
    assert len(made.marks()) == 9999
    counts = build.flat("duplicate-candidates")[0].counts
    bands = build.recipe.deduplicate.near.banding.bands if build.recipe.deduplicate.near else 0
    assert counts["candidates"] <= 2 * 10_000 * bands


def test_same_name_with_other_texts_keeps_the_longest_and_says_so(corpus: Make) -> None:
    """A name that stood for several documents stopped a build once it had read for hours."""
    texts = [("p", "short one"), ("q", "another"), ("p", "the longest of the three"), ("p", "short two")]
    sources = {"a": [texts, [("p", "in another file")]], "b": [[("p", "the name of another source is another name")]]}
    marks = corpus(sources, near=NEAR).marks()
    assert sorted(marks) == [(0, 0), (0, 3), (1, 0)]
    for kind, evidence in marks.values():
        assert (kind, evidence["kept"]["name"], evidence["kept_bytes"]) == ("same-name", "p", 24)
    assert marks[0, 0][1]["bytes"] == 9


def test_same_name_that_goes_is_not_what_a_duplicate_stays_for(corpus: Make) -> None:
    """Were the shorter one of a name compared, its copy could go because of it and it because of its name."""
    text = " ".join(random_words(11, 40))
    sources = {"a": [[("p", text), ("p", " ".join(random_words(12, 90)))]], "b": [[("copy", text)]]}
    marks = corpus(sources, near=NEAR).marks()
    assert {place: kind for place, (kind, _) in marks.items()} == {(0, 0): "same-name"}


def test_same_name_and_same_text_leaves_one_also_where_copies_are_not_removed(corpus: Make) -> None:
    texts = [("p", "the same"), ("p", "the same"), ("q", "the same")]
    marks = corpus({"a": [texts]}, exact=False, near=None).marks()
    assert {place: kind for place, (kind, _) in marks.items()} == {(0, 1): "same-name"}
    marks = corpus({"a": [texts]}, folder="copies-go").marks()
    assert sorted(kind for kind, _ in marks.values()) == ["exact-duplicate", "exact-duplicate"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), ngram=st.integers(1, 6), threshold=st.sampled_from([0.5, 0.7, 0.85]))
def test_marks_are_those_of_comparing_all_pairs(corpus: Make, seed: int, ngram: int, threshold: float) -> None:
    """Every pair compared by sets, clusters by a search; enough values that no pair at the threshold is missed."""
    draw = random.Random(seed)
    texts: list[str] = []
    for _ in range(draw.randrange(2, 26)):
        if texts and draw.random() < 0.6:
            words = draw.choice(texts).split()
            for _ in range(draw.randrange(0, 6)):
                words[draw.randrange(len(words))] = f"x{draw.randrange(900)}"
        else:
            words = [f"w{draw.randrange(300)}" for _ in range(draw.randrange(3, 90))]
        texts.append(" ".join(words))
    split = draw.randrange(len(texts) + 1)
    files = [[(f"n{n}", t) for n, t in enumerate(texts)][:split], [(f"n{n}", t) for n, t in enumerate(texts)][split:]]
    near = {"threshold": threshold, "ngram": ngram, "values": 1024, "bands": 512, "rows": 2}
    marks = corpus({"s": files}, folder=f"all-pairs-{seed}-{ngram}-{100 * threshold:.0f}", near=near).marks()
    gone = {row + (split if file else 0) for file, row in marks}
    sets = [{tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)} for words in map(str.split, texts)]
    cluster = list(range(len(texts)))
    for a in range(len(texts)):
        for b in range(a):
            union = len(sets[a] | sets[b])
            alike = union and min(len(sets[a]), len(sets[b])) and len(sets[a] & sets[b]) / union >= threshold
            if texts[a] == texts[b] or alike:
                old, new = cluster[a], cluster[b]
                cluster = [new if c == old else c for c in cluster]
    order = sorted(range(len(texts)), key=lambda n: (-len(texts[n]), document_id("s", f"n{n}", "")))
    kept = {next(n for n in order if cluster[n] == c) for c in set(cluster)}
    assert gone == set(range(len(texts))) - kept

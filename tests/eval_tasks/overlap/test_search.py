"""What is found in a corpus is what a slow search over tuples of words finds, in Parquet and in shards alike."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
import tokenizers

from eval_tasks.cli import main
from eval_tasks.overlap import report
from eval_tasks.overlap.report import Settings, measure
from eval_tasks.overlap.search import search_piece
from llemma.core.indexed import IndexedWriter
from llemma.core.text.probe import PROBE_TEXTS
from llemma.core.text.token_bytes import LibraryBytes, TokenBytes, token_bytes
from llemma.core.text.tokenizers import load_for_counting

TOKENS = ["a", "the", "+", "$x$", "b2", "A", "12", "The", "...", "prime", "Prime,", "sum", "of", "é"]
Corpus = tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def texts() -> Corpus:
    """Items of a benchmark, and documents of which many hold a part of one."""
    draw = random.Random(5)

    def words(count: int) -> str:
        return "".join(draw.choice(TOKENS) + draw.choice([" ", "\n", "  ", "\u00a0"]) for _ in range(count))

    items = [words(draw.randrange(3, 60)) for _ in range(30)]
    documents = []
    for _ in range(120):
        tokens = draw.choice(items).split()
        begin = draw.randrange(len(tokens))
        part = " ".join(tokens[begin : begin + draw.randrange(1, 45)])
        documents.append(words(draw.randrange(1, 50)) + part + " " + words(draw.randrange(50)))
    return items, [*documents, "\n".join(items)]


@pytest.fixture
def corpus(texts: Corpus, tmp_path: Path) -> Path:
    """The items as exported texts, the documents as Parquet of two sources."""
    items, documents = texts
    lines = [{"benchmark": "b", "id": str(i), "part": "problem", "text": text} for i, text in enumerate(items)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, rows in (("one", range(70)), ("two", range(70, len(documents)))):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        columns = {"id": [f"d{row}" for row in rows], "source": [name] * len(rows)}
        table = pa.table({**columns, "text": [documents[row] for row in rows]})
        pq.write_table(table, tmp_path / "corpus" / name / "part.parquet", row_group_size=20)
    return tmp_path


def settings(folder: Path, out: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "texts": (folder / "texts.jsonl",), "corpus": (folder / "corpus",), "out": folder / out,
        "lengths": (5, 10, 20), "words": "whitespace", "workers": 1, **changes,
    }  # fmt: skip
    return Settings(**values)


def slow_pairs(texts: Corpus, n: int, split: Callable[[str], list[str]]) -> set[tuple[str, str]]:
    """(document, item) that share n words, by sets of tuples."""

    def grams(text: str) -> set[tuple[str, ...]]:
        words = split(text)
        return {tuple(words[at : at + n]) for at in range(len(words) - n + 1)}

    items, documents = ([grams(text) for text in some] for some in texts)
    return {(f"d{d}", str(i)) for d, here in enumerate(documents) for i, there in enumerate(items) if here & there}


def plainly(text: str) -> list[str]:
    """Normalized words of texts as simple as those above."""
    return re.findall("[a-z]+|[0-9]+", text.lower().replace("é", "e"))


@pytest.mark.parametrize(("words", "split"), [("whitespace", str.split), ("normalized", plainly)])
def test_hits_and_documents_are_those_of_a_slow_search(
    corpus: Path, texts: Corpus, words: str, split: Callable[[str], list[str]]
) -> None:
    overlap = measure(settings(corpus, "out", words=words))
    rows = {row.n: row for row in overlap.rows}
    hits = [json.loads(line) for line in (corpus / "out" / "hits.jsonl").read_text().splitlines()]
    for n in (5, 10, 20):
        wanted = slow_pairs(texts, n, split)
        assert len(wanted) > 20
        assert rows[n].hit == len({item for _, item in wanted})
        assert rows[n].documents == len({document for document, _ in wanted})
        assert rows[n].long_enough == sum(len(split(text)) >= n for text in texts[0])
        documents_of = {hit["id"]: hit["documents"] for hit in hits if hit["n"] == n}
        assert documents_of == {item: sum(i == item for _, i in wanted) for _, item in wanted}


@pytest.mark.parametrize(("words", "split"), [("whitespace", str.split), ("normalized", plainly)])
def test_evidence_names_a_document_that_holds_the_passage_and_the_words_of_the_item(
    corpus: Path, texts: Corpus, words: str, split: Callable[[str], list[str]]
) -> None:
    measure(settings(corpus, "out", words=words))
    hits = [json.loads(line) for line in (corpus / "out" / "hits.jsonl").read_text().splitlines()]
    assert max(one["num_words"] for hit in hits for one in hit["evidence"]) > 30
    for hit in hits:
        assert len(hit["evidence"]) == min(5, hit["documents"])
        for one in hit["evidence"]:
            number = int(one["document"].removeprefix("d"))
            assert one["passage"] in texts[1][number] and one["source"] == ("one" if number < 70 else "two")
            item = split(texts[0][int(hit["id"])])
            assert split(one["passage"]) == item[one["word"] : one["word"] + one["num_words"]]
            assert one["num_words"] >= hit["n"]


@pytest.fixture(scope="module")
def tokenizer(texts: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece vocabulary with Llama's settings."""
    prefix = tmp_path_factory.mktemp("vocabulary") / "tokenizer"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts[1]), model_prefix=str(prefix), model_type="bpe", vocab_size=320,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1,
        minloglevel=2,
    )  # fmt: skip
    return prefix.with_suffix(".model")


def test_shards_hold_what_their_texts_hold(corpus: Path, texts: Corpus, tokenizer: Path) -> None:
    encoder = load_for_counting(tokenizer)
    prefix = corpus / "pair" / "train"
    prefix.parent.mkdir()
    with IndexedWriter(prefix, np.dtype(np.uint16)) as writer:
        for tokens in encoder.encode_batch(texts[1]):
            writer.add_document([*tokens.tolist(), encoder.eod_id])
    names = [f"d{number}" for number in range(len(texts[1]))]
    sources = ["one"] * 70 + ["two"] * (len(names) - 70)
    pq.write_table(pa.table({"id": names, "source": sources}), f"{prefix}.documents.parquet", row_group_size=50)
    measure(settings(corpus, "parquet"))
    measure(settings(corpus, "shards", corpus=(prefix,), tokenizer=tokenizer))
    assert (corpus / "shards" / "hits.jsonl").read_bytes() == (corpus / "parquet" / "hits.jsonl").read_bytes()


@pytest.fixture(scope="module")
def byte_level_tokenizer(texts: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json of byte-level BPE, with a special token and one that is not."""
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts[1], vocab_size=318, special_tokens=["</s>"], show_progress=False)
    tokenizer.add_tokens(["theorem"])
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize("kind", ["tokenizer", "byte_level_tokenizer"])
def test_token_bytes_spell_what_the_tokenizer_decodes(kind: str, texts: Corpus, request: pytest.FixtureRequest) -> None:
    encoder = load_for_counting(request.getfixturevalue(kind))
    spelled = token_bytes(encoder)
    assert isinstance(spelled, TokenBytes)
    ids = [np.append(one, encoder.eod_id) for one in encoder.encode_batch([*PROBE_TEXTS, *texts[1], "a theorem"])]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])])
    wanted = [encoder.decode(one.tolist()).lstrip(" ") for one in ids]
    assert wanted[-1] == "a theorem"
    for way in (spelled, LibraryBytes(encoder)):
        data, ends = way.texts(np.concatenate(ids), offsets)
        found = [data[begin:end].tobytes().decode() for begin, end in itertools.pairwise(ends.tolist())]
        assert [text.lstrip(" ") for text in found] == wanted
        with pytest.raises(ValueError, match=f"holds the id {encoder.vocab_size}"):
            way.texts(np.array([1, encoder.vocab_size]), np.array([0, 2]))


def test_killed_run_goes_on_behind_its_finished_pieces_to_the_same_files(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two pieces is done when the kill comes; then a third of its file is damaged, and is searched anew."""
    measure(settings(corpus, "whole", workers=2))
    whole = (corpus / "whole" / "hits.jsonl").read_bytes()
    calls = 0

    def search_until_killed(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return search_piece(*args)

    monkeypatch.setattr(report, "search_piece", search_until_killed)
    with pytest.raises(KeyboardInterrupt):
        measure(settings(corpus, "out"))
    monkeypatch.setattr(report, "search_piece", search_piece)
    assert not (corpus / "out" / "overlap.json").exists()
    assert measure(settings(corpus, "out")).num_resumed == 1
    assert (corpus / "out" / "hits.jsonl").read_bytes() == whole
    piece = next((corpus / "out" / "pieces").rglob("*.json"))
    piece.write_text(piece.read_text()[:100])
    assert measure(settings(corpus, "out")).num_resumed == 1
    assert measure(settings(corpus, "out", lengths=(5, 10))).num_resumed == 0
    assert measure(settings(corpus, "out")).num_resumed == 2
    assert (corpus / "out" / "hits.jsonl").read_bytes() == whole


def test_rows_of_any_kind_are_read_by_their_keys(corpus: Path, texts: Corpus) -> None:
    """lm-eval's own samples have the problem in `doc` and lists of lists of answers."""
    items = texts[0]
    rows = [{"doc_id": i, "doc": {"problem": item}, "resps": [["x", items[i - 1]]]} for i, item in enumerate(items)]
    (corpus / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "[1]\n")
    overlap = measure(settings(corpus, "out", keys=("doc.problem", "resps"), lengths=(10,)))
    wanted = len({item for _, item in slow_pairs(texts, 10, str.split)})
    assert [(row.benchmark, row.part, row.items, row.hit) for row in overlap.rows] == [
        ("texts", "doc.problem", len(items), wanted),
        ("texts", "resps", len(items), wanted),
    ]
    assert json.loads((corpus / "out" / "overlap.json").read_text())["num_left_out"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--n", "20,x"), "--n is '20,x', wanted are numbers"),
        (("--workers", "0"), "--workers is 0"),
        (("--corpus", "nowhere"), "there is no such corpus"),
        (("--corpus", "corpus/one/part.parquet", "corpus"), "named twice"),
        (("--corpus", "cut.parquet"), "not a whole Parquet file"),
        (("--corpus", "empty"), "no corpus"),
        (("--corpus", "other.parquet"), "has no column 'text'"),
        (("--texts", "other.jsonl"), "--keys question"),
        (("--texts", "other.jsonl", "--keys", "problem"), "the key 'problem' is missing"),
        (("--accuracy", "nowhere.jsonl"), "there is no such file"),
        (("--corpus", "corpus/pair"), "give --tokenizer"),
    ],
)
def test_wrong_input_is_told_with_its_place_and_a_remedy(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(corpus)
    Path("cut.parquet").write_bytes(Path("corpus/one/part.parquet").read_bytes()[:2000])
    pq.write_table(pa.table({"body": ["x"]}), "other.parquet")
    Path("empty").mkdir()
    Path("corpus/pair.bin").touch()
    Path("other.jsonl").write_text('{"question": "why"}\n')
    given = {"--texts": ("texts.jsonl",), "--corpus": ("corpus",), "--out": ("out",)}
    option = words[0]
    given[option] = tuple(word for word in words[1:] if not word.startswith("--") and word != "problem")
    command = ["overlap", *(word for name, values in given.items() for word in (name, *values))]
    code = main([*command, *(("--keys", "problem") if "--keys" in words else ())])
    assert code in (1, 2)
    assert told in capsys.readouterr().err
    assert not Path("out/overlap.json").exists()

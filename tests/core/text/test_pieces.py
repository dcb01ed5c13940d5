"""Machine-coded encoding: the library's ids on any text, whatever the batch, the cache and the cuts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from llemma.core.text import kernels, pieces
from llemma.core.text.merges import joined_pairs, sentencepiece_merges
from llemma.core.text.pieces import PieceEncoder, arrow_buffer, sentencepiece_encoder, text_buffer
from llemma.core.text.probe import PROBE_TEXTS
from llemma.core.text.sentencepiece_model import SPACE, PieceType, read_sentencepiece_model
from llemma.core.text.tokenizers import SentencePieceTokenizer, load_tokenizer

FRAGMENTS = [
    "theorem", " lemma", "=====", "-" * 40, " " * 17, "\n\n", "\t", "\r\n", "\x00", "</s>", "<s>", "<unk>", "<0x0A>",
    SPACE, "é", "e\u0301", "ﬁ", "中文", "עברית", "العربية", "👩‍🔬", "🇫🇷", "𝔸", "\u200f", "\ufeff", "\U0010ffff", "x_1",
    "1234567", "a" * 150, "aé" * 90, "\\alpha", "(", ")", "'", '"',
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), max_size=25).map("".join)


@pytest.fixture(scope="module")
def tokenizer(llama_model: Path) -> SentencePieceTokenizer:
    return SentencePieceTokenizer(llama_model, None)


def small_cache(model_path: Path, max_pieces: int) -> PieceEncoder:
    """An encoder whose cache is full after a few pieces."""
    model = read_sentencepiece_model(model_path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_path))
    joined = joined_pairs(model)

    def cut(data, offsets, document, position, ends):
        return kernels.cut_by_pairs(data, offsets, document, position, joined.ascii, joined.others, 1 << 20, ends[:7])

    def encode_new(texts: list[str]) -> list[list[int]]:
        # The library puts a space before a text; one more in front of it is a piece of its own after a line end.
        return [processor.encode("\n" + text)[2:] for text in texts]

    return PieceEncoder(cut, sentencepiece_merges(model), encode_new, prefix=32, max_pieces=max_pieces)


@given(st.lists(TEXTS, max_size=6))
@settings(max_examples=150, deadline=None)
def test_ids_of_any_batch_are_those_of_the_library(tokenizer: SentencePieceTokenizer, texts: list[str]) -> None:
    assert tokenizer.engine == "native"
    wanted = [ids.tolist() for ids in tokenizer.encode_batch_reference(texts)]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == wanted
    data, offsets = text_buffer(texts)
    batch = tokenizer.encode_buffer(data, offsets, np.uint16, with_eod=True)
    assert batch.tokens.dtype == np.uint16
    assert [ids.tolist() for ids in batch.documents()] == [[*ids, 2] for ids in wanted]


@pytest.mark.parametrize("max_pieces", [3, 16, 200])
def test_a_cache_that_overflows_again_and_again_changes_no_id(llama_model: Path, max_pieces: int) -> None:
    encoder = small_cache(llama_model, max_pieces)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(llama_model))
    texts = [*PROBE_TEXTS, *FRAGMENTS, "x" * 500 + " y" * 300, ""]
    for _ in range(2):
        assert [ids.tolist() for ids in encoder.encode_texts(texts)] == processor.encode(texts)


def test_a_piece_of_any_length_and_many_windows_are_encoded_as_by_the_library(
    tokenizer: SentencePieceTokenizer, training_lines: list[str]
) -> None:
    """A window of pieces ends inside a document: what follows goes on where it stopped."""
    long = ["ab" * 40_000, "\n".join(training_lines * 8), "é" * 3000, " ".join("=" * n for n in range(300))]
    assert len("".join(long)) > pieces._WINDOW_PIECES
    wanted = [ids.tolist() for ids in tokenizer.encode_batch_reference(long)]
    assert [ids.tolist() for ids in tokenizer.encode_batch(long)] == wanted


def test_a_run_without_a_cut_is_encoded_in_bounded_parts(llama_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MAX_PIECE_BYTES", 1000)
    lengths: list[int] = []

    def encode_normalized(texts: Sequence[str]) -> list[list[int]]:
        lengths.extend(len(text.encode()) for text in texts)
        return [[7]] * len(texts)

    encoder = sentencepiece_encoder(read_sentencepiece_model(llama_model), encode_normalized)
    [ids] = encoder.encode_texts(["=" * 2500])
    assert set(ids.tolist()) == {7}
    assert max(lengths) == 1002  # a thousand bytes, of which the space put before the text becomes three


def test_text_is_cut_only_where_no_piece_reaches_across(llama_model: Path) -> None:
    model = read_sentencepiece_model(llama_model)
    joined = joined_pairs(model)
    text = "  lemma x_1 = 42+é\n\nend中文 " + "".join(map(chr, range(33, 127)))
    data, offsets = text_buffer([text])
    ends = np.empty(1000, np.int64)
    count, _, _ = kernels.cut_by_pairs(data, offsets, 0, 0, joined.ascii, joined.others, 1 << 20, ends)
    bounds = [0, *(ends[:count] >> 1).tolist()]
    parts = [bytes(data[a:b]).decode() for a, b in itertools.pairwise(bounds)]
    assert "".join(parts) == text and len(parts) > 20
    vocabulary = [p.text.replace(SPACE, " ") for p in model.pieces if p.type == PieceType.NORMAL]
    cuts = {left[-1] + right[0] for left, right in itertools.pairwise(parts)}
    assert not [(cut, piece) for cut in cuts for piece in vocabulary if cut in piece]
    inside = {a + b for part in parts for a, b in itertools.pairwise(part)}
    assert all(any(pair in piece for piece in vocabulary) for pair in inside)


@pytest.mark.parametrize("changes", [{"user_defined_symbols": ["<sep>", "a b"]}, {"add_dummy_prefix": False}])
def test_engine_of_vocabularies_with_their_own_rules_is_still_native(
    train_vocabulary: Callable[..., Path], tmp_path: Path, changes: dict[str, object]
) -> None:
    tokenizer = load_tokenizer(train_vocabulary(tmp_path / "tokenizer.model", **changes))
    assert tokenizer.engine == "native"
    texts = ["a<sep>b a b a bb", "<sep><sep>", " a b", "</s><sep>"]
    wanted = [ids.tolist() for ids in tokenizer.encode_batch_reference(texts)]
    assert [ids.tolist() for ids in tokenizer.encode_batch(texts)] == wanted


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "unigram", "vocab_size": 340}, {"normalization_rule_name": "nmt_nfkc"}, {"byte_fallback": False}],
)
def test_engine_of_vocabularies_that_rewrite_text_is_the_library(
    train_vocabulary: Callable[..., Path], tmp_path: Path, changes: dict[str, object]
) -> None:
    tokenizer = load_tokenizer(train_vocabulary(tmp_path / "tokenizer.model", **{"vocab_size": 340, **changes}))
    assert tokenizer.engine == "sentencepiece"
    data, offsets = text_buffer(["the ﬁrst sum", "", "x"])
    batch = tokenizer.encode_buffer(data, offsets, np.uint16, with_eod=True)
    wanted = [[*ids, 2] for ids in tokenizer.encode_batch_reference(["the ﬁrst sum", "", "x"])]
    assert [ids.tolist() for ids in batch.documents()] == wanted


def test_ids_that_differ_from_the_librarys_turn_the_fast_way_off(
    llama_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the tables must cost speed, not a corpus."""

    def without_a_merge(model):
        table = sentencepiece_merges(model)
        values = table.pairs[2]
        values[values > 0] = np.where(values[values > 0] % 3, values[values > 0], 400)
        return table

    monkeypatch.setattr(pieces, "sentencepiece_merges", without_a_merge)
    tokenizer = load_tokenizer(llama_model)
    assert tokenizer.engine == "sentencepiece"
    assert tokenizer.encode("the proof") == tokenizer.encode_batch_reference(["the proof"])[0].tolist()


def test_arrow_texts_are_read_where_they_lie_and_checked() -> None:
    for kind in (pa.string(), pa.large_string()):
        data, offsets = arrow_buffer(pa.array(["zero", "eins", "", "два"], kind)[1:])
        assert [bytes(data[a:b]).decode() for a, b in itertools.pairwise(offsets)] == ["eins", "", "два"]
    bad = pa.array([b"fine", b"b\xff"], pa.binary()).cast(pa.binary()).view(pa.string())
    with pytest.raises(ValueError, match=r"[Uu][Tt][Ff]"):
        arrow_buffer(bad)
    with pytest.raises(ValueError, match="missing"):
        arrow_buffer(pa.array(["a", None]))

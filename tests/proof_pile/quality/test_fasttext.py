"""fastText's files are read as fastText reads them, and training leaves the same bytes and learns."""

from __future__ import annotations

import json
import math
import random
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llemma.core.errors import DamagedFileError, InputError
from proof_pile.quality.fasttext.model import Model, collapsed, load, model_bytes, save
from proof_pile.quality.fasttext.training import TrainingSettings, train

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(EXPECTED["probabilities"]))
def test_model_of_fasttext_gives_the_probabilities_that_fasttext_gives(name: str) -> None:
    """Plain and quantized files, softmax and Huffman tree, word and character n-grams, empty and unknown lines.

    fastText adds 1e-5 to a probability before it takes its logarithm, hence the tolerance.
    """
    model = load(FIXTURES / name)
    for line, expected in zip(EXPECTED["lines"], EXPECTED["probabilities"][name], strict=True):
        found = dict(zip(model.labels, model.probabilities_of(line), strict=True))
        for label, probability in expected.items():
            assert found[label] == pytest.approx(probability, abs=3e-5), (line, label)


@pytest.mark.parametrize("name", ["softmax.bin", "tree.bin"])
def test_model_written_again_has_the_bytes_of_fasttext_own_file(name: str) -> None:
    assert model_bytes(load(FIXTURES / name)) == (FIXTURES / name).read_bytes()


def lines_of(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(line) for line in encoded])]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def two_topics(count: int = 300) -> tuple[list[str], np.ndarray]:
    draw = random.Random(4)
    topics = (["the", "ship", "harbour", "rain", "captain", "of"], ["the", "group", "kernel", "proof", "lemma", "of"])
    labels = [draw.randrange(2) for _ in range(count)]
    return [" ".join(draw.choices(topics[label], k=12)) for label in labels], np.array(labels, np.int64)


def trained(**settings: object) -> Model:
    texts, labels = two_topics()
    given = {"dim": 8, "rate": 0.5, "word_ngrams": 2, "min_count": 1, "epochs": 4, "buckets": 500, **settings}
    return train(*lines_of(texts), labels, ("other", "math"), TrainingSettings.model_validate(given), seed=1)


def test_training_twice_gives_the_same_bytes_and_another_seed_others() -> None:
    texts, labels = two_topics()
    assert model_bytes(trained()) == model_bytes(trained())
    settings = TrainingSettings(dim=8, rate=0.5, word_ngrams=2, min_count=1, epochs=4, buckets=500)
    other = train(*lines_of(texts), labels, ("other", "math"), settings, seed=2)
    assert model_bytes(other) != model_bytes(trained())


def test_trained_model_tells_two_topics_apart() -> None:
    model = trained()
    assert model.probabilities_of("the kernel of the group")[1] > 0.9
    assert model.probabilities_of("rain of the harbour")[1] < 0.1


def slow_hash(word: bytes) -> int:
    """fastText's FNV-1a over signed bytes."""
    value = 2166136261
    for byte in word:
        value ^= (byte - 256 if byte > 127 else byte) & 0xFFFFFFFF
        value = value * 16777619 & 0xFFFFFFFF
    return value


def slow_probability(model: Model, line: str) -> float:
    """The model asked word by word in Python, from the paper and fastText's documentation."""
    words = [*line.encode().split(), b"</s>"]
    numbers = {word: number for number, word in enumerate(model.words)}
    rows = [numbers[word] for word in words if word in numbers]
    signed = [h - 2**32 if h >= 2**31 else h for h in map(slow_hash, words)]
    for first in range(len(words)):
        value = signed[first] & (2**64 - 1)
        for following in range(first + 1, min(first + model.word_ngrams, len(words))):
            value = (value * 116049371 + signed[following]) & (2**64 - 1)
            rows.append(len(model.words) + value % model.bucket)
    mean = np.mean(model.table[rows].astype(np.float64), axis=0)
    scores = model.output.astype(np.float64) @ mean
    return 1 / (1 + math.exp(scores[0] - scores[1]))


def test_scores_equal_a_slow_reference_in_python() -> None:
    model = trained(word_ngrams=3)
    for line in ("the kernel of a déjà group", "ship", "proof lemma proof lemma ship rain 中文"):
        assert model.probabilities_of(line)[1] == pytest.approx(slow_probability(model, line), abs=1e-6)


def test_one_step_of_training_follows_the_gradient() -> None:
    """One line, one epoch: the rows of the line move by rate x (label - probability) x weights / number of rows."""
    texts, labels = ["a b", "c"], np.array([1, 0], np.int64)
    settings = TrainingSettings(dim=2, rate=0.5, word_ngrams=1, min_count=1, epochs=1)
    model = train(*lines_of(texts), labels, ("other", "math"), settings, seed=0)
    # The weights of the labels begin at 0 and move by +-rate/2 x hidden: they point opposite ways.
    assert np.allclose(model.output[0], -model.output[1])
    assert np.abs(model.output).max() > 0


def test_collapsed_model_gives_the_same_probabilities_from_rows_of_one_number(tmp_path: Path) -> None:
    model = trained()
    save(collapsed(model), tmp_path / "small.bin")
    small = load(tmp_path / "small.bin")
    assert small.table.shape[1] == 1
    for line in two_topics(20)[0]:
        assert small.probabilities_of(line)[1] == pytest.approx(model.probabilities_of(line)[1], abs=1e-6)


def test_batch_of_lines_scores_as_each_line_alone() -> None:
    model = trained()
    texts = [*two_topics(50)[0], "", "nothing known here"]
    together = model.probabilities(*lines_of(texts))
    assert np.array_equal(together, np.array([model.probabilities_of(text) for text in texts]))


def test_line_without_a_known_word_has_probability_zero() -> None:
    model = trained(word_ngrams=1)
    words = tuple(b"~" if word == b"</s>" else word for word in model.words)
    assert replace(model, words=words).probabilities_of("zzz").tolist() == [0, 0]


def test_words_label_prefix_in_a_text_is_no_label() -> None:
    texts, labels = two_topics(40)
    texts[0] += " __label__math __label__evil"
    settings = TrainingSettings(dim=2, min_count=1, word_ngrams=1, epochs=1)
    assert train(*lines_of(texts), labels, ("other", "math"), settings, seed=0).labels == ("other", "math")


def test_training_without_one_of_the_labels_is_refused() -> None:
    with pytest.raises(InputError, match="no line with the label 'math'"):
        train(*lines_of(["a", "b"]), np.zeros(2, np.int64), ("other", "math"), TrainingSettings(dim=2), seed=0)


@pytest.mark.parametrize("name", ["softmax.bin", "tree.ftz"])
def test_damaged_model_is_refused_wherever_it_is_cut(name: str, tmp_path: Path) -> None:
    data = (FIXTURES / name).read_bytes()
    path = tmp_path / name
    for end in [*range(0, 400, 13), len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(DamagedFileError, match="not a fastText classifier"):
            load(path)


def test_model_that_claims_a_huge_matrix_is_refused_without_making_it(tmp_path: Path) -> None:
    data = (FIXTURES / "softmax.bin").read_bytes()
    at = data.rindex(struct.pack("<2q", 3, 4))  # the output matrix: 3 labels x 4 numbers
    path = tmp_path / "huge.bin"
    path.write_bytes(data[:at] + struct.pack("<2q", 1 << 40, 4) + data[at + 16 :])
    with pytest.raises(DamagedFileError, match="in the middle of"):
        load(path)


def test_missing_model_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.bin: there is no such model file"):
        load(tmp_path / "none.bin")

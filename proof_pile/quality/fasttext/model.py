"""A fastText classifier in memory: its files (.bin, quantized .ftz) read, .bin written, text scored.

Format: fastText 0.9 (version 12), little-endian: args, dictionary, input matrix, output matrix.  A file from outside is
not trusted: every count is held against the bytes that are left before anything is made of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import write_bytes
from proof_pile.quality.fasttext import kernels

LABEL_PREFIX = "__label__"
_MAGIC, _VERSION = 793712314, 12
_SUPERVISED, _HIERARCHICAL, _SOFTMAX, _ONE_VS_ALL = 3, 1, 3, 4
_MAX_DIM, _MAX_WORD = 4096, 4096


@dataclass(frozen=True, kw_only=True)
class Model:
    """A supervised model.  `table` and `output` are float32.

    words, labels   in the order of their rows, labels without their prefix
    word_counts, label_counts   occurrences in the training text
    table           [words + buckets kept, dim] the input matrix
    output          [labels, dim]
    pruned          bucket -> row behind the words, -1 where pruned away; empty where all buckets are kept
    """

    words: tuple[bytes, ...]
    labels: tuple[str, ...]
    word_counts: tuple[int, ...]
    label_counts: tuple[int, ...]
    num_tokens: int
    bucket: int
    word_ngrams: int
    minn: int
    maxn: int
    loss: int
    epochs: int
    min_count: int
    table: np.ndarray
    output: np.ndarray
    pruned: np.ndarray

    @cached_property
    def _shape(self) -> np.ndarray:
        return np.array([len(self.words), self.bucket, self.word_ngrams, self.minn, self.maxn], np.int64)

    @cached_property
    def _dictionary(self) -> tuple[np.ndarray, np.ndarray]:
        return dictionary_table(self.words)

    @cached_property
    def _scores_table(self) -> np.ndarray:
        """What is averaged: each row's scores for the labels where these are fewer than its numbers, else the row."""
        if self.loss == _HIERARCHICAL or len(self.labels) >= self.table.shape[1]:
            return self.table
        return np.ascontiguousarray(self.table @ self.output.T)

    @cached_property
    def _tree(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return huffman_tree(self.label_counts)

    def probabilities(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """float64 [lines, labels] of lines one after the other in a UTF-8 buffer; all 0 where no word is known."""
        table = self._scores_table
        means = np.empty((len(offsets) - 1, table.shape[1]), np.float32)
        counts = np.empty(len(offsets) - 1, np.int64)
        keys, values = self._dictionary
        kernels.mean_rows(data, offsets, self._shape, keys, values, self.pruned, kernels.EOS, table, means, counts)
        result = np.empty((len(offsets) - 1, len(self.labels)), np.float64)
        if self.loss == _HIERARCHICAL:
            kernels.tree_probabilities(means, self.output, *self._tree, result)
        else:
            scores = means @ self.output.T if table is self.table else means
            if self.loss == _SOFTMAX:
                kernels.softmax(scores, result)
            else:
                result[:] = 1.0 / (1.0 + np.exp(-scores.astype(np.float64)))
        result[counts == 0] = 0.0
        return result

    def probabilities_of(self, line: str | bytes) -> np.ndarray:
        """Probabilities of all labels for one line."""
        data = np.frombuffer(line.encode("utf-8", "replace") if isinstance(line, str) else line, np.uint8)
        found: np.ndarray = self.probabilities(data, np.array([0, len(data)], np.int64))[0]
        return found

    def probability_of(self, label: str) -> LabelProbability:
        """A function from a line to the probability of one label.  Raises InputError where there is no such label."""
        if label not in self.labels:
            raise InputError(f"the model has no label '{label}': it has {', '.join(self.labels[:10])}")
        return LabelProbability(self, self.labels.index(label))


@dataclass(frozen=True, slots=True)
class LabelProbability:
    """The probability of one label of a model, asked line by line."""

    model: Model
    column: int

    def __call__(self, line: str | bytes) -> float:
        return float(self.model.probabilities_of(line)[self.column])


def dictionary_table(words: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """An open-addressing table of words: (keys, numbers)."""
    size = 1 << max(4, (4 * max(len(words), 1) - 1).bit_length())
    keys, values = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in words], out=offsets[1:])
    kernels.fill_table(np.frombuffer(b"".join(words) or b"\0", np.uint8), offsets, keys, values)
    return keys, values


def huffman_tree(counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left and right child of each node and all nodes from the root down, as fastText builds it from counts."""
    num_leaves = len(counts)
    total = 2 * num_leaves - 1
    weights = [*counts, *([10**15] * (num_leaves - 1))]
    left, right = np.full(total, -1, np.int64), np.full(total, -1, np.int64)
    leaf, inner = num_leaves - 1, num_leaves
    for node in range(num_leaves, total):
        children = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[inner]:
                children.append(leaf)
                leaf -= 1
            else:
                children.append(inner)
                inner += 1
        left[node], right[node] = children
        weights[node] = weights[children[0]] + weights[children[1]]
    return left, right, np.arange(total - 1, -1, -1)  # a parent is always made after its children


def collapsed(model: Model) -> Model:
    """The same classifier of two labels with rows of one number: a mean of rows times (w1 - w0) is a mean of products.

    Its file is `dim` times smaller; fastText reads it too and gives the same probabilities up to rounding.
    """
    if model.loss != _SOFTMAX or len(model.labels) != 2:
        raise ValueError("only a softmax model of two labels can be collapsed")
    difference = (model.output[1] - model.output[0]).astype(np.float64)
    table = np.zeros((len(model.table), 1), np.float32)
    for start in range(0, len(table), 1 << 16):
        block = model.table[start : start + (1 << 16)].astype(np.float64)
        # einsum adds in a fixed order; a BLAS product depends on the library and the machine.
        table[start : start + (1 << 16), 0] = np.einsum("rd,d->r", block, difference, optimize=False)
    output = np.array([[0.0], [1.0]], np.float32)
    return _replaced(model, table=table, output=output)


def _replaced(model: Model, **changes: np.ndarray) -> Model:
    return Model(**{**{name: getattr(model, name) for name in Model.__dataclass_fields__}, **changes})


# ---------------------------------------------------------------- files


def save(model: Model, path: str | Path) -> None:
    """Writes fastText's .bin, whole or not at all.  Raises ValueError for a model with pruned buckets."""
    if len(model.pruned):
        raise ValueError("a pruned model cannot be written")
    write_bytes(path, model_bytes(model))


def model_bytes(model: Model) -> bytes:
    """The bytes of fastText's .bin file."""
    dim = model.table.shape[1]
    args = (dim, 5, model.epochs, model.min_count, 5, model.word_ngrams, model.loss, _SUPERVISED, model.bucket)
    parts = [struct.pack("<2i12id", _MAGIC, _VERSION, *args, model.minn, model.maxn, 100, 1e-4)]
    num_words, num_labels = len(model.words), len(model.labels)
    parts.append(struct.pack("<3i2q", num_words + num_labels, num_words, num_labels, model.num_tokens, -1))
    for word, count in zip(model.words, model.word_counts, strict=True):
        parts.append(word + b"\0" + struct.pack("<qb", count, 0))
    for label, count in zip(model.labels, model.label_counts, strict=True):
        parts.append(f"{LABEL_PREFIX}{label}".encode() + b"\0" + struct.pack("<qb", count, 1))
    for matrix in (model.table, model.output):
        parts.append(b"\0" + struct.pack("<2q", *matrix.shape) + matrix.astype("<f4").tobytes())
    return b"".join(parts)


def load(path: str | Path) -> Model:
    """The model in a fastText file.  Raises InputError where there is no file, DamagedFileError for another file."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such model file") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be read as a model file ({error.strerror})") from None
    try:
        return parse(data)
    except (struct.error, ValueError, IndexError) as error:
        raise DamagedFileError(f"{path}: not a fastText classifier (.bin or .ftz of version 12): {error}") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def numbers(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values

    def array(self, kind: str, count: int) -> np.ndarray:
        width = np.dtype(kind).itemsize
        if count < 0 or count * width > len(self._data) - self._at:
            raise ValueError(f"it ends at byte {len(self._data):,}, in the middle of {count:,} numbers")
        found = np.frombuffer(self._data, kind, count, self._at)
        self._at += count * width
        return found

    def word(self) -> bytes:
        end = self._data.find(b"\0", self._at, self._at + _MAX_WORD)
        if end < 0:
            raise ValueError(f"a word at byte {self._at:,} has no end")
        word = self._data[self._at : end]
        self._at = end + 1
        return word

    def matrix(self) -> np.ndarray:
        rows, columns = self.numbers("2q")
        if not 0 < columns <= _MAX_DIM or rows < 0:
            raise ValueError(f"a matrix of {rows} x {columns}")
        return self.array("<f4", rows * columns).reshape(rows, columns)

    def quantized(self) -> np.ndarray:
        """A product-quantized matrix, every row written out."""
        has_norms, rows, columns, num_codes = self.numbers("?2qi")
        if not 0 < columns <= _MAX_DIM or rows < 0:
            raise ValueError(f"a quantized matrix of {rows} x {columns}")
        codes = self.array("u1", num_codes)
        result = self._decoded(codes, rows, columns)
        if has_norms:
            norms = self.array("u1", rows)
            result *= self._decoded(norms, rows, 1)
        return result

    def _decoded(self, codes: np.ndarray, rows: int, columns: int) -> np.ndarray:
        dim, parts, width, last = self.numbers("4i")
        if dim != columns or parts < 1 or (parts - 1) * width + last != dim or len(codes) != rows * parts:
            raise ValueError("a product quantizer that does not fit its matrix")
        centroids = self.array("<f4", dim * 256)
        result = np.empty((rows, columns), np.float32)
        by_part = codes.reshape(rows, parts)
        for part in range(parts):
            size = last if part == parts - 1 else width
            start = part * 256 * width
            book = centroids[start : start + 256 * size].reshape(256, size)
            result[:, part * width : part * width + size] = book[by_part[:, part]]
        return result


def parse(data: bytes) -> Model:
    """The model in the bytes of a file.  Raises ValueError, IndexError or struct.error where they are no model."""
    reader = _Reader(data)
    magic, version = reader.numbers("2i")
    if magic != _MAGIC or version not in (11, _VERSION):
        raise ValueError(f"it begins with {data[:8]!r}")
    dim, _, epochs, min_count, _, word_ngrams, loss, kind, bucket, minn, maxn, _ = reader.numbers("12i")
    reader.numbers("d")
    if kind != _SUPERVISED or loss not in (_HIERARCHICAL, _SOFTMAX, _ONE_VS_ALL, 2):
        raise ValueError("it is no classifier (a model of word vectors?)")
    if version == 11:
        maxn = 0  # such models have no character n-grams, whatever they say
    size, num_words, num_labels, num_tokens, num_pruned = reader.numbers("3i2q")
    if size != num_words + num_labels or num_labels < 1 or not 0 <= bucket <= 1 << 31 or not 0 <= minn <= 64:
        raise ValueError(f"{num_words} words and {num_labels} labels do not make {size} entries")
    entries = [(reader.word(), reader.numbers("qb")[0]) for _ in range(size)]
    words, labels = entries[:num_words], entries[num_words:]
    pruned = np.empty(0, np.int32)
    if num_pruned >= 0:
        pruned = np.full(max(bucket, 1), -1, np.int32)
        pairs = reader.array("<i4", 2 * num_pruned).reshape(-1, 2)
        if num_pruned and (pairs.min() < 0 or pairs[:, 0].max() >= bucket):
            raise ValueError("a pruned bucket that does not exist")
        pruned[pairs[:, 0]] = pairs[:, 1]
    is_quantized = reader.numbers("?")[0]
    table = reader.quantized() if is_quantized else reader.matrix()
    output = reader.quantized() if reader.numbers("?")[0] and is_quantized else reader.matrix()
    num_buckets = bucket if not len(pruned) else int(pruned.max(initial=-1)) + 1
    has_ngrams = word_ngrams > 1 or maxn > 0
    if table.shape[1] != dim or output.shape != (num_labels, dim) or len(table) < num_words:
        raise ValueError(f"matrices of {table.shape} and {output.shape} for {num_words} words, {num_labels} labels")
    if has_ngrams and len(table) < num_words + num_buckets:
        raise ValueError(f"a matrix of {len(table)} rows for {num_words} words and {num_buckets} buckets")
    return Model(
        words=tuple(word for word, _ in words),
        labels=tuple(label.decode("utf-8", "replace").removeprefix(LABEL_PREFIX) for label, _ in labels),
        word_counts=tuple(count for _, count in words),
        label_counts=tuple(count for _, count in labels),
        num_tokens=num_tokens,
        bucket=bucket if has_ngrams else 0,
        word_ngrams=max(word_ngrams, 1),
        minn=minn,
        maxn=maxn,
        loss=_SOFTMAX if loss == 2 else loss,
        epochs=epochs,
        min_count=min_count,
        table=np.ascontiguousarray(table),
        output=np.ascontiguousarray(output),
        pruned=pruned,
    )

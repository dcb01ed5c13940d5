"""Which language a text is in: py3langid's model walked natively, or a fastText model such as lid.176.

py3langid (BSD) is a naive Bayes classifier over byte n-grams of 139 languages; its own loop runs over bytes in Python.
Here the same automaton is walked by Numba, with the sums in float64 in a fixed order.  The labels and probabilities are
py3langid's (a test compares them); `PY3LANGID` says which versions hold their model the way that is read here.

Only prose is shown to a model: formulas, LaTeX, code and addresses are taken out first, and of a long text a window at
its beginning, its middle and its end is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from llemma.core.errors import InputError, MissingPackageError
from llemma.core.text.native import native
from proof_pile.quality.prose import COMMENTS, EVERYTHING, prose

PY3LANGID = "0.4"
WINDOW_BYTES = 24_000  # chosen by us: prose is looked for in so many bytes at the beginning, in the middle, at the end
PROSE_BYTES = 3_000  # chosen by us: labels of the measured pages are the same as with 6,000
MIN_LETTER_BYTES = 40  # chosen by us: with fewer bytes of letters no language can be told

Identify = Callable[[bytes], tuple[str, float]]


@native
def _walk(text, next_state, row_base, outputs, table, counts, scores):  # type: ignore[no-untyped-def]
    """Adds log(1 + n) times each feature's row to the scores; returns how many features there were."""
    state = 0
    for byte in text:
        state = next_state[row_base[state] + byte]
        feature = outputs[state]
        if feature >= 0:
            counts[feature] += 1
    found = 0
    for feature in range(len(counts)):
        if counts[feature] > 0:
            found += 1
            weight = np.log1p(float(counts[feature]))
            row = table[feature]
            for label in range(len(scores)):
                scores[label] += weight * row[label]
            counts[feature] = 0
    return found


@native
def _squeezed(data, out):  # type: ignore[no-untyped-def]
    """Copies text with runs of white space made one space; returns (bytes, bytes of letters)."""
    count = 0
    letters = 0
    blank = True
    for byte in data:
        if byte <= 32:
            if not blank:
                out[count] = 32
                count += 1
            blank = True
        else:
            out[count] = byte
            count += 1
            blank = False
            if byte >= 128 or 97 <= (byte | 32) <= 122:
                letters += 1
    return count, letters


@dataclass(frozen=True, kw_only=True)
class _Automaton:
    labels: tuple[str, ...]
    next_state: np.ndarray
    row_base: np.ndarray
    outputs: np.ndarray
    table: np.ndarray
    priors: np.ndarray
    counts: np.ndarray

    def __call__(self, text: bytes) -> tuple[str, float]:
        scores = self.priors.copy()
        data = np.frombuffer(text, np.uint8)
        if not _walk(data, self.next_state, self.row_base, self.outputs, self.table, self.counts, scores):
            return "und", 0.0
        # As py3langid does: the square root of the length keeps a long text's probabilities from being all 0 or 1.
        scores /= np.sqrt(len(data))
        chances = np.exp(scores - scores.max())
        merged: dict[str, float] = {}
        for label, chance in zip(self.labels, chances.tolist(), strict=True):
            merged[label] = merged.get(label, 0.0) + chance
        best = max(merged, key=lambda label: merged[label])
        return best, merged[best] / float(chances.sum())


@lru_cache(maxsize=1)
def packaged_identifier() -> Identify:
    """py3langid's model.  Raises MissingPackageError where it is not installed, InputError for another version."""
    import importlib.metadata

    try:
        version = importlib.metadata.version("py3langid")
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except (importlib.metadata.PackageNotFoundError, ImportError):
        raise MissingPackageError("py3langid", "web") from None
    if not version.startswith(f"{PY3LANGID}."):
        raise InputError(
            f"py3langid {version} is installed, {PY3LANGID} is wanted: pip install 'py3langid=={PY3LANGID}.*'"
        )
    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    table = np.ascontiguousarray(model.nb_ptc, np.float32)
    return _Automaton(
        labels=tuple(model.nb_classes),
        next_state=np.asarray(model.tk_nextmove).astype(np.int64),
        row_base=np.asarray(model._rowbase, np.int64),
        outputs=np.asarray(model.tk_output).astype(np.int64),
        table=table,
        priors=np.asarray(model.nb_pc, np.float64),
        counts=np.zeros(len(table), np.int64),
    )


@lru_cache(maxsize=4)
def fasttext_identifier(path: str) -> Identify:
    """A fastText model of languages (lid.176.bin or .ftz) as an identifier."""
    from proof_pile.quality.fasttext.model import load

    model = load(path)

    def identify(text: bytes) -> tuple[str, float]:
        chances = model.probabilities_of(text)
        best = int(chances.argmax())
        return (model.labels[best], float(chances[best])) if chances[best] > 0 else ("und", 0.0)

    return identify


def prose_sample(text: str, *, comments: bool = False) -> bytes:
    """At most PROSE_BYTES of a text's prose, from its beginning, middle and end; empty where there is hardly any.

    `comments` takes out what follows a percent sign, as in LaTeX source.
    """
    data = text.encode("utf-8", "replace")
    windows = [data]
    if len(data) > 3 * WINDOW_BYTES:
        middle = len(data) // 2
        windows = [data[:WINDOW_BYTES], data[middle : middle + WINDOW_BYTES], data[-WINDOW_BYTES:]]
    flags = EVERYTHING | (COMMENTS if comments else 0)
    parts = []
    num_letters = 0
    share = PROSE_BYTES // len(windows)
    for number, window in enumerate(windows):
        if number:  # the window may begin in the middle of a character, a formula or a word
            window = window[max(window.find(b"\n", 0, WINDOW_BYTES // 2), window.find(b" ", 0, 200), 0) :]
        kept = prose(np.frombuffer(window, np.uint8), flags)[0]
        out = np.empty(len(kept), np.uint8)
        count, letters = _squeezed(kept, out)
        parts.append(out[:count].tobytes()[:share])
        num_letters += letters
    if num_letters < MIN_LETTER_BYTES:
        return b""
    return b" ".join(parts).decode("utf-8", "ignore").encode()


def load_identifier(model: str | Path | None) -> Identify:
    """The packaged identifier, or the fastText model in a file."""
    return packaged_identifier() if model is None else fasttext_identifier(str(model))

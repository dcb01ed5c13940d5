"""MathScore (OpenWebMath, arXiv 2310.06786): how likely a page had LaTeX, judged by its words without that LaTeX.

    score = load_math_score()        the small model that comes with this package
    score = load_math_score("m.bin") one made by  python -m proof_pile.quality train,  or any fastText model with the
                                     label "math" or "positive"
    score(text) -> 0.0 .. 1.0

The text is shown to the model without formulas, LaTeX commands and addresses (code stays: it tells what a page is
about), then as the words of proof_pile.quality.prose.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llemma.core.errors import InputError

MATH, OTHER = "math", "other"
SHIPPED = Path(__file__).parent / "models" / "math-score.bin"
_LABELS = (MATH, "positive", "1", "__label__math")


def classifier_line(text: str) -> bytes:
    """The line that a MathScore model is trained on and asked for."""
    from proof_pile.quality.prose import ADDRESSES, COMMANDS, FORMULAS, bytes_of, prose, words

    return words(prose(bytes_of(text), FORMULAS | COMMANDS | ADDRESSES)[0]).tobytes()


def load_math_score(path: str | Path | None = None) -> Callable[[str], float]:
    """A function from a text to its MathScore, 0 for a text without a word.

    Raises InputError where there is no such file or no label for mathematics in it, DamagedFileError where it is no
    model.
    """
    from proof_pile.quality.fasttext.model import load

    model = load(path if path is not None else SHIPPED)
    label = next((name for name in _LABELS if name in model.labels), None)
    if label is None:
        raise InputError(f"{path}: no label '{MATH}' or 'positive' among its {', '.join(model.labels[:10])}")
    probability = model.probability_of(label)

    def score(text: str) -> float:
        line = classifier_line(text)
        return probability(line) if line else 0.0

    return score

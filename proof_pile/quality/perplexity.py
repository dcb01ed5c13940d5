"""Perplexity of a document under a KenLM model, asked as OpenWebMath does (after cc_net, Wenzek et al. 2019).

Normalisation: lower case, accents off, each digit a 0, typographic punctuation as ASCII, control characters out,
formulas as [EQUATION] and code as [CODE]; then words between white space, one sentence from <s> to </s>.

    perplexity = 10 ** (-(sum of log10 probabilities of the words and of </s>) / number of words)

The number of words leaves </s> out, as OpenWebMath's does (cc_net counts it): thresholds were published for that.
A text that holds a word such as </s> itself is not a sentence's end to KenLM: the marks are taken out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError, MissingPackageError
from proof_pile.quality.prose import CODE, FORMULAS, bytes_of, prose

# cc_net, text_normalizer.py.  There U+FF11 (a digit one) becomes a quotation mark; that is left out here.
_PUNCTUATION = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "」": '"', "「": '"', "《": '"',
    "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")", "；": ";", "–": "-",
    "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">", "【": "[", "】": "]",
    "％": "%", "►": "-",
}  # fmt: skip
_ASCII: dict[int, str | int | None] = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n\v\f\r"}
_ASCII.update({ord(digit): "0" for digit in "123456789"})
_ALL: dict[int, str | int | None] = {
    **_ASCII,
    **dict.fromkeys(range(128, 160)),
    **{ord(sign): other for sign, other in _PUNCTUATION.items()},
}


def normalise(text: str) -> str:
    """The text as the language model was trained on it (see the module)."""
    data, _, _ = prose(bytes_of(text), FORMULAS | CODE, marked=True)
    lowered = data.tobytes().decode("utf-8", "replace").lower()
    if lowered.isascii():
        plain = lowered.translate(_ASCII)
    else:
        bare = "".join(c for c in unicodedata.normalize("NFD", lowered) if unicodedata.category(c) != "Mn")
        plain = "".join("0" if c.isdigit() and c.isdecimal() else c for c in bare.translate(_ALL))
    plain = plain.replace("<s>", "").replace("</s>", "").replace("<unk>", "")
    return plain.replace("[equation]", "[EQUATION]").replace("[code]", "[CODE]")


def perplexity_of(total_log10: float, num_words: int) -> float:
    """10 to the mean negative log10 probability of a word; infinite where that is beyond any number."""
    if num_words == 0:
        return float("inf")
    exponent = -total_log10 / num_words
    return 10.0**exponent if exponent < 300 else float("inf")


@lru_cache(maxsize=2)
def load_language_model(path: str) -> Callable[[str], float]:
    """A function from a text to its perplexity.  The model is KenLM's binary or an ARPA file, read as it is needed.

    Raises MissingPackageError without the package kenlm, InputError or DamagedFileError where the file is none.
    """
    try:
        import kenlm
    except ImportError:
        raise MissingPackageError("kenlm", "perplexity") from None
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such KenLM model (an .arpa file, or .binary made by build_binary)")
    settings: Any = kenlm.Config()
    settings.show_progress = False
    settings.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        model = kenlm.Model(path, settings)
    except (OSError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedFileError(f"{path}: KenLM cannot read this as a model: {reason}") from None

    def perplexity(text: str) -> float:
        plain = normalise(text)
        return perplexity_of(model.score(plain), len(plain.split()))

    return perplexity

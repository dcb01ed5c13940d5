"""Rules on words, lines and repetitions, after Gopher and MathPile, with bounds that mathematics passes.

Formulas and code are no bad words: they are taken out first and counted as formulas.  Gopher's own bounds drop nearly
all of a corpus of mathematics and code (2 of 400 documents stayed): so every bound stands in the recipe, null leaves a
rule out, and the defaults are those that real mathematical pages pass (docs/decisions/0010-quality-models.md).
C4's rule against "{" is not offered: it drops every page with LaTeX.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

if TYPE_CHECKING:
    from proof_pile.quality.rules import Look

_FILLER = re.compile(
    r"lorem ipsum|(?:enable|activate|turn on|requires?|without) javascript|javascript (?:is|must be|seems to be) "
    r"(?:not )?(?:disabled|enabled|required|turned off)|browser does not support javascript",
    re.IGNORECASE,
)
_FILLER_LINE_CHARS = 300  # chosen by us: a longer line says more than that
_STRUCTURE = re.compile(r"\s*(?:#|[-*+] |\d+[.)]|\||>|```|~~~|\$|\\|%)")


class Config(BaseConfig):
    """Bounds; null leaves a rule out.  In brackets what the sources say: G Gopher, M MathPile; else chosen by us."""

    kind: Literal["quality-rules"]
    min_words: int | None = Field(default=20, description="words and formulas together (G: 50)")
    max_words: int | None = Field(default=None, description="(G: 100,000)")
    min_visible_chars: int | None = Field(
        default=200, description="without white space, formulas counted whole (M: 200)"
    )
    min_mean_word_letters: float | None = Field(default=2.5, description="of words with a letter (G, M: 3)")
    max_mean_word_letters: float | None = Field(default=14.0, description="names of an API are long (G, M: 10)")
    min_alphabetic_share: float | None = Field(
        default=0.5, ge=0, le=1, description="words with a letter (G: .8, M: .2)"
    )
    max_upper_share: float | None = Field(default=0.4, ge=0, le=1, description="words in capitals (M)")
    min_stop_words: int | None = Field(default=2, description="different ones of 8 English words (G, M: 2)")
    stop_words_from_words: int = Field(default=100, ge=0, description="shorter texts need none: a list of exercises")
    max_ellipses_per_word: float | None = Field(default=0.5, description="(M; G: 0.1)")
    max_ellipsis_line_share: float | None = Field(default=0.3, ge=0, le=1, description="lines ending in ... (G, M)")
    max_bullet_line_share: float | None = Field(default=0.9, ge=0, le=1, description="(G, M)")
    max_repeated_line_share: float | None = Field(default=None, ge=0, le=1, description="repeated lines (G: .3)")
    max_repeated_line_byte_share: float | None = Field(default=0.5, ge=0, le=1, description="their bytes (G: .2)")
    max_top_ngram_shares: dict[int, float] = Field(
        default_factory=dict, description="n: share of the most frequent n words (G: 2: .2, 3: .18, 4: .16)"
    )
    max_repeated_ngram_shares: dict[int, float] = Field(
        default_factory=dict,
        description="n: share of words in n words that stood before (G: 5: .15, 6: .14, ... 10: .10)",
    )
    remove_filler_lines: bool = Field(default=True, description="lines of lorem ipsum and of 'enable javascript' (M)")
    min_line_chars: int | None = Field(
        default=None, description="shorter lines of plain words are taken out: remains of menus (M); headings, lists, "
        "formulas, code and empty lines stay",
    )  # fmt: skip

    @field_validator("max_top_ngram_shares", "max_repeated_ngram_shares")
    @classmethod
    def _lengths(cls, shares: dict[int, float]) -> dict[int, float]:
        for n, share in shares.items():
            if not 2 <= n <= 20 or not 0 <= share <= 1:
                raise ValueError(f"{n}: {share} (wanted n between 2 and 20, a share between 0 and 1)")
        return shares


def without_filler(text: str) -> str:
    """The text without lines of lorem ipsum and of pleas for JavaScript; such words in a long line are left alone."""
    lowered = text.lower()
    if "javascript" not in lowered and "lorem ipsum" not in lowered:  # eleven times as fast as the expression
        return text
    lines = text.split("\n")
    return "\n".join(line for line in lines if len(line) > _FILLER_LINE_CHARS or _FILLER.search(line) is None)


def without_short_lines(text: str, min_chars: int) -> str:
    """The text without short lines of plain words.  Headings, list items, formulas, tables, fenced code, and lines that
    end a sentence stay, whatever their length.

    MathPile's function of this purpose joins the list of all lines again instead of the filtered one, so that nothing
    is ever removed.
    """
    kept = []
    in_block = False
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith(("```", "$$", "~~~")):
            is_whole = stripped.startswith("$$") and len(stripped) > 4 and stripped.endswith("$$")
            in_block = in_block != (not is_whole)
            kept.append(line)
            continue
        is_plain = bool(stripped) and not in_block and _STRUCTURE.match(line) is None and "$" not in line
        if is_plain and len(stripped) < min_chars and stripped[-1] not in ".!?:;,)":
            continue
        kept.append(line)
    return "\n".join(kept)


def _has_little(config: Config, look: Look, text: str) -> bool:
    """True if prose and formulas together have fewer characters than the least."""
    from proof_pile.quality.rules import formula_bytes

    least = config.min_visible_chars
    if least is None or look.visible_chars >= least:
        return False
    # A page of three displayed formulas and a line is short of words, not of mathematics.
    return look.visible_chars + (formula_bytes(text) if look.num_formulas else 0) < least


def _fault(config: Config, look: Look, text: str) -> str | None:
    """The reason of the first rule that the prose breaks."""
    words = look.num_words + look.num_formulas
    if config.min_words is not None and words < config.min_words:
        return "few-words"
    if _has_little(config, look, text):
        return "little-text"
    bounds = (
        ("many-words", words, None, config.max_words),
        ("short-words", look.mean_word_letters, config.min_mean_word_letters if look.num_words else None, None),
        ("long-words", look.mean_word_letters, None, config.max_mean_word_letters),
        ("few-alphabetic-words", look.alphabetic_share, config.min_alphabetic_share if look.num_words else None, None),
        ("capitals", look.upper_share, None, config.max_upper_share if look.num_words >= 20 else None),
        ("ellipses", look.ellipses_per_word, None, config.max_ellipses_per_word),
        ("ellipsis-lines", look.ellipsis_line_share, None, config.max_ellipsis_line_share),
        ("bullet-lines", look.bullet_line_share, None, config.max_bullet_line_share if look.num_lines > 2 else None),
        (
            "few-stop-words",
            look.num_stop_words,
            config.min_stop_words if look.num_words >= config.stop_words_from_words else None,
            None,
        ),
    )
    for reason, value, low, high in bounds:
        if (low is not None and value < low) or (high is not None and value > high):
            return reason
    return None


def make(config: Config) -> Filter:
    """Rewrites the text where lines are removed.

    Reasons: few-words, many-words, little-text, short-words, long-words, few-alphabetic-words, capitals, ellipses,
    ellipsis-lines, bullet-lines, few-stop-words, repeated-lines, frequent-words, repeated-words.
    """
    from proof_pile.quality.rules import look_at, repetition_of

    tops = tuple(sorted(config.max_top_ngram_shares))
    repeated = tuple(sorted(config.max_repeated_ngram_shares))
    asks_lines = config.max_repeated_line_share is not None or config.max_repeated_line_byte_share is not None

    def repetition_fault(text: str) -> str | None:
        found = repetition_of(text, tops, repeated)
        if config.max_repeated_line_share is not None and found.line_share > config.max_repeated_line_share:
            return "repeated-lines"
        limit = config.max_repeated_line_byte_share
        if limit is not None and found.line_byte_share > limit:
            return "repeated-lines"
        if any(found.top_ngram_shares[n] > config.max_top_ngram_shares[n] for n in tops):
            return "frequent-words"
        if any(found.repeated_ngram_shares[n] > config.max_repeated_ngram_shares[n] for n in repeated):
            return "repeated-words"
        return None

    def judge(document: Document) -> Verdict:
        text = without_filler(document.text) if config.remove_filler_lines else document.text
        if config.min_line_chars is not None:
            text = without_short_lines(text, config.min_line_chars)
        reason = _fault(config, look_at(text), text)
        if reason is None and (asks_lines or tops or repeated):
            reason = repetition_fault(text)
        if reason is not None:
            return Drop(reason)
        return Keep(document if text == document.text else document.with_text(text))

    return judge

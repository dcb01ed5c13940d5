"""Texts on which two tokenizers are compared, and the comparison."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from llemma.core.errors import WorkError


def _probe_texts() -> tuple[str, ...]:
    """Texts of our own making with whatever tokenizers are known to disagree on."""
    plain = [
        "",
        "a",
        " ",
        "\n",
        "The sum of the first n odd numbers is n^2.",
        "theorem t (a b : ℕ) : a + b = b + a := by\n  induction b with\n  | zero => simp\n  | succ n ih => omega\n",
        r"\begin{align}\int_0^1 x^{2}\,dx &= \tfrac{1}{3} \\ \alpha\ne\beta\end{align}",
        "def f(x):\n\tif x > 0:\n\t\treturn x ** 2  # square\n    \n\n\n",
        "#include <stdio.h>\r\nint main(void) { return 0; }\r\n",
        "1234567890 3.14159 -17 1,000,000 0x1F 1e-4 ２３ ٣٤",
        "</s>",
        "<s> </s> <unk> <pad> text</s>text<s>",
        "<0x0A> <0x00><0xFF>",
        "\u2581leading meta \u2581\u2581 in\u2581side\u2581",
        "∀ε>0 ∃δ>0: |x−a|<δ ⇒ |f(x)−f(a)|<ε",
        "naïve café Weierstraß Ελληνικά Кириллица 中文字符 かな 한국어 עברית العربية ไทย हिन्दी",
        "e\u0301 \u00e9 ﬁ ﬀ Å \u212b Ⅷ ½ ²",
        "𝔸𝕭 🧮👩‍🔬🇫🇷 \U0010ffff",
        "\u00a0nbsp\u2003em\u200bzero\u3000ideographic\ufeff",
        "\x00\x01\x7f\x1b[0m",
        "a" * 300,
        "=" * 77 + "\n" + "-" * 78 + "\n" + "#" * 79,
        "x" + " " * 500 + "y",
        "don't I'LL we'Re it'ſ 'tis ''s 'ſ 'l 'LLama rock'n'roll '0 it's\n's",
        "a1234567b 12 345 ½²Ⅷ٣٤٥٦ x₁₂₃ 1,234.5678", "#!/bin/sh\n\n  if [ -z \"$x\" ]; then\r\n\r\n\t\techo hi ;;\n",
        "a \u00a0b\u3000\u3000c\t d \t\n \n e\u2028f\u0085g \r h\v\fi", "∑∏ ∫x\u0301y ‖a‖→b ⟨x,y⟩\n\n×÷",
        "𝑥² 𝔸₁ 𐍈𒀀 \U00020000\U00030000\U000e0001",
        " two", "  three", "\tt", " \n \n", "\n\n\n", "end ", "end  \n",
    ]  # fmt: skip
    runs = [f"{left}{unit * length}{right}" for unit in (" ", "\t", "\n", "=", "a", "0", ".")
            for length in range(1, 40) for left, right in (("", ""), ("x", "y"), ("(", ")"), ("", "=1"))]  # fmt: skip
    pairs = [a + b for a, b in itertools.product(("", " ", "x", "1", "\n", ".", "é", "</s>", "中"), repeat=2)]
    return tuple(plain + runs + pairs)


PROBE_TEXTS = _probe_texts()


def first_difference(a: Iterable[Sequence[int] | np.ndarray], b: Iterable[Sequence[int] | np.ndarray]) -> int | None:
    """Number of the first pair of id sequences that differ; None if all are equal."""
    for number, (first, second) in enumerate(zip(a, b, strict=True)):
        if not np.array_equal(np.asarray(first, np.int64), np.asarray(second, np.int64)):
            return number
    return None


def probe_equal_ids(
    a: Callable[[Sequence[str]], Sequence[Sequence[int] | np.ndarray]],
    b: Callable[[Sequence[str]], Sequence[Sequence[int] | np.ndarray]],
    texts: Sequence[str] = PROBE_TEXTS,
) -> None:
    """Raises WorkError with the first text on which two batch encoders give different ids."""
    first, second = a(texts), b(texts)
    number = first_difference(first, second)
    if number is None:
        return
    left, right = [int(i) for i in first[number]], [int(i) for i in second[number]]
    place = next((i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right)))
    raise WorkError(
        f"two tokenizers that must agree give different ids for {texts[number][:80]!r}: at token {place} "
        f"{left[place : place + 8]} and {right[place : place + 8]}"
    )

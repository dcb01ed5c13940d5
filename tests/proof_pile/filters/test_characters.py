"""Letters and digits of any script are counted on bytes; the slow count is Python's own."""

from __future__ import annotations

import random

from proof_pile.filters.characters import count_alphanumerics


def slow_count(text: str) -> int:
    return sum(letter.isalnum() for letter in text)


def test_alphanumerics_of_every_character_that_there_is_are_counted() -> None:
    every = "".join(map(chr, range(0x110000)))
    assert count_alphanumerics(every) == slow_count(every)


def test_alphanumerics_of_mixed_texts_are_counted() -> None:
    draw = random.Random(3)
    for _ in range(300):
        text = "".join(
            chr(draw.choice([97, 48, 95, 32, 233, 0x661, 0x1D538, 0xD800, draw.randrange(0x3000)])) for _ in "x" * 60
        )
        assert count_alphanumerics(text) == slow_count(text)

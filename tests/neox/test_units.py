"""NeoX's units: the arithmetic of its own MLP and scheduler is repeated here from their definitions."""

from __future__ import annotations

import pytest

from llemma.neox import units


def width_that_neox_builds(intermediate_size: int, multiple_of: int) -> tuple[int, int]:
    """(rows of linear1 / 2, columns of linear2), step by step as transformer.py:122-143 at ea7aefd8 computes them."""
    both = int(intermediate_size * 2 / 3)
    one = both // 2
    both = (2 * multiple_of) * ((both + 2 * multiple_of - 1) // (2 * multiple_of))
    one = multiple_of * ((one + multiple_of - 1) // multiple_of)
    assert both % 2 == 0
    return both // 2, one


@pytest.mark.parametrize("width", [256, 512, 5632, 11008, 13824, 14336, 22016])
@pytest.mark.parametrize("multiple_of", [1, 256])
def test_intermediate_size_of_a_multiple_of_256_makes_neox_build_that_width(width: int, multiple_of: int) -> None:
    assert width_that_neox_builds(units.intermediate_size(width), multiple_of) == (width, width)
    assert units.true_ffn_width(units.intermediate_size(width)) == width


def test_intermediate_size_of_688_is_refused_because_neox_would_build_768() -> None:
    assert width_that_neox_builds(3 * 688, 256) == (768, 768)
    with pytest.raises(ValueError, match="688 is not a multiple of 256"):
        units.intermediate_size(688)


def test_true_ffn_width_of_a_width_written_untripled_names_the_right_value() -> None:
    """Upstream's own Llemma files leave the FFN to NeoX's default and train a model of 4.6 B parameters."""
    with pytest.raises(ValueError, match="write 33024 if 11008 is the true width"):
        units.true_ffn_width(11008)
    with pytest.raises(ValueError, match="the nearest is 2304, for a true width of 768"):
        units.true_ffn_width(3 * 688)


@pytest.mark.parametrize(("warm", "decay"), [(500, 48_000), (500, 12_000), (0, 10), (30, 300), (7, 13), (1, 999_983)])
def test_warmup_written_as_a_fraction_comes_back_as_the_same_iterations(warm: int, decay: int) -> None:
    assert units.warmup_iters(units.warmup_fraction(warm, decay), decay) == warm


def test_warmup_longer_than_the_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="11 warm-up iterations do not fit into 10 iterations"):
        units.warmup_fraction(11, 10)


@pytest.mark.parametrize(
    ("vocab", "divisible", "tensor", "rows"),
    [(32016, 1, 2, 32016), (32016, 128, 2, 32256), (4097, 1, 2, 4098), (32000, 1, 8, 32000), (1, 128, 1, 128)],
)
def test_padded_vocab_rows_equal_a_count_upwards(vocab: int, divisible: int, tensor: int, rows: int) -> None:
    counted = vocab
    while counted % (divisible * tensor):
        counted += 1
    assert units.padded_vocab_rows(vocab, divisible, tensor) == counted == rows

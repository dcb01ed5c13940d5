"""NeoX's units against true ones: feed-forward width, warm-up, vocabulary rows.

Sources, GPT-NeoX at ea7aefd8: megatron/model/transformer.py:122-143 (a gated MLP takes two thirds of
`intermediate_size`, then halves it), megatron/training.py:1126 (warm-up is a share of `lr_decay_iters`),
megatron/tokenizer/tokenizer.py:72 (vocabulary rows are the tokenizer's, padded).
"""

from __future__ import annotations

FFN_GRANULE = 256  # NeoX may round a width up to a multiple of this; other widths do not survive the trip


def intermediate_size(true_ffn_width: int) -> int:
    """NeoX's `intermediate_size` for the width that the feed-forward layer shall really have.

    Raises ValueError for a width that is no multiple of 256: NeoX would build another one (688 becomes 768).
    """
    if true_ffn_width <= 0 or true_ffn_width % FFN_GRANULE:
        raise ValueError(f"the feed-forward width {true_ffn_width} is not a multiple of {FFN_GRANULE}")
    return 3 * true_ffn_width


def true_ffn_width(intermediate_size: int) -> int:
    """The width that a SwiGLU layer really has under NeoX's `intermediate_size`.

    Raises ValueError where that is not exactly a third of it, or no multiple of 256.
    """
    width, rest = divmod(intermediate_size, 3)
    if rest or width <= 0 or width % FFN_GRANULE:
        raise ValueError(
            f"intermediate_size is {intermediate_size}, but must be 3 x the true width, a multiple of {FFN_GRANULE}"
            f" (NeoX takes two thirds of it and halves them): {_nearest(intermediate_size)}"
        )
    return width


def _nearest(size: int) -> str:
    if size > 0 and size % FFN_GRANULE == 0:
        return f"write {3 * size} if {size} is the true width"
    width = max(FFN_GRANULE, round(size / 3 / FFN_GRANULE) * FFN_GRANULE)
    return f"the nearest is {3 * width}, for a true width of {width}"


def warmup_fraction(warmup_iters: int, lr_decay_iters: int) -> float:
    """NeoX's `warmup` for a number of iterations."""
    if not 0 <= warmup_iters <= lr_decay_iters:
        raise ValueError(
            f"{warmup_iters} warm-up iterations do not fit into {lr_decay_iters} iterations of the schedule"
        )
    return warmup_iters / lr_decay_iters


def warmup_iters(warmup: float, lr_decay_iters: int) -> float:
    """Iterations of warm-up under NeoX's `warmup`; whole where it was written from a whole number."""
    iters = warmup * lr_decay_iters
    return round(iters) if abs(iters - round(iters)) < 1e-6 * max(1.0, iters) else iters


def padded_vocab_rows(vocab_size: int, divisible_by: int, tensor_parallel: int) -> int:
    """Rows of the embedding that NeoX makes for a tokenizer of `vocab_size` pieces."""
    multiple = divisible_by * tensor_parallel
    return -(-vocab_size // multiple) * multiple

"""The whole text of a paper with its macros expanded: the machine's arrays, filled, run and read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proof_pile.sources.tex import names
from proof_pile.sources.tex.definitions import (
    ARENA,
    ARENA_END,
    AT_LETTER,
    ENDED,
    EXPANDING,
    IN_PACKAGE,
    MAX_ARGS,
    MAX_EXPANSIONS,
    MAX_GROWN,
    MAX_SAVED,
    MAX_SCANNED,
    NUM_EXPANSIONS,
    NUM_FAILED,
    NUM_LEFT,
    NUM_MACROS,
    NUM_MARKS,
    NUM_SAVED,
    NUM_STATES,
    POOL,
    POOL_END,
    STOPPED,
    TEXT_END,
)
from proof_pile.sources.tex.groups import NUM_COLUMNS
from proof_pile.sources.tex.machine import CLASSES, MAX_FRAMES, MAX_GROUPS, run
from proof_pile.sources.tex.surface import output_buffer

STOP_REASONS = {
    1: "too many calls without their arguments",
    2: "macros expand to too much",
    3: "too many runaway macros",
}


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """The text of a paper with its macros expanded.

    marks: rows (code, first byte, byte after the last) in the order of the text, a negative code where something ends.
    num_expanded calls were replaced, num_left calls met a bound and stay, num_failed stay for want of arguments;
    `stopped` says what ended all expansion, None where nothing did.
    """

    text: bytes
    marks: np.ndarray
    num_macros: int
    num_expanded: int
    num_left: int
    num_failed: int
    stopped: str | None


def expand(
    text: bytes, *, packages: bytes = b"", macros: bool = True, max_args: int = 9, max_growth: int = 4_000_000
) -> Expanded:
    """The text with its macros expanded, definitions taken out and blank lines tidied.

    `packages` holds the paper's own style files: their plain definitions count, unless they name what LaTeX or
    amsmath define.  With `macros` false only conditions are decided; `max_args` leaves macros with more arguments.
    At most `max_growth` bytes and as many as the text has, doubled, are added.
    """
    size = len(packages) + len(text)
    pool = max(1 << 14, min(1 << 20, size))
    grown = min(max_growth, 4 * size + (1 << 16))
    arena = min(3 << 20, 8 * size + (1 << 18))
    limit = size + grown + (size // 2) + 4096
    buffer = output_buffer(size + pool + arena + limit)
    mem, out = buffer[: size + pool + arena], buffer[size + pool + arena :]
    mem[: len(packages)] = np.frombuffer(packages, np.uint8)
    mem[len(packages) : size] = np.frombuffer(text, np.uint8)
    keys, values = names.new_table()
    state = np.zeros(NUM_STATES, np.int64)
    state[TEXT_END] = state[POOL] = size
    state[POOL_END] = state[ARENA] = size + pool
    state[ARENA_END] = len(mem)
    state[MAX_ARGS] = max_args
    state[EXPANDING] = 1 if macros else 0
    state[MAX_GROWN] = grown
    state[MAX_EXPANSIONS] = size + 10_000
    state[MAX_SCANNED] = 16 * size + 1_000_000
    table = np.empty((3000 if macros else 300, NUM_COLUMNS), np.int64)
    frames = np.empty((MAX_FRAMES, 4), np.int64)
    groups = np.empty((MAX_GROUPS, 2), np.int64)
    saved = np.empty((MAX_SAVED, 3), np.int64)
    marks = np.empty((max(200, min(200_000, size // 8)), 3), np.int64)
    rest = (CLASSES, keys, values, table, state, frames, groups, saved, marks)
    if packages:
        state[IN_PACKAGE] = state[AT_LETTER] = 1
        run(mem, 0, len(packages), out, 0, *rest)
        state[IN_PACKAGE] = state[AT_LETTER] = state[NUM_MARKS] = state[ENDED] = state[STOPPED] = state[NUM_SAVED] = 0
        state[NUM_EXPANSIONS] = state[NUM_FAILED] = 0
    end = run(mem, len(packages), size, out, 0, *rest)
    return Expanded(
        text=out[:end].tobytes(),
        marks=marks[: state[NUM_MARKS]].copy(),
        num_macros=int(state[NUM_MACROS]),
        num_expanded=int(state[NUM_EXPANSIONS]),
        num_left=int(state[NUM_LEFT]),
        num_failed=int(state[NUM_FAILED]),
        stopped=STOP_REASONS.get(int(state[STOPPED])),
    )

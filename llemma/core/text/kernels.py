"""Tokenization in machine code (Numba): cutting text into pieces, looking pieces up, and merging new ones.

Legend of the arrays that several kernels share:
    data      uint8    text in UTF-8, documents one after the other
    ends      int64    2 * (byte after the piece) + 1 if it is the last of its document; pieces lie without a gap
    pairs     a table of merges: filter uint8 (a bit for the hash of each key), keys uint64 (0 = free, else 1 + left
              symbol << 32 | right symbol), values int64 (rank << 32 | symbol that the two become)
    cache     tiny int32 [256 + 65536], pieces of one and of two bytes: the id, -1 where it is not known or not one;
              short uint64 [n, 2], pieces of at most MAX_SHORT_BYTES: key (0 = free, else 1 + number of bytes and bytes)
              and value (number of ids << 32 | where they start, or the id itself where it is one);
              slot_hashes uint64, slot_entries int32 (-1 = free): places of other pieces in
              entries int32 [n, 4]: key start, key bytes, ids start, number of ids (-1 = not known yet);
              keys uint8, ids int32: the arenas that those point into
    state     int64 [NUM_STATES], see the names below: how far the work has come, kept between calls
    merges    see merge_piece
"""

from __future__ import annotations

import numpy as np

from llemma.core.text.native import mix, native

(PIECE, BYTE, OUT, DOCUMENT, OUT_OF_DOCUMENT, NUM_SHORT, NUM_ENTRIES, NUM_KEY_BYTES, NUM_IDS, NUM_PENDING, STOPPED,
 NUM_STATES) = range(12)  # fmt: skip
MAX_SHORT_BYTES = 7
MAX_MERGED_BYTES = 128  # chosen by us: the search for the next merge is linear, longer pieces go to the library
SPACE_POINT = 0x2581
_CHARACTER_KEY = np.uint64(0xFFFFFFFF << 32)
"""In a table of merges, this | code point + 1 is the key of a single character beyond ASCII."""

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


@native
def code_point(data, position, stop):  # type: ignore[no-untyped-def]
    """The character at a position of valid UTF-8, as code point << 3 | number of bytes."""
    byte = np.int64(data[position])
    if byte < 0x80:
        return byte << 3 | 1
    if byte < 0xE0 and position + 1 < stop:
        return ((byte & 31) << 6 | np.int64(data[position + 1] & 63)) << 3 | 2
    if byte < 0xF0 and position + 2 < stop:
        return ((byte & 15) << 12 | np.int64(data[position + 1] & 63) << 6 | np.int64(data[position + 2] & 63)) << 3 | 3
    if position + 3 < stop:
        high = (byte & 7) << 18 | np.int64(data[position + 1] & 63) << 12
        return (high | np.int64(data[position + 2] & 63) << 6 | np.int64(data[position + 3] & 63)) << 3 | 4
    return byte << 3 | 1


# ---------------------------------------------------------------- tables


@native
def fill_table(keys, values, table_filter, table_keys, table_values):  # type: ignore[no-untyped-def]
    """Puts keys (none of them 0) and their values into an open-addressing table; the first of two equal keys stays.

    Lengths are powers of two; `table_filter` keeps most look-ups of what is not there away from the table.
    """
    mask = np.uint64(len(table_keys) - 1)
    bits = np.uint64(8 * len(table_filter) - 1)
    for index in range(len(keys)):
        key = keys[index]
        value = mix(key)
        bit = (value >> np.uint64(32)) & bits
        table_filter[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))
        slot = value & mask
        while table_keys[slot] != 0 and table_keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        if table_keys[slot] == 0:
            table_keys[slot] = key
            table_values[slot] = values[index]


@native
def _look_up(table, key):  # type: ignore[no-untyped-def]
    """The value of a key, -1 where it is not in the table."""
    table_filter, table_keys, table_values = table
    value = mix(key)
    bit = (value >> np.uint64(32)) & np.uint64(8 * len(table_filter) - 1)
    if (table_filter[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7))) & 1 == 0:
        return np.int64(-1)
    mask = np.uint64(len(table_keys) - 1)
    slot = value & mask
    while table_keys[slot] != 0:
        if table_keys[slot] == key:
            return table_values[slot]
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


# ---------------------------------------------------------------- cutting


@native
def join_documents(data, offsets, prefix, out, out_offsets):  # type: ignore[no-untyped-def]
    """Copies documents one behind the other, with a byte put before each that is not empty (prefix < 0: with none)."""
    position = 0
    for document in range(len(offsets) - 1):
        begin, stop = offsets[document], offsets[document + 1]
        if stop > begin:
            if prefix >= 0:
                out[position] = prefix
                position += 1
            out[position : position + stop - begin] = data[begin:stop]
            position += stop - begin
        out_offsets[document + 1] = position


@native
def cut_by_pairs(data, offsets, document, position, joined, pairs, max_bytes, ends):  # type: ignore[no-untyped-def]
    """Cuts text wherever no entry of the vocabulary holds the two characters side by side.

    `joined` (uint8 [128 * 128]) says so of two ASCII characters, the table `pairs` (first << 32 | second, + 1) of
    others; a space stands for SPACE_POINT.  Goes on from a document and a byte in it until `ends` is full or all is
    cut, and returns number of pieces, document, byte.  A piece ends after `max_bytes` in any case.
    """
    count = 0
    while document < len(offsets) - 1:
        stop = offsets[document + 1]
        begin = position
        previous = np.int64(-1)
        while position < stop:
            point = np.int64(data[position])
            width = 1
            if point >= 0x80:
                found = code_point(data, position, stop)
                point, width = found >> 3, found & 7
                if point == SPACE_POINT:
                    point = np.int64(32)
            if previous >= 0:
                if previous < 128 and point < 128:
                    together = joined[previous << 7 | point] != 0
                else:
                    key = np.uint64((previous << 32 | point) + 1)
                    together = _look_up(pairs, key) >= 0
                if not together or position + width - begin > max_bytes:
                    if count == len(ends):
                        return count, document, begin
                    ends[count] = position << 1
                    count += 1
                    begin = position
            previous = point
            position += width
        if count == len(ends):
            return count, document, begin
        ends[count] = stop << 1 | 1
        count += 1
        document += 1
        position = stop
    return count, document, position


# ---------------------------------------------------------------- merging


@native
def merge_piece(data, begin, end, merges, work, out, at):  # type: ignore[no-untyped-def]
    """Writes the ids of one piece to out[at:] by byte-pair encoding, and returns how many.

    `merges`: by_bytes, first_ids int32 [256] (symbol of each byte or, not by_bytes, ASCII character), byte_ids
    int32 [256] (ids of the bytes of a character that is no id), number of ids (symbols from there on stand for
    characters), pairs.  `work` int64 [3, MAX_MERGED_BYTES].  Of merges of the same rank the leftmost
    goes first, as in SentencePiece and in Hugging Face's tokenizers.
    """
    by_bytes, first_ids, byte_ids, num_ids, pairs = merges
    symbols, sizes, values = work[0], work[1], work[2]
    count = 0
    position = begin
    while position < end:
        width = 1
        byte = data[position]
        if by_bytes or byte < 0x80:
            symbol = np.int64(first_ids[byte])
        else:
            found = code_point(data, position, end)
            width = found & 7
            if found >> 3 == SPACE_POINT:
                symbol = np.int64(first_ids[32])
            else:
                symbol = _look_up(pairs, _CHARACTER_KEY | np.uint64((found >> 3) + 1))
        symbols[count] = symbol
        sizes[count] = width
        count += 1
        position += width
    for index in range(count - 1):
        values[index] = _value_of(pairs, symbols[index], symbols[index + 1])
    while count > 1:
        best = -1
        best_rank = np.int64(1) << 31
        for index in range(count - 1):
            rank = values[index] >> 32
            if values[index] >= 0 and rank < best_rank:
                best_rank = rank
                best = index
        if best < 0:
            break
        symbols[best] = values[best] & np.int64(0xFFFFFFFF)
        sizes[best] += sizes[best + 1]
        for index in range(best + 1, count - 1):
            symbols[index] = symbols[index + 1]
            sizes[index] = sizes[index + 1]
            values[index - 1] = values[index]
        count -= 1
        if best > 0:
            values[best - 1] = _value_of(pairs, symbols[best - 1], symbols[best])
        if best < count - 1:
            values[best] = _value_of(pairs, symbols[best], symbols[best + 1])
    position = begin
    number = 0
    for index in range(count):
        symbol = symbols[index]
        if 0 <= symbol < num_ids:
            out[at + number] = symbol
            number += 1
        else:
            for offset in range(sizes[index]):
                out[at + number] = byte_ids[data[position + offset]]
                number += 1
        position += sizes[index]
    return number


@native
def flag_not_merged(data, ends, wanted, merges, work, flags):  # type: ignore[no-untyped-def]
    """Sets the flags of pieces that do not become the one id that is wanted of them."""
    out = np.empty(4 * MAX_MERGED_BYTES, np.int32)
    begin = 0
    for index in range(len(ends)):
        count = merge_piece(data, begin, ends[index], merges, work, out, 0)
        flags[index] = count != 1 or out[0] != wanted[index]
        begin = ends[index]


@native
def _value_of(pairs, left, right):  # type: ignore[no-untyped-def]
    if left < 0 or right < 0:
        return np.int64(-1)
    return _look_up(pairs, np.uint64((left << 32 | right) + 1))


# ---------------------------------------------------------------- encoding

DONE, CACHE_IS_FULL = 0, 1


@native
def _hash(data, begin, end):  # type: ignore[no-untyped-def]
    """FNV-1a over bytes, mixed."""
    value = _FNV_OFFSET
    for position in range(begin, end):
        value = (value ^ np.uint64(data[position])) * _FNV_PRIME
    return mix(value)


@native
def _find_long(data, begin, end, slot_hashes, slot_entries, entries, keys):  # type: ignore[no-untyped-def]
    """Slot and entry of a piece in the cache, or a free slot and -1."""
    mask = np.uint64(len(slot_hashes) - 1)
    value = _hash(data, begin, end)
    slot = value & mask
    while slot_entries[slot] >= 0:
        if slot_hashes[slot] == value:
            entry = np.int64(slot_entries[slot])
            if entries[entry, 1] == end - begin:
                start = np.int64(entries[entry, 0])
                same = True
                for offset in range(end - begin):
                    if keys[start + offset] != data[begin + offset]:
                        same = False
                        break
                if same:
                    return slot, entry
        slot = (slot + np.uint64(1)) & mask
    return slot, np.int64(-1)


@native
def encode_pieces(data, ends, num_pieces, state, cache, merges, merging, pending, eod, out, lengths, work):  # type: ignore[no-untyped-def]
    """Writes the ids of pieces to `out`, from state[PIECE] on; returns DONE or CACHE_IS_FULL.

    A piece that is not in the cache is merged and put there.  One that cannot be merged here (too long, or `merging` is
    false) is put there without ids and listed in `pending` (entry, first byte, byte after it); then writing stops while
    state[STOPPED] is 1, but the pieces that follow are still put there.  After each document comes `eod` (if not
    negative), and the number of its ids goes to `lengths`.
    """
    tiny, short, slot_hashes, slot_entries, entries, keys, ids = cache
    short_mask = np.uint64(len(short) - 1)
    piece = state[PIECE]
    begin = state[BYTE]
    at = state[OUT]
    stopped = state[STOPPED] != 0
    written = piece
    written_byte = begin
    result = np.int64(DONE)
    while piece < num_pieces:
        end = ends[piece] >> 1
        size = end - begin
        known = np.int64(-1)
        if size == 1:
            known = np.int64(tiny[data[begin]])
        elif size == 2:
            known = np.int64(tiny[256 + (np.int64(data[begin]) << 8 | np.int64(data[begin + 1]))])
        if known >= 0:
            count = np.int64(0)
            start = np.int64(0)
            if not stopped:
                out[at] = known
                at += 1
        elif merging and size <= MAX_SHORT_BYTES:
            key = np.uint64(size)
            for position in range(begin, end):
                key = key << np.uint64(8) | np.uint64(data[position])
            # The number of bytes is the topmost byte that is not 0, so that no two pieces share a key.
            key += np.uint64(1)
            slot = mix(key) & short_mask
            while short[slot, 0] != 0 and short[slot, 0] != key:
                slot = (slot + np.uint64(1)) & short_mask
            if short[slot, 0] == 0:
                used_ids = state[NUM_IDS]
                if 2 * state[NUM_SHORT] >= len(short) or used_ids + 4 * MAX_SHORT_BYTES > len(ids):
                    result = np.int64(CACHE_IS_FULL)
                    break
                count = merge_piece(data, begin, end, merges, work, ids, used_ids)
                short[slot, 0] = key
                if count == 1:
                    short[slot, 1] = np.int64(1) << 32 | np.int64(ids[used_ids])
                else:
                    short[slot, 1] = np.int64(count) << 32 | used_ids
                    state[NUM_IDS] += count
                state[NUM_SHORT] += 1
                if count == 1 and size == 1:
                    tiny[data[begin]] = ids[used_ids]
                elif count == 1 and size == 2:
                    tiny[256 + (np.int64(data[begin]) << 8 | np.int64(data[begin + 1]))] = ids[used_ids]
            value = np.int64(short[slot, 1])
            count = value >> 32
            start = value & np.int64(0xFFFFFFFF)
            if not stopped and count == 1:
                out[at] = start
                at += 1
                count = np.int64(0)
        else:
            slot, entry = _find_long(data, begin, end, slot_hashes, slot_entries, entries, keys)
            if entry < 0:
                used_keys = state[NUM_KEY_BYTES]
                used_ids = state[NUM_IDS]
                here = merging and size <= MAX_MERGED_BYTES
                full = state[NUM_ENTRIES] == len(entries) or used_keys + size > len(keys)
                if (
                    full
                    or (here and used_ids + 4 * size > len(ids))
                    or (not here and state[NUM_PENDING] == len(pending))
                ):
                    result = np.int64(CACHE_IS_FULL)
                    break
                entry = state[NUM_ENTRIES]
                state[NUM_ENTRIES] += 1
                slot_hashes[slot] = _hash(data, begin, end)
                slot_entries[slot] = entry
                keys[used_keys : used_keys + size] = data[begin:end]
                state[NUM_KEY_BYTES] += size
                entries[entry, 0] = used_keys
                entries[entry, 1] = size
                entries[entry, 2] = used_ids
                if here:
                    count = merge_piece(data, begin, end, merges, work, ids, used_ids)
                    entries[entry, 3] = count
                    state[NUM_IDS] += count
                else:
                    entries[entry, 3] = -1
                    number = state[NUM_PENDING]
                    pending[number, 0] = entry
                    pending[number, 1] = begin
                    pending[number, 2] = end
                    state[NUM_PENDING] += 1
            start = np.int64(entries[entry, 2])
            count = np.int64(entries[entry, 3])
            if count < 0:
                stopped = True
        if not stopped:
            for offset in range(count):
                out[at + offset] = ids[start + offset]
            at += count
            if ends[piece] & 1:
                if eod >= 0:
                    out[at] = eod
                    at += 1
                lengths[state[DOCUMENT]] = at - state[OUT_OF_DOCUMENT]
                state[DOCUMENT] += 1
                state[OUT_OF_DOCUMENT] = at
            written = piece + 1
            written_byte = end
        piece += 1
        begin = end
    state[PIECE] = written
    state[BYTE] = written_byte
    state[OUT] = at
    state[STOPPED] = 1 if stopped else 0
    return result


@native
def put_pieces(data, ends, values, state, cache):  # type: ignore[no-untyped-def]
    """Puts pieces with one id each into an empty cache that has room for them; pieces as `ends` of bytes."""
    _, short, slot_hashes, slot_entries, entries, keys, ids = cache
    begin = 0
    for index in range(len(ends)):
        end = ends[index]
        size = end - begin
        if size <= MAX_SHORT_BYTES:
            key = np.uint64(size)
            for position in range(begin, end):
                key = key << np.uint64(8) | np.uint64(data[position])
            key += np.uint64(1)
            slot = mix(key) & np.uint64(len(short) - 1)
            while short[slot, 0] != 0:
                slot = (slot + np.uint64(1)) & np.uint64(len(short) - 1)
            short[slot, 0] = key
            short[slot, 1] = np.int64(1) << 32 | values[index]
            state[NUM_SHORT] += 1
        else:
            slot = _find_long(data, begin, end, slot_hashes, slot_entries, entries, keys)[0]
            entry = state[NUM_ENTRIES]
            slot_hashes[slot] = _hash(data, begin, end)
            slot_entries[slot] = entry
            entries[entry, 0] = state[NUM_KEY_BYTES]
            entries[entry, 1] = size
            entries[entry, 2] = state[NUM_IDS]
            entries[entry, 3] = 1
            keys[state[NUM_KEY_BYTES] : state[NUM_KEY_BYTES] + size] = data[begin:end]
            ids[state[NUM_IDS]] = values[index]
            state[NUM_ENTRIES] += 1
            state[NUM_KEY_BYTES] += size
            state[NUM_IDS] += 1
        begin = end

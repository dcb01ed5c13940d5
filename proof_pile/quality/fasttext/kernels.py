"""Native loops of the classifier: a line's words, hashes and n-grams, scores, and one epoch of training.

A line is UTF-8 bytes whose words stand between white space; "</s>" is added at its end, as fastText does.  A line's
rows of the input matrix are the ids of its known words, their character n-grams (where the model has them) and its word
n-grams, the latter two hashed into `bucket` rows behind those of the words.

Nothing here is compiled with fast-math: sums are added in the order written (eight partial sums for a dot product, so
that the compiler may still use wide registers), and so a model's bytes do not depend on the machine.
"""

from __future__ import annotations

import math

import numpy as np

from llemma.core.text.native import native

_FNV32_OFFSET = np.uint32(2166136261)
_FNV32_PRIME = np.uint32(16777619)
_FNV64_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV64_PRIME = np.uint64(0x100000001B3)
_NGRAM_FACTOR = np.uint64(116049371)  # fastText, dictionary.cc, addWordNgrams

EOS = np.frombuffer(b"</s>", np.uint8)
MAX_WORD_BYTES = 512  # chosen by us: only the first so many bytes of a longer run are asked for character n-grams


@native
def _is_space(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or (9 <= byte <= 13) or byte == 0


@native
def _hash32(data, begin, stop):  # type: ignore[no-untyped-def]
    """fastText's hash: FNV-1a over signed bytes."""
    value = _FNV32_OFFSET
    for index in range(begin, stop):
        byte = np.uint32(data[index])
        if byte >= 128:
            byte |= np.uint32(0xFFFFFF00)
        value = np.uint32((value ^ byte) * _FNV32_PRIME)
    return value


@native
def _hash64(data, begin, stop):  # type: ignore[no-untyped-def]
    """The key by which a word is found in a dictionary; never 0, which marks a free slot."""
    value = _FNV64_OFFSET
    for index in range(begin, stop):
        value = (value ^ np.uint64(data[index])) * _FNV64_PRIME
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(31)
    return value if value != 0 else np.uint64(1)


@native
def _slot(keys, key):  # type: ignore[no-untyped-def]
    """Where a key stands in an open-addressing table, or the free slot where it would."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@native
def fill_table(data, offsets, keys, values):  # type: ignore[no-untyped-def]
    """Puts words that lie one after the other into a table: key of the word -> its number."""
    for word in range(len(offsets) - 1):
        key = _hash64(data, offsets[word], offsets[word + 1])
        slot = _slot(keys, key)
        if keys[slot] == 0:
            keys[slot] = key
            values[slot] = word


@native
def _characters(data, begin, stop, minn, maxn, bucket, num_words, pruned, rows, count):  # type: ignore[no-untyped-def]
    """Rows of the character n-grams of "<" + word + ">"."""
    size = min(stop - begin, MAX_WORD_BYTES)
    word = np.empty(size + 2, np.uint8)
    word[0] = 60
    word[1 : size + 1] = data[begin : begin + size]
    word[size + 1] = 62
    for first in range(size + 2):
        if word[first] & 0xC0 == 0x80:
            continue
        last = first
        length = 1
        while last < size + 2 and length <= maxn:
            last += 1
            while last < size + 2 and word[last] & 0xC0 == 0x80:
                last += 1
            if length >= minn and not (length == 1 and (first == 0 or last == size + 2)):
                row = np.int64(np.uint64(_hash32(word, first, last)) % np.uint64(bucket))
                if len(pruned) > 0:
                    row = pruned[row]
                if row >= 0 and count < len(rows):
                    rows[count] = num_words + row
                    count += 1
            length += 1
    return count


@native
def _is_end(data, begin, stop, eos):  # type: ignore[no-untyped-def]
    if stop - begin != len(eos):
        return False
    same = True
    for k in range(len(eos)):
        same &= data[begin + k] == eos[k]
    return same


@native
def line_rows(data, begin, stop, shape, keys, values, pruned, eos, hashes, rows):  # type: ignore[no-untyped-def]
    """Fills `rows` with the rows of a line and returns (how many, how many words were read).

    shape: num_words, bucket, word n-grams, shortest and longest character n-gram.  pruned: bucket -> row, -1 where it
    was pruned away; empty where nothing was.  hashes: room for one number a word.
    """
    num_words, bucket, word_ngrams, minn, maxn = shape[0], shape[1], shape[2], shape[3], shape[4]
    count = 0
    num_hashes = 0
    position = begin
    at_end = False
    while not at_end:
        while position < stop and _is_space(data[position]):
            position += 1
        if position >= stop:
            at_end = True
            text, first, last = eos, 0, len(eos)
        else:
            first = position
            while position < stop and not _is_space(data[position]):
                position += 1
            text, last = data, position
            at_end = _is_end(data, first, last, eos)  # fastText stops where "</s>" is written out
        if num_hashes >= len(hashes):
            break
        hash32 = _hash32(text, first, last)
        slot = _slot(keys, _hash64(text, first, last))
        if keys[slot] != 0 and count < len(rows):
            rows[count] = values[slot]
            count += 1
        if maxn > 0 and not at_end:
            count = _characters(text, first, last, minn, maxn, bucket, num_words, pruned, rows, count)
        hashes[num_hashes] = np.int32(hash32)
        num_hashes += 1
    if bucket > 0:
        for first in range(num_hashes):
            value = np.uint64(np.int64(hashes[first]))
            for next_ in range(first + 1, min(first + word_ngrams, num_hashes)):
                value = value * _NGRAM_FACTOR + np.uint64(np.int64(hashes[next_]))
                row = np.int64(value % np.uint64(bucket))
                if len(pruned) > 0:
                    row = pruned[row]
                if row >= 0 and count < len(rows):
                    rows[count] = num_words + row
                    count += 1
    return count, num_hashes


@native
def rows_needed(num_bytes, shape):  # type: ignore[no-untyped-def]
    """Most words that so many bytes can hold, and most rows that a line of that size can have."""
    words = num_bytes // 2 + 2
    rows = words * max(shape[2], 1)
    if shape[4] > 0:
        rows += (num_bytes + 2 * words) * (shape[4] - shape[3] + 1)
    return words, rows


@native
def mean_rows(data, offsets, shape, keys, values, pruned, eos, table, means, counts):  # type: ignore[no-untyped-def]
    """The mean of the table's rows of each line, and their number (0: nothing in the line is known)."""
    longest = 0
    for line in range(len(offsets) - 1):
        longest = max(longest, offsets[line + 1] - offsets[line])
    num_words, num_rows = rows_needed(longest, shape)
    hashes = np.empty(num_words, np.int32)
    rows = np.empty(num_rows, np.int32)
    width = table.shape[1]
    for line in range(len(offsets) - 1):
        count, _ = line_rows(data, offsets[line], offsets[line + 1], shape, keys, values, pruned, eos, hashes, rows)
        mean = means[line]
        mean[:] = 0.0
        for index in range(count):
            row = table[rows[index]]
            for k in range(width):
                mean[k] += row[k]
        if count > 0:
            for k in range(width):
                mean[k] /= count
        counts[line] = count


@native
def softmax(scores, probabilities):  # type: ignore[no-untyped-def]
    """Probabilities of each row of scores."""
    for line in range(scores.shape[0]):
        largest = scores[line, 0]
        for k in range(1, scores.shape[1]):
            largest = max(largest, scores[line, k])
        total = 0.0
        for k in range(scores.shape[1]):
            value = math.exp(float(scores[line, k]) - float(largest))
            probabilities[line, k] = value
            total += value
        for k in range(scores.shape[1]):
            probabilities[line, k] /= total


@native
def tree_probabilities(hidden, output, left, right, order, probabilities):  # type: ignore[no-untyped-def]
    """Probabilities of all leaves of a Huffman tree; nodes from `num_leaves` on are inner ones, `order` root first."""
    num_leaves = probabilities.shape[1]
    at_node = np.empty(len(left), np.float64)
    for line in range(hidden.shape[0]):
        at_node[order[0]] = 1.0
        for node in order:
            if node < num_leaves:
                probabilities[line, node] = at_node[node]
                continue
            total = 0.0
            for k in range(hidden.shape[1]):
                total += float(output[node - num_leaves, k]) * float(hidden[line, k])
            share = 1.0 / (1.0 + math.exp(-total))
            at_node[left[node]] = at_node[node] * (1.0 - share)
            at_node[right[node]] = at_node[node] * share


# ---------------------------------------------------------------- training


@native
def count_words(data, offsets, eos, max_words):  # type: ignore[no-untyped-def]
    """Words of all lines: (keys, counts, first byte, end) of an open-addressing table, and the number of all words.

    -1 as first byte is "</s>".

    Where a corpus has more than `max_words` words the rarest go, as in fastText: those seen once, then twice, ...
    """
    size = np.int64(1 << 16)
    keys = np.zeros(size, np.uint64)
    counts = np.zeros(size, np.int64)
    firsts = np.zeros(size, np.int64)
    ends = np.zeros(size, np.int64)
    used = 0
    total = 0
    threshold = 1
    for line in range(len(offsets) - 1):
        position = offsets[line]
        stop = offsets[line + 1]
        at_end = False
        while not at_end:
            while position < stop and _is_space(data[position]):
                position += 1
            if position >= stop:
                at_end = True
                key = _hash64(eos, 0, len(eos))
                first, last = np.int64(-1), np.int64(-1)
            else:
                first = position
                while position < stop and not _is_space(data[position]):
                    position += 1
                last = position
                key = _hash64(data, first, last)
            slot = _slot(keys, key)
            if keys[slot] == 0:
                keys[slot] = key
                firsts[slot] = first
                ends[slot] = last
                used += 1
            counts[slot] += 1
            total += 1
            if 2 * used > len(keys) or used > max_words:
                if used > max_words:
                    kept = (keys != 0) & (counts > threshold)
                    threshold += 1
                else:
                    kept = keys != 0
                old_keys, old_counts, old_firsts, old_ends = keys[kept], counts[kept], firsts[kept], ends[kept]
                used = len(old_keys)
                size = np.int64(1 << 16)
                while size < 4 * used:
                    size *= 2
                keys = np.zeros(size, np.uint64)
                counts = np.zeros(size, np.int64)
                firsts = np.zeros(size, np.int64)
                ends = np.zeros(size, np.int64)
                for index in range(used):
                    place = _slot(keys, old_keys[index])
                    keys[place] = old_keys[index]
                    counts[place] = old_counts[index]
                    firsts[place] = old_firsts[index]
                    ends[place] = old_ends[index]
    return keys, counts, firsts, ends, total


@native
def _dot(a, b):  # type: ignore[no-untyped-def]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0)
    whole = len(a) // 8 * 8
    for k in range(0, whole, 8):
        s0 += a[k] * b[k]
        s1 += a[k + 1] * b[k + 1]
        s2 += a[k + 2] * b[k + 2]
        s3 += a[k + 3] * b[k + 3]
        s4 += a[k + 4] * b[k + 4]
        s5 += a[k + 5] * b[k + 5]
        s6 += a[k + 6] * b[k + 6]
        s7 += a[k + 7] * b[k + 7]
    rest = np.float32(0)
    for k in range(whole, len(a)):
        rest += a[k] * b[k]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) + rest


@native
def train_epoch(  # type: ignore[no-untyped-def]
    data, offsets, labels, order, shape, keys, values, eos, input_, output, rate, done, total
):
    """One pass over the lines in the given order: softmax loss, plain gradient steps, a rate that falls to 0.

    `done` of `total` words were read before.  Returns (words read so far, sum of losses).
    """
    longest = 0
    for line in range(len(offsets) - 1):
        longest = max(longest, offsets[line + 1] - offsets[line])
    num_words, num_rows = rows_needed(longest, shape)
    hashes = np.empty(num_words, np.int32)
    rows = np.empty(num_rows, np.int32)
    pruned = np.empty(0, np.int32)
    dim = input_.shape[1]
    num_labels = output.shape[0]
    hidden = np.empty(dim, np.float32)
    gradient = np.empty(dim, np.float32)
    chances = np.empty(num_labels, np.float64)
    loss = 0.0
    for line in order:
        count, read = line_rows(data, offsets[line], offsets[line + 1], shape, keys, values, pruned, eos, hashes, rows)
        done += read
        if count == 0:
            continue
        hidden[:] = 0
        for index in range(count):
            row = input_[rows[index]]
            for k in range(dim):
                hidden[k] += row[k]
        share = np.float32(1.0 / count)
        for k in range(dim):
            hidden[k] *= share
        largest = -np.inf
        for label in range(num_labels):
            chances[label] = _dot(output[label], hidden)
            largest = max(largest, chances[label])
        summed = 0.0
        for label in range(num_labels):
            chances[label] = math.exp(chances[label] - largest)
            summed += chances[label]
        gradient[:] = 0
        now = rate * max(0.0, 1.0 - done / total)
        for label in range(num_labels):
            chance = chances[label] / summed
            wanted = 1.0 if label == labels[line] else 0.0
            if wanted == 1.0:
                loss -= math.log(chance + 1e-5)
            alpha = np.float32(now * (wanted - chance))
            weights = output[label]
            for k in range(dim):
                gradient[k] += alpha * weights[k]
            for k in range(dim):
                weights[k] += alpha * hidden[k]
        for k in range(dim):
            gradient[k] *= share
        for index in range(count):
            row = input_[rows[index]]
            for k in range(dim):
                row[k] += gradient[k]
    return done, loss

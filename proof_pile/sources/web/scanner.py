"""Markup to text runs and the tags that matter, natively (Numba over bytes).

Most tags of a page mean nothing for its text, or belong to what is dropped.  The scanner knows every way of writing a
tag that was judged before (by a hash of its bytes without those of addresses and the like) and settles such tags by
itself: tags without meaning go, plain <span>s are counted, dropped elements are passed over up to their end tag.  What
is left for Python is one event for each block, link, formula or picture.

The text comes out as one string with EVENT where an event stands.  Time is linear in the length of the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from llemma.core.text.native import native
from proof_pile.sources.web.tags import MAX_TAG_BYTES, Action, Judge, Kind, Op

EVENT = "\x05"

# What the scanner does by itself at a tag.
_DROP, _SPAN, _SPAN_END, _NAMED_SPAN, _SKIP_BLOCK, _SKIP, _RESCUE, _LINE, _EVENT, _TEXT, _COUNTED_SPAN = range(11)
# Places in the state.
_POSITION, _OUT, _EVENTS, _TAG_END, _DEPTH, _NAMED, _LAST_GT, _MISSING = range(8)
_DONE, _UNKNOWN, _FULL = range(3)
_MAX_NAMED = 64  # spans of interest inside one another
_MAX_MISSING = 16  # names of elements that were looked for an end tag in vain
_TABLE = 1 << 16
# Elements that must be closed: what is dropped is passed over without a look at what is in it.
_CLOSED = frozenset(
    [
        "div",
        "span",
        "nav",
        "footer",
        "aside",
        "section",
        "ul",
        "ol",
        "table",
        "header",
        "dl",
        "button",
        "mjx-container",
        "figure",
    ]
)
_FNV = np.uint64(0xCBF29CE484222325)  # the FNV-1a hash (Fowler, Noll, Vo)
_PRIME = np.uint64(0x100000001B3)


@native
def _ends_name(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or (9 <= byte <= 13) or byte == 47 or byte == 62


@native
def _is_letter(byte):  # type: ignore[no-untyped-def]
    return 97 <= (byte | 32) <= 122


@native
def _is_ignored(data, start, end, name_end, name_start):  # type: ignore[no-untyped-def]
    """Whether the attribute's value does not matter: href title rel src alt width height data-* on*, ids of some."""
    length = end - start
    if length < 2:
        return False
    for place in range(start, end):
        if not (_is_letter(data[place]) or data[place] == 45 or 48 <= data[place] <= 57):
            return False  # odd quotes: the judge may see another attribute there
    a, b = data[start] | 32, data[start + 1] | 32
    if length == 2:  # id, of elements whose ids are anchors
        if a != 105 or b != 100:
            return False
        first = data[name_start] | 32
        size = name_end - name_start
        if size == 1:
            return first == 97 or first == 112  # a p
        second = data[name_start + 1] | 32
        if size == 2:
            return (
                (first == 100 and (second == 116 or second == 100))
                or (first == 104)
                or (first == 108 and second == 105)
            )
        return False
    c = data[start + 2] | 32
    if a == 104:
        return (length == 4 and b == 114) or (length == 6 and b == 101)  # href height
    if a == 116:
        return length == 5 and b == 105  # title
    if a == 115:
        return b == 114 and c == 99  # src srcset
    if a == 97:
        return length == 3 and b == 108  # alt
    if a == 100:
        return b == 97 and c == 116  # data-*
    if a == 114:
        return length == 3 and b == 101 and c == 108  # rel
    if a == 119:
        return length == 5 and b == 105  # width
    return a == 111 and b == 110  # on*


@native
def _tag(data, start, last_gt, result):  # type: ignore[no-untyped-def]
    """End and hash of the tag that begins at `start`: result[0] is 0 where no tag begins, -1 where none ends any more."""
    length = len(data)
    place = start + 1
    result[0] = 0
    if place >= length or place > last_gt:
        return _FNV
    byte = data[place]
    if byte == 33 or byte == 63:  # a declaration or a processing instruction
        after = data[place + 1] if place + 1 < length else 0
        if byte == 33 and not _is_letter(after) and after != 91:
            return _FNV
        while data[place] != 62:
            place += 1
        result[0] = place + 1
        return np.uint64(0)
    if byte == 47:
        place += 1
        if place >= length:
            return _FNV
        if not _is_letter(data[place]):
            if data[place] == 62:
                return _FNV
            while data[place] != 62:
                place += 1
            result[0] = place + 1
            return np.uint64(0)
    elif not _is_letter(byte):
        return _FNV
    name_start = place
    hashed = _FNV
    if byte == 47:
        hashed = (hashed ^ np.uint64(47)) * _PRIME
    while place < length:
        byte = data[place]
        if not (_is_letter(byte) or 48 <= byte <= 58 or byte == 45):
            break
        hashed = (hashed ^ np.uint64(byte)) * _PRIME
        place += 1
    name_end = place
    if place >= length or not _ends_name(data[place]):
        return _FNV
    hash_of_name = hashed
    word = place
    while place < length:
        byte = data[place]
        if byte == 62:
            result[0] = place + 1
            if place + 1 - start > MAX_TAG_BYTES:
                return (hash_of_name ^ np.uint64(1)) * _PRIME
            return hashed
        hashed = (hashed ^ np.uint64(byte)) * _PRIME
        place += 1
        if byte == 32 or 9 <= byte <= 13:
            word = place
        elif byte == 61:
            end = place - 1
            while place < length and (data[place] == 32 or 9 <= data[place] <= 13):
                place += 1
            if place < length and (data[place] == 34 or data[place] == 39):
                quote = data[place]
                close = place + 1
                while close < length and data[close] != quote:
                    close += 1
                if close < length:
                    # After a quote that a name follows at once, the judge looks for attributes in the value too.
                    is_odd = close + 1 < length and not _ends_name(data[close + 1])
                    if is_odd or not _is_ignored(data, word, end, name_end, name_start):
                        for other in range(place, close + 1):
                            hashed = (hashed ^ np.uint64(data[other])) * _PRIME
                    else:
                        hashed = (hashed ^ np.uint64(1)) * _PRIME  # a value, not none
                    place = close + 1
                    word = place
    result[0] = -1
    return _FNV


@native
def _skip_end(data, name_start, name_end, place):  # type: ignore[no-untyped-def]
    """Where the end tag of the element begins whose start tag ends at `place`; -1 where there is none."""
    length = len(data)
    size = name_end - name_start
    depth = 1
    while place < length:
        if data[place] != 60:
            place += 1
            continue
        start = place
        place += 1
        closing = place < length and data[place] == 47
        if closing:
            place += 1
        if place + size >= length:
            return -1
        same = True
        for offset in range(size):
            if (data[place + offset] | 32) != (data[name_start + offset] | 32):
                same = False
                break
        if same and _ends_name(data[place + size]):
            depth += -1 if closing else 1
            if depth == 0:
                return start
    return -1


@native
def _scan(data, keys, values, native_of, out, events, starts, ends, named, missing, state):  # type: ignore[no-untyped-def]
    """Goes on from where the state says; ends at a tag that was never judged, or where no more events fit in."""
    length = len(data)
    position, written, num_events = state[_POSITION], state[_OUT], state[_EVENTS]
    depth, num_named = state[_DEPTH], state[_NAMED]
    last_gt = state[_LAST_GT]
    result = np.zeros(1, np.int64)
    status = _DONE
    mask = np.uint64(len(keys) - 1)
    while position < length:
        byte = data[position]
        if byte != 60:
            if byte >= 32 or byte == 10 or byte == 9 or byte == 13 or byte == 12 or 1 <= byte <= 3:
                if byte != 127:
                    out[written] = byte
                    written += 1
            position += 1
            continue
        hashed = _tag(data, position, last_gt, result)
        end = result[0]
        if end <= 0:
            if end < 0:
                last_gt = -1  # nothing ends any more: all that follows is text
            out[written] = 60
            written += 1
            position += 1
            continue
        if hashed == 0:
            position = end
            continue
        slot = hashed & mask
        while keys[slot] != 0 and keys[slot] != hashed:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] == 0:
            state[_TAG_END] = end
            status = _UNKNOWN
            break
        action = values[slot]
        what = native_of[action]
        if what == _DROP:
            position = end
            continue
        if what == _SPAN:
            depth += 1
            position = end
            continue
        if what == _LINE:
            out[written] = 4
            written += 1
            position = end
            continue
        if what == _SPAN_END:
            if num_named > 0 and named[num_named - 1] == depth:
                num_named -= 1  # and an event, below
            else:
                depth = max(depth - 1, 0)
                position = end
                continue
        elif what == _SKIP or what == _SKIP_BLOCK or what == _RESCUE:
            name_end = position + 1
            hash_of_name = np.int64(7)
            while not _ends_name(data[name_end]):
                hash_of_name = hash_of_name * 31 + np.int64(data[name_end] | 32)
                name_end += 1
            tried = False
            for other in range(state[_MISSING]):
                if missing[other] == hash_of_name:
                    tried = True
            close = np.int64(-1)
            if not tried:
                close = _skip_end(data, position + 1, name_end, end)
                if close < 0 and state[_MISSING] < len(missing):
                    missing[state[_MISSING]] = hash_of_name
                    state[_MISSING] += 1
            if close >= 0:
                if what == _SKIP_BLOCK:
                    out[written] = 1
                    written += 1
                elif what == _RESCUE:
                    inside = False
                    for other in range(end, close):
                        if data[other] == 2:
                            inside = True
                        if inside:
                            out[written] = data[other]
                            written += 1
                        if data[other] == 3:
                            inside = False
                position = close
                while position < length and data[position] != 62:
                    position += 1
                position += 1
                continue
        elif what == _TEXT:
            for other in range(position, end):
                if data[other] == 60:
                    out[written] = 38
                    out[written + 1] = 108
                    out[written + 2] = 116
                    out[written + 3] = 59
                    written += 4
                else:
                    out[written] = data[other]
                    written += 1
            position = end
            continue
        if num_events >= len(events):
            status = _FULL
            if what == _SPAN_END:
                num_named += 1
            break
        if what == _NAMED_SPAN and num_named < len(named):
            named[num_named] = depth
            num_named += 1
        elif what == _COUNTED_SPAN:
            depth += 1
        events[num_events] = action
        starts[num_events] = position
        ends[num_events] = end
        num_events += 1
        out[written] = 5
        written += 1
        position = end
    state[_POSITION], state[_OUT], state[_EVENTS] = position, written, num_events
    state[_DEPTH], state[_NAMED] = depth, num_named
    state[_LAST_GT] = last_gt
    return status


@native
def _copy_without_tags(data, last_gt, out):  # type: ignore[no-untyped-def]
    result = np.zeros(1, np.int64)
    position, written = 0, 0
    while position < len(data):
        if data[position] == 60:
            _tag(data, position, last_gt, result)
            if result[0] > 0:
                position = result[0]
                continue
            if result[0] < 0:
                last_gt = -1
        out[written] = data[position]
        written += 1
        position += 1
    return written


def without_tags(markup: str) -> str:
    """The markup without its tags; entities stay."""
    raw = markup.encode("utf-8", "replace")
    out = np.empty(len(raw), np.uint8)
    written = _copy_without_tags(np.frombuffer(raw, np.uint8), raw.rfind(b">"), out)
    return out[:written].tobytes().decode("utf-8", "replace")


@native
def _learn(keys, values, data, start, action, result):  # type: ignore[no-untyped-def]
    """Sets a judged tag into the table."""
    hashed = _tag(data, start, len(data), result)
    mask = np.uint64(len(keys) - 1)
    slot = hashed & mask
    while keys[slot] != 0 and keys[slot] != hashed:
        slot = (slot + np.uint64(1)) & mask
    keys[slot] = hashed
    values[slot] = action


class Scanner:
    """Scans pages with one judge, and remembers for all later pages what it said."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.actions: list[Action] = []
        self._numbers: dict[Action, int] = {}
        self._native = np.zeros(1024, np.int64)
        self._keys = np.zeros(_TABLE, np.uint64)
        self._values = np.zeros(_TABLE, np.int64)
        self._num_known = 0

    def scan(self, markup: str) -> tuple[list[str], list[int], Tags]:
        """Text runs, the action that follows each but the last (a place in `actions`), and the tags as written."""
        raw = markup.encode("utf-8", "replace")
        data = np.frombuffer(raw, np.uint8)
        # A tag taken as text grows by three bytes; no other gives more than it has.
        out = np.empty(len(data) + 3 * raw.count(b"<") + 16, np.uint8)
        size = len(data) // 3 + 16  # no tag is shorter than <b>
        events, starts, ends = np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.int64)
        named, missing = np.zeros(_MAX_NAMED, np.int64), np.zeros(_MAX_MISSING, np.int64)
        state = np.zeros(8, np.int64)
        state[_LAST_GT] = raw.rfind(b">")
        arguments = (self._keys, self._values, self._native, out, events, starts, ends, named, missing, state)
        while _scan(data, *arguments) == _UNKNOWN:
            start, end = int(state[_POSITION]), int(state[_TAG_END])
            number = self._number(raw[start:end].decode("utf-8", "replace"))
            if self._num_known > _TABLE // 2:  # so that hostile pages cannot fill it
                self._keys[:] = 0
                self._num_known = 0
            _learn(self._keys, self._values, data, start, number, np.zeros(1, np.int64))
            self._num_known += 1
        count = int(state[_EVENTS])
        texts = out[: state[_OUT]].tobytes().decode("utf-8", "replace").split(EVENT)
        return texts, events[:count].tolist(), Tags(raw, starts[:count], ends[:count])

    def _number(self, tag: str) -> int:
        action = self.judge.judge(tag)
        number = self._numbers.get(action)
        if number is None:
            number = self._numbers[action] = len(self.actions)
            self.actions.append(action)
            if number >= len(self._native):
                raise RuntimeError("more actions than kinds of elements")  # they are a few hundred
            self._native[number] = _native_action(action)
        return number


class Tags:
    """The tags of the events, decoded where one is asked for."""

    def __init__(self, raw: bytes, starts: Any, ends: Any) -> None:
        self._raw = raw
        self._starts = starts
        self._ends = ends

    def __getitem__(self, number: int) -> str:
        return self._raw[self._starts[number] : self._ends[number]].decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self._starts)))


def _native_action(action: Action) -> int:
    simple = {
        Op.NOTHING: _DROP,
        Op.TEXT: _TEXT,
        Op.SPAN: _SPAN,
        Op.SPAN_END: _SPAN_END,
        Op.LINE: _LINE,
        Op.CLASSIFIER: _COUNTED_SPAN,
    }
    if action.op in simple:
        return simple[action.op]
    if action.kind in (Kind.SKIPPED, Kind.RENDERED) and action.name in _CLOSED and not action.mark:
        if action.kind == Kind.RENDERED:
            return _RESCUE
        return _SKIP_BLOCK if action.op == Op.BLOCK else _SKIP
    return _NAMED_SPAN if action.name == "span" else _EVENT

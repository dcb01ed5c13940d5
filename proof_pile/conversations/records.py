"""Records of questions and answers, in the layouts in which they are published, as examples.

A record is one JSON object a line (.jsonl, .gz, .zst) or one row of a Parquet file:

turns       a list under messages, conversations or conversation: {role, content}, or {from, value}
or          a question (prompt, problem, question, query, instruction; with input behind it where that is not empty)
            and an answer (response, completion, solution, answer, output); before them what stands under system
dpo         chosen and rejected in place of the answer: texts, lists of turns, or whole conversations
kto         label (or reward, wanted, correct) beside the answer: true or above 0 is wanted, false, 0 or below is not

Other keys are named by `Keys`. A record that cannot be used is Quarantined with a short reason; the rest is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.schemas import Objective
from proof_pile.documents import Quarantined, excerpt, valid_utf8
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, open_input
from proof_pile.sources.jsonl import SUFFIXES
from proof_pile.sources.streams import BrokenStreamError, read_chunks, read_lines

MAX_RECORD_BYTES = 64 << 20  # chosen by us, as for documents
_PARQUET_ROWS = 1024
_TURN_KEYS = ("messages", "conversations", "conversation")
_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One conversation, whose last turn is the assistant's. `rejected` (dpo) replaces that turn, or several."""

    turns: tuple[Turn, ...]
    rejected: tuple[Turn, ...] = ()
    wanted: bool | None = None

    @property
    def question(self) -> str:
        """What stands before the first answer: examples of one question belong into one split."""
        first = next(n for n, turn in enumerate(self.turns) if turn.role == "assistant")
        return "\0".join(turn.text for turn in self.turns[:first])


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Under which keys a record's parts stand; the first that a record has is taken."""

    prompt: tuple[str, ...] = ("prompt", "problem", "question", "query", "instruction")
    response: tuple[str, ...] = ("response", "completion", "solution", "answer", "output")
    label: tuple[str, ...] = ("label", "reward", "wanted", "correct")
    chosen: str = "chosen"
    rejected: str = "rejected"


def list_files(path: str, base: Path) -> list[SourceFile]:
    """The files that a path, a folder, a glob or a URL names. Raises InputError where there are none."""
    return list_inputs(path, base, (*SUFFIXES, ".parquet"), wanted="JSON lines or Parquet files")


def read_examples(file: SourceFile, objective: Objective, keys: Keys) -> Iterator[Example | Quarantined]:
    """The examples of one file, in its order."""
    for line, value in _values(file):
        if isinstance(value, Quarantined):
            yield value
            continue
        found = example_of(value, objective, keys)
        if isinstance(found, str):
            yield Quarantined(path=file.name, line=line, reason=found, excerpt=excerpt(str(value)[:1000]))
        else:
            yield found


def example_of(value: Any, objective: Objective, keys: Keys) -> Example | str:
    """The example that a record is, or the reason why it is none."""
    if not isinstance(value, dict):
        return "no-object"
    if objective == "dpo":
        won = _conversation(value, keys, value.get(keys.chosen))
        lost = _conversation(value, keys, value.get(keys.rejected))
        if isinstance(won, str) or isinstance(lost, str):
            return won if isinstance(won, str) else str(lost)
        if won == lost:
            return "chosen-is-rejected"
        return Example(turns=won, rejected=lost)
    answer = next((value[key] for key in keys.response if value.get(key) is not None), None)
    turns = _conversation(value, keys, answer)
    if isinstance(turns, str):
        return turns
    if objective != "kto":
        return Example(turns=turns)
    label = next((value[key] for key in keys.label if value.get(key) is not None), None)
    if not isinstance(label, bool | int | float) or not math.isfinite(label):
        return "no-label"
    return Example(turns=turns, wanted=label > 0)


def _conversation(value: dict[str, Any], keys: Keys, answer: Any) -> tuple[Turn, ...] | str:
    """The turns of a record with this answer, up to the last one of the assistant."""
    turns: list[Turn] = []
    answered = _turns(answer) if isinstance(answer, list) else None
    if isinstance(answered, str):
        return answered
    if answered and any(turn.role != "assistant" for turn in answered):
        turns = answered  # a whole conversation, its question in it
    else:
        listed = next((value[key] for key in _TURN_KEYS if isinstance(value.get(key), list)), None)
        prompt = next((value[key] for key in keys.prompt if value.get(key) is not None), None)
        before = _turns(listed) if listed is not None else _asked(value, prompt)
        if isinstance(before, str):
            return before
        turns = before
        if listed is None or (turns[-1:] and turns[-1].role != "assistant"):
            said = [Turn("assistant", answer)] if isinstance(answer, str) else answered or []
            turns = [*turns, *said]
    while turns and turns[-1].role != "assistant":
        turns.pop()
    if not turns:
        return "no-answer"
    if turns[0].role == "assistant":
        return "no-question"
    if any(not turn.text.strip() for turn in turns if turn.role != "system"):
        return "empty-turn"
    return tuple(Turn(turn.role, valid_utf8(turn.text)) for turn in turns if turn.text.strip())


def _asked(value: dict[str, Any], prompt: Any) -> list[Turn] | str:
    """The turns before the answer of a record that has a question under a key of its own."""
    if isinstance(prompt, list):
        return _turns(prompt)
    if not isinstance(prompt, str):
        return "no-question"
    more = value.get("input")
    if isinstance(more, str) and more.strip():
        prompt = f"{prompt}\n\n{more}"
    system = value.get("system")
    return [*([Turn("system", system)] if isinstance(system, str) else []), Turn("user", prompt)]


def _turns(value: Sequence[Any]) -> list[Turn] | str:
    turns = []
    for item in value:
        if not isinstance(item, dict):
            return "turn-is-no-object"
        role = _ROLES.get(str(item.get("role", item.get("from"))))
        text = item.get("content", item.get("value"))
        if role is None:
            return "unknown-role"
        if not isinstance(text, str):
            return "turn-has-no-text"
        turns.append(Turn(role, text))
    return turns


def _values(file: SourceFile) -> Iterator[tuple[int, Any]]:
    """(line or row from 1, what stands there); a Quarantined where it cannot be read."""
    (path,) = file.paths
    try:
        yield from _rows(path, file.name) if path.endswith(".parquet") else _lines(path, file.name)
    except (OSError, BrokenStreamError) as error:
        reason = f"unreadable: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
        yield 0, Quarantined(path=file.name, reason=reason)


def _lines(path: str, name: str) -> Iterator[tuple[int, Any]]:
    import orjson

    with open_input(path) as handle:
        for number, line in read_lines(read_chunks(handle, path), MAX_RECORD_BYTES):
            if line is None:
                reason = f"line longer than {MAX_RECORD_BYTES} bytes"
                yield number, Quarantined(path=name, line=number, reason=reason)
            elif line.strip():
                try:
                    yield number, orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    yield number, Quarantined(path=name, line=number, reason=f"no JSON: {error}", excerpt=excerpt(line))


def _rows(path: str, name: str) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(open_input(path) if is_remote(path) else path, page_checksum_verification=True) as reader:
            for batch in reader.iter_batches(batch_size=_PARQUET_ROWS):
                for value in batch.to_pylist():
                    row += 1
                    yield row, value
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = f"damaged Parquet: {' '.join(str(error).split())[:200]}"
        yield row + 1, Quarantined(path=name, line=row + 1, reason=reason)

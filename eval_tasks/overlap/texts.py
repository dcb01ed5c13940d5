"""The texts that are looked for: exported benchmarks, a run's samples, or any rows with keys that a person names.

A file's kind is told from its first row:
    benchmark, id, part, text          as `llemma-eval export` writes them
    task, id, problem, completion      as `llemma-eval run` writes samples.jsonl: the parts are "problem", "completion"
                                       and "sample" (the sampled completions)
    anything else                      needs --keys, such as  question,answer  or  doc.problem,resps  (dots lead into
                                       objects, lists are taken apart); each key is a part, the file the benchmark
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval_tasks.data_files import read_rows
from llemma.core.errors import InputError, Problem

_EXPORTED = ("benchmark", "id", "part", "text")
_SAMPLES = ("task", "id", "problem", "completion")
_ID_KEYS = ("id", "unique_id", "doc_id", "name")


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text: of an item of a benchmark there may be several, in several parts or in several forms of one."""

    benchmark: str
    id: str
    part: str
    text: str

    @property
    def item(self) -> tuple[str, str, str]:
        """What is counted once, in however many forms it stands here."""
        return self.benchmark, self.id, self.part


def read_texts(paths: Sequence[Path], keys: Sequence[str] = ()) -> tuple[list[Text], list[Problem]]:
    """All texts of the files, each once, and the rows that hold none.  Raises InputError where a file has no text."""
    texts: dict[Text, None] = {}
    problems: list[Problem] = []
    for path in paths:
        before, bad = len(texts), len(problems)
        for found in _texts_of_file(path, keys):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                texts[found] = None
        if len(texts) == before:
            reasons = "".join(f"\n    {problem}" for problem in problems[bad : bad + 5])
            raise InputError(f"{path}: no text to look for stands in there{reasons}")
    return list(texts), problems


def _texts_of_file(path: Path, keys: Sequence[str]) -> Iterator[Text | Problem]:
    kind: Sequence[str] | None = keys or None
    for number, row in enumerate(read_rows(path), start=1):
        if isinstance(row, Problem):
            yield row
            continue
        if kind is None:
            kind = next((known for known in (_EXPORTED, _SAMPLES) if all(key in row for key in known)), None)
            if kind is None:
                raise InputError(
                    f"{path}:{number}: a row with {', '.join(sorted(map(str, row))[:12])}; wanted are lines of "
                    f"`llemma-eval export` ({', '.join(_EXPORTED)}) or of a run's samples.jsonl "
                    f"({', '.join(_SAMPLES)}). Of other files name the keys to look at, for example  --keys "
                    f"{next((key for key in row if isinstance(row[key], str)), 'question')}"
                )
        try:
            found = list(_texts_of_row(row, kind, path, number))
        except KeyError as error:
            yield Problem(str(path), number, f"the key {error} is missing")
            continue
        if any(text.text.strip() for text in found):
            yield from (text for text in found if text.text.strip())
        else:
            yield Problem(str(path), number, "no text stands in this row")


def _texts_of_row(row: Mapping[str, Any], kind: Sequence[str], path: Path, number: int) -> Iterator[Text]:
    if kind is _EXPORTED:
        yield _text(row["benchmark"], row["id"], row["part"], row["text"])
    elif kind is _SAMPLES:
        yield _text(row["task"], row["id"], "problem", row["problem"])
        yield _text(row["task"], row["id"], "completion", row["completion"])
        for sample in _strings(_value(row, "samples.completion") if row.get("samples") else ()):
            yield _text(row["task"], row["id"], "sample", sample)
    else:
        name = next((row[key] for key in _ID_KEYS if row.get(key) is not None), number)
        for key in kind:
            for text in _strings(_value(row, key)):
                yield _text(path.name.partition(".")[0], name, key, text)


def _text(benchmark: Any, name: Any, part: Any, text: Any) -> Text:
    # JSON may hold half of a surrogate pair, which no corpus of UTF-8 can hold.
    whole = str(text).encode("utf-8", "replace").decode("utf-8")
    return Text(benchmark=str(benchmark), id=str(name), part=str(part), text=whole)


def _value(row: Any, key: str) -> Any:
    """What a key with dots leads to; KeyError where it leads nowhere."""
    first, _, rest = key.partition(".")
    if isinstance(row, list | tuple):
        return [_value(one, key) for one in row]
    if not isinstance(row, Mapping) or first not in row:
        raise KeyError(key)
    return _value(row[first], rest) if rest else row[first]


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)

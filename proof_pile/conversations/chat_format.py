"""How a conversation is written for a model: what stands before and after each side's words.

A format is YAML (or one of FORMATS by name):

    start: {token: <s>}                    # before the first turn; left out: nothing
    between: "\\n\\n"                        # between two turns
    user: {before: "Problem:\\n"}           # each of before and after is a text, {token: NAME}, or a list of these
    assistant: {before: "Solution:\\n"}     # what stands before its words belongs to the prompt, what stands after
                                           # them to its answer
A token is one of the tokenizer's by its name, which no text can become. The end of document follows the last turn and
stands nowhere else: by it packed documents are kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic

from llemma.core.config import Config, check_config, did_you_mean, load_yaml
from llemma.core.errors import InputError
from llemma.core.text.tokenizers import Tokenizer
from proof_pile.conversations.records import Turn


class Token(Config):
    """A token of the tokenizer, by its name."""

    token: str


Piece = str | Token
Pieces = Piece | tuple[Piece, ...]


class Side(Config):
    """What stands before and after the words of one role."""

    before: Pieces = ""
    after: Pieces = ""


def _listed(pieces: Pieces) -> tuple[Piece, ...]:
    return tuple(piece for piece in (pieces if isinstance(pieces, tuple) else (pieces,)) if piece != "")


class ChatFormat(Config):
    """A way of writing conversations."""

    start: Pieces = ""
    between: Pieces = ""
    system: Side = Side()
    user: Side = Side()
    assistant: Side = Side()

    @pydantic.model_validator(mode="after")
    def _tells_the_sides_apart(self) -> ChatFormat:
        if not any(_listed(part) for part in (self.between, self.user.after, self.assistant.before)):
            raise ValueError("nothing stands between question and answer: give 'between' or assistant's 'before'")
        return self


def _chatml(role: str) -> Side:
    return Side(before=(Token(token="<|im_start|>"), f"{role}\n"), after=Token(token="<|im_end|>"))


FORMATS = {
    # Words alone, for a vocabulary without tokens of its own for turns, such as Llama's.
    "plain": ChatFormat(between="\n\n", user=Side(before="Problem:\n"), assistant=Side(before="Solution:\n")),
    # Turns between <|im_start|> and <|im_end|>, for vocabularies that have these.
    "chatml": ChatFormat(between="\n", system=_chatml("system"), user=_chatml("user"), assistant=_chatml("assistant")),
}


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a written conversation, a text or one id; `is_said` where the model must say it."""

    content: str | int
    is_said: bool


def read_format(name: str, base: Path) -> ChatFormat:
    """A format by its name, or of a YAML file. Raises InputError or ConfigError."""
    if name in FORMATS:
        return FORMATS[name]
    path = base / Path(name).expanduser()
    if not path.is_file():
        known = ", ".join(FORMATS)
        raise InputError(
            f"there is no format '{name}', and no such file{did_you_mean(name, list(FORMATS))}; there are: {known}"
        )
    return check_config(load_yaml(path), ChatFormat)


class Writer:
    """A format with its tokens looked up in a tokenizer."""

    def __init__(self, chat_format: ChatFormat, tokenizer: Tokenizer, only_last: bool = False) -> None:
        """Raises InputError if the tokenizer has not every token, or one of them ends documents."""
        self._format = chat_format
        self._eod_id = tokenizer.eod_id
        self._only_last = only_last
        self._ids = _token_ids(chat_format, tokenizer)

    def runs(self, turns: Sequence[Turn]) -> list[Run]:
        """A conversation as runs, neighbours of one kind joined, its end of document last."""
        joined: list[Run] = []
        for run in self._pieces(turns):
            last = joined[-1] if joined else None
            if last and isinstance(last.content, str) and isinstance(run.content, str) and last.is_said == run.is_said:
                joined[-1] = Run(last.content + run.content, run.is_said)
            else:
                joined.append(run)
        return joined

    def _pieces(self, turns: Sequence[Turn]) -> Iterator[Run]:
        yield from self._written(self._format.start, is_said=False)
        for number, turn in enumerate(turns):
            side: Side = getattr(self._format, turn.role)
            is_last = number == len(turns) - 1
            is_said = turn.role == "assistant" and (is_last or not self._only_last)
            if number:
                yield from self._written(self._format.between, is_said=False)
            yield from self._written(side.before, is_said=False)
            yield Run(turn.text, is_said)
            yield from self._written(side.after, is_said)
        yield Run(self._eod_id, True)

    def _written(self, pieces: Pieces, is_said: bool) -> Iterator[Run]:
        for piece in _listed(pieces):
            yield Run(piece if isinstance(piece, str) else self._ids[piece.token], is_said)


def _token_ids(chat_format: ChatFormat, tokenizer: Tokenizer) -> dict[str, int]:
    sides = (chat_format.system, chat_format.user, chat_format.assistant)
    parts = (chat_format.start, chat_format.between, *(part for side in sides for part in (side.before, side.after)))
    names = dict.fromkeys(piece.token for part in parts for piece in _listed(part) if isinstance(piece, Token))
    found = {name: tokenizer.token_id(name) for name in names}
    problems = []
    for name, number in found.items():
        if number is None:
            problems.append(f"{tokenizer.path}: it has no token '{name}', which the format writes: take another format")
        elif number == tokenizer.eod_id:
            problems.append(
                f"{tokenizer.path}: '{name}' ends documents, so that each turn would be taken for a document of its "
                "own: name another end of document with --eod"
            )
    if problems:
        raise InputError("\n".join(problems))
    return {name: number for name, number in found.items() if number is not None}

"""The recipe's `decontaminate` section.

decontaminate:
  benchmarks:
    - exported.jsonl                                  # made by  python -m eval_tasks export
    - {path: MATH/test, layout: math}                 # a benchmark's own files, in a layout that is known
    - {path: exam.parquet, name: exam, problem: text, solution: answer, id: number}
  action: {problem: remove-document, solution: remove-span, formal: report}    # or one word for all of them
  ngram: 13
  overlap: [20, 30]                                   # measured besides: words between white space, as they stand
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from llemma.core.benchmark_rows import LAYOUTS, NAMES, Layout
from llemma.core.config import Config

Action = Literal["remove-document", "remove-span", "report"]
ACTIONS: tuple[str, ...] = get_args(Action)
PARTS = ("problem", "solution", "formal")
EXPORTED = "exported"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Keys = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class BenchmarkFile(Config):
    """The texts of one benchmark: a file, a folder or a glob of them, and how their rows are laid out.

    Without a `layout` and without keys the file holds lines as `python -m eval_tasks export` writes them.
    """

    path: str
    layout: Literal["exported", "math", "gsm8k", "ocw", "mmlu-stem", "sat", "amc", "aime", "minif2f"] | None = None
    name: str = ""
    problem: Keys = ()
    solution: Keys = ()
    formal: Keys = ()
    choices: Keys = ()
    id: Keys = ()

    @model_validator(mode="after")
    def _described(self) -> BenchmarkFile:
        keys = {key: getattr(self, key) for key in Layout.model_fields if getattr(self, key)}
        if self.layout in (None, EXPORTED):
            if keys and not (self.problem or self.formal):
                raise ValueError("give the key of the problems, for example 'problem: question', or a layout")
            if keys and not self.name:
                raise ValueError("a file that is described by its keys needs a 'name' for the benchmark")
            if self.layout == EXPORTED and keys:
                raise ValueError("exported texts have keys of their own: leave the keys out, or the layout")
        return self

    @property
    def row_layout(self) -> Layout | None:
        """Keys of the rows; None for exported texts."""
        keys = {key: getattr(self, key) for key in Layout.model_fields if getattr(self, key)}
        if self.layout in (None, EXPORTED):
            return Layout(**keys) if keys else None
        return LAYOUTS[self.layout].model_copy(update=keys)

    @property
    def benchmark(self) -> str:
        """The benchmark's name; "" for exported texts, which name it themselves."""
        return self.name or NAMES.get(self.layout or "", "")


def _as_file(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class Actions(Config):
    """What happens to a document that holds a text of each part."""

    problem: Action = "remove-document"
    solution: Action = "remove-document"
    formal: Action = "remove-document"


def _as_actions(value: Any) -> Any:
    return dict.fromkeys(PARTS, value) if isinstance(value, str) else value


class DecontaminateConfig(Config):
    """Benchmark texts that no document may hold, and what to do with one that does.

    A document holds a text where it shares `ngram` words in a row with it, or where it holds the whole of a text that
    is shorter than that and has at least `min_words` words and operators (proof_pile.decontaminate).  Of several
    actions that a document calls for, the first of remove-document, remove-span and report is taken.
    """

    benchmarks: tuple[Annotated[BenchmarkFile, BeforeValidator(_as_file)], ...] = ()
    ngram: int = Field(default=13, ge=3, le=64)
    min_words: int = Field(default=5, ge=1, le=64)
    action: Annotated[Actions, BeforeValidator(_as_actions)] = Actions()
    overlap: tuple[Annotated[int, Field(ge=1, le=255)], ...] = (20, 30)

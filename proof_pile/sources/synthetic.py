"""Generated documents: LaTeX problem sheets and web pages of worked exercises, the same for a seed on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, make_document
from proof_pile.sources.exercises import Exercise, draw_exercises
from proof_pile.sources.inputs import SourceFile

VERSION = 1  # raise it when a change of the generator changes its texts
DOCUMENTS_PER_PIECE = 100
MEAN_DOCUMENT_BYTES = 3500  # measured; only an estimate for planning


class Config(BaseConfig):
    """How many documents, in which form, with how many exercises each.  Document n depends on the seed and n alone.

    `latex` are problem sheets, `web` are pages, `answered` are problems and solutions that end with the final-answer
    sentence of Minerva's prompt (arXiv 2206.14858), the form in which evaluations ask for answers.
    """

    kind: Literal["synthetic"]
    form: Literal["latex", "web", "answered"]
    num_documents: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    min_exercises: int = Field(default=5, ge=1)
    max_exercises: int = Field(default=11, ge=1)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """Pieces of 100 documents, named by form, version, seed and the numbers of their first and last document."""
    return [
        SourceFile(
            name=f"synthetic-{config.form}-v{VERSION}-{config.seed}/{start}-{stop - 1}",
            paths=(),
            size=(stop - start) * MEAN_DOCUMENT_BYTES,
        )
        for start in range(0, config.num_documents, DOCUMENTS_PER_PIECE)
        for stop in [min(start + DOCUMENTS_PER_PIECE, config.num_documents)]
    ]


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The generated documents of one piece."""
    folder, _, numbers = file.name.rpartition("/")
    first, _, last = numbers.partition("-")
    for number in range(int(first), int(last) + 1):
        digest = hashlib.blake2b(f"{config.form}/{VERSION}/{config.seed}/{number}".encode(), digest_size=8).digest()
        rng = Random(int.from_bytes(digest, "big"))
        most = max(config.min_exercises, config.max_exercises)
        area, exercises = draw_exercises(rng, rng.randint(config.min_exercises, most))
        write = {"latex": _problem_sheet, "web": _web_page, "answered": _answered}[config.form]
        meta = {"area": area, "num_exercises": len(exercises), "synthetic": True, **config.meta}
        yield make_document(source, f"{folder}/{number:06d}", write(rng, number, area, exercises), meta)


_INTRODUCTIONS = {
    "Algebra": (
        "Equations are balances: whatever is done to one side must be done to the other.",
        "The exercises below train the handling of equations, polynomials and matrices by hand.",
        "An answer in algebra can always be tested by putting it back where it came from.",
        "Letters stand for numbers here, and every step should be one that is allowed for numbers.",
    ),
    "Calculus": (
        "Rates of change and areas are two sides of one theorem, and both occur below.",
        "All functions on this sheet are polynomials or quotients of them, so every result is exact.",
        "Before computing, it pays to guess the sign and the size of the result from a sketch.",
        "A derivative is a limit of slopes; for polynomials the limit can be written down at once.",
    ),
    "Counting and probability": (
        "The art of counting is to count nothing twice and to leave nothing out.",
        "When all outcomes are equally likely, a probability is a quotient of two counts.",
        "First decide whether order matters, then whether repetition is allowed, and only then compute.",
        "Many counting problems become easy once the objects are described by a sequence of free choices.",
    ),
    "Number theory": (
        "The integers are simple to describe and hard to exhaust; division with remainder is the key to "
        "these exercises.",
        "Congruences let us compute with remainders alone.",
        "All of the algorithms used here were known long before there were machines to run them.",
        "Whoever can divide with remainder can solve every problem on this page.",
    ),
    "Word problems": (
        "The hard part of a word problem is to say clearly what the unknown is; the equation then follows the text.",
        "Translate first, compute afterwards, and at the end look whether the answer fits the story.",
        "Each problem below leads to an equation of the first degree or to the theorem of Pythagoras.",
        "Units help: whatever is added must be measured in the same one.",
    ),
    "Mixed practice": (
        "These exercises come from different fields, so the first task is always to see which tool fits.",
        "A mixed sheet for revision; the order of the problems says nothing of their difficulty.",
        "Try each problem before looking at its solution.",
        "The solutions are brief, and the reader should supply the small computations between two lines.",
    ),
}
_CLOSINGS = (
    "As always, other ways may lead to the same results.",
    "Whoever found a shorter solution should keep it.",
    "Check each result once more with different numbers of your own.",
    "It is worth asking which of the numbers could be changed without spoiling the problem.",
    "",
    "",
)


def _problem_sheet(rng: Random, number: int, area: str, exercises: list[Exercise]) -> str:
    separate = rng.random() < 0.4
    title = rng.choice(["Problem sheet", "Exercises", "Worked problems", "Tutorial", "Revision sheet", "Homework"])
    lines = [f"\\title{{{title} {number}: {area}}}", "", f"\\section{{{area}}}", rng.choice(_INTRODUCTIONS[area]), ""]
    if separate:
        lines.append("\\begin{enumerate}")
        lines.extend(f"\\item {exercise.statement}" for exercise in exercises)
        lines.extend(
            ["\\end{enumerate}", "", f"\\section{{{rng.choice(['Solutions', 'Answers with reasons', 'Solved'])}}}"]
        )
        lines.append("\\begin{enumerate}")
        for exercise in exercises:
            lines.append(f"\\item {' '.join(exercise.steps)} Answer: {_boxed(exercise.answer)}.")
        lines.append("\\end{enumerate}")
    else:
        name = rng.choice(["exercise", "problem", "example"])
        for exercise in exercises:
            lines.extend([f"\\begin{{{name}}}", exercise.statement, f"\\end{{{name}}}"])
            lines.extend(
                ["\\begin{proof}[Solution]", *exercise.steps, f"The answer is {exercise.answer}.", "\\end{proof}", ""]
            )
    lines.extend(["", rng.choice(_CLOSINGS)])
    return "\n".join(lines).strip() + "\n"


def _boxed(answer: str) -> str:
    if answer.startswith("$") and answer.endswith("$") and answer.count("$") == 2:
        return f"$\\boxed{{{answer[1:-1]}}}$"
    return answer


def _web_page(rng: Random, number: int, area: str, exercises: list[Exercise]) -> str:
    style = rng.randrange(3)
    word = rng.choice(["Problem", "Question", "Exercise", "Example"])
    lines = [
        f"# {area}: {rng.choice(['worked examples', 'practice', 'questions and answers', 'step by step'])} {number}",
        "",
    ]
    lines.extend([rng.choice(_INTRODUCTIONS[area]), ""])
    for place, exercise in enumerate(exercises, start=1):
        if style == 0:
            lines.extend([f"## {word} {place}", "", exercise.statement, "", "### Solution", ""])
            lines.extend(f"{n}. {step}" for n, step in enumerate(exercise.steps, start=1))
            lines.extend(["", f"**Answer:** {exercise.answer}.", ""])
        elif style == 1:
            lines.extend(
                [f"**{word} {place}.** {exercise.statement}", "", f"*Solution.* {' '.join(exercise.steps)}", ""]
            )
            lines.extend([f"So the answer is {exercise.answer}.", ""])
        else:
            lines.extend(
                [f"Q: {exercise.statement}", "", f"A: {' '.join(exercise.steps)} Result: {exercise.answer}.", ""]
            )
    lines.append(rng.choice(_CLOSINGS))
    return "\n".join(lines).strip() + "\n"


def _answered(rng: Random, number: int, area: str, exercises: list[Exercise]) -> str:
    blocks = [
        f"Problem:\n{exercise.statement}\n\nSolution: {' '.join(exercise.steps)}\n"
        f"Final Answer: The final answer is {exercise.answer}. I hope it is correct."
        for exercise in exercises
    ]
    return "\n\n".join(blocks) + "\n"

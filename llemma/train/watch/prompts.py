"""What a model is asked to go on with while it trains: prompts of a file, or a few of our own."""

from __future__ import annotations

import json
from pathlib import Path

from llemma.core.errors import ConfigError, InputError, Problem

# The beginning of a proof, an exercise, a program: what the mixture teaches. Written for this purpose.
BUILTIN_PROMPTS = (
    "Theorem 1. Let $p$ be a prime number and let $G$ be a group with $p$ elements. Then $G$ is cyclic.\n\nProof.",
    "Problem: A train travels 120 kilometres in one hour and a half. What is its average speed?\n\nSolution:",
    'def greatest_common_divisor(a: int, b: int) -> int:\n    """The largest number that divides both."""\n',
)
MAX_PROMPTS = 32  # each costs two texts a round; chosen by us, as are the other two
MAX_PROMPT_CHARS = 10_000
MAX_FILE_BYTES = 1_000_000


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of a file: one a line, or (`.jsonl`) one object `{"prompt": …}` a line; empty lines are passed over.

    Raises InputError where there is no such file or it is too long, ConfigError with all that is wrong in it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: the prompts cannot be read ({error.strerror})") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: is longer than {MAX_FILE_BYTES:,} bytes: this is no file of prompts")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start})") from None
    prompts, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompts.append(_prompt(line, path.suffix == ".jsonl"))
        except ValueError as error:
            problems.append(Problem(str(path), number, str(error)))
    if problems:
        raise ConfigError(problems)
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise InputError(f"{path}: has {len(prompts)} prompts, but must have 1 to {MAX_PROMPTS}")
    return tuple(prompts)


def _prompt(line: str, is_json: bool) -> str:
    """The prompt of a line. Raises ValueError that says what is wrong with it."""
    prompt = _prompt_of_object(line) if is_json else line.rstrip("\r")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ValueError(f"the prompt has {len(prompt):,} characters, but may have {MAX_PROMPT_CHARS:,}")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the prompt holds half a surrogate pair, which is no text") from None
    return prompt


def _prompt_of_object(line: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("this is no JSON") from None
    prompt = value.get("prompt") if isinstance(value, dict) else None
    if not isinstance(prompt, str) or not prompt:
        raise ValueError('this is no object with the prompt as a text: {"prompt": "…"}')
    return prompt

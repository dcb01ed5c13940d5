"""What the README tells people to type is what the programs take."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from eval_tasks.cli import COMMANDS as EVAL_COMMANDS
from llemma.cli import COMMANDS as LLEMMA_COMMANDS
from proof_pile.build.cli import COMMANDS as BUILD_COMMANDS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
PROGRAMS = {
    "llemma": (LLEMMA_COMMANDS, None),
    "llemma-eval": (EVAL_COMMANDS, None),
    "python -m proof_pile.build": (BUILD_COMMANDS, "run"),
}
BLOCKS = re.findall(r"```\n(.*?)```", README, flags=re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith(tuple(PROGRAMS))]
LINES += [text for text in re.findall(r"`([^`\n]+)`", README) if text.startswith(tuple(f"{p} " for p in PROGRAMS))]


def words_of(line: str) -> tuple[str, str, list[str]]:
    """Program, command and its words; the default command where none is named."""
    program = max((name for name in PROGRAMS if line.startswith(name)), key=len)
    commands, default = PROGRAMS[program]
    words = shlex.split(line.removeprefix(program), comments=True)
    if default is not None and (not words or words[0] not in commands):
        words.insert(0, default)
    return program, words[0], words[1:]


@pytest.mark.parametrize("line", [line for line in LINES if " task " not in line])
def test_readme_command_is_taken_by_its_program(line: str) -> None:
    program, command, words = words_of(line)
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(PROGRAMS[program][0][command][0]).add_arguments(parser)
    parser.parse_args(words)  # a word that the command does not take raises


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_readme_shows_every_command(program: str) -> None:
    shown = {words_of(line)[1] for line in LINES if words_of(line)[0] == program}
    # `make demo` stands for `llemma demo`, and the overlay and single tasks are called by programs.
    assert set(PROGRAMS[program][0]) - shown <= {"demo", "data-overlay", "task"}

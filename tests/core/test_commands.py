"""The command line that all programs share."""

from __future__ import annotations

import errno
import sys
import types
from collections.abc import Callable

import pytest

from llemma.core.commands import run_program
from llemma.core.errors import ConfigError, InputError, Problem, WorkError

RunWith = Callable[..., int]


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> RunWith:
    """Runs a program of one command `go` (the default) whose body is the function given."""

    def run(body: Callable[[object], int | None], *argv: str) -> int:
        module = types.ModuleType("command_of_a_test")
        module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)  # type: ignore[attr-defined]
        module.run = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "command_of_a_test", module)
        return run_program("prog", "A program.", {"go": ("command_of_a_test", "goes")}, argv, default="go")

    return run


def raising(error: BaseException) -> Callable[[object], int]:
    def body(args: object) -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (InputError("bad option"), 2, "error: bad option\n"),
        (WorkError("it broke"), 1, "error: it broke\n"),
        (ConfigError([Problem("a.yml", 1, "x"), Problem("a.yml", 2, "y")]), 2, "error: a.yml:1: x\na.yml:2: y\n"),
        (OSError(errno.ENOSPC, "No space left", "/data/x"), 1, "error: /data/x: the disk is full"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/none"), 2, "error: /none: there is no such file"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_program_error_meant_for_a_person_has_one_message_and_its_exit_code(
    run_with: RunWith, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, shown: str
) -> None:
    assert run_with(raising(error), "go") == code
    message = capsys.readouterr().err
    assert message.startswith(shown) and "Traceback" not in message


def test_program_defect_of_ours_is_not_hidden(run_with: RunWith) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with(raising(ZeroDivisionError()), "go")


def test_program_without_a_command_runs_the_default_one_with_its_options(run_with: RunWith) -> None:
    seen = []
    assert run_with(lambda args: seen.append(args.times)) == 0  # type: ignore[attr-defined,func-returns-value]
    assert run_with(lambda args: seen.append(args.times), "--times", "3") == 0  # type: ignore[attr-defined,func-returns-value]
    assert seen == [1, 3]


def test_program_with_an_unknown_command_exits_2_and_names_the_known_ones(
    run_with: RunWith, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(lambda args: 0, "fly") == 2
    assert "go" in capsys.readouterr().err


def test_program_help_exits_0(run_with: RunWith, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(lambda args: 0, "--help") == 0
    assert "goes (the default)" in capsys.readouterr().out

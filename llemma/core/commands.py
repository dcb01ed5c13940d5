"""The command line shared by `llemma`, `proof-pile` and `llemma-eval`.

A program is a table of commands. A command is a module with `add_arguments(parser)` and `run(args)`;
only the module of the command that was asked for is imported, so that every --help is quick.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from llemma.core.errors import LlemmaError
from llemma.core.logging import setup_logging

_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def run_program(
    prog: str,
    description: str,
    commands: Mapping[str, tuple[str, str]],
    argv: Sequence[str] | None = None,
    default: str | None = None,
) -> int:
    """Runs the command that `argv` names and returns the exit code: 0, 1 (failed work) or 2 (bad input).

    `commands` maps a name to (module, one-line help). `default` is the command taken where none is named.
    Errors meant for a person are printed as one plain message on standard error, without a traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if default is not None and (not words or (words[0].startswith("-") and words[0] not in ("-h", "--help"))):
        words.insert(0, default)
    parser = argparse.ArgumentParser(prog=prog, description=description)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = words[0] if words else None
    for name, (module_name, help_line) in commands.items():
        shown = help_line + (" (the default)" if name == default else "")
        subparser = subparsers.add_parser(name, help=shown, description=help_line)
        if name == chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            subparser.add_argument("-v", "--verbose", action="count", default=0, help="say more (-vv: everything)")
    try:
        args = parser.parse_args(words, argparse.Namespace(words=words))  # for a command that starts itself again
    except SystemExit as stop:  # argparse has printed the help (0) or what is wrong (2)
        return stop.code if isinstance(stop.code, int) else 2
    setup_logging(args.verbose)
    return _exit_code(lambda: importlib.import_module(commands[args.command][0]).run(args))


def _exit_code(work: Callable[[], int | None]) -> int:
    try:
        code = work()
        sys.stdout.flush()
        return code or 0
    except LlemmaError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted: what was finished is kept, the same command goes on from there")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: nothing is wrong, and nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno is None:
            raise
        _complain(describe_os_error(error))
        return 2 if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST) else 1


def describe_os_error(error: OSError) -> str:
    """An operating system's error in plain words: which file, what happened, what to do."""
    place = f"{error.filename}: " if error.filename else ""
    remedies = {
        errno.ENOSPC: "the disk is full: free some space and run the same command again, nothing finished is lost",
        errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
        errno.ENOENT: "there is no such file or folder",
        errno.EEXIST: "a file of this name is in the way",
        errno.ENOTDIR: "a part of this path is a file, not a folder",
        errno.EISDIR: "this is a folder, but a file is wanted",
        errno.EACCES: "permission denied",
        errno.EROFS: "the file system is read-only",
        errno.EMFILE: "too many open files: raise the limit with  ulimit -n 65536",
    }
    return place + remedies.get(error.errno or 0, error.strerror or str(error))


def _complain(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)

"""Logging: one line a message on standard error, so that standard output stays what a program prints."""

from __future__ import annotations

import logging
import sys

_ROOTS = ("llemma", "proof_pile", "eval_tasks")


def get_logger(name: str) -> logging.Logger:
    """The logger of a module; call it with `__name__`."""
    return logging.getLogger(name)


class _StandardError(logging.Handler):
    """Writes to what standard error is at that moment: while a bar is shown that puts lines above it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except RecursionError:  # as in the handlers of Python itself
            raise
        except Exception:
            self.handleError(record)


def setup_logging(verbose: int = 0) -> None:
    """Sends our messages to standard error: warnings always, information with `-v`, everything with `-vv`."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = _StandardError()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for root in _ROOTS:
        logger = logging.getLogger(root)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False

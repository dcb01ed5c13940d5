"""Logging: one line a message on standard error, so that standard output stays what a program prints."""

from __future__ import annotations

import logging
import sys

_ROOTS = ("llemma", "proof_pile", "eval_tasks")


def get_logger(name: str) -> logging.Logger:
    """The logger of a module; call it with `__name__`."""
    return logging.getLogger(name)


def setup_logging(verbose: int = 0) -> None:
    """Sends our messages to standard error: warnings always, information with `-v`, everything with `-vv`."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for root in _ROOTS:
        logger = logging.getLogger(root)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False

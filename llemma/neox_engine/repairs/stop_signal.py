"""Saves and ends when a signal asks for it: USR1 before a cluster's time is over, TERM, or Ctrl-C.

At ea7aefd8 GPT-NeoX knows no signal: USR1 and TERM kill it, and the steps since its last checkpoint are lost. Here the
step is finished, all processes agree that one of them was told, the checkpoint is written, and all end with code 75
(EX_TEMPFAIL), which says that the stage is not at its end.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "stop-signal"
STOPPED = 75
_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
_MENDED = {
    "megatron/training.py": (
        "loss_dict, skipped_iter = train_step(",
        "if neox_args.save and is_save_iter(neox_args, iteration):",
        "if neox_args.exit_interval and iteration % neox_args.exit_interval == 0:",
        "            sys.exit()\n",
        "iteration = train(\n",
    ),
}


class StopRequest:
    """Whether this process was told to end, and whether all have agreed to."""

    def __init__(self) -> None:
        self.is_told = False
        self.is_agreed = False

    def hear(self) -> None:
        """Listens from now on. A second Ctrl-C ends at once."""
        for number in _SIGNALS:
            with contextlib.suppress(ValueError):  # not in the main thread: Python delivers none there
                signal.signal(number, self._told)

    def _told(self, number: int, frame: Any) -> None:
        self.is_told = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if os.environ.get("RANK", "0") == "0":
            os.write(2, b"\nasked to stop: ends as soon as this step is done and saved\n")

    def agree(self) -> bool:
        """Whether any process was told; the same answer in all of them."""
        import torch

        is_nccl = torch.distributed.get_backend() == "nccl"
        flag = torch.tensor([float(self.is_told)], device=torch.cuda.current_device() if is_nccl else "cpu")
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        self.is_agreed = bool(flag.item())
        return self.is_agreed


def apply(context: EngineContext) -> None:
    """Listens to signals and wraps the step, the question whether to save, and the loop."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training

    request = StopRequest()
    request.hear()
    obey(training, request)


def obey(training: Any, request: StopRequest) -> None:
    """Wraps those three in NeoX's module so that its loop ends when all have agreed to."""
    upstream_step, upstream_asked, upstream_train = training.train_step, training.is_save_iter, training.train

    def train_step(*args: Any, **kwargs: Any) -> Any:
        outcome = upstream_step(*args, **kwargs)
        if request.agree():
            kwargs["neox_args"].exit_interval = 1  # the loop's own way out, after this iteration's save
        return outcome

    def is_save_iter(*args: Any, **kwargs: Any) -> bool:
        return request.is_agreed or bool(upstream_asked(*args, **kwargs))

    def train(*args: Any, **kwargs: Any) -> Any:
        try:
            return upstream_train(*args, **kwargs)
        except SystemExit:
            if request.is_agreed:
                raise SystemExit(STOPPED) from None
            raise

    training.train_step, training.is_save_iter, training.train = train_step, is_save_iter, train

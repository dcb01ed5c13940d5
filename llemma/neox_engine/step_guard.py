"""The ladder of llemma.guard at work inside GPT-NeoX: judges each step, leaves it out, goes back, stops.

The first process judges, by the mean loss and the gradient norm of all processes, and all do as it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llemma.core.errors import WorkError
from llemma.core.files import write_text
from llemma.guard.checkpoints import LATEST_NAME, NEOX_NAMES, list_checkpoints, remove_after
from llemma.guard.exclusions import Exclusions, Range
from llemma.guard.ladder import Ladder, LadderPolicy, Verdict
from llemma.guard.ledger import read_lines, sum_up
from llemma.guard.manifest import MANIFEST_NAME
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.gradients import gradient_norm, is_scaled, leave_step_out
from llemma.neox_engine.saved_state import read_state

NAME = "guard"
_ACTIONS = ("take", "skip", "roll-back", "stop")


class RollBackError(Exception):
    """Raised by a training step in all processes at once: the run is to go back to an earlier checkpoint."""


class EngineGuard:
    """One stage's guard in one process."""

    def __init__(self, context: EngineContext, policy: LadderPolicy) -> None:
        self.context = context
        self.ledger = context.ledger()
        # A place in the data that can leave samples out, and checkpoints that are known to be whole.
        can_roll_back = {"data-position", "checkpoints"} <= set(context.repairs) and context.state_dir is not None
        self.ladder = Ladder(policy, can_roll_back=can_roll_back)
        self.losses: list[Any] = []  # of this step's micro-batches
        self.verdict = Verdict(action="take")
        self.left_out: list[Range] = []  # samples of the steps left out in a row
        self.iteration = 0  # steps finished

    # Judging -----------------------------------------------------------------------------------------------------

    def attach(self, engine: Any, neox_args: Any) -> None:
        """Puts the judge between the gradients and the optimizer of DeepSpeed's engine."""
        take_step = engine._take_model_step

        def judged(*args: Any, **kwargs: Any) -> None:
            self._judge(engine, neox_args)
            if self.verdict.action == "take":
                take_step(*args, **kwargs)
            else:
                leave_step_out(engine, lambda: take_step(*args, **kwargs))

        engine._take_model_step = judged

    def begin(self, neox_args: Any) -> None:
        """Takes up what the checkpoint that was loaded keeps of the guard."""
        self.iteration = neox_args.iteration
        if "data-position" not in self.context.repairs:  # else that one knows better
            self.context.position.begin(neox_args.iteration, None, neox_args.train_batch_size)
        if neox_args.iteration and neox_args.load == neox_args.save:
            state = read_state(neox_args.save, neox_args.iteration, NAME)
            if state is not None:
                self.ladder.restore(state)
                self.left_out = [(int(first), int(end)) for first, end in state.get("left_out", ())]
        state_dir = self.context.state_dir
        if state_dir is not None:
            self.ladder.num_rollbacks = sum_up(read_lines(state_dir / "ledger.jsonl")).rollbacks

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the guard, as JSON values."""
        return {**self.ladder.state(), "left_out": [list(item) for item in self.left_out]}

    def _judge(self, engine: Any, neox_args: Any) -> None:
        import torch

        losses = self._pipeline_losses(engine) if neox_args.is_pipe_parallel else self.losses
        found = torch.zeros(3, dtype=torch.float32, device=engine.device)
        if losses:
            stacked = torch.stack([torch.as_tensor(loss, device=engine.device).float().reshape(()) for loss in losses])
            found[0], found[1] = stacked.sum(), float(len(losses))
            found[2] = (~torch.isfinite(stacked)).sum()
        torch.distributed.all_reduce(found)
        total, count, num_wild = found.tolist()
        loss = math.nan if num_wild or not count else total / count
        norm = gradient_norm(engine)
        if is_scaled(engine) and not math.isfinite(norm) and math.isfinite(loss):
            self.verdict = Verdict(action="take")  # the loss scaler's own matter: it skips by itself
            return
        verdict = self.ladder.judge(loss, norm) if self.context.is_first_process else Verdict(action="take")
        code = torch.tensor([_ACTIONS.index(verdict.action)], dtype=torch.int64, device=engine.device)
        torch.distributed.broadcast(code, src=0)
        action = _ACTIONS[int(code)]
        self.verdict = verdict if self.context.is_first_process else Verdict(action=action)  # type: ignore[arg-type]
        self._note(neox_args.iteration)

    def _pipeline_losses(self, engine: Any) -> list[Any]:
        """The pipeline engine sums its last stage's losses up itself; the other stages have none."""
        total = engine.total_loss if engine.is_last_stage() else None
        return [] if total is None else [total / engine.gradient_accumulation_steps()]

    def _note(self, iteration: int) -> None:
        if self.verdict.action == "take":
            self.left_out = []
            return
        samples = self.context.position.drawn_at(iteration)
        self.left_out += samples
        if self.context.is_first_process:
            shown = [list(item) for item in samples]
            self.ledger.write("skip", iteration + 1, reason=self.verdict.reason, samples=shown)
            print(f"guard: step {iteration + 1} is left out: {self.verdict.reason}", flush=True)

    # The training loop -------------------------------------------------------------------------------------------

    def step(self, upstream: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """NeoX's train_step; raises where the ladder says that the run cannot go on from here."""
        self.losses.clear()
        outcome = upstream(*args, **kwargs)
        neox_args = kwargs["neox_args"]
        self.iteration = neox_args.iteration + 1
        if self.iteration % max(1, neox_args.log_interval or 1) == 0:
            self.ledger.write("reached", self.iteration)
        if self.verdict.action == "roll-back":
            raise RollBackError
        if self.verdict.action == "stop":
            self.stop()
        return outcome

    def stop(self) -> None:
        """Ends the run with a report. Raises WorkError in every process."""
        reason = self.verdict.reason or "the first process says why"
        self.ledger.write("stop", self.iteration, reason=reason)
        loaders = self.context.position.data_loaders or {}
        dataset = loaders["train"].dataset if loaders.get("train") is not None else None
        numbers = [number for first, end in self.left_out for number in range(first, end)]
        raise WorkError(
            f"{self.context.config_path.parent.name} was stopped at iteration {self.iteration}: {reason}.\n"
            f"The steps left out drew on these documents:\n{describe_samples(dataset, numbers)}\n"
            f"Its checkpoints are kept in {self.context.values.get('save')}. Look at these documents, lower the "
            "learning rate, or plan a new run that begins with an earlier checkpoint"
        )

    def go_back(self, training: Any, neox_args: Any, model: Any, optimizer: Any, lr_scheduler: Any) -> None:
        """Loads an earlier checkpoint and leaves the samples of the steps before out from now on."""
        import torch

        state_dir = self.context.state_dir
        assert state_dir is not None  # else the ladder never says so
        root = Path(neox_args.save)
        target = torch.tensor([self._target(root)], dtype=torch.int64, device=model.device)
        torch.distributed.broadcast(target, src=0)
        step = int(target)
        if step < 0:
            self.verdict = Verdict(action="stop", reason=f"{self.verdict.reason}; there is no checkpoint to return to")
            self.stop()
        if self.context.is_first_process:
            self.context.position.exclusions.with_ranges(self.left_out).write(state_dir)
            shown = [list(item) for item in Exclusions(self.left_out).ranges]
            self.ledger.write("roll-back", self.iteration, to=step, reason=self.verdict.reason, excluded=shown)
            print(f"guard: back to iteration {step}, without the samples {shown}", flush=True)
            write_text(root / LATEST_NAME, f"global_step{step}")
            remove_after(root, step, NEOX_NAMES)
        torch.distributed.barrier()
        num_rollbacks = self.ladder.num_rollbacks + 1
        neox_args.load, neox_args.finetune = neox_args.save, False
        neox_args.iteration = training.load_checkpoint(
            neox_args=neox_args, model=model, optimizer=optimizer, lr_scheduler=lr_scheduler, iteration=None
        )
        state = read_state(root, neox_args.iteration, NAME)
        if state is None:
            state = Ladder(self.ladder.policy, can_roll_back=True).state()
        self.ladder.went_back(state, num_rollbacks)
        self.left_out, self.verdict, self.iteration = [], Verdict(action="take"), neox_args.iteration

    def _target(self, root: Path) -> int:
        """The iteration to go back to, -1 where there is none; of the first process alone.

        A checkpoint that was saved while steps were being left out holds the same weights as now: only those before
        the first of them count, or the oldest where older ones were removed.
        """
        if not self.context.is_first_process:
            return -1
        whole = [step for step, path in list_checkpoints(root, NEOX_NAMES) if (path / MANIFEST_NAME).is_file()]
        before = [step for step in whole if step <= self.iteration - self.ladder.num_in_a_row] or whole[:1]
        return before[-min(len(before), self.ladder.policy.rollback_checkpoints)] if before else -1


def describe_samples(dataset: Any, numbers: list[int], limit: int = 8) -> str:
    """The documents of samples of NeoX's data set in words: the .bin they stand in and their numbers there."""
    parts = []
    for number in numbers[:limit]:
        part, own = dataset, number
        if hasattr(dataset, "dataset_index"):
            part, own = dataset.datasets[dataset.dataset_index[number]], int(dataset.dataset_sample_index[number])
        if not hasattr(part, "shuffle_idx"):
            parts.append(f"  sample {number}")
            continue
        at = int(part.shuffle_idx[own])
        first, last = int(part.sample_idx[at][0]), int(part.sample_idx[at + 1][0])
        documents = [int(part.doc_idx[place]) for place in range(first, min(last + 1, first + 6))]
        source = getattr(part.indexed_dataset, "_path", part.name)
        parts.append(f"  sample {number}: {source}.bin, documents {', '.join(map(str, documents))}")
    more = len(numbers) - limit
    return "\n".join(parts) + (f"\n  and {more} more samples" if more > 0 else "")

"""How the stages of a run hang together: which checkpoint each begins with, and that it will be there.

A stage begins with the one before it, or with the one that `start_from` names; several branches may leave one stage,
each from an iteration of its own. A checkpoint that a branch needs is saved though it is none of the regular ones,
and kept though the run otherwise keeps only the last few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llemma.plan.stage_keys import Place
from llemma.stages import Stage

if TYPE_CHECKING:
    from llemma.plan.compile import PlannedStage


def start_of(stages: Sequence[Stage], index: int) -> str | None:
    """Name of the stage that a stage begins with; None for the first."""
    if index == 0:
        return None
    return stages[index].start_from or stages[index - 1].name


def iterations_needed(stages: Sequence[Stage], index: int) -> list[int]:
    """Iterations of a stage from which later stages say that they begin, in order, each once."""
    name = stages[index].name
    return sorted(
        {
            stage.start_iteration
            for later, stage in enumerate(stages)
            if stage.start_iteration is not None and start_of(stages, later) == name
        }
    )


def keep_needed(values: dict[str, Any], needed: Sequence[int]) -> None:
    """Makes a stage save the checkpoints that others begin with, and keep them until its end."""
    last = _last_iteration(values)
    if not needed or last is None:
        return
    extra = list(values.get("extra_save_iters") or [])
    extra += [step for step in needed if step < last and not _is_saved(values, step) and step not in extra]
    if extra:
        values["extra_save_iters"] = sorted(extra)
    kept = values.get("keep_last_n_checkpoints")
    if isinstance(kept, int):
        saved = [step for step in range(min(needed), last + 1) if step == last or _is_saved(values, step)]
        values["keep_last_n_checkpoints"] = max(kept, len(saved))


def _last_iteration(values: Mapping[str, Any]) -> int | None:
    last = values.get("exit_interval") or values.get("train_iters")
    return last if isinstance(last, int) else None


def _is_saved(values: Mapping[str, Any], iteration: int) -> bool:
    """True where NeoX and the embedded trainer save this iteration, the last one apart."""
    if iteration in (values.get("extra_save_iters") or ()):
        return True
    factor = values.get("checkpoint_factor")
    if not isinstance(factor, int) or factor < 1 or iteration < 1:
        return False
    if values.get("checkpoint_scale", "linear") == "linear":
        return iteration % factor == 0
    power = 1
    while factor > 1 and power < iteration:
        power *= factor
    return power == iteration


def chain_problems(planned: PlannedStage, before: PlannedStage, place: Place) -> list[str]:
    """Reasons why a stage cannot begin with a checkpoint of the stage `before`."""
    problems = []
    stage, config, earlier = planned.stage, planned.config, before.config
    if stage.start_iteration is not None and stage.start_iteration > earlier.last_iteration:
        problems.append(
            f"{place.of('start_iteration')}: starts from iteration {stage.start_iteration} of '{before.stage.name}', "
            f"which ends at {earlier.last_iteration}"
        )
    if config.rotary_emb_base != earlier.rotary_emb_base and stage.rope_base is None:
        problems.append(
            f"{place.name}: begins with '{before.stage.name}', whose RoPE base is {earlier.rotary_emb_base:,}, but "
            f"would go on with the model overlay's {config.rotary_emb_base:,}: say which it is with 'rope_base'"
        )
    if stage.carry_optimizer:
        problems += [
            f"{place.of('carry_optimizer')}: the optimizer of '{before.stage.name}' cannot be carried over: its {what} "
            f"is {has}, this stage's {now}"
            for what, has, now in (
                ("type", earlier.optimizer.type, config.optimizer.type),
                ("precision", earlier.precision, config.precision),
                ("ZeRO stage", earlier.zero_stage, config.zero_stage),
            )
            if has != now
        ]
    return problems

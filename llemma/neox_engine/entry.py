"""Trains one stage inside GPT-NeoX's process: `torchrun … -m llemma.neox_engine.entry --neox-dir D --config neox.yml`.

Works in the user's unmodified checkout, which stands last on Python's path: its top-level packages are `megatron` and
`eval_tasks`, and the second must never shadow ours nor ours it, so neither `eval_tasks` nor `proof_pile` is imported.
Goes on from the stage's own checkpoints where there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, InputError, LlemmaError, WorkError
from llemma.guard.ledger import read_lines, sum_up
from llemma.guard.manifest import check_sizes
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import apply_repairs


def main(argv: list[str] | None = None) -> int:
    """Runs one stage and returns the exit code."""
    parser = argparse.ArgumentParser(prog="llemma.neox_engine.entry", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--neox-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--repair", action="append", default=[], metavar="NAME")
    parser.add_argument("--start-from", metavar="FOLDER", help="checkpoints of the stage before")
    parser.add_argument("--last-iteration", type=int, help="do not start again where this iteration is saved")
    args = parser.parse_args(argv)
    try:
        train_stage(args.neox_dir.resolve(), args.config.resolve(), args.repair, args.last_iteration, args.start_from)
    except LlemmaError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def train_stage(
    neox_dir: Path, config: Path, repairs: list[str], last_iteration: int | None = None, start_from: str | None = None
) -> None:
    """Trains one stage. Raises InputError where a checkpoint to start from is named and missing."""
    context = read_context(neox_dir, config, repairs, start_from)
    sys.path.append(str(neox_dir))
    os.chdir(neox_dir)
    apply_repairs(repairs, context)
    from megatron.neox_arguments import NeoXArgs
    from megatron.training import pretrain

    values = context.values
    overwritten = resume_values(values, start_from, context.stage)
    if overwritten.get("finetune") is False and overwritten["load"] == start_from and "data-position" not in repairs:
        raise InputError(
            f"{config}: 'carry_optimizer' needs the repair 'data-position', which begins it at iteration 0"
        )
    saved = saved_iteration(values.get("save"))
    if last_iteration is not None and saved is not None and saved >= last_iteration and is_usable(context, saved):
        print(f"{config}: iteration {saved} is saved, this stage is finished", flush=True)
        note_finish(context, saved)
        return
    neox_args = NeoXArgs.from_ymls([str(config)], overwrite_values=overwritten)
    neox_args.configure_distributed_args()
    neox_args.build_tokenizer()
    neox_args.initialize_tensorboard_writer()
    neox_args.initialize_comet()
    try:
        pretrain(neox_args=neox_args)
    except SystemExit as error:
        if error.code not in (None, 0):
            raise  # NeoX ends a run by its exit_interval with sys.exit(), which is no fault
    saved = saved_iteration(values.get("save"))
    if last_iteration is not None and saved is not None and saved < last_iteration:
        raise WorkError(f"{config}: GPT-NeoX ended at iteration {saved}, but the stage ends at {last_iteration}")
    note_finish(context, saved or 0)


def note_finish(context: EngineContext, iteration: int) -> None:
    """Writes the ledger's last line, where the guard keeps one and it does not stand there yet."""
    ledger = context.ledger()
    if "guard" in context.repairs and ledger.path is not None and sum_up(read_lines(ledger.path)).state != "finished":
        ledger.write("finish", iteration)


def is_usable(context: EngineContext, iteration: int) -> bool:
    """Whether a saved checkpoint is there in full length, where the repair `checkpoints` proves such things."""
    if "checkpoints" not in context.repairs:
        return True
    try:
        check_sizes(Path(context.values["save"]) / f"global_step{iteration}")
    except DamagedFileError:
        return False  # the load passes it over for the one before
    return True


def read_context(neox_dir: Path, config: Path, repairs: list[str], start_from: str | None = None) -> EngineContext:
    """The stage of a neox.yml, with the stage.json beside it where there is one."""
    import yaml

    stage_file = config.parent / "stage.json"
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    stage = json.loads(stage_file.read_text(encoding="utf-8")) if stage_file.is_file() else {}
    return EngineContext(
        neox_dir=neox_dir,
        config_path=config,
        values=values,
        stage=stage,
        repairs=tuple(repairs),
        start=start_from or values.get("load"),
        start_iteration=stage.get("start_iteration") if start_from else None,
    )


def resume_values(
    values: dict[str, Any], start_from: str | None = None, stage: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is overruled in a stage's keys: it goes on from its own checkpoints where there are any.

    Else it starts from `start_from`, the checkpoints of the stage before: from the iteration that stage.json names or
    the last, with their weights alone or, where it says carry_optimizer, with the optimizer.
    NeoX only warns of a `load` that does not exist and then trains random weights: here that is an InputError.
    """
    stage = stage or {}
    save, load = values.get("save"), start_from or values.get("load")
    if saved_iteration(save) is not None:
        return {"load": save, "finetune": False}
    if load is not None and not (Path(load) / "latest").is_file():
        raise InputError(f"{load}: there is no NeoX checkpoint to start from (it has no file 'latest')")
    if not start_from:
        return {}
    found: dict[str, Any] = {"load": start_from, "finetune": not stage.get("carry_optimizer")}
    iteration = stage.get("start_iteration")
    if iteration is not None:
        if not (Path(start_from) / f"global_step{iteration}").is_dir():
            raise InputError(f"{start_from}: there is no checkpoint of iteration {iteration} to start from")
        found["iteration"] = iteration
    return found


def saved_iteration(folder: str | None) -> int | None:
    """The iteration of the newest checkpoint that `latest` names, None where there is none."""
    if folder is None:
        return None
    try:
        name = (Path(folder) / "latest").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    digits = name.removeprefix("global_step")
    if not digits.isdecimal() or not (Path(folder) / name).is_dir():
        raise InputError(f"{folder}/latest: it names '{name}', which is no checkpoint of GPT-NeoX in that folder")
    return int(digits)


if __name__ == "__main__":
    sys.exit(main())

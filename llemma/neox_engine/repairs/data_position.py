"""A stage's place in its data, by consumed samples.

GPT-NeoX goes on at batch `iteration x accumulation` (megatron/data/data_utils.py:745 at ea7aefd8): a run that comes
back with another batch size reads some samples twice or never. Each checkpoint now says which sample is next and
in what order they are drawn; the run goes on with it, passes over those in excluded.json, and refuses to go on where
the order is another. A stage that takes up the optimizer of the stage before begins at iteration 0 of
its own data and schedule, where GPT-NeoX would go on counting.
"""

from __future__ import annotations

from typing import Any

from llemma.core.errors import WorkError
from llemma.guard.exclusions import EXCLUSIONS_NAME, Exclusions
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.position import BatchNumbers, order_fingerprint
from llemma.neox_engine.repairs import require_text
from llemma.neox_engine.saved_state import read_state

NAME = "data-position"
_MENDED = {
    "megatron/data/data_utils.py": (
        "def shift_and_wrap_data_loaders(neox_args, data_loaders, loop=True):",
        "neox_args.iteration * neox_args.gradient_accumulation_steps\n        ) % len(train_dataloader)",
        "dataset, batch_sampler=batch_sampler, num_workers=num_workers, pin_memory=True",
        "global_batch_size = neox_args.batch_size * world_size",
    ),
    "megatron/training.py": (
        ") = shift_and_wrap_data_loaders(neox_args=neox_args, data_loaders=data_loaders)",
        "neox_args.iteration = load_checkpoint(",
    ),
    "megatron/checkpointing.py": ("load_lr_scheduler_states=load_optim_and_scheduler",),
}


def apply(context: EngineContext) -> None:
    """Wraps the loading of a checkpoint and the making of the training iterator."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import training

    _begin_stages_at_zero(training, context)
    _go_on_by_samples(training, context)
    position = context.position
    context.saved.keep(
        NAME,
        lambda iteration: {
            "next_sample": position.next_sample(iteration),
            "batch_size": position.batch_size,
            "order": order_fingerprint(_training_set(position.data_loaders)),
        },
    )


def _begin_stages_at_zero(training: Any, context: EngineContext) -> None:
    upstream = training.load_checkpoint

    def load_checkpoint(neox_args: Any, model: Any, optimizer: Any, lr_scheduler: Any, **kwargs: Any) -> int:
        is_begin = context.stage.get("carry_optimizer") and neox_args.load != neox_args.save
        if not is_begin:
            return int(
                upstream(neox_args=neox_args, model=model, optimizer=optimizer, lr_scheduler=lr_scheduler, **kwargs)
            )
        own = model.load_checkpoint
        # The stage has a schedule of its own; NeoX would assert that it is the old one.
        model.load_checkpoint = lambda *args, **kw: own(*args, **{**kw, "load_lr_scheduler_states": False})
        try:
            upstream(neox_args=neox_args, model=model, optimizer=optimizer, lr_scheduler=lr_scheduler, **kwargs)
        finally:
            del model.load_checkpoint
        model.global_steps = model.global_samples = model.skipped_steps = 0
        if lr_scheduler is not None:
            lr_scheduler.optimizer = model.optimizer
            lr_scheduler.step(0)
        return 0

    training.load_checkpoint = load_checkpoint


def _go_on_by_samples(training: Any, context: EngineContext) -> None:
    upstream = training.shift_and_wrap_data_loaders

    def shift_and_wrap_data_loaders(neox_args: Any, data_loaders: dict[str, Any], loop: bool = True) -> Any:
        _, *others = upstream(neox_args=neox_args, data_loaders=data_loaders, loop=loop)
        context.position.data_loaders = data_loaders
        return training_iterator(neox_args, context), *others

    training.shift_and_wrap_data_loaders = shift_and_wrap_data_loaders


def training_iterator(neox_args: Any, context: EngineContext) -> Any:
    """Batches from the place on that the model was loaded at; None in a process that loads none."""
    import torch
    from megatron import mpu

    position, state_dir = context.position, context.state_dir
    saved = None
    if neox_args.iteration and neox_args.save:
        saved = read_state(neox_args.save, neox_args.iteration, NAME)
    dataset = _training_set(position.data_loaders)
    position.num_samples = None if dataset is None else len(dataset)
    position.exclusions = Exclusions.read(state_dir) if state_dir is not None else Exclusions()
    samples = None
    if saved:  # what was excluded since then no longer counts among the samples consumed
        samples = position.exclusions.position_of(int(saved["next_sample"]), position.num_samples)
    position.begin(neox_args.iteration, samples, neox_args.train_batch_size)
    if dataset is None:
        return None
    if saved and saved.get("order") not in (None, order_fingerprint(dataset)):
        raise WorkError(
            f"{neox_args.save}: the checkpoint of iteration {neox_args.iteration} was reading its documents in "
            "another order than this run would (other data, weights, seed or sequence length, or another number of "
            "epochs): its place in the data means nothing here. Give it the data it began with, or begin a new stage"
        )
    if not position.exclusions.position_of(len(dataset)):
        raise WorkError(f"{state_dir}/{EXCLUSIONS_NAME}: it excludes all {len(dataset)} samples of the training set")
    world_size = mpu.get_data_parallel_world_size()
    numbers = BatchNumbers(
        num_samples=len(dataset),
        batch_size=neox_args.batch_size * world_size,
        rank=mpu.get_data_parallel_rank(),
        world_size=world_size,
        position=position.base_samples,
        exclusions=position.exclusions,
    )
    loader = torch.utils.data.DataLoader(
        dataset, batch_sampler=numbers, num_workers=neox_args.num_workers, pin_memory=True
    )
    return iter(loader)


def _training_set(data_loaders: dict[str, Any] | None) -> Any:
    loader = (data_loaders or {}).get("train")
    return None if loader is None else loader.dataset

"""Checkpoints that prove themselves whole, and the way back to the last good one.

GPT-NeoX has no hash of what it saves, lets DeepSpeed write `latest` before the folder is complete, writes the last
checkpoint twice, and crashes on a truncated shard (ea7aefd8). Here manifest.json with the SHA-256 of every file is
written when all are there, `latest` after it; before a checkpoint is loaded, every file is hashed again, by all
processes together; where one is damaged, the stage goes on from the one before, and the ledger says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llemma.core.errors import DamagedFileError, WorkError
from llemma.core.files import remove_folder, sync_file, write_text
from llemma.core.records import file_entry
from llemma.guard.checkpoints import LATEST_NAME, NEOX_NAMES, candidates
from llemma.guard.manifest import MANIFEST_NAME, fault_of, files_to_list, read_manifest, write_manifest
from llemma.neox_engine.context import EngineContext
from llemma.neox_engine.repairs import require_text

NAME = "checkpoints"
_MENDED = {
    "megatron/checkpointing.py": (
        "def save_ds_checkpoint(iteration, model, neox_args):",
        "model.save_checkpoint(neox_args.save, tag=tag, client_state=sd)",
        "save_ds_checkpoint(iteration, model, neox_args)\n",
        'return f"global_step{iteration}"',
        "tag=tag,\n",
    ),
    "megatron/training.py": ("neox_args.iteration = load_checkpoint(",),
}


def apply(context: EngineContext) -> None:
    """Wraps saving and loading."""
    require_text(NAME, context.neox_dir, _MENDED)
    from megatron import checkpointing, training

    seal = CheckpointSeal(context)
    checkpointing.save_ds_checkpoint = seal.saving(checkpointing.save_ds_checkpoint)
    training.load_checkpoint = seal.loading(training.load_checkpoint)


class CheckpointSeal:
    """Seals what is saved and proves what is loaded, in all processes together."""

    def __init__(self, context: EngineContext) -> None:
        self.context = context
        self.ledger = context.ledger()
        self.sealed: int | None = None  # the iteration whose checkpoint holds this state
        self.proven: dict[Path, int | None] = {}  # another's folder: its iteration, hashed once for two models

    def saving(self, upstream: Any) -> Any:
        """NeoX's save with a manifest, and `latest` last."""

        def save_ds_checkpoint(iteration: int, model: Any, neox_args: Any) -> None:
            import torch

            if self.sealed == iteration:
                return  # NeoX saves the end of training twice
            root = Path(neox_args.save)
            folder = root / f"global_step{iteration}"
            if self.context.is_first_process:
                remove_folder(folder)  # of an attempt that did not come to its end
            torch.distributed.barrier()
            own = model.save_checkpoint
            model.save_checkpoint = lambda *args, **kwargs: own(*args, **{**kwargs, "save_latest": False})
            try:
                upstream(iteration, model, neox_args)
            finally:
                del model.save_checkpoint
            torch.distributed.barrier()
            self._seal(folder)
            if self.context.is_first_process:
                write_text(root / LATEST_NAME, folder.name)
                self.ledger.write("saved", iteration)
            torch.distributed.barrier()
            self.sealed = iteration

        return save_ds_checkpoint

    def _seal(self, folder: Path) -> None:
        entries = []
        for path in _share(files_to_list(folder)):
            sync_file(path)
            entries.append(file_entry(path, folder))
        gathered = _gather(entries)
        if self.context.is_first_process:
            write_manifest(folder, gathered)

    def loading(self, upstream: Any) -> Any:
        """NeoX's load of a checkpoint that was proven first."""

        def load_checkpoint(*, neox_args: Any, iteration: int | None = None, **kwargs: Any) -> int:
            root, is_own = Path(neox_args.load), neox_args.load == neox_args.save
            if is_own:
                found = self._find(root, iteration, is_own)
            elif root in self.proven:
                found = self.proven[root]
            else:
                found = self.proven[root] = self._find(root, iteration, is_own)
            loaded = int(upstream(neox_args=neox_args, iteration=iteration if found is None else found, **kwargs))
            self.sealed = loaded if is_own else None
            return loaded

        return load_checkpoint

    def _find(self, root: Path, wanted: int | None, is_own: bool) -> int | None:
        """The iteration of the newest sound checkpoint; None where another's has no manifest to be held to."""
        steps = _agree([step for step, _ in candidates(root, NEOX_NAMES)])
        if wanted is not None:
            steps = [step for step in steps if step == wanted]
        faults: list[str] = []
        for step in steps:
            folder = root / f"global_step{step}"
            if not is_own and not _agree((folder / MANIFEST_NAME).is_file()):
                return None
            found = _faults(folder)
            if not found:
                self._tell(root, step, faults)
                return int(step)
            faults += found
            if not is_own:
                break  # an earlier one is no finished stage
        if not steps:
            return None  # NeoX's own words for what is not there
        remedy = (
            f"no sound checkpoint is left in {root}: remove that folder to start from the beginning"
            if is_own
            else f"{root}: what this stage starts from is damaged: bring it back, or make it anew"
        )
        raise WorkError("\n".join([*faults, remedy]))

    def _tell(self, root: Path, step: int, faults: list[str]) -> None:
        if not faults or not self.context.is_first_process:
            return
        self.ledger.write("fall-back", step, reasons=faults)
        print("\n".join([*faults, f"checkpoints: going on from iteration {step}"]), flush=True)
        write_text(root / LATEST_NAME, f"global_step{step}")


def _faults(folder: Path) -> list[str]:
    """What is wrong with a checkpoint, each process having hashed its share of the files."""
    try:
        entries = read_manifest(folder).files
    except DamagedFileError as error:
        own, entries = [str(error)], ()
    else:
        own = []
    own += [fault for entry in _share(list(entries)) if (fault := fault_of(folder, entry))]
    return list(dict.fromkeys(_gather(own)))


def _share(items: list[Any]) -> list[Any]:
    """This process's part of a list that all hold."""
    import torch

    return items[torch.distributed.get_rank() :: torch.distributed.get_world_size()]


def _gather(items: list[Any]) -> list[Any]:
    """The items of all processes, in all of them."""
    import torch

    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def _agree(value: Any) -> Any:
    """The first process's value, in all of them."""
    import torch

    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]

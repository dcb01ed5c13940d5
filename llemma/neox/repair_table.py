"""The repairs that our entry can make inside GPT-NeoX's process, by name; their code is in llemma.neox_engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One repair: the module that makes it, what it mends, and the back end that it is for (None: any)."""

    module: str
    what: str
    backend: str | None = None


_MODULES = "llemma.neox_engine.repairs"
# In the order in which they are applied. Each decides by the stage itself whether it has anything to do there.
REPAIRS = {
    "cpu-stand-in": Repair(
        module=f"{_MODULES}.cpu_stand_in",
        what="train on a CPU, over gloo",
        backend="gloo",
    ),
    "schedule": Repair(
        module=f"{_MODULES}.schedule",
        what="keep the learning rate at its floor past its schedule's end, and follow warmup-stable-decay",
    ),
    "counts": Repair(
        module=f"{_MODULES}.counts",
        what="count skipped and NaN iterations truly in the log",
    ),
    "loader-cache": Repair(
        module=f"{_MODULES}.loader_cache",
        what="do not keep every batch in memory",
    ),
    "empty-loss-mask": Repair(
        module=f"{_MODULES}.empty_loss_mask",
        what="a micro-batch without one unmasked position counts as nothing, not as NaN",
    ),
    "index-maps": Repair(
        module=f"{_MODULES}.index_maps",
        what="name index maps by the documents that they order, so that none is taken up for other data",
    ),
    "last-row": Repair(
        module=f"{_MODULES}.last_row",
        what="the last row of packed documents can be read",
    ),
    "packing": Repair(
        module=f"{_MODULES}.packing",
        what="attention stays within a document where the stage says packing: isolated",
    ),
    "preference-losses": Repair(
        module=f"{_MODULES}.preference_losses",
        what="DPO and KTO can make a step: functions that GPT-NeoX calls and has not, a mask for more than one pair",
    ),
    "kto-reward": Repair(
        module=f"{_MODULES}.kto_reward",
        what="KTO's reward is that of the document, not its mean over the padding too",
    ),
    "data-position": Repair(
        module=f"{_MODULES}.data_position",
        what="go on by consumed samples, whatever the batch size; begin a stage at its own iteration 0",
    ),
    "guard": Repair(
        module=f"{_MODULES}.guard",
        what="leave out steps that are not finite or spike, return to a checkpoint without those samples, stop",
    ),
    "checkpoints": Repair(
        module=f"{_MODULES}.checkpoints",
        what="hash what is saved, prove what is loaded, go on from the last good checkpoint",
    ),
    "reference-model": Repair(
        module=f"{_MODULES}.reference_model",
        what="DPO and KTO compare with the model that the stage began with, also after an interruption",
    ),
    "stop-signal": Repair(
        module=f"{_MODULES}.stop_signal",
        what="save and end when a signal asks for it, before a cluster's time is over",
    ),
}

"""The repairs that our entry can make inside GPT-NeoX's process, by name; their code is in llemma.neox_engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One repair: the module that makes it, what it mends, and the back end that it is for (None: any)."""

    module: str
    what: str
    backend: str | None = None


# In the order in which they are applied.
REPAIRS = {
    "cpu-stand-in": Repair(
        module="llemma.neox_engine.repairs.cpu_stand_in",
        what="train on a CPU, over gloo",
        backend="gloo",
    ),
    "schedule": Repair(
        module="llemma.neox_engine.repairs.schedule",
        what="keep the learning rate at its floor past its schedule's end, and follow warmup-stable-decay",
    ),
}

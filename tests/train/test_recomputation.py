"""Layers that keep less: the same gradients, the bytes that the planner says, and a plan that fits its budget."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.multiprocessing.reductions import StorageWeakRef  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from llemma.core.errors import InputError  # noqa: E402
from llemma.neox.config import NeoxConfig  # noqa: E402
from llemma.plan.embedded_memory import layer_bytes  # noqa: E402
from llemma.train.data.batch import BatchRules, make_batch  # noqa: E402
from llemma.train.model.loss import mean_loss  # noqa: E402
from llemma.train.model.recomputation import plan_recomputation  # noqa: E402
from llemma.train.model.weights import random_model  # noqa: E402

from .conftest import NEOX  # noqa: E402

MODES = ("none", "selective", "full")
BF16 = {"precision": "bfloat16", "bf16": {"enabled": True}, "zero_optimization": {"stage": 0}}


class Storages(TorchDispatchMode):
    """Every piece of memory that a tensor was made in, for as long as anybody holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.seen[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return made

    def alive(self) -> int:
        return sum(size for reference, size in self.seen.values() if not reference.expired())


def forward_and_back(config: NeoxConfig, mode: Any) -> tuple[int, dict[str, torch.Tensor]]:
    """Bytes alive after a forward pass, and the gradients after the way back."""
    torch.manual_seed(9)
    model = random_model(config, torch.device("cpu"))
    batch = make_batch(torch.randint(0, 256, (4, 33)), BatchRules())
    precision = "bfloat16" if config.precision == "bfloat16" else "fp32"
    with torch.no_grad():
        model(batch.inputs)  # its table of angles is made once
    model.recompute([mode] * config.num_layers)
    storages = Storages()
    with model.weights_held(), storages:
        loss = mean_loss(model, batch, precision)
        own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        for pointer in own & storages.seen.keys():
            del storages.seen[pointer]
        alive = storages.alive()
    torch.autograd.backward(loss)
    return alive, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("changes", [{}, BF16, {"num_kv_heads": 4}], ids=["fp32", "bf16", "multi-head"])
def test_layers_hold_the_bytes_that_the_planner_says_and_give_the_same_gradients(changes: dict[str, Any]) -> None:
    config = NeoxConfig.from_values({**NEOX, **changes})
    found = {mode: forward_and_back(config, mode) for mode in MODES}
    for one, other in itertools.combinations(MODES, 2):
        wanted = config.num_layers * (layer_bytes(config, one) - layer_bytes(config, other))
        assert found[one][0] - found[other][0] == wanted > 0
        assert all(torch.equal(found[one][1][name], found[other][1][name]) for name in found[one][1])


def test_plan_keeps_everything_where_there_is_room_and_takes_the_cheapest_that_fits() -> None:
    config = NeoxConfig.from_values({**NEOX, "num_layers": 12, "attention_config": [[["global"], 12]]})
    kept = {mode: layer_bytes(config, mode) for mode in MODES}
    assert plan_recomputation(config, 12 * kept["none"]) == ("none",) * 12
    previous = -1.0
    for budget in range(12 * kept["none"], 12 * kept["full"] + kept["none"], -kept["full"] // 2):
        modes = plan_recomputation(config, budget)
        used = sum(kept[mode] for mode in modes)
        again = max(kept["none"] - kept[mode] for mode in modes)
        assert used + again <= budget
        cost = modes.count("selective") * 0.1 + modes.count("full")
        assert cost >= previous  # less room never makes it cheaper
        previous = cost
    assert modes.count("full") >= 11
    with pytest.raises(InputError, match=r"need 0\.00 GiB even with every layer computed again"):
        plan_recomputation(config, 12 * kept["full"])

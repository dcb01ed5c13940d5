"""Leaving a step out, without GPT-NeoX and without DeepSpeed: stand-ins of its engine's end of a step."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from llemma.neox_engine.gradients import gradient_norm, leave_step_out

torch = pytest.importorskip("torch")


class PlainEngine:
    """DeepSpeed's end of a step over a plain torch optimizer (runtime/engine.py, _take_model_step)."""

    def __init__(self) -> None:
        self.module = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=0.1)
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step))
        self.mpu, self.device = None, torch.device("cpu")
        self.skipped_steps = self.global_steps = 0

    def _take_model_step(self) -> None:
        self.optimizer.step()
        self.module.zero_grad()
        if getattr(self.optimizer, "overflow", False):
            self.skipped_steps += 1
        else:
            self.lr_scheduler.step()
        self.global_steps += 1


class ZeroOptimizer:
    """The parts of DeepSpeed's ZeRO 1/2 optimizer that a step touches (runtime/zero/stage_1_and_2.py, step)."""

    def __init__(self, optimizer: Any, parameters: list[Any]) -> None:
        self.optimizer, self.parameters = optimizer, parameters
        self.overflow = self.check_grad_overflow = False
        self.loss_scale, self.num_scale_updates = 4.0, 0
        self.averaged_gradients: dict[int, Any] = {0: "gradients"}

    def scaled_global_norm(self) -> Any:
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in self.parameters]) * self.loss_scale
        return norm if torch.isfinite(norm) else torch.tensor(-1.0)

    def check_overflow(self, partition_gradients: bool = True) -> None:
        self.overflow = not math.isfinite(float(self.scaled_global_norm()))

    def _update_scale(self, has_overflow: bool = False) -> None:
        self.num_scale_updates += 1

    def step(self) -> None:
        self.overflow = False
        if self.check_grad_overflow:
            self.check_overflow(partition_gradients=True)
        self._update_scale(self.overflow)
        self.averaged_gradients = {0: None}
        if not self.overflow:
            self.optimizer.step()


def engine_with_gradients(wild: float | None = None) -> PlainEngine:
    torch.manual_seed(0)
    engine = PlainEngine()
    for _ in range(2):  # moments that an update by zero would change
        engine.module(torch.ones(4, 3)).square().sum().backward()
        engine._take_model_step()
    engine.module(torch.ones(4, 3)).square().sum().backward()
    if wild is not None:
        engine.module.weight.grad[0, 0] = wild
    return engine


def state_of(engine: PlainEngine) -> list[Any]:
    optimizer = getattr(engine.optimizer, "optimizer", engine.optimizer)
    moments = [value.clone() for item in optimizer.state.values() for value in item.values()]
    return [parameter.detach().clone() for parameter in engine.module.parameters()] + moments


@pytest.mark.parametrize("is_zero", [False, True])
@pytest.mark.parametrize("wild", [math.nan, math.inf, 1e30])
def test_step_left_out_changes_neither_parameters_nor_moments(is_zero: bool, wild: float) -> None:
    engine = engine_with_gradients(wild)
    plain = engine.optimizer
    if is_zero:
        engine.optimizer = ZeroOptimizer(plain, list(engine.module.parameters()))  # type: ignore[assignment]
    before, rate = state_of(engine), engine.lr_scheduler.get_last_lr()
    leave_step_out(engine, engine._take_model_step)
    assert all(torch.equal(old, new) for old, new in zip(before, state_of(engine), strict=True))
    assert engine.skipped_steps == 1 and engine.global_steps == 3
    assert engine.lr_scheduler.get_last_lr() < rate  # the schedule goes by iterations
    if is_zero:
        assert engine.optimizer.num_scale_updates == 0
        assert engine.optimizer.averaged_gradients == {0: None}
    # The next step is the engine's own again.
    engine.module(torch.ones(4, 3)).square().sum().backward()
    engine._take_model_step()
    assert not torch.equal(before[0], state_of(engine)[0])
    assert engine.skipped_steps == 1


def test_step_with_nan_that_is_not_left_out_poisons_the_parameters() -> None:
    engine = engine_with_gradients(math.nan)
    engine._take_model_step()
    assert torch.isnan(engine.module.weight[0, 0])


def test_gradient_norm_under_zero_is_without_the_loss_scale_and_nan_where_deepspeed_says_minus_one() -> None:
    engine = engine_with_gradients()
    expected = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in engine.module.parameters()))
    engine.optimizer = ZeroOptimizer(engine.optimizer, list(engine.module.parameters()))  # type: ignore[assignment]
    assert gradient_norm(engine) == pytest.approx(expected, rel=1e-6)
    engine.module.weight.grad[0, 0] = math.nan
    assert math.isnan(gradient_norm(engine))


def test_gradient_norm_in_bf16_is_taken_of_the_fp32_gradients() -> None:
    gradients = [torch.tensor([3.0]), torch.tensor([0.0, 4.0])]
    optimizer = SimpleNamespace(get_grads_for_norm=lambda: (gradients, {}))
    engine = SimpleNamespace(optimizer=optimizer, mpu=None, device=torch.device("cpu"))
    assert gradient_norm(engine) == 5.0
    gradients[0][0] = math.inf
    assert math.isnan(gradient_norm(engine))

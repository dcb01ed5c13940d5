"""Norm and rotation for eager mode, forward and backward in as few passes over memory as torch's kernels allow.

Measured on one thread with 2,048 × 384 numbers, forward and backward: norm 7.2 ms as torch derives it on a processor,
1.5 ms here. Under torch.compile the formulas alone are written down, and the compiler finds the passes.

Letters in tensor names: N rows, H width of a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, dtype: torch.dtype) -> torch.Tensor:
    """x divided by its root mean square, times a weight, rounded to a type.  Source: arXiv 1910.07467."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return functional.rms_norm(x, weight.shape, weight, eps).to(dtype)
    found: torch.Tensor = _RMSNorm.apply(x, weight, eps, dtype)  # type: ignore[no-untyped-call]
    return found


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns each pair (i, i + D / 2) of the last axis by an angle; `sin` is negative in the first half. fp32 inside."""
    if torch.compiler.is_compiling():
        return _turned(x, cos, sin, 1)
    found: torch.Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return found


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float, dtype: torch.dtype) -> torch.Tensor:
        x_NH = x.reshape(-1, x.shape[-1])
        norm_N1 = torch.linalg.vector_norm(x_NH, dim=1, keepdim=True)
        inverse_N1 = norm_N1.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x_NH, weight, inverse_N1)
        y_NH: torch.Tensor = (x_NH * inverse_N1).mul_(weight).to(dtype)
        return y_NH.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x_NH, weight, inverse_N1 = ctx.saved_tensors
        grad_NH = grads[0].reshape(x_NH.shape).to(x_NH.dtype)
        # The kernel is that of a layer norm, told that the mean is 0; the term that comes of a mean is put back.
        grad_x_NH, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
            grad_NH, x_NH, [x_NH.shape[1]], torch.zeros_like(inverse_N1), inverse_N1, weight, None, [True, True, False]
        )
        mean_N1 = (grad_NH @ weight).div_(x_NH.shape[1]).unsqueeze(1)
        return grad_x_NH.addcmul_(inverse_N1, mean_N1).view(grads[0].shape), grad_weight, None, None


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grads[0], cos, sin, -1), None, None


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: int) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    swapped = torch.cat((second, first), dim=-1)
    return (x * cos).addcmul(swapped.to(cos.dtype), sin, value=sign).to(x.dtype)

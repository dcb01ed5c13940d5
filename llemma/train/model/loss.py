"""Cross-entropy of the next token, a chunk of positions at a time: the logits never stand in memory as a whole.

The mean, which is trained on, has its gradients computed while each chunk's shares are at hand, so that nothing of
the size of the logits is kept or computed twice (the idea is liger-kernel's, arXiv 2410.10989). Losses by token, whose
gradients depend on what becomes of them, compute their logits again on the way back.

Logits are multiplied in the model's type; softmax and sums are fp32. Under tensor parallel each process has those of
its own rows of the vocabulary, and three numbers a position are exchanged.

Letters in tensor names: N positions, C positions of a chunk, H hidden size, V vocabulary rows (of this process).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from llemma.train.data.batch import IGNORED, Batch
from llemma.train.model.llama import Llama
from llemma.train.model.tensor_parallel import TensorParallel, copy_in
from llemma.train.settings import Precision

CHUNK_BYTES = {"cpu": 16 << 20, "cuda": 1 << 30}
"""Of a chunk's logits in fp32: near a processor's caches; on a GPU enough to fill it (chosen by us, not measured)."""
FEWEST_POSITIONS = 512
"""Of a chunk: each adds to the gradient of the whole output layer. Both numbers: docs/measured/train-cpu.md."""


def mean_loss(model: Llama, batch: Batch, precision: Precision) -> torch.Tensor:
    """The mean over the positions that count. There must be one that does."""
    inputs = _inputs(model, batch, precision)
    found: torch.Tensor = _MeanLoss.apply(*inputs, model.tensor_parallel)  # type: ignore[no-untyped-call]
    return found


def token_losses(model: Llama, batch: Batch, precision: Precision) -> torch.Tensor:
    """The loss at each position, (B, S), fp32; 0 where the label is IGNORED."""
    inputs = _inputs(model, batch, precision)
    found: torch.Tensor = _TokenLosses.apply(*inputs, model.tensor_parallel)  # type: ignore[no-untyped-call]
    return found.view(batch.labels.shape)


def _inputs(
    model: Llama, batch: Batch, precision: Precision
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states (N, H), the output layer (V, H) that gets the gradient and as it is multiplied, labels (N,)."""
    with torch.autocast(batch.inputs.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        hidden_BSH = model(batch.inputs, batch.positions, batch.mask)
    weight = model.output_weight
    hidden_NH = copy_in(hidden_BSH, model.tensor_parallel).flatten(0, 1)
    return hidden_NH, weight, model.cast(weight, hidden_NH.dtype).detach(), batch.labels.flatten()


class _Chunk(NamedTuple):
    rows: slice
    losses: torch.Tensor  # (C,), 0 where ignored
    shares: torch.Tensor  # (C, V), fp32: the softmax of the logits, and 1 less where the label is


def _chunks(
    hidden_NH: torch.Tensor, weight_VH: torch.Tensor, labels_N: torch.Tensor, parallel: TensorParallel
) -> Iterator[_Chunk]:
    num_rows = len(weight_VH)
    size = max(FEWEST_POSITIONS, CHUNK_BYTES.get(hidden_NH.device.type, 1 << 30) // (4 * num_rows))
    for first in range(0, len(hidden_NH), size):
        rows = slice(first, first + size)
        labels_C = labels_N[rows]
        logits_CV = hidden_NH[rows] @ weight_VH.T
        here_C = (labels_C - parallel.rank * num_rows).clamp(0, num_rows - 1).unsqueeze(1)
        is_here_C = labels_C.unsqueeze(1) == here_C + parallel.rank * num_rows
        target_C = logits_CV.gather(1, here_C).float().masked_fill_(~is_here_C, 0.0).squeeze(1)
        largest_C = logits_CV.amax(dim=1).float()
        shares_CV = torch.softmax(logits_CV, dim=1, dtype=torch.float32)
        del logits_CV
        log_sum_C = largest_C - shares_CV.amax(dim=1).log()  # the largest share is exp(largest - log_sum)
        if parallel.group is not None:
            mine = torch.stack((log_sum_C, target_C))
            all_of_them = [torch.empty_like(mine) for _ in range(parallel.size)]
            dist.all_gather(all_of_them, mine, group=parallel.group)
            log_sums, targets = torch.stack(all_of_them).unbind(dim=1)
            own_C, log_sum_C, target_C = log_sum_C, log_sums.logsumexp(dim=0), targets.sum(dim=0)
            shares_CV *= (own_C - log_sum_C).exp().unsqueeze(1)
        shares_CV.scatter_add_(1, here_C, -is_here_C.float())
        yield _Chunk(rows, (log_sum_C - target_C).masked_fill_(labels_C == IGNORED, 0.0), shares_CV)
        del shares_CV


class _MeanLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        multiplied_VH: torch.Tensor,
        labels_N: torch.Tensor,
        parallel: TensorParallel,
    ) -> torch.Tensor:
        is_counted_N = labels_N != IGNORED
        scale = 1.0 / is_counted_N.sum()
        counted_NH = hidden_NH * is_counted_N.unsqueeze(1)
        total = torch.zeros((), dtype=torch.float32, device=hidden_NH.device)
        needs_grad = any(ctx.needs_input_grad)
        grad_NH = torch.empty_like(hidden_NH) if needs_grad else None
        grad_VH = torch.zeros_like(weight_VH) if needs_grad else None
        for rows, losses_C, shares_CV in _chunks(hidden_NH, multiplied_VH, labels_N, parallel):
            total += losses_C.sum()
            if grad_NH is not None and grad_VH is not None:
                shares = shares_CV.to(hidden_NH.dtype)
                grad_NH[rows] = (shares @ multiplied_VH) * (scale * is_counted_N[rows]).unsqueeze(1)
                _add_product(grad_VH, shares, counted_NH[rows], scale)
        if grad_NH is not None and grad_VH is not None:
            ctx.save_for_backward(grad_NH, grad_VH)
        return total * scale

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_NH, grad_VH = ctx.saved_tensors
        if grads[0].device.type != "cpu" or grads[0] != 1:  # to ask a GPU would be to wait for it
            grad_NH.mul_(grads[0])
            grad_VH.mul_(grads[0])
        return grad_NH, grad_VH, None, None, None


def _add_product(total_VH: torch.Tensor, shares_CV: torch.Tensor, hidden_CH: torch.Tensor, scale: torch.Tensor) -> None:
    if shares_CV.dtype == torch.float32:
        total_VH.addmm_(shares_CV.T, hidden_CH * scale)
    else:
        total_VH.addcmul_(shares_CV.T @ hidden_CH, scale)


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        multiplied_VH: torch.Tensor,
        labels_N: torch.Tensor,
        parallel: TensorParallel,
    ) -> torch.Tensor:
        losses_N = torch.empty(len(hidden_NH), dtype=torch.float32, device=hidden_NH.device)
        for chunk in _chunks(hidden_NH, multiplied_VH, labels_N, parallel):
            losses_N[chunk.rows] = chunk.losses
        ctx.save_for_backward(hidden_NH, weight_VH, multiplied_VH, labels_N)
        ctx.parallel = parallel
        return losses_N

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_NH, weight_VH, multiplied_VH, labels_N = ctx.saved_tensors
        scale_N = grads[0] * (labels_N != IGNORED)
        scaled_NH = hidden_NH * scale_N.unsqueeze(1).to(hidden_NH.dtype)
        grad_NH = torch.empty_like(hidden_NH)
        grad_VH = torch.zeros_like(weight_VH)
        one = torch.ones((), device=hidden_NH.device)
        for rows, _, shares_CV in _chunks(hidden_NH, multiplied_VH, labels_N, ctx.parallel):
            shares = shares_CV.to(hidden_NH.dtype)
            grad_NH[rows] = (shares @ multiplied_VH) * scale_N[rows].unsqueeze(1)
            _add_product(grad_VH, shares, scaled_NH[rows], one)
        return grad_NH, grad_VH, None, None, None

"""The chunked cross-entropy against torch's over whole logits: losses, gradients, labels that do not count, memory."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from llemma.neox.config import NeoxConfig  # noqa: E402
from llemma.train.data.batch import IGNORED, Batch  # noqa: E402
from llemma.train.model import loss as loss_module  # noqa: E402
from llemma.train.model.loss import mean_loss, token_losses  # noqa: E402
from llemma.train.model.weights import random_model  # noqa: E402

from .conftest import NEOX  # noqa: E402

ROWS, LENGTH, VOCAB = 3, 32, 256


@pytest.fixture(params=["tied", "untied"])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(6)
    values = {**NEOX, "no_weight_tying": request.param == "untied", "init_method_std": 0.1}
    return random_model(NeoxConfig.from_values(values), torch.device("cpu"))


@pytest.fixture(params=[1, 37, 1000], ids=lambda size: f"chunks of {size}")
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions of a chunk: one, some that do not divide all, and more than there are."""
    monkeypatch.setattr(loss_module, "CHUNK_BYTES", {"cpu": 4 * VOCAB * request.param})
    monkeypatch.setattr(loss_module, "FEWEST_POSITIONS", 1)


@pytest.fixture
def batch() -> Batch:
    tokens = torch.randint(0, VOCAB, (ROWS, LENGTH + 1), generator=torch.Generator().manual_seed(8))
    labels = tokens[:, 1:].clone()
    labels[0, :20] = IGNORED
    labels[2, 5::3] = IGNORED
    return Batch(inputs=tokens[:, :-1], labels=labels)


def whole_losses(model: Any, batch: Batch) -> torch.Tensor:
    """torch's own losses of whole logits, (B, S)."""
    logits = model(batch.inputs) @ model.output_weight.T
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(batch.labels.shape)


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.autograd.backward(loss)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    for name in wanted:
        assert (found[name] - wanted[name]).norm() < 1e-5 * wanted[name].norm(), name


@pytest.mark.usefixtures("chunked")
def test_mean_loss_and_its_gradients_are_those_of_whole_logits(model: Any, batch: Batch) -> None:
    """Also where the loss is divided by the number of micro-batches before the way back."""
    losses = whole_losses(model, batch)
    wanted = losses.sum() / batch.num_counted.sum()
    found = mean_loss(model, batch, "fp32")
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    assert_same(gradients(model, found / 2), gradients(model, wanted / 2))


@pytest.mark.usefixtures("chunked")
def test_token_losses_and_their_gradients_are_those_of_whole_logits(model: Any, batch: Batch) -> None:
    """The losses of each sample weigh differently, as in DPO."""
    weights = torch.tensor([0.5, -1.0, 2.0]).unsqueeze(1)
    wanted, found = whole_losses(model, batch), token_losses(model, batch, "fp32")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (found == 0).sum() == (batch.labels == IGNORED).sum()
    assert_same(gradients(model, (found * weights).sum()), gradients(model, (wanted * weights).sum()))


def test_losses_in_bf16_are_near_those_in_fp32(model: Any, batch: Batch) -> None:
    exact = gradients(model, mean_loss(model, batch, "fp32"))
    rounded = gradients(model, mean_loss(model, batch, "bfloat16"))
    for name in exact:
        assert rounded[name].dtype == torch.float32
        assert (rounded[name] - exact[name]).norm() < 0.03 * exact[name].norm(), name
    with torch.inference_mode():
        difference = token_losses(model, batch, "bfloat16") - token_losses(model, batch, "fp32")
    assert 0 < difference.abs().max() < 0.05


def test_loss_of_a_label_that_is_all_but_impossible_is_finite(model: Any, batch: Batch) -> None:
    """A share that underflows to 0 has a logarithm of minus infinity: losses are not taken from shares."""
    with torch.no_grad():
        model.output_weight.mul_(300.0)
    losses = token_losses(model, batch, "fp32")
    torch.testing.assert_close(losses, whole_losses(model, batch), atol=1e-3, rtol=1e-5)
    assert losses.max() > 150


class Largest(TorchDispatchMode):
    """The most numbers that any tensor made within it has."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return made


@pytest.mark.parametrize("loss", [mean_loss, token_losses])
def test_logits_never_stand_in_memory_as_a_whole(loss: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(NeoxConfig.from_values({**NEOX, "padded_vocab_size": 8192}), torch.device("cpu"))
    monkeypatch.setattr(loss_module, "CHUNK_BYTES", {"cpu": 4 * 8192 * 10})
    monkeypatch.setattr(loss_module, "FEWEST_POSITIONS", 1)
    largest = Largest()
    with largest:
        torch.autograd.backward(loss(model, batch, "fp32").sum())
    assert largest.numel == 8192 * 64  # the output layer; the logits would be 8,192 × 96

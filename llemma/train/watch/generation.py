"""Texts that a model writes while it is being trained. They change nothing in the training.

Every process of a run may call `generate` with the same arguments and gets the same tokens: what is drawn depends on
these alone. Letters in tensor names: B rows, S positions, V vocabulary rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch.nn import functional

from llemma.core.schemas import GeneratedText
from llemma.core.text.tokenizers import Tokenizer
from llemma.train.model.llama import Llama
from llemma.train.settings import Precision

NUM_NEW_TOKENS = 64  # chosen by us, as is the temperature
TEMPERATURES = (0.0, 0.8)  # 0: always the likeliest token


def next_logits(model: Llama, ids_BS: torch.Tensor, lengths_B: torch.Tensor, precision: Precision) -> torch.Tensor:
    """Logits of the token behind the first `lengths` tokens of each row, fp32, shape (B, V).

    The rows are filled up at their ends, which a causal model does not see. Under tensor parallel every process gets
    all rows of the vocabulary.
    """
    rows = torch.arange(len(ids_BS), device=ids_BS.device)
    with torch.autocast(ids_BS.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        hidden_BH = model(ids_BS)[rows, lengths_B - 1]
    logits_BV = functional.linear(hidden_BH.float(), model.output_weight)
    parallel = model.tensor_parallel
    if parallel.group is None:
        return logits_BV
    parts = [torch.empty_like(logits_BV) for _ in range(parallel.size)]
    dist.all_gather(parts, logits_BV.contiguous(), group=parallel.group)
    return torch.cat(parts, dim=1)


def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    *,
    num_new: int,
    temperatures: Sequence[float],
    eod: int,
    vocab_size: int,
    seed: int,
    precision: Precision,
) -> list[list[int]]:
    """The tokens written after each of the prompts at its temperature, up to the end of the document.

    Rows beyond `vocab_size` of the output layer are padding and never drawn. A row whose logits are not finite ends
    there.
    """
    device = model.device
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    ids_BS = torch.full((len(prompts), int(lengths.max()) + num_new), eod)
    for row, prompt in enumerate(prompts):
        ids_BS[row, : len(prompt)] = torch.tensor(prompt)
    written: list[list[int]] = [[] for _ in prompts]
    going_on = list(range(len(prompts)))
    was_training = model.training
    model.eval()
    try:
        # The length of these rows would make a compiled layer one for any length, slower and with other last bits.
        with torch.inference_mode(), model.weights_held(), model.eager():
            for _ in range(num_new):
                there_B = lengths[going_on]
                ids = ids_BS[going_on, : int(there_B.max())].to(device)
                logits_BV = next_logits(model, ids, there_B.to(device), precision).cpu()[:, :vocab_size]
                for row, logits_V in zip(tuple(going_on), logits_BV, strict=True):
                    token = _drawn(logits_V, temperatures[row], generator)
                    if token is None or token == eod:
                        going_on.remove(row)
                        continue
                    ids_BS[row, lengths[row]] = token
                    lengths[row] += 1
                    written[row].append(token)
                if not going_on:
                    break
    finally:
        model.train(was_training)
    return written


def _drawn(logits_V: torch.Tensor, temperature: float, generator: torch.Generator) -> int | None:
    """The next token; None where the model says nothing that is a number."""
    if not bool(torch.isfinite(logits_V).all()):
        return None
    if temperature == 0:
        return int(logits_V.argmax())
    weights = torch.softmax(logits_V.double() / temperature, dim=0)
    return int(torch.multinomial(weights, 1, generator=generator))


class SampleWriter:
    """Prompts in a tokenizer's tokens, which a model goes on with at each temperature."""

    def __init__(self, tokenizer: Tokenizer, prompts: Sequence[str], *, eod: int, vocab_size: int, seq_length: int):
        """The end of a prompt counts where it is too long for the model."""
        self._tokenizer, self._prompts = tokenizer, tuple(prompts)
        self._eod, self._vocab_size = eod, vocab_size
        self._num_new = min(NUM_NEW_TOKENS, seq_length // 2)
        kept = seq_length - self._num_new
        self._ids = [(tokenizer.encode(prompt) or [eod])[-kept:] for prompt in self._prompts]

    def write(
        self, model: Llama, *, stage: str, iteration: int, seed: int, precision: Precision
    ) -> list[GeneratedText]:
        """What the model writes after each prompt, at each temperature."""
        asked = [(row, temperature) for row in range(len(self._ids)) for temperature in TEMPERATURES]
        written = generate(
            model,
            [self._ids[row] for row, _ in asked],
            num_new=self._num_new,
            temperatures=[temperature for _, temperature in asked],
            eod=self._eod,
            vocab_size=self._vocab_size,
            seed=seed + iteration,
            precision=precision,
        )
        return [
            GeneratedText(
                stage=stage,
                iteration=iteration,
                prompt=self._prompts[row],
                text=self._text(self._ids[row], tokens),
                temperature=temperature,
            )
            for (row, temperature), tokens in zip(asked, written, strict=True)
        ]

    def _text(self, before: list[int], tokens: list[int]) -> str:
        """Tokens as text, with the space that a tokenizer leaves out at the beginning of a text."""
        prompt, whole = self._tokenizer.decode(before), self._tokenizer.decode([*before, *tokens])
        return whole[len(prompt) :] if whole.startswith(prompt) else self._tokenizer.decode(tokens)

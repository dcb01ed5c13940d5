"""The loss of a Hugging Face model on documents, window by window.

Importing this module imports torch and transformers.

A document longer than the model's context is cut into windows; each scores `stride` new tokens with as many tokens
before them as fit. By default windows share one token, the predecessor of the first new one, as in lm-eval's rolling
likelihood. The first token follows the tokenizer's beginning-of-text token
(end-of-text where it has none); special tokens at a document's ends are not scored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by tqdm when it is first imported: transformers' own bars would be drawn between the lines of ours.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from torch.nn import functional

from eval_tasks.perplexity import DocumentLoss, Text
from llemma.core.errors import InputError, WorkError


@dataclass(frozen=True)
class _Window:
    """Tokens [0, n) of which those from `begin` on are scored, for the document at `place`."""

    place: int
    tokens: np.ndarray
    begin: int


class Scorer:
    """A loaded model. `batch_tokens` bounds the tokens, padding included, that it sees at a time."""

    def __init__(
        self, folder: Path, *, context_length: int, stride: int | None, batch_tokens: int, device: str | None
    ) -> None:
        import transformers

        transformers.logging.set_verbosity_error()
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise InputError(f"--device {device}: this machine has no CUDA device that torch can use")
        dtype = torch.float32 if self._device.type == "cpu" else "auto"
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        except Exception as error:  # of transformers, tokenizers, safetensors or torch: they share no family
            raise WorkError(
                f"{folder}: transformers cannot load this model ({type(error).__name__}: {error})"
            ) from error
        self._model = model.to(self._device).eval()
        self._context = context_length
        self._stride = stride or context_length - 1  # one place is the first token's predecessor
        self._batch_tokens = batch_tokens
        found = (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
        self._first = next((token for token in found if token is not None), None)
        self._special = set(self._tokenizer.all_special_ids)
        if not 1 <= self._stride < context_length:
            raise InputError(f"--stride {stride}: wanted is a number from 1 to {context_length - 1}")

    def losses(self, texts: Iterable[Text]) -> Iterator[DocumentLoss]:
        """The loss of each document, in order; as many documents at a time as fill a batch."""
        held: list[tuple[Text, np.ndarray, int]] = []
        size = 0
        for text in texts:
            tokens, begin = self._tokens(text)
            held.append((text, tokens, begin))
            size += len(tokens)
            if size >= 4 * self._batch_tokens:
                yield from self._scored(held)
                held, size = [], 0
        yield from self._scored(held)

    def _tokens(self, text: Text) -> tuple[np.ndarray, int]:
        """All tokens after the first-token predecessor, and the number of those that are context alone."""
        if text.tokens is None:
            context = self._encoded(text.context) if text.context else []
            # Together, for a tokenizer may join the last piece of one with the first of the other.
            whole = self._encoded(text.context + text.text)
            shared = next((n for n, (a, b) in enumerate(zip(context, whole, strict=False)) if a != b), len(context))
            return np.asarray(whole, dtype=np.int64), min(shared, len(whole))
        tokens = np.asarray(text.tokens, dtype=np.int64)
        num_known = self._model.get_input_embeddings().num_embeddings
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < num_known:
            raise InputError(
                f"{text.source}, document {text.id}: the token {int(tokens.max())} is beyond the model's {num_known}: "
                "the data was tokenized with another tokenizer"
            )
        first, last = 0, len(tokens)
        while first < last and int(tokens[first]) in self._special:
            first += 1
        while last > first and int(tokens[last - 1]) in self._special:
            last -= 1
        return tokens[first:last], 0

    def _encoded(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _scored(self, held: list[tuple[Text, np.ndarray, int]]) -> Iterator[DocumentLoss]:
        nats = [0.0] * len(held)
        windows = [
            window for place, (_, tokens, begin) in enumerate(held) for window in self._windows(place, tokens, begin)
        ]
        windows.sort(key=lambda window: len(window.tokens))
        batch: list[_Window] = []
        for window in windows:
            if batch and len(window.tokens) * (len(batch) + 1) > self._batch_tokens:
                self._add(batch, nats)
                batch = []
            batch.append(window)
        if batch:
            self._add(batch, nats)
        for (text, tokens, begin), loss in zip(held, nats, strict=True):
            # Without a predecessor the very first token cannot be scored.
            begin = max(begin, 1) if self._first is None else begin
            scored = text.text if text.tokens is None else self._tokenizer.decode(tokens, skip_special_tokens=True)
            yield DocumentLoss(
                source=text.source,
                id=text.id,
                sha=text.sha,
                nats=loss,
                tokens=max(0, len(tokens) - begin),
                bytes=len(scored.encode("utf-8", "replace")),
            )

    def _windows(self, place: int, tokens: np.ndarray, begin: int) -> Iterator[_Window]:
        if self._first is not None:
            tokens, begin = np.concatenate([[self._first], tokens]), begin + 1
        begin = max(begin, 1)
        while begin < len(tokens):
            end = min(begin + self._stride, len(tokens))
            start = max(0, end - self._context)
            yield _Window(place, tokens[start:end], begin - start)
            begin = end

    @torch.inference_mode()
    def _add(self, batch: list[_Window], nats: list[float]) -> None:
        longest = max(len(window.tokens) for window in batch)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, window in enumerate(batch):
            ids[row, : len(window.tokens)] = torch.from_numpy(np.ascontiguousarray(window.tokens))
            mask[row, : len(window.tokens)] = 1
        logits = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device)).logits
        for row, window in enumerate(batch):
            # The logits at a place are of the token after it.
            end = len(window.tokens)
            wanted = ids[row, window.begin : end].to(self._device)
            loss = functional.cross_entropy(logits[row, window.begin - 1 : end - 1].float(), wanted, reduction="sum")
            nats[window.place] += float(loss)

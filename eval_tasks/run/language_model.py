"""The model inside lm-eval: Hugging Face weights, asked batch by batch, each batch kept in a journal.

Importing this module imports torch, transformers and lm-eval: only the code that is about to ask a model does.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

# Read by tqdm when it is first imported: lm-eval's own bars would be drawn between the lines of ours.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from eval_tasks.lm_eval_task import example_rows
from eval_tasks.prompts import Prompt
from eval_tasks.run.journal import Journal
from eval_tasks.run.model_folder import ModelFolder
from llemma.core.errors import InputError, WorkError

TOO_LONG_SHARE = 0.05  # chosen by us: a few very long problems must not cost all others their examples

# Threads of a tiny model wait for each other longer than they work: on two busy cores, two threads took seven times
# as long as one for a model of 3 M parameters. Chosen by us.
ONE_THREAD_BYTES = 64 << 20


class AskedModel(HFLM):  # type: ignore[misc]
    """lm-eval's Hugging Face model, with batches of our own order: longest prompts first, equal ones in order asked.

    Sampling is seeded for each batch by itself, so that a resumed pass says what an unbroken one would have said.
    """

    journal: Journal
    advance: Callable[[float], None]
    seed: int = 0
    num_truncated: int = 0

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """The completions of all requests, in their order."""
        size = int(self.batch_size)
        room = self.max_length - int(requests[0].args[1]["max_gen_toks"])
        lengths_of = {text: len(self.tok_encode(text)) for text in {request.args[0] for request in requests}}
        lengths = [lengths_of[request.args[0]] for request in requests]
        self.num_truncated = sum(length > room for length in lengths_of.values())
        order = sorted(range(len(requests)), key=lambda place: (-lengths[place], place))
        said = [""] * len(requests)
        for batch, start in enumerate(range(0, len(order), size)):
            places = order[start : start + size]
            completions = self.journal.get(batch)
            if completions is None or len(completions) != len(places):
                torch.manual_seed(self.seed + batch)
                completions = super().generate_until([requests[place] for place in places], disable_tqdm=True)
                self.journal.add(batch, completions)
            for place, completion in zip(places, completions, strict=True):
                said[place] = completion
            self.advance(len(places))
        return said


def load_model(folder: ModelFolder, *, batch_size: int, device: str | None, dtype: str | None) -> AskedModel:
    """Loads a model's weights and tokenizer. Raises WorkError where transformers cannot."""
    import transformers

    transformers.logging.set_verbosity_error()
    chosen_device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen_device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {chosen_device}: this machine has no CUDA device that torch can use")
    chosen_dtype = dtype or ("float32" if chosen_device == "cpu" else "auto")
    if chosen_device == "cpu" and folder.num_bytes < ONE_THREAD_BYTES:
        torch.set_num_threads(1)
    try:
        with _quiet():
            return AskedModel(
                pretrained=str(folder.path), device=chosen_device, dtype=chosen_dtype, batch_size=batch_size
            )
    except Exception as error:  # of transformers, tokenizers, safetensors or torch: they share no family
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise WorkError(
            f"{folder.path}: transformers cannot load this model ({type(error).__name__}: {reason[:300]})"
        ) from error


def num_fitting_examples(model: AskedModel, prompt: Prompt, problems: Sequence[str], max_new_tokens: int) -> int:
    """How many of the worked examples fit into the model's context, with a question and room for its answer.

    Fewer whole examples say more than many of which the first are cut off. Up to TOO_LONG_SHARE of the problems
    may be too long even so: lm-eval cuts the beginning of their prompts, which is counted.
    """
    room = model.max_length - max_new_tokens
    lengths = sorted(len(model.tok_encode(prompt.ask(problem))) for problem in problems)
    longest = lengths[math.ceil(len(lengths) * (1 - TOO_LONG_SHARE)) - 1]
    used = 0
    for number, row in enumerate(example_rows(prompt)):
        used += len(model.tok_encode(f"{row['question']} {row['target']}\n\n"))
        if used + longest > room:
            return number
    return len(prompt.examples)


def ask(model: AskedModel, task_config: dict[str, Any]) -> list[list[str]]:
    """What the model says to every problem of one task, `repeats` completions each, through lm-eval."""
    from lm_eval import evaluate
    from lm_eval.api.task import ConfigurableTask

    name = task_config["task"]
    with _quiet():
        task = ConfigurableTask(config=task_config)
        task.set_fewshot_seed(model.seed)
        task.override_metric("bypass")
        # evaluate() and not simple_evaluate(): the latter would index all of lm-eval's thousands of task files, ask git
        # for a version on our standard error, and survey the machine, once for each pass.
        results = evaluate(lm=model, task_dict={"tasks": {name: task}}, bootstrap_iters=0, log_samples=True)
    samples: Sequence[dict[str, Any]] = results["samples"][name]
    ordered = sorted(samples, key=lambda sample: sample["doc_id"])
    return [[str(text) for text in sample["resps"][0]] for sample in ordered]


@contextlib.contextmanager
def _quiet() -> Any:
    """Holds back lm-eval's own log below errors while it works for us: it warns of every setting that we give."""
    import logging

    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)

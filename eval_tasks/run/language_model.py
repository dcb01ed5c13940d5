"""The model inside lm-eval: asked batch by batch, each batch kept in a journal.

lm-eval builds the requests of a task and carries them out; which of them, in what batches and with what seed is ours.
Importing this module imports torch, transformers and lm-eval: only the code that is about to ask a model does.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# Read by tqdm when it is first imported: lm-eval's own bars would be drawn between the lines of ours.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from eval_tasks.benchmarks import Method
from eval_tasks.lm_eval_task import make_dataset
from eval_tasks.prompts import Prompt
from eval_tasks.rows import LETTERS
from eval_tasks.run.journal import Journal, Key
from eval_tasks.run.plan import Pass, PlannedTask, RunPlan
from llemma.core.errors import InputError, WorkError
from llemma.core.files import stable_hash

TOO_LONG_SHARE = 0.05  # chosen by us: a few very long problems must not cost all others their examples

# Threads of a tiny model wait for each other longer than they work: on two busy cores, two threads took seven times
# as long as one for a model of 3 M parameters. Chosen by us.
ONE_THREAD_BYTES = 64 << 20
_NO_TEXT = "LMEVAL_MODEL_NONE_ANSWER_PLACEHOLDER"


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """One of lm-eval's models. `context_length` is in tokens."""

    inner: Any
    backend: str
    batch_size: int
    context_length: int

    def num_tokens(self, text: str) -> int:
        """Length of a text in the model's tokens."""
        return len(self.inner.tok_encode(text))


def load_model(plan: RunPlan) -> LanguageModel:
    """Loads a model's weights and tokenizer, or makes ready to ask a server."""
    makers = {"hf": _load_hf, "vllm": _load_vllm, "local-completions": _reach_server}
    try:
        with _quiet():
            inner = makers[plan.settings.backend](plan)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(
            f"--backend {plan.settings.backend} needs a package that is not installed ({_first_line(error)}): "
            f"pip install 'lm-eval[{'vllm' if plan.settings.backend == 'vllm' else 'api'}]'"
        ) from None
    except Exception as error:  # of transformers, tokenizers, safetensors, torch or vllm: they share no family
        reader = "vLLM" if plan.settings.backend == "vllm" else "transformers"
        found = f"{type(error).__name__}: {_first_line(error)}"
        raise WorkError(f"{plan.model.path}: {reader} cannot load this model ({found})") from error
    return LanguageModel(
        inner=inner,
        backend=plan.settings.backend,
        batch_size=plan.batch_size,
        context_length=min(int(inner.max_length), plan.model.context_length),
    )


def _load_hf(plan: RunPlan) -> Any:
    import transformers
    from lm_eval.models.huggingface import HFLM

    settings = plan.settings
    transformers.logging.set_verbosity_error()
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {device}: this machine has no CUDA device that torch can use")
    if device == "cpu" and plan.model.num_bytes < ONE_THREAD_BYTES:
        torch.set_num_threads(1)
    return HFLM(
        pretrained=str(plan.model.path),
        device=device,
        dtype=settings.dtype or ("float32" if device == "cpu" else "auto"),
        batch_size=plan.batch_size,
    )


def _load_vllm(plan: RunPlan) -> Any:
    from lm_eval.models.vllm_causallms import VLLM

    settings = plan.settings
    return VLLM(
        pretrained=str(plan.model.path),
        dtype=settings.dtype or "auto",
        batch_size="auto",
        max_model_len=plan.model.context_length,
        tensor_parallel_size=max(1, torch.cuda.device_count()),
    )


def _reach_server(plan: RunPlan) -> Any:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    settings = plan.settings
    return LocalCompletionsAPI(
        base_url=settings.base_url,
        model=str(settings.model),
        tokenizer=str(plan.model.path),
        num_concurrent=settings.concurrency,
        max_length=plan.model.context_length,
        batch_size=1,
    )


def ask(
    model: LanguageModel,
    plan: RunPlan,
    task: PlannedTask,
    one_pass: Pass,
    journal: Journal,
    advance: Callable[[float], None],
) -> None:
    """Asks everything of one pass that its journal lacks, and writes it there."""
    room = model.context_length - (plan.max_new_tokens if task.facts.method is not Method.LIKELIHOOD else 1)
    if journal.num_examples is None:
        questions = [task.prompt.ask(item.problem) for item in task.documents.items]
        num_examples = num_fitting_examples(model, task.prompt, questions, room)
        shots = model.num_tokens(_shots_text(task.prompt.with_examples(num_examples)))
        journal.begin(num_examples, sum(shots + model.num_tokens(question) > room for question in questions))
    prompt = task.prompt.with_examples(journal.num_examples or 0)
    with _quiet():
        config = task_config(task, prompt)
        lm_eval_task = ConfigurableTask(config=config)
        lm_eval_task.build_all_requests(rank=0, world_size=1)
    if task.facts.method is Method.LIKELIHOOD:
        _ask_letters(model, task, lm_eval_task.instances, journal, advance)
    else:
        _ask_texts(model, plan, task, one_pass, lm_eval_task.instances, journal, advance)


def task_config(task: PlannedTask, prompt: Prompt) -> dict[str, Any]:
    """The task as lm-eval wants it, with this run's problems and prompt; what is said is judged by us."""
    asks_letters = task.facts.method is Method.LIKELIHOOD
    return {
        "task": task.file.name,
        "custom_dataset": lambda **_: make_dataset(task.file.benchmark, task.items, prompt),
        "test_split": "test",
        "fewshot_split": "examples" if prompt.examples else None,
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": len(prompt.examples),
        "output_type": "multiple_choice" if asks_letters else "generate_until",
        "doc_to_text": "question",
        "doc_to_target": "target",
        **({"doc_to_choice": list(LETTERS)} if asks_letters else {"generation_kwargs": {"until": task.file.until}}),
        "metric_list": [{"metric": "acc" if asks_letters else "bypass"}],
    }


def _ask_texts(
    model: LanguageModel,
    plan: RunPlan,
    task: PlannedTask,
    one_pass: Pass,
    instances: Sequence[Instance],
    journal: Journal,
    advance: Callable[[float], None],
) -> None:
    contexts = {task.items[one.doc_id].id: one.args[0] for one in instances}
    lengths = {name: model.num_tokens(context) for name, context in contexts.items()}
    longest_first = sorted(contexts, key=lambda name: -lengths[name])
    for sample in range(one_pass.num_samples):
        todo = journal.missing([(name, sample) for name in longest_first])
        for keys in _batches(todo, model.batch_size):
            seed = int(stable_hash([one_pass.seed, sample, keys[0][0]])[:8], 16)
            wanted = _generation_options(model.backend, plan, task, one_pass, seed)
            requests = [
                Instance(request_type="generate_until", doc={}, arguments=(contexts[name], dict(wanted)), idx=0)
                for name, _ in keys
            ]
            torch.manual_seed(seed)
            said, seconds = _carried_out(model, "generate_until", requests)
            if any(not isinstance(text, str) or text == _NO_TEXT for text in said):
                raise WorkError(f"{plan.model.given}: the model gave no text for one of {len(keys)} problems")
            journal.add(keys, said, seconds)
            advance(len(keys))


def _generation_options(backend: str, plan: RunPlan, task: PlannedTask, one_pass: Pass, seed: int) -> dict[str, Any]:
    options: dict[str, Any] = {"until": list(task.file.until), "max_gen_toks": plan.max_new_tokens, "do_sample": False}
    if one_pass.temperature > 0:
        options |= {"do_sample": True, "temperature": one_pass.temperature, "top_p": one_pass.top_p}
        # transformers would take the 50 likeliest tokens alone; the two others draw from all, and need the seed here:
        # with one seed for all requests a server says the same to every sample of a problem.
        options |= {"top_k": 0} if backend == "hf" else {"seed": seed}
    return options


def _ask_letters(
    model: LanguageModel,
    task: PlannedTask,
    instances: Sequence[Instance],
    journal: Journal,
    advance: Callable[[float], None],
) -> None:
    by_key = {(task.items[one.doc_id].id, one.idx): one for one in instances}
    for keys in _batches(journal.missing(by_key), model.batch_size):
        said, seconds = _carried_out(model, "loglikelihood", [by_key[key] for key in keys])
        journal.add(keys, [float(log_probability) for log_probability, _ in said], seconds)
        advance(len(keys))


def _batches(keys: Sequence[Key], size: int) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _carried_out(model: LanguageModel, kind: str, requests: Sequence[Instance]) -> tuple[list[Any], float]:
    started = time.monotonic()
    try:
        with _quiet():
            said = getattr(model.inner, kind)(requests, disable_tqdm=True)
    except Exception as error:
        if model.backend != "local-completions":
            raise
        raise WorkError(f"the server did not answer ({type(error).__name__}: {_first_line(error)})") from error
    return list(said), time.monotonic() - started


def num_fitting_examples(model: LanguageModel, prompt: Prompt, questions: Sequence[str], room: int) -> int:
    """How many of the worked examples fit into `room` tokens together with a question.

    Fewer whole examples say more than many of which the first are cut off. Up to TOO_LONG_SHARE of the problems
    may be too long even so: lm-eval cuts the beginning of their prompts, which is counted.
    """
    lengths = sorted(model.num_tokens(question) for question in questions)
    longest = lengths[math.ceil(len(lengths) * (1 - TOO_LONG_SHARE)) - 1]
    used = 0
    for number, row in enumerate(prompt.example_rows()):
        used += model.num_tokens(f"{row['question']} {row['target']}\n\n")
        if used + longest > room:
            return number
    return len(prompt.examples)


def _shots_text(prompt: Prompt) -> str:
    return "".join(f"{row['question']} {row['target']}\n\n" for row in prompt.example_rows())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:300]


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

"""What a run will ask the model, worked out before any model is loaded: tasks, prompts, problems, passes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from eval_tasks.answers import POLICIES
from eval_tasks.benchmarks import BENCHMARKS, Benchmark, Method
from eval_tasks.catalog import Catalog, TaskFile, read_catalog
from eval_tasks.documents import Documents, load_documents
from eval_tasks.prompts import Prompt, check_prompts_dir, find_prompt
from eval_tasks.rows import LETTERS, Item
from eval_tasks.run.model_folder import SMALL_MODEL_BYTES, ModelFolder, find_model, find_served_model
from llemma.core.errors import InputError
from llemma.core.files import stable_hash
from llemma.core.records import installed_versions

PUBLISHED_MAX_NEW_TOKENS = 1024  # Llemma's evaluation, harness setting max_gen_toks
# Ours, which is more exact than the published metric, and that metric itself.
COMPARABLE_POLICIES = ("standard", "minerva")
BACKENDS = ("hf", "vllm", "local-completions")
_PACKAGES = {"hf": ("torch", "transformers"), "vllm": ("vllm",), "local-completions": ()}
# vLLM takes all prompts of a batch in its own order; a batch is only what a kill may cost. Chosen by us.
_VLLM_BATCH = 2_048


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a person asked for; None stands for "as the task or the machine has it"."""

    model: Path
    tasks: tuple[str, ...]
    out: Path
    backend: str = "hf"
    base_url: str | None = None
    tokenizer: Path | None = None
    concurrency: int = 8
    majority: int | Literal["published"] = 0
    limit: int | None = None
    data_dir: Path | None = None
    prompts_dir: Path | None = None
    shots: int | None = None
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seeds: tuple[int, ...] = (1234,)
    sandbox: str = "auto"
    policy: str = "standard"


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One way of asking every problem of a task: greedily once, or `num_samples` times with sampling and a seed.

    For a benchmark whose answer is the likeliest letter the "samples" are the letters.
    """

    name: str
    num_samples: int
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """One task with everything that is asked, and why its score is not comparable with published ones, if so.

    `documents` are all problems of the task, `items` those that are asked. The first pass is the greedy one.
    """

    file: TaskFile
    prompt: Prompt
    documents: Documents
    items: tuple[Item, ...]
    passes: tuple[Pass, ...]
    not_comparable: tuple[str, ...]

    @property
    def facts(self) -> Benchmark:
        """What is known of the task's benchmark."""
        return BENCHMARKS[self.file.benchmark]


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A whole run, ready to be carried out."""

    settings: Settings
    model: ModelFolder
    catalog: Catalog
    tasks: tuple[PlannedTask, ...]
    batch_size: int
    max_new_tokens: int

    def pass_key(self, task: PlannedTask, one_pass: Pass) -> str:
        """Hash of everything that decides what the model says to one problem in one pass.

        Neither the number of problems, nor of samples, nor of prompts in a batch is in it: a run that asks for more
        of any takes over what is there.
        """
        settings = self.settings
        return stable_hash(
            {
                "model": self.model.sha256,
                "backend": settings.backend,
                "task": task.file.name,
                "version": task.file.version,
                "until": task.file.until,
                "documents": task.documents.sha,
                "prompt": task.prompt.model_dump(mode="json"),
                "pass": {**asdict(one_pass), "num_samples": None},
                "max_new_tokens": self.max_new_tokens,
                "device": settings.device,
                "dtype": settings.dtype,
                "versions": installed_versions(("lm-eval", "tokenizers", *_PACKAGES[settings.backend])),
            }
        )

    def run_key(self) -> str:
        """Hash of everything that decides the results of the whole run."""
        passes = [
            [self.pass_key(task, one), one.num_samples, [item.id for item in task.items]]
            for task in self.tasks
            for one in task.passes
        ]
        return stable_hash([self.settings.policy, *passes])


def plan_run(settings: Settings) -> RunPlan:
    """Checks everything that a person gave and reads all problems and prompts. Loads no model."""
    _check_numbers(settings)
    catalog = read_catalog()
    names = catalog.resolve(settings.tasks)
    if settings.prompts_dir is not None:
        check_prompts_dir(settings.prompts_dir, sorted({catalog.tasks[name].benchmark for name in names}))
    if settings.data_dir is not None and not settings.data_dir.is_dir():
        raise InputError(f"{settings.data_dir}: there is no such folder of data sets")
    model = _find_model(settings)
    default_tokens = min(PUBLISHED_MAX_NEW_TOKENS, model.context_length // 2)
    max_new_tokens = settings.max_new_tokens or default_tokens
    if max_new_tokens >= model.context_length:
        raise InputError(
            f"--max-new-tokens {max_new_tokens} leaves no room for a question: "
            f"the model's context is {model.context_length} tokens"
        )
    default_batch = 64 if model.num_bytes < SMALL_MODEL_BYTES else 16
    return RunPlan(
        settings=settings,
        model=model,
        catalog=catalog,
        tasks=tuple(_plan_task(settings, catalog.tasks[name], max_new_tokens) for name in names),
        batch_size=settings.batch_size or (_VLLM_BATCH if settings.backend == "vllm" else default_batch),
        max_new_tokens=max_new_tokens,
    )


def _find_model(settings: Settings) -> ModelFolder:
    if settings.backend == "local-completions":
        if settings.base_url is None or settings.tokenizer is None:
            raise InputError(
                "--backend local-completions needs --base-url URL (of the server's completions, for example "
                "http://localhost:8000/v1/completions) and --tokenizer DIR (the model's tokenizer and config.json)"
            )
        return find_served_model(str(settings.model), settings.base_url, settings.tokenizer)
    given = [name for name, value in (("--base-url", settings.base_url), ("--tokenizer", settings.tokenizer)) if value]
    if given:
        raise InputError(f"{' and '.join(given)} only go with --backend local-completions")
    return find_model(settings.model, settings.out)


def _check_numbers(settings: Settings) -> None:
    wanted_positive = {
        "--limit": settings.limit,
        "--batch-size": settings.batch_size,
        "--max-new-tokens": settings.max_new_tokens,
        "--temperature": settings.temperature,
        "--concurrency": settings.concurrency,
    }
    faults = [f"{name} must be greater than 0, found {value}" for name, value in wanted_positive.items()
              if value is not None and not value > 0]  # fmt: skip
    if settings.majority != "published" and (settings.majority < 0 or settings.majority == 1):
        faults.append(f"--majority must be 'published', 0 (no vote) or at least 2, found {settings.majority}")
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        faults.append(f"--seeds must be different whole numbers, found {', '.join(map(str, settings.seeds)) or 'none'}")
    if len(settings.seeds) > 1 and not settings.majority:
        faults.append("several --seeds make a difference only with --majority K, for greedy answers are all the same")
    if settings.shots is not None and settings.shots < 0:
        faults.append(f"--shots must not be negative, found {settings.shots}")
    if settings.top_p is not None and not 0 < settings.top_p <= 1:
        faults.append(f"--top-p must lie between 0 and 1, found {settings.top_p}")
    if settings.dtype not in (None, "float32", "bfloat16", "float16"):
        faults.append(f"--dtype must be float32, bfloat16 or float16, found '{settings.dtype}'")
    if settings.policy not in POLICIES:
        faults.append(f"--policy must be {', '.join(POLICIES)}, found '{settings.policy}'")
    if settings.backend not in BACKENDS:
        faults.append(f"--backend must be {', '.join(BACKENDS)}, found '{settings.backend}'")
    if faults:
        raise InputError("\n".join(faults))


def _plan_task(settings: Settings, file: TaskFile, max_new_tokens: int) -> PlannedTask:
    prompt = find_prompt(file.benchmark, file.subset, prompts_dir=settings.prompts_dir, data_dir=settings.data_dir)
    num_published = len(prompt.examples)
    if settings.shots is not None:
        if settings.shots > num_published:
            raise InputError(f"{file.name}: --shots {settings.shots}, but the prompt has only {num_published} examples")
        prompt = prompt.with_examples(settings.shots)
    documents = load_documents(file.benchmark, file.subset, settings.data_dir)
    items = documents.items[: settings.limit]
    reasons = []
    if not prompt.comparable:
        reasons.append("the prompt is not the one that Llemma's published scores were made with")
    if len(prompt.examples) != num_published:
        reasons.append(f"{len(prompt.examples)} worked examples instead of {num_published}")
    if documents.left_out:
        reasons.append(f"{len(documents.left_out)} damaged rows of the data were left out")
    if len(items) < len(documents.items):
        reasons.append(f"only the first {len(items)} of {len(documents.items)} problems")
    if settings.policy not in COMPARABLE_POLICIES:
        reasons.append(f"graded by the policy '{settings.policy}'")
    is_written = BENCHMARKS[file.benchmark].method is not Method.LIKELIHOOD
    if is_written and max_new_tokens < PUBLISHED_MAX_NEW_TOKENS:
        reasons.append(f"answers are cut at {max_new_tokens} tokens instead of {PUBLISHED_MAX_NEW_TOKENS}")
    if not is_written:
        passes = [Pass(name="letters", num_samples=len(LETTERS), temperature=0.0, top_p=1.0, seed=0)]
    else:
        passes = [Pass(name="greedy", num_samples=1, temperature=0.0, top_p=1.0, seed=0)]
    k = file.published_k if settings.majority == "published" else settings.majority
    if k and is_written:
        passes += [
            Pass(
                name=f"seed-{seed}",
                num_samples=k,
                temperature=settings.temperature if settings.temperature is not None else file.temperature,
                top_p=settings.top_p if settings.top_p is not None else file.top_p,
                seed=seed,
            )
            for seed in settings.seeds
        ]
    return PlannedTask(
        file=file,
        prompt=prompt,
        documents=documents,
        items=items,
        passes=tuple(passes),
        not_comparable=tuple(reasons),
    )

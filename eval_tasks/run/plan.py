"""What a run will ask the model, worked out before any model is loaded: tasks, prompts, problems, passes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eval_tasks.catalog import Catalog, TaskFile, read_catalog
from eval_tasks.documents import Documents, load_documents
from eval_tasks.prompts import Prompt, check_prompts_dir, find_prompt
from eval_tasks.run.model_folder import SMALL_MODEL_BYTES, ModelFolder, find_model
from llemma.core.errors import InputError
from llemma.core.files import stable_hash
from llemma.core.records import installed_versions

PUBLISHED_MAX_NEW_TOKENS = 1024  # Llemma's evaluation, harness setting max_gen_toks


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a person asked for; None stands for "as the task or the machine has it"."""

    model: Path
    tasks: tuple[str, ...]
    out: Path
    majority: int = 0
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
    seed: int = 1234


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One way of asking every problem of a task: greedily once, or `num_samples` times with sampling."""

    name: str
    num_samples: int
    temperature: float
    top_p: float


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """One task with everything that is asked, and why its score is not comparable with published ones, if so."""

    file: TaskFile
    prompt: Prompt
    documents: Documents
    passes: tuple[Pass, ...]
    not_comparable: tuple[str, ...]


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
        """Hash of everything that decides what the model says in one pass."""
        versions = installed_versions(("torch", "transformers", "lm-eval", "tokenizers"))
        return stable_hash(
            {
                "model": self.model.sha256,
                "task": task.file.name,
                "version": task.file.version,
                "documents": task.documents.sha,
                "prompt": task.prompt.model_dump(mode="json"),
                "pass": asdict(one_pass),
                "batch_size": self.batch_size,
                "max_new_tokens": self.max_new_tokens,
                "device": self.settings.device,
                "dtype": self.settings.dtype,
                "seed": self.settings.seed,
                "versions": versions,
            }
        )


def plan_run(settings: Settings) -> RunPlan:
    """Checks everything that a person gave and reads all problems and prompts. Loads no model."""
    _check_numbers(settings)
    catalog = read_catalog()
    names = catalog.resolve(settings.tasks)
    if settings.prompts_dir is not None:
        check_prompts_dir(settings.prompts_dir, sorted({catalog.tasks[name].benchmark for name in names}))
    if settings.data_dir is not None and not settings.data_dir.is_dir():
        raise InputError(f"{settings.data_dir}: there is no such folder of data sets")
    model = find_model(settings.model, settings.out)
    default_tokens = min(PUBLISHED_MAX_NEW_TOKENS, model.context_length // 2)
    max_new_tokens = settings.max_new_tokens or default_tokens
    if max_new_tokens >= model.context_length:
        raise InputError(
            f"--max-new-tokens {max_new_tokens} leaves no room for a question: "
            f"the model's context is {model.context_length} tokens"
        )
    return RunPlan(
        settings=settings,
        model=model,
        catalog=catalog,
        tasks=tuple(_plan_task(settings, catalog.tasks[name], max_new_tokens) for name in names),
        batch_size=settings.batch_size or (64 if model.num_bytes < SMALL_MODEL_BYTES else 16),
        max_new_tokens=max_new_tokens,
    )


def _check_numbers(settings: Settings) -> None:
    wanted_positive = {
        "--limit": settings.limit,
        "--batch-size": settings.batch_size,
        "--max-new-tokens": settings.max_new_tokens,
        "--temperature": settings.temperature,
    }
    faults = [f"{name} must be greater than 0, found {value}" for name, value in wanted_positive.items()
              if value is not None and not value > 0]  # fmt: skip
    if settings.majority < 0 or settings.majority == 1:
        faults.append(f"--majority must be 0 (no vote) or at least 2, found {settings.majority}")
    if settings.shots is not None and settings.shots < 0:
        faults.append(f"--shots must not be negative, found {settings.shots}")
    if settings.top_p is not None and not 0 < settings.top_p <= 1:
        faults.append(f"--top-p must lie between 0 and 1, found {settings.top_p}")
    if settings.dtype not in (None, "float32", "bfloat16", "float16"):
        faults.append(f"--dtype must be float32, bfloat16 or float16, found '{settings.dtype}'")
    if faults:
        raise InputError("\n".join(faults))


def _plan_task(settings: Settings, file: TaskFile, max_new_tokens: int) -> PlannedTask:
    prompt = find_prompt(file.benchmark, settings.prompts_dir)
    num_published = len(prompt.examples)
    if settings.shots is not None:
        if settings.shots > num_published:
            raise InputError(f"{file.name}: --shots {settings.shots}, but the prompt has only {num_published} examples")
        prompt = prompt.model_copy(update={"examples": prompt.examples[: settings.shots]})
    documents = load_documents(file.benchmark, file.subset, settings.data_dir)
    reasons = []
    if not prompt.comparable:
        reasons.append("the prompt is not the published one")
    if len(prompt.examples) != num_published:
        reasons.append(f"{len(prompt.examples)} worked examples instead of {num_published}")
    if documents.left_out:
        reasons.append(f"{len(documents.left_out)} damaged rows of the data were left out")
    if settings.limit is not None and settings.limit < len(documents.items):
        reasons.append(f"only the first {settings.limit} of {len(documents.items)} problems")
        items = documents.items[: settings.limit]
        documents = replace(documents, items=items, sha=stable_hash([documents.sha, settings.limit]))
    if max_new_tokens < PUBLISHED_MAX_NEW_TOKENS:
        reasons.append(f"answers are cut at {max_new_tokens} tokens instead of {PUBLISHED_MAX_NEW_TOKENS}")
    passes = [Pass(name="greedy", num_samples=1, temperature=0.0, top_p=1.0)]
    if settings.majority:
        passes.append(
            Pass(
                name=f"sampled-{settings.majority}",
                num_samples=settings.majority,
                temperature=settings.temperature if settings.temperature is not None else file.temperature,
                top_p=settings.top_p if settings.top_p is not None else file.top_p,
            )
        )
    return PlannedTask(
        file=file, prompt=prompt, documents=documents, passes=tuple(passes), not_comparable=tuple(reasons)
    )

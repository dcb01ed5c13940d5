"""The files that parts exchange, as typed models: each part reads and writes them through here.

Mixture         mixture.json      proof_pile -> llemma: shards, weights, tokenizer
BenchmarkText   *.jsonl           eval_tasks -> proof_pile: benchmark texts to clean the corpus of
MetricLine      metrics.jsonl     trainer -> report
GeneratedText   samples.jsonl     trainer -> report (beside metrics.jsonl)
EvalResults     results.json      eval_tasks -> report
EvalSample      samples.jsonl     eval_tasks -> report
RunRecord       record.json       plan -> launch, train, report
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import pydantic

from llemma.core.config import Config, describe_invalid
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import read_json, write_json, write_text

M = TypeVar("M", bound=pydantic.BaseModel)
Objective = Literal["language-modelling", "sft", "dpo", "kto"]


def read_model(path: str | Path, model: type[M]) -> M:
    """A JSON file as a typed model. Raises InputError (missing), ConfigError (wrong), DamagedFileError (not JSON)."""
    value = read_json(path)
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        raise describe_invalid(str(path), value, model, error) from None


def read_lines(path: str | Path, model: type[M]) -> Iterator[M]:
    """The lines of a JSON-lines file as typed models; a wrong line is a DamagedFileError naming it."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the with below
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    with file:
        for number, line in enumerate(file, start=1):
            try:
                yield model.model_validate_json(line)
            except pydantic.ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(str(item) for item in first["loc"])
                raise DamagedFileError(f"{path}:{number}: {place + ': ' if place else ''}{first['msg']}") from None


def write_model(path: str | Path, value: pydantic.BaseModel) -> None:
    """Writes a typed model as JSON, whole or not at all."""
    write_json(path, value.model_dump(mode="json"))


def write_lines(path: str | Path, values: Iterable[pydantic.BaseModel]) -> None:
    """Writes typed models as JSON lines, whole or not at all."""
    write_text(path, "".join(json_line(value) for value in values))


def json_line(value: pydantic.BaseModel) -> str:
    """One JSON line, with its line end."""
    return json.dumps(value.model_dump(mode="json", exclude_none=True), ensure_ascii=False, allow_nan=False) + "\n"


class TokenizerInfo(Config):
    """Which tokenizer made the shards. `path` is relative to mixture.json."""

    kind: Literal["sentencepiece", "huggingface"]
    path: str
    sha256: str
    vocab_size: int
    eod_id: int
    dtype: Literal["uint16", "int32"]


class CompanionShard(Config):
    """A `.bin/.idx` pair that goes with another, document by document; `path` is relative to mixture.json.

    Labels and rewards are int32 whatever the tokens are: they hold negative numbers.
    """

    path: str
    num_documents: int
    num_tokens: int
    bin_sha256: str
    idx_sha256: str


class Shard(CompanionShard):
    """One `.bin/.idx` pair; `path` is their common prefix, relative to mixture.json.

    What an objective other than language modelling needs goes with it, each with as many documents:
    labels           a number for each token: the token itself, or -100 where the loss does not count (sft, dpo, kto)
    rewards          one number a document: 1 for a wanted answer, -1 for an unwanted one (kto)
    rejected         the answer that lost against this shard's document (dpo), with labels of its own
    """

    labels: CompanionShard | None = None
    rewards: CompanionShard | None = None
    rejected: CompanionShard | None = None
    rejected_labels: CompanionShard | None = None

    @pydantic.model_serializer(mode="wrap")
    def _without_absent_companions(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {key: value for key, value in written.items() if value is not None}


class MixtureSource(Config):
    """A source with its share of the tokens to train on, and how often the plan repeats it."""

    name: str
    group: str
    weight: float = pydantic.Field(ge=0, le=1)
    epochs: float = pydantic.Field(ge=0)
    splits: dict[str, Shard]


class Mixture(Config):
    """mixture.json: what to train on, in words that no engine owns."""

    schema_version: Literal[1] = pydantic.Field(default=1, alias="schema")
    name: str
    tokenizer: TokenizerInfo
    planned_tokens: int = pydantic.Field(gt=0)
    sources: tuple[MixtureSource, ...]

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @pydantic.model_validator(mode="after")
    def _weights_sum_to_one(self) -> Mixture:
        total = math.fsum(source.weight for source in self.sources)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights sum to {total:.6f}, but must sum to 1")
        return self

    @classmethod
    def read(cls, path: str | Path) -> Mixture:
        """Reads and checks mixture.json."""
        return read_model(path, cls)

    def write(self, path: str | Path) -> None:
        """Writes mixture.json."""
        write_model(path, self)


class BenchmarkText(Config):
    """One text of a benchmark's test set that must not stand in training data.

    `formal` is a statement in a proof assistant's language.  Several lines of the same benchmark, id and part are forms
    of one text, each of which is looked for.
    """

    benchmark: str
    id: str
    part: Literal["problem", "solution", "formal"]
    text: str


class MetricLine(Config):
    """One line of metrics.jsonl. Losses are in nats per token, `seconds` since the stage began to run.

    mfu is the share of the device's peak (a processor's is measured as the training begins), took_s the seconds that a
    validation lasted. Where preferences are trained the losses are those of DPO or KTO, and `measures` tells by
    GPT-NeoX's names how they come about (llemma.train.preference).
    """

    kind: Literal["train", "validation", "event"]
    stage: str
    iteration: int
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    measures: dict[str, float] | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    seconds: float | None = None
    took_s: float | None = None
    by_source: dict[str, float] | None = None
    message: str | None = None


class GeneratedText(Config):
    """One line of samples.jsonl: what the model wrote after a prompt; a temperature of 0 is greedy."""

    stage: str
    iteration: int
    prompt: str
    text: str
    temperature: float


class MajorityResult(Config):
    """Accuracy of the most frequent answer of k samples, with its 95 % Wilson interval."""

    k: int
    accuracy: float
    ci95: tuple[float, float]
    bootstrap95: tuple[float, float] | None = None


class PassAtK(Config):
    """The chance that one of k samples is right (Chen et al. 2021, unbiased), with its bootstrap interval."""

    value: float
    bootstrap95: tuple[float, float]


class SeedSpread(Config):
    """A score under several seeds of sampling: its values in the order of the seeds, their mean and sample s.d."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    sd: float


class TaskResult(Config):
    """Scores of one task; `outcomes` counts all n problems by what the grader said of the greedy answer.

    ci95 is Wilson's interval, bootstrap95 resamples problems.  `by` has the share of right greedy answers, and the
    number of problems, for each level and subject: {"level": {"Level 1": (n, accuracy)}}.
    pass_at has keys "1", "2", "4", ... over the samples of one seed.
    """

    n: int
    accuracy: float
    ci95: tuple[float, float]
    outcomes: dict[str, int]
    majority: MajorityResult | None = None
    prompt_origin: str
    comparable: bool
    bootstrap95: tuple[float, float] | None = None
    pass_at: dict[str, PassAtK] | None = None
    sample_seeds: SeedSpread | None = None
    majority_seeds: SeedSpread | None = None
    by: dict[str, dict[str, tuple[int, float]]] | None = None


class EvalResults(Config):
    """results.json of one evaluation."""

    schema_version: Literal[1] = pydantic.Field(default=1, alias="schema")
    model: str
    model_sha256: str
    tasks: dict[str, TaskResult]
    versions: dict[str, str]
    seconds: float
    settings: dict[str, Any]

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def read(cls, path: str | Path) -> EvalResults:
        """Reads and checks results.json."""
        return read_model(path, cls)

    def write(self, path: str | Path) -> None:
        """Writes results.json."""
        write_model(path, self)


class SampledAnswer(Config):
    """One of the k sampled completions of a problem."""

    completion: str
    answer: str | None = None
    outcome: str | None = None
    seed: int | None = None


class MajorityAnswer(Config):
    """The elected answer of the k samples, how many voted for it, and the grader's verdict."""

    answer: str | None = None
    outcome: str
    votes: int | None = None


class EvalSample(Config):
    """One problem as it was asked, answered and judged."""

    task: str
    id: str
    problem: str
    gold: str
    completion: str
    answer: str | None = None
    outcome: str
    reason: str = ""
    samples: tuple[SampledAnswer, ...] = ()
    majority: MajorityAnswer | None = None
    subject: str = ""
    level: str = ""


class StagePlan(Config):
    """One stage of a run as the planner compiled it; the folder is relative to the run directory."""

    name: str
    directory: str
    iterations: int
    tokens: int


class RunRecord(Config):
    """record.json of a run directory: what was planned, from what, and what it was estimated to cost."""

    kind: Literal["run"] = "run"
    name: str
    created: str
    recipe: dict[str, Any]
    mixture: str
    stages: tuple[StagePlan, ...]
    estimates: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def read(cls, run: str | Path) -> RunRecord:
        """Reads record.json of a run directory."""
        path = Path(run) / "record.json"
        if not path.exists():
            raise InputError(
                f"{run}: this is not a run directory, it has no record.json: "
                "make one with  llemma plan RECIPE --out RUN"
            )
        return read_model(path, cls)

    def write(self, run: str | Path) -> None:
        """Writes record.json of a run directory."""
        write_model(Path(run) / "record.json", self)

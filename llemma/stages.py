"""What a run is, in words that no engine owns: a recipe with its list of stages, a cluster, and a compiled stage.

A recipe (recipes/*.yml) names a model, a training overlay and a cluster, and lists stages. A stage may say its own
data, tokens, sequence length, global batch size, learning-rate segment, RoPE base and objective, all in true units;
what it leaves out is as the overlays say. A later stage begins at iteration 0 with the weights of the one before (or
of the one that start_from names: several branches may leave one stage), and with a new optimizer unless
carry_optimizer is set. The planner compiles each stage into a neox.yml and a stage.json:

RUN/stages/01-<name>/stage.json   CompiledStage below: what starts from where, how far it goes, which data it draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from llemma.core.config import Config
from llemma.core.schemas import Objective, read_model, write_model
from llemma.schedules import Schedule

Positive = Annotated[int, pydantic.Field(gt=0)]
Name = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Precision = Literal["bfloat16", "fp16", "fp32"]
Packing = Literal["documents-may-cross", "isolated"]  # isolated: no token attends to another document's


OneLine = Annotated[str, pydantic.Field(pattern=r"^[^\n\r]+$")]
SlurmWord = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:,&|+@-]*$")]


class SlurmSettings(Config):
    """What a Slurm cluster wants said in a batch script; what is left out is the site's default.

    The launcher writes the number of nodes, the GPUs, the processes and the rendezvous itself, from Cluster.
    """

    partition: SlurmWord | None = None
    account: SlurmWord | None = None
    qos: SlurmWord | None = None
    constraint: SlurmWord | None = None
    time: Annotated[str, pydantic.Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")] = "24:00:00"  # [days-]h:m:s
    gres: SlurmWord | None = None  # "gpu:a100:8", where the site wants it in place of --gpus-per-node
    cpus_per_node: Positive | None = None
    memory: Annotated[str, pydantic.Field(pattern=r"^\d+[KMGT]?$")] | None = None  # a node's; "0": all of it
    exclusive: bool = True
    requeue: bool = True
    signal_before_end_s: Annotated[int, pydantic.Field(ge=30)] = 600  # so long before `time` a checkpoint is written
    master_port: Annotated[int, pydantic.Field(ge=1024, le=65535)] = 29500
    options: tuple[Annotated[str, pydantic.Field(pattern=r"^--[a-z][^\n\r]*$")], ...] = ()  # more #SBATCH lines
    setup: tuple[OneLine, ...] = ()  # shell lines before the run, on each node: module load ..., export ...

    @property
    def time_s(self) -> int:
        """`time` in seconds."""
        days, _, clock = self.time.rpartition("-")
        hours, minutes, seconds = map(int, clock.split(":"))
        return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds

    @pydantic.model_validator(mode="after")
    def _leaves_time_to_train(self) -> SlurmSettings:
        if self.signal_before_end_s >= self.time_s:
            raise ValueError(
                f"the job is signalled {self.signal_before_end_s} s before its end, but lasts only {self.time_s} s"
            )
        return self


class Cluster(Config):
    """clusters/*.yml: machines, and how a model is laid out on them."""

    title: str
    accelerator: str
    nodes: Positive
    gpus_per_node: Positive  # processes, on machines without a GPU
    memory_gib: float | None = pydantic.Field(default=None, gt=0)
    peak_tflops: dict[Precision, float] = pydantic.Field(default_factory=dict)
    backend: Literal["nccl", "gloo"]
    attention: Literal["flash", "global"]
    tensor_parallel: Positive = 1
    pipeline_parallel: int = pydantic.Field(default=0, ge=0)  # 0: NeoX without its pipeline engine
    accumulation: Positive | None = None  # left out: what the global batch size asks for
    slurm: SlurmSettings | None = None  # left out: hosts that one logs in to

    @property
    def num_gpus(self) -> int:
        """GPUs (or processes) of all nodes together."""
        return self.nodes * self.gpus_per_node

    @property
    def dp_size(self) -> int:
        """Data-parallel size, rounded down where the parallel sizes do not divide the GPUs."""
        return self.num_gpus // (self.tensor_parallel * max(1, self.pipeline_parallel))


class LearningRate(Config):
    """A learning-rate segment in iterations of its stage."""

    shape: Literal["cosine", "linear", "constant", "warmup-stable-decay"]
    peak: float = pydantic.Field(gt=0)
    final: float = pydantic.Field(default=0.0, ge=0)
    warmup_iters: int = pydantic.Field(default=0, ge=0)
    warmup_share: float | None = pydantic.Field(default=None, gt=0, lt=1)  # of decay_iters, in place of warmup_iters
    decay_iters: Positive | None = None  # left out: the length of the stage
    stable_end_iters: int | None = pydantic.Field(default=None, ge=0)  # left out: the end of the warm-up
    half_life_iters: float | None = pydantic.Field(default=None, gt=0)

    @pydantic.model_validator(mode="after")
    def _makes_a_schedule(self) -> LearningRate:
        if self.final > self.peak:
            raise ValueError(f"final is {self.final:g}, but must be at most the peak ({self.peak:g})")
        if self.warmup_share is not None and self.warmup_iters:
            raise ValueError("the warm-up is given twice, as 'warmup_iters' and as 'warmup_share': keep one")
        is_wsd = self.shape == "warmup-stable-decay"
        if is_wsd and self.half_life_iters is None:
            raise ValueError("warmup-stable-decay needs 'half_life_iters': after so many iterations the rate is halved")
        if not is_wsd and (self.stable_end_iters, self.half_life_iters) != (None, None):
            raise ValueError(f"'stable_end_iters' and 'half_life_iters' are for warmup-stable-decay, not {self.shape}")
        return self


class PlannedSource(Config):
    """A source that a recipe plans for before its data are built; weights are relative.

    `document_tokens` makes it a length bucket: no document is shorter than the first or longer than the second
    number, which is checked against the shards of a mixture that has a source of this name.
    """

    name: str
    weight: float = pydantic.Field(gt=0)
    tokens: Positive | None = None
    documents: Positive | None = None
    document_tokens: tuple[Positive, Positive] | None = None

    @pydantic.model_validator(mode="after")
    def _bucket_has_room(self) -> PlannedSource:
        if self.document_tokens is not None and self.document_tokens[0] > self.document_tokens[1]:
            raise ValueError(f"'document_tokens' is {list(self.document_tokens)}: the first must be the smaller")
        return self


class Stage(Config):
    """One stage of a recipe. What is left out is as the overlays say."""

    name: Name
    objective: Objective = "language-modelling"
    data: str | None = None  # a mixture.json, relative to the recipe; left out: what --data names
    sources: tuple[PlannedSource, ...] = ()  # what it plans for until data are named; left out: the recipe's
    training: str | None = None  # a training overlay instead of the recipe's
    tokens: Positive | None = None
    epochs: float | None = pydantic.Field(default=None, gt=0)  # passes over its data, in place of tokens
    seq_length: Positive | None = None
    global_batch_size: Positive | None = None  # sequences
    learning_rate: LearningRate | None = None
    rope_base: Positive | None = None
    stop_iters: Positive | None = None  # end here on the same schedule
    max_epochs: float | None = pydantic.Field(default=None, gt=0)
    packing: Packing = "documents-may-cross"
    start_from: Name | None = None  # an earlier stage; left out: the one before
    start_iteration: Positive | None = None  # its checkpoint of that iteration; left out: its last
    carry_optimizer: bool = False  # a later stage: go on with the optimizer state of the stage that it starts from
    guard: dict[str, Any] = pydantic.Field(default_factory=dict)  # settings of llemma.guard.steps.GuardPolicy

    @pydantic.model_validator(mode="after")
    def _says_its_length_once(self) -> Stage:
        if self.tokens is not None and self.epochs is not None:
            raise ValueError("the length is given twice, as 'tokens' and as 'epochs': keep one")
        return self


class Recipe(Config):
    """recipes/*.yml: a run as a list of stages over a model, a training overlay and a cluster."""

    title: str
    model: str  # a name in models/, or a path
    training: str  # a name in training/, or a path
    cluster: str  # a name in clusters/, or a path
    start: Literal["checkpoint", "noise"]
    mfu: float | None = pydantic.Field(default=None, gt=0, le=1)
    max_epochs: float | None = pydantic.Field(default=None, gt=0)
    sources: tuple[PlannedSource, ...] = ()
    stages: tuple[Stage, ...]

    @pydantic.model_validator(mode="after")
    def _stages_have_names_of_their_own(self) -> Recipe:
        if not self.stages:
            raise ValueError("a recipe needs at least one stage")
        names = [stage.name for stage in self.stages]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two stages are called '{twice[0]}'")
        for number, stage in enumerate(self.stages):
            if stage.start_from is not None and stage.start_from not in names[:number]:
                raise ValueError(f"stage '{stage.name}' starts from '{stage.start_from}', which is no stage before it")
        first = self.stages[0]
        if first.carry_optimizer or first.start_iteration:
            raise ValueError("the first stage has no stage before it to start from or carry the optimizer of")
        return self


class StageSource(Config):
    """One source of a compiled stage; `train`, `validation` and `test` are absolute `.bin/.idx` prefixes or null."""

    name: str
    weight: float
    tokens: int | None = None
    epochs: float | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None


class StageSchedule(Config):
    """A learning rate that NeoX's keys cannot say, in the terms of llemma.schedules.Schedule."""

    style: Literal["warmup-stable-decay"]
    peak_lr: float
    min_lr: float
    warmup_iters: int
    decay_iters: Positive
    stable_end_iters: int
    half_life_iters: float

    def schedule(self) -> Schedule:
        """The same as a function's argument."""
        return Schedule(**self.model_dump())


class CompiledStage(Config):
    """stage.json: one stage as it will run. Its neox.yml lies beside it."""

    schema_version: Literal[1] = pydantic.Field(default=1, alias="schema")
    name: str
    number: Positive
    directory: str  # "01-math": the folder's name under stages/ and under train/
    objective: Objective
    start: Literal["hf", "neox", "stage", "noise"]  # a model, a NeoX checkpoint, an earlier stage, random weights
    init_from: str | None = None  # "hf": absolute path of the Hugging Face folder
    start_from: str | None = None  # "stage": the directory name of the stage it starts from
    start_iteration: int | None = None  # "stage": the iteration of that stage's checkpoint
    carry_optimizer: bool = False
    packing: Packing = "documents-may-cross"
    schedule: StageSchedule | None = None  # null: as neox.yml's keys say
    guard: dict[str, Any] = pydantic.Field(default_factory=dict)
    iterations: Positive  # the iteration at which it ends
    scheduled_iterations: Positive  # the iteration at which its schedule ends
    tokens_per_iteration: Positive
    tokens: Positive
    mixture: str | None  # absolute path of mixture.json
    mixture_sha256: str | None
    sources: tuple[StageSource, ...]
    replaced: dict[str, list[Any]] = pydantic.Field(default_factory=dict)  # key: [as the overlays said, as run]

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @classmethod
    def read(cls, path: str | Path) -> CompiledStage:
        """Reads and checks stage.json."""
        return read_model(path, cls)

    def write(self, path: str | Path) -> None:
        """Writes stage.json."""
        write_model(path, self)

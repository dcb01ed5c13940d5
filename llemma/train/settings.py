"""One stage as the trainer sees it: neox.yml through `NeoxConfig`, and stage.json, in the trainer's own units."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from llemma.core.config import YamlFile, describe_invalid, load_yaml
from llemma.core.errors import ConfigError, Problem
from llemma.guard.steps import GuardPolicy
from llemma.neox.config import NeoxConfig
from llemma.neox.data_overlay import path_keys
from llemma.schedules import Schedule
from llemma.stages import CompiledStage
from llemma.train.data.document_packing import Packing
from llemma.train.keys import refusals
from llemma.train.model.initial_weights import init_problems
from llemma.train.places import StagePlaces

Precision = Literal["fp32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class WeightedPath:
    """One data set of a mixture: the prefix of its .bin/.idx pair, its weight and the name it is reported by."""

    prefix: str
    weight: float
    name: str
    labels: str | None = None  # what lies beside it, each by its prefix: see llemma.train.data.companions
    rewards: str | None = None
    rejected: str | None = None
    rejected_labels: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preference:
    """What DPO or KTO is told; what is not its own keeps a value that changes nothing."""

    kind: Literal["dpo", "kto"]
    beta: float
    reference_free: bool = False
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    @property
    def has_reference(self) -> bool:
        """True where answers are compared with what the model of the stage's start makes of them."""
        return not self.reference_free


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides the numbers of a stage, and what is written when."""

    stage: str
    config: NeoxConfig
    plan: CompiledStage
    guard: GuardPolicy
    schedule: Schedule
    micro_batch: int
    num_micro_batches: int
    train: tuple[WeightedPath, ...]
    validation: tuple[WeightedPath, ...]
    last_iteration: int
    eod_mask_loss: bool
    packing: Packing  # how documents become samples; whether attention crosses them is plan.packing's to say
    allow_chopped: bool
    preference: Preference | None = None  # None: the loss of the next token, over all tokens or those with labels
    reference: str | None = None  # a hash of the model that preferences are compared with

    @property
    def batch_size(self) -> int:
        """Samples in one step."""
        return self.micro_batch * self.num_micro_batches

    @property
    def tokens_per_iteration(self) -> int:
        """Tokens in one step."""
        return self.batch_size * self.config.seq_length

    @property
    def num_train_samples(self) -> int:
        """Samples that NeoX plans for; the order of the documents comes with it, so an early exit does not count."""
        return self.config.train_iters * self.batch_size

    @property
    def precision(self) -> Precision:
        """How matrices are multiplied; the weights themselves are always kept in fp32."""
        return "bfloat16" if self.config.precision == "bfloat16" else "fp32"

    @property
    def num_validation_samples(self) -> int:
        """Samples of one validation, 0 where none is made."""
        return self.config.eval_iters * self.batch_size if self.validation else 0

    @property
    def num_planned_validation_samples(self) -> int:
        """Samples that NeoX would draw over the whole run: the order of its validation data depends on it."""
        rounds = self.config.train_iters // self.config.eval_interval + 1
        return rounds * self.num_validation_samples

    def is_validated(self, iteration: int) -> bool:
        """True for iterations after which validation is made: as NeoX, and before the first and after the last."""
        if not self.num_validation_samples:
            return False
        return iteration % self.config.eval_interval == 0 or iteration == self.last_iteration

    def is_saved(self, iteration: int) -> bool:
        """True for iterations after which a checkpoint is written: NeoX's, and the last."""
        if iteration == self.last_iteration or iteration in (self.config.other.get("extra_save_iters") or ()):
            return True
        factor = self.config.checkpoint_factor
        if not factor or iteration == 0:
            return False
        if self.config.other.get("checkpoint_scale", "linear") == "linear":
            return iteration % factor == 0
        power = 1
        while power < iteration:
            power *= factor
        return power == iteration

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have been made with to be gone on from: all that changes a number."""
        config = self.config
        preference = None if self.preference is None else {"preference": dataclasses.asdict(self.preference)}
        return {
            **({} if preference is None else preference | {"reference": self.reference}),
            "seq_length": config.seq_length,
            "train_iters": config.train_iters,
            "batch": [self.micro_batch, self.num_micro_batches],
            "schedule": dataclasses.asdict(self.schedule),
            "optimizer": config.optimizer.model_dump(mode="json"),
            "weight_decay": config.weight_decay,
            "gradient_clipping": config.gradient_clipping,
            "precision": self.precision,
            "rotary_emb_base": config.rotary_emb_base,
            "seed": config.seed,
            "eod_mask_loss": self.eod_mask_loss,
            "packing": [self.packing, self.plan.packing],
            "guard": self.guard.model_dump(mode="json"),
        }


def read_settings(stage: StagePlaces) -> Settings:
    """The settings of a stage. Raises ConfigError with all problems of neox.yml, InputError for stage.json."""
    file = load_yaml(stage.neox_file)
    config = NeoxConfig.from_yaml_file(file)
    plan = CompiledStage.read(stage.stage_file)
    faults = refusals(config) + (init_problems(config) if plan.start == "noise" else [])
    problems = [_problem(file, key, message) for key, message in faults]
    try:
        guard = GuardPolicy.model_validate(plan.guard)
    except pydantic.ValidationError as error:
        raise describe_invalid(str(stage.stage_file), {"guard": plan.guard}, GuardPolicy, error) from None
    schedule = None
    try:
        schedule = plan.schedule.schedule() if plan.schedule else config.schedule()
    except ValueError as error:
        problems.append(_problem(file, "lr_decay_iters", str(error)))
    scale = config.other.get("checkpoint_scale", "linear")
    if scale == "log" and (config.checkpoint_factor or 0) == 1:
        problems.append(
            _problem(file, "checkpoint_factor", "'checkpoint_factor' is 1, but must be above 1 in log scale")
        )
    if plan.iterations != config.last_iteration:
        message = f"the stage ends at iteration {config.last_iteration}, but stage.json says {plan.iterations}"
        problems.append(_problem(file, "train_iters", message))
    preference = _preference(config)
    if preference is not None and preference.has_reference and plan.start == "noise":
        message = f"{preference.kind} compares with the model that the stage begins with, but it begins with noise"
        problems.append(_problem(file, "train_impl", message))
    if problems or schedule is None:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    return Settings(
        stage=stage.name,
        config=config,
        plan=plan,
        guard=guard,
        schedule=schedule,
        micro_batch=config.train_micro_batch_size_per_gpu,
        # What NeoX spreads over data-parallel processes is summed up here one after the other: the same mean.
        num_micro_batches=config.gradient_accumulation_steps * config.dp_size,
        train=_weighted(
            config,
            "train",
            config.train_data_weights,
            {source.train: source.name for source in plan.sources if source.train},
        ),
        validation=_weighted(
            config,
            "valid",
            config.valid_data_weights,
            {source.validation: source.name for source in plan.sources if source.validation},
        ),
        last_iteration=config.last_iteration,
        eod_mask_loss=bool(config.other.get("eod_mask_loss", False)),
        packing=config.other.get("pack_impl", "packed"),
        allow_chopped=bool(config.other.get("allow_chopped", True)),
        preference=preference,
    )


def _preference(config: NeoxConfig) -> Preference | None:
    other, kind = config.other, config.other.get("train_impl", "normal")
    if kind == "dpo":
        is_free = bool(other.get("dpo_reference_free", False))
        return Preference(kind="dpo", beta=float(other.get("dpo_beta", 0.1)), reference_free=is_free)
    if kind == "kto":
        return Preference(
            kind="kto",
            beta=float(other.get("kto_beta", 0.1)),
            desirable_weight=float(other.get("kto_desirable_weight", 1.0)),
            undesirable_weight=float(other.get("kto_undesirable_weight", 1.0)),
        )
    return None


def _weighted(
    config: NeoxConfig, split: str, weights: list[float] | None, named: dict[str, str]
) -> tuple[WeightedPath, ...]:
    """The data sets of a split, with what lies beside each."""
    keys = path_keys(split, is_pairs=config.other.get("train_impl") == "dpo")
    beside = {name: config.other.get(key) for name, key in keys.items() if name != "tokens"}
    paths = config.other.get(keys["tokens"]) or getattr(config, f"{split}_data_paths") or []
    return tuple(
        WeightedPath(
            prefix=path,
            weight=(weights or [1.0] * len(paths))[number],
            name=named.get(path, path),
            **{name: prefixes[number] for name, prefixes in beside.items() if prefixes},
        )
        for number, path in enumerate(paths)
    )


def _problem(file: YamlFile, key: str, message: str) -> Problem:
    written = next((name for name in file.value if name.replace("-", "_") == key), key)
    return file.problem((written,), message)

"""The tokenizer, the shards of tokens, and their merging to one file a source and split."""

from __future__ import annotations

from collections.abc import Sequence

from llemma.core.steps import InputFile, Task
from proof_pile.build.pipeline import Build, Stage, StepTasks, inputs_of, make_step
from proof_pile.tokenize.config import TrainTokenizerConfig


def _plan_tokenizer(build: Build) -> Sequence[StepTasks]:
    if build.tokenizer_path is not None:
        return []
    train = build.recipe.tokenizer.train
    config = train or TrainTokenizerConfig()
    settings = {**config.model_dump(), "seed": build.recipe.seed, "split": "train"}
    step = make_step("tokenizer", "proof_pile.tokenize.training", **settings)
    inputs = tuple(inputs_of(build.flat("consolidate"), "documents.parquet"))
    return [(step, [Task(inputs=inputs, label=f"{config.vocab_size:,} pieces")])]


def tokenizer_input(build: Build) -> InputFile:
    """The tokenizer's file: the one that was given, or the one that was trained."""
    trained = build.flat("tokenizer")
    if trained:
        return trained[0].output("tokenizer.model").as_input()
    from llemma.core.text.tokenizers import tokenizer_file

    assert build.tokenizer_path is not None
    path = str(tokenizer_file(build.tokenizer_path))
    return InputFile(path=path, sha256=build.hashes.of(path))


def _plan_tokenizing(build: Build) -> Sequence[StepTasks]:
    tokenizer = tokenizer_input(build)
    config = build.recipe.tokenizer
    params = {"eod": config.eod, "engine": config.engine, "shuffle_seed": build.recipe.seed}
    step = make_step("tokenize", "proof_pile.tokenize.encode", **params)
    tasks = [
        Task(
            inputs=(record.output("documents.parquet").as_input(), tokenizer),
            label=file.record.label,
            args={"of": file.of},
        )
        for file, record in zip(build.documents_files(), build.flat("consolidate"), strict=True)
    ]
    return [(step, tasks)]


def _plan_merging(build: Build) -> Sequence[StepTasks]:
    from proof_pile.tokenize.merge import merge_tasks

    step = make_step("merge", "proof_pile.tokenize.merge", shuffle_seed=build.recipe.seed)
    return [(step, merge_tasks(build.flat("tokenize")))]


TOKENIZER = Stage(name="tokenizer", title="train the tokenizer", plan=_plan_tokenizer)
TOKENIZE = Stage(name="tokenize", title="tokenize", plan=_plan_tokenizing)
MERGE = Stage(name="merge", title="merge shards", plan=_plan_merging)

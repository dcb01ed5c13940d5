"""SFT, DPO and KTO: the shards that they need beside the tokens, the keys that name them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.core.errors import ConfigError
from llemma.core.schemas import Mixture
from llemma.plan.compile import Plan, Request, compile_plan
from neox_configs import config_path

RECIPE = "title: T\nmodel: tiny\ntraining: {training}\ncluster: cpu\nstart: checkpoint\nstages:\n- name: one\n"
BESIDE = {
    "sft": ("labels",),
    "kto": ("labels", "rewards"),
    "dpo": ("labels", "rejected", "rejected_labels"),
}


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Plan]:
    """Compiles a stage of an objective with its small overlay."""

    def compiled(objective: str, data: Path | None = None, more: str = "", training: str | None = None) -> Plan:
        path = tmp_path / "recipe.yml"
        text = RECIPE.format(training=training or f"smoke_cpu_{objective}")
        path.write_text(f"{text}  objective: {objective}\n{more}")
        return compile_plan(Request(recipe=str(path), data=data))

    return compiled


@pytest.mark.parametrize("objective", BESIDE)
def test_objective_names_every_shard_that_neox_must_read(
    objective: str, plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    data = make_data({"tasks": 6000}, document_tokens=60, beside=BESIDE[objective])
    plan = plan_of(objective, data)
    assert plan.problems == []
    values = plan.stages[0].values
    root = str(data.parent / "data/tasks")
    expected = {
        "sft": {"train_data_paths": "train", "train_label_data_paths": "train_labels"},
        "kto": {
            "train_data_paths": "train",
            "train_label_data_paths": "train_labels",
            "train_reward_data_paths": "train_rewards",
        },
        "dpo": {
            "pos_train_data_paths": "train",
            "pos_train_label_data_paths": "train_labels",
            "neg_train_data_paths": "train_rejected",
            "neg_train_label_data_paths": "train_rejected_labels",
        },
    }[objective]
    found = {key: value for key, value in values.items() if "train_" in key and key.endswith("_paths")}
    assert found == {key: [f"{root}/{name}"] for key, name in expected.items()}
    # Nothing has test documents, so that the validation shards and what goes with them stand in.
    for key, (path,) in found.items():
        validation = path.replace("/train", "/validation")
        assert values[key.replace("train", "valid")] == values[key.replace("train", "test")] == [validation]
    assert set(plan.stages[0].config.data_prefixes) == {
        path for key, value in values.items() if key.endswith("_data_paths") for path in value
    }


@pytest.mark.parametrize(
    ("objective", "missing"),
    [
        ("sft", "needs labels (each token, or -100 where the loss does not count), which the source 'tasks' has not"),
        ("kto", "(each token, or -100 where the loss does not count), and rewards (1 for a wanted answer"),
        ("dpo", "and the rejected answers, and the labels of the rejected answers, which the source 'tasks' has not"),
    ],
)
def test_objective_over_plain_text_is_refused_for_each_split(
    objective: str, missing: str, plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    problems = plan_of(objective, make_data({"tasks": 6000})).problems
    assert [problem.endswith(f"for its {split} documents") for problem, split in zip(
        problems, ("train", "validation"), strict=True
    )] == [True, True]  # fmt: skip
    assert all(missing in problem and f"the objective {objective} needs" in problem for problem in problems)


def test_labels_that_do_not_go_with_their_documents_are_refused(
    plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    path = make_data({"tasks": 6000}, document_tokens=60, beside=("labels",))
    mixture = Mixture.read(path)
    source = mixture.sources[0]
    shard = source.splits["train"]
    assert shard.labels is not None
    fewer = shard.labels.model_copy(update={"num_documents": 99})
    splits = {**source.splits, "train": shard.model_copy(update={"labels": fewer})}
    mixture.model_copy(update={"sources": (source.model_copy(update={"splits": splits}),)}).write(path)
    Path(f"{path.parent}/data/tasks/validation_labels.bin").unlink()
    assert plan_of("sft", path).problems == [
        f"{path}: {path.parent}/data/tasks/train_labels has 99 documents of 6,000 labels, but must have 100 of 6,000 "
        "to go with data/tasks/train",
        f"{path.parent}/data/tasks/validation_labels.bin: this shard of the mixture is missing",
    ]


def test_mixture_without_companions_is_written_as_it_always_was(make_data: Callable[..., Path]) -> None:
    assert "labels" not in make_data().read_text()


@pytest.mark.parametrize("objective", BESIDE)
def test_mixture_with_companions_reads_back_as_it_was_written(objective: str, make_data: Callable[..., Path]) -> None:
    path = make_data({"tasks": 6000}, document_tokens=60, beside=BESIDE[objective])
    mixture = Mixture.read(path)
    mixture.write(path.with_name("again.json"))
    assert Mixture.read(path.with_name("again.json")) == mixture
    assert all(getattr(mixture.sources[0].splits["train"], field) is not None for field in BESIDE[objective])


def test_epochs_of_unpacked_answers_count_documents(
    plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    data = make_data({"tasks": 6000}, document_tokens=60, beside=BESIDE["kto"])
    plan = plan_of("kto", data, more="  epochs: 2\n  learning_rate: {shape: constant, peak: 1e-4}\n")
    stage = plan.stages[0]
    assert stage.config.train_iters == 2 * 100 // 4  # of 100 documents, 4 a step, however short each is
    assert stage.sources[0].epochs == 2


@pytest.mark.parametrize(
    ("objective", "training", "changes", "expected"),
    [
        ("kto", "smoke_cpu", {}, "the training overlay's train_impl is 'normal', wanted 'kto'"),
        ("sft", "smoke_cpu_dpo", {}, "the training overlay's train_impl is 'dpo', wanted 'normal'"),
        ("dpo", "smoke_cpu_dpo", {"dataset_impl: pairwise": "dataset_impl: gpt2"}, "need dataset_impl 'pairwise'"),
        (
            "dpo",
            "smoke_cpu_dpo",
            {"pack_impl: unpacked": "pack_impl: pack_until_overflow"},
            "pack_impl must be 'unpacked', not 'pack_until_overflow'",
        ),
        (
            "kto",
            "smoke_cpu_kto",
            {"pack_impl: unpacked": "pack_impl: pack_until_overflow"},
            "whose rewards belong to whole documents: pack_impl must be 'unpacked'",
        ),
        (
            "kto",
            "smoke_cpu_kto",
            {"train_micro_batch_size_per_gpu: 4": "train_micro_batch_size_per_gpu: 1"},
            "train_micro_batch_size_per_gpu is 1, but must be even",
        ),
        (
            "kto",
            "smoke_cpu_kto",
            {"kto_desirable_weight: 1.0": "kto_desirable_weight: 2.0"},
            "kto_desirable_weight 2 and kto_undesirable_weight 1 blur",
        ),
    ],
)
def test_overlay_of_another_objective_is_refused(
    objective: str,
    training: str,
    changes: dict[str, str],
    expected: str,
    plan_of: Callable[..., Plan],
    tmp_path: Path,
) -> None:
    text = config_path("training", training).read_text()
    for before, now in changes.items():
        assert before in text
        text = text.replace(before, now)
    (tmp_path / "mine.yml").write_text(text)
    problems = plan_of(objective, training="mine.yml").problems
    assert len(problems) == 1
    assert expected in problems[0]


@pytest.mark.parametrize("objective", ["kto", "dpo"])
def test_preferences_from_noise_are_refused(objective: str, tmp_path: Path) -> None:
    recipe = RECIPE.format(training=f"smoke_cpu_{objective}").replace("start: checkpoint", "start: noise")
    (tmp_path / "recipe.yml").write_text(f"{recipe}  objective: {objective}\n")
    plan = compile_plan(Request(recipe=str(tmp_path / "recipe.yml"), data=None))
    assert any("but the recipe starts from noise" in problem for problem in plan.problems)


def test_preferences_under_pipeline_parallelism_are_refused(tmp_path: Path) -> None:
    text = config_path("clusters", "cpu_tp2").read_text().replace("tensor_parallel: 2", "pipeline_parallel: 2")
    (tmp_path / "pipes.yml").write_text(text)
    plan = compile_plan(Request(recipe="small_dpo", cluster=str(tmp_path / "pipes.yml")))
    assert any("which NeoX cannot do under pipeline parallelism" in problem for problem in plan.problems)


@pytest.mark.parametrize(("length", "is_long"), [(100, False), (300, True)])
def test_length_buckets_are_held_against_the_documents_themselves(
    length: int, is_long: bool, make_data: Callable[..., Path]
) -> None:
    """The small recipe's bucket 'long' begins at 256 tokens."""
    data = make_data({"long": 6000}, document_tokens=length)
    problems = compile_plan(Request(recipe="small_long_context", data=data)).problems
    if is_long:
        assert problems == []
    else:
        assert problems == [
            f"{data}: 60 of 60 documents of 'long' are not of 256 to 100,000 tokens, as its length bucket wants "
            "(found 100 to 100)"
        ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("time: 24h", "time"),
        ("options: ['rm -rf /']", "options"),
        ('setup: ["module load cuda\\nrm x"]', "setup"),
        ("master_port: 80", "master_port"),
        ("partition: a b", "partition"),
        ("{time: '0:05:00', signal_before_end_s: 600}", "signalled 600 s before its end, but lasts only 300 s"),
    ],
)
def test_cluster_with_a_slurm_setting_that_would_break_a_batch_script_is_refused(
    line: str, expected: str, tmp_path: Path
) -> None:
    text = config_path("clusters", "cpu").read_text()
    (tmp_path / "mine.yml").write_text(f"{text}slurm: {line if line.startswith('{') else '{' + line + '}'}\n")
    with pytest.raises(ConfigError, match=expected):
        compile_plan(Request(recipe="demo", cluster=str(tmp_path / "mine.yml")))


def test_packing_that_isolates_documents_takes_a_kernel_that_knows_a_mask() -> None:
    """On a cluster of flash attention the stage used to be planned with it, and the repair refused it at launch."""
    kinds = {s.stage.name: set(s.config.attention_kinds) for s in compile_plan(Request(recipe="numinamath")).stages}
    assert kinds == {"cot": {"global"}, "tir": {"global"}, "kto": {"flash"}}


def test_documents_that_no_longer_fit_are_told_and_refused_where_nothing_is_left_to_learn(
    plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    """The fixture's labels begin in the middle of a document: at 100 tokens behind the cut, at 60 before it."""
    fitting = plan_of("sft", make_data({"tasks": 6000}, document_tokens=33, name="a", beside=("labels",)))
    assert (fitting.problems, fitting.warnings) == ([], fitting.warnings)
    assert not any("will be cut" in warning for warning in fitting.warnings)
    cut = make_data({"tasks": 6000}, document_tokens=60, name="b", beside=("labels",))
    plan = plan_of("sft", cut, more="  seq_length: 40\n")
    assert plan.problems == []
    assert f"{cut}: 100 of 100 train documents of 'tasks' are longer than 41 tokens and will be cut" in plan.warnings
    lost = make_data({"tasks": 6000}, document_tokens=100, name="c", beside=("labels",))
    problems = plan_of("sft", lost, more="  seq_length: 40\n").problems
    assert problems[0] == (
        f"{lost}: 60 of 60 train documents of 'tasks' have nothing left to learn once they are cut to 41 tokens, which "
        "GPT-NeoX cannot pack: make the shards for this length (--seq-length 40)"
    )

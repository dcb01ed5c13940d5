"""Stages that begin with one another: branches, the checkpoints that they need, and what cannot be gone on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.core.errors import ConfigError
from llemma.plan.compile import Plan, Request, compile_plan
from llemma.plan.rundir import write_run
from llemma.schedules import learning_rate
from llemma.stages import CompiledStage
from llemma.train.places import find_stages
from llemma.train.settings import read_settings

HEAD = "title: T\nmodel: tiny\ntraining: smoke_cpu\ncluster: cpu\nstart: noise\nstages:\n- name: stable\n"


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Plan]:
    """Compiles a recipe whose first stage is 'stable', of 300 iterations saved every 50, of which three are kept."""

    def compiled(text: str, **request: object) -> Plan:
        path = tmp_path / "recipe.yml"
        path.write_text(HEAD + text)
        return compile_plan(Request(recipe=str(path), **request))  # type: ignore[arg-type]

    return compiled


def test_branches_of_one_stage_are_compiled_with_its_directory_and_iteration(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    write_run(compile_plan(Request(recipe="small_wsd", data=data)), out)
    stages = [CompiledStage.read(out / "stages" / name / "stage.json") for name in sorted(
        path.name for path in (out / "stages").iterdir()
    )]  # fmt: skip
    assert [stage.start for stage in stages] == ["noise", "stage", "stage"]
    assert [stage.start_from for stage in stages] == [None, "01-stable", "01-stable"]
    assert [stage.start_iteration for stage in stages] == [None, 40, 40]
    assert [stage.carry_optimizer for stage in stages] == [False, True, True]
    schedule = stages[1].schedule
    assert schedule is not None
    rates = [learning_rate(schedule.schedule(), step) for step in (0, 5, 10, 20)]
    assert rates == pytest.approx([0.002, 0.001, 0.0005, 0.000125])
    assert stages[0].schedule is None


def test_the_embedded_trainer_saves_what_the_branches_begin_with_and_keeps_it(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    write_run(compile_plan(Request(recipe="small_wsd", data=data)), out)
    settings = read_settings(find_stages(out)[0])
    assert [step for step in range(1, 51) if settings.is_saved(step)] == [40, 50]


def test_stage_without_a_start_goes_on_from_the_last_iteration_of_the_one_before(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of("  stop_iters: 120\n- name: two\n")
    assert plan.problems == []
    assert (plan.stages[1].before, plan.stages[1].start_iteration) == (plan.stages[0], 120)


@pytest.mark.parametrize(
    ("iterations", "extra", "kept"),
    [
        ([300], None, 3),  # the last is saved and kept anyway
        ([250], None, 3),
        ([100], None, 5),  # 100, 150, 200, 250, 300
        ([120], [120], 5),  # 120, 150, 200, 250, 300
        ([120, 77], [77, 120], 7),
    ],
)
def test_checkpoints_that_branches_begin_with_are_saved_and_kept_to_the_end(
    iterations: list[int], extra: list[int] | None, kept: int, plan_of: Callable[..., Plan]
) -> None:
    """A branch from iteration 120 of a run that saves every 50 and keeps three had nothing to begin with."""
    branches = "".join(f"- {{name: b{n}, start_from: stable, start_iteration: {n}}}\n" for n in iterations)
    plan = plan_of(branches)
    assert plan.problems == []
    config = plan.stages[0].config
    assert (config.other.get("extra_save_iters"), config.keep_last_n_checkpoints) == (extra, kept)


def test_stage_from_an_iteration_past_the_end_of_the_other_is_refused(plan_of: Callable[..., Plan]) -> None:
    (problem,) = plan_of("  stop_iters: 120\n- name: two\n  start_iteration: 150\n").problems
    assert problem.endswith(":10: starts from iteration 150 of 'stable', which ends at 120")


def test_stage_that_would_fall_back_to_the_models_rope_base_is_refused(plan_of: Callable[..., Plan]) -> None:
    """NeoX would go on at base 10,000 with weights that were trained at 50,000, without a word."""
    (problem,) = plan_of("  rope_base: 50_000\n- name: two\n").problems
    assert "begins with 'stable', whose RoPE base is 50,000, but would go on with the model overlay's 10,000" in problem
    assert plan_of("  rope_base: 50_000\n- name: two\n  rope_base: 10_000\n").problems == []


def test_optimizer_of_another_precision_is_not_carried_over(plan_of: Callable[..., Plan]) -> None:
    problems = plan_of("- name: two\n  training: minimath_training\n  carry_optimizer: true\n").problems
    wanted = "the optimizer of 'stable' cannot be carried over: its"
    assert [problem.partition(wanted)[2] for problem in problems if wanted in problem] == [
        " precision is fp32, this stage's bfloat16",
        " ZeRO stage is 0, this stage's 1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  carry_optimizer: true\n", "no stage before it"),
        ("  start_iteration: 4\n", "no stage before it"),
        ("- {name: two, start_from: three}\n- name: three\n", "'three', which is no stage before it"),
        ("  tokens: 4096\n  epochs: 2\n", "given twice, as 'tokens' and as 'epochs'"),
    ],
)
def test_recipe_that_contradicts_itself_is_refused(text: str, expected: str, plan_of: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError, match=expected):
        plan_of(text)


def test_stage_over_the_data_of_one_that_it_goes_on_from_draws_them_in_another_order(
    plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    """Each stage draws from the beginning of its order: with one seed, the second saw the first's documents again."""
    one, two = make_data(name="one"), make_data({"math": 90_000}, name="two")
    plan = plan_of("- name: other\n- name: again\n", data=one, stage_data={"other": two})
    assert [stage.config.seed for stage in plan.stages] == [1234, 1234, 1236]


def test_stage_of_epochs_is_as_long_as_its_data_times_those(
    plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    plan = plan_of("  epochs: 1.5\n  learning_rate: {shape: cosine, peak: 1e-3, warmup_share: 0.1}\n", data=make_data())
    config = plan.stages[0].config
    assert config.train_iters == round(1.5 * 180_000 / 4096)
    assert config.warmup_iters == 7  # a tenth of 66


def test_stage_of_epochs_over_data_that_nobody_counted_is_refused(plan_of: Callable[..., Plan]) -> None:
    (problem,) = plan_of("  epochs: 2\n").problems
    assert "'epochs' needs to know how much there is to repeat: name the mixture with --data" in problem


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("stable_end_iters: 400, half_life_iters: 5", "the stable part ends at iteration 400, but must end between"),
        ("warmup_iters: 20, stable_end_iters: 10, half_life_iters: 5", "must end between the warm-up's end (20)"),
        ("decay_iters: 200, half_life_iters: 5", "its warmup-stable-decay schedule ends at 200"),
    ],
)
def test_decay_that_makes_no_schedule_is_refused(rate: str, expected: str, plan_of: Callable[..., Plan]) -> None:
    problems = plan_of(f"  learning_rate: {{shape: warmup-stable-decay, peak: 1e-3, {rate}}}\n").problems
    assert any(expected in problem for problem in problems), problems
    assert len(problems) == 1

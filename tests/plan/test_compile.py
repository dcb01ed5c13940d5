"""Recipes compiled: what a stage may change, and every reason for which a plan is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.core.errors import ConfigError, InputError
from llemma.plan.compile import Plan, Request, compile_plan
from llemma.plan.sources import find_config
from neox_configs import config_path

RECIPE = """\
title: Test
model: tiny
training: smoke_cpu
cluster: cpu
start: checkpoint
stages:
- name: one
"""


@pytest.fixture
def plan_of(tmp_path: Path) -> Callable[..., Plan]:
    """Compiles recipe text beside which overlays may be written."""

    def compiled(text: str, **request: object) -> Plan:
        path = tmp_path / "recipe.yml"
        path.write_text(text)
        return compile_plan(Request(recipe=str(path), **request))  # type: ignore[arg-type]

    return compiled


def only_problem(plan: Plan) -> str:
    assert len(plan.problems) == 1, plan.problems
    return plan.problems[0]


def test_plan_of_a_stage_that_says_nothing_is_as_the_overlays_say(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(RECIPE)
    stage = plan.stages[0]
    assert plan.problems == []
    assert (stage.config.train_iters, stage.config.tokens_per_iteration, stage.tokens) == (300, 4096, 1_228_800)
    assert (stage.replaced, stage.directory) == ({}, "01-one")


def test_plan_of_a_stage_that_says_everything_replaces_the_overlays_and_tells_which(
    plan_of: Callable[..., Plan],
) -> None:
    text = (
        RECIPE
        + """\
  tokens: 1_000_000
  seq_length: 512
  global_batch_size: 32
  rope_base: 500_000
  learning_rate: {shape: linear, peak: 3e-4, final: 3e-5, warmup_iters: 5}
"""
    )
    plan = plan_of(text)
    config = plan.stages[0].config
    assert plan.problems == []
    assert config.train_iters == 62  # 1,000,000 / 16,384, rounded up
    assert (config.seq_length, config.max_position_embeddings, config.rotary_emb_base) == (512, 512, 500_000)
    assert (config.global_batch_size, config.gradient_accumulation_steps) == (32, 2)
    assert (config.lr, config.min_lr, config.lr_decay_style) == (3e-4, 3e-5, "linear")
    assert (config.warmup_iters, config.decay_iters) == (5, 62)
    assert config.optimizer.params.betas == (0.9, 0.95)  # not the stage's to say
    assert set(plan.stages[0].replaced) == {
        "seq_length", "max_position_embeddings", "rotary_emb_base", "train_batch_size", "train_iters", "optimizer",
        "min_lr", "lr_decay_style", "lr_decay_iters", "warmup",
    }  # fmt: skip


def test_plan_of_several_stages_compiles_each_with_its_own_batch_and_data(
    plan_of: Callable[..., Plan], make_data: Callable[..., Path]
) -> None:
    """MiniMATH's curricula in small: another mixture a stage, and a batch ten times as large in the third."""
    first, second = make_data(name="first"), make_data({"math": 90_000}, name="second")
    text = RECIPE + (
        f"  data: {first}\n  tokens: 40960\n  learning_rate: {{shape: constant, peak: 2e-4}}\n"
        f"- name: two\n  data: {second}\n  tokens: 409600\n  global_batch_size: 160\n"
        "  learning_rate: {shape: constant, peak: 2e-4}\n"
    )
    plan = plan_of(text)
    assert plan.problems == []
    assert [stage.directory for stage in plan.stages] == ["01-one", "02-two"]
    assert [stage.config.train_iters for stage in plan.stages] == [10, 10]
    assert [stage.config.tokens_per_iteration for stage in plan.stages] == [4096, 40960]
    assert [len(stage.sources) for stage in plan.stages] == [2, 1]
    assert plan.stages[1].config.train_data_paths == [str(second.parent / "data/math/train")]


def test_plan_stopped_early_keeps_the_schedule_and_saves_where_it_stops(plan_of: Callable[..., Plan]) -> None:
    config = plan_of(RECIPE, stop_iters=120).stages[0].config
    assert (config.exit_interval, config.last_iteration, config.train_iters) == (120, 120, 300)
    assert config.other["extra_save_iters"] == [120]


def test_plan_of_llemma_7b_stopped_at_42000_is_the_published_checkpoint() -> None:
    stage = compile_plan(Request(recipe="llemma_7b", stop_iters=42_000)).stages[0]
    assert stage.tokens == 42_000 * 4_194_304
    assert stage.config.decay_iters == 48_000
    assert "extra_save_iters" not in stage.config.other  # 42,000 is one of the multiples of 500


def test_plan_epochs_are_tokens_drawn_over_tokens_there(data: Path) -> None:
    plan = compile_plan(Request(recipe="demo", data=data))
    epochs = {source.name: source.epochs for source in plan.stages[0].sources}
    assert epochs == {"arxiv": pytest.approx(983_040 / 2 / 60_000), "web": pytest.approx(983_040 / 2 / 120_000)}
    (warning,) = plan.warnings
    assert "'arxiv' 8.2 times, 'web' 4.1 times" in warning


def test_plan_of_the_published_mixture_warns_of_the_web_repeated_seven_times() -> None:
    plan = compile_plan(Request(recipe="llemma_7b"))
    epochs = {source.name: source.epochs for source in plan.stages[0].sources}
    assert epochs["open-web-math"] == pytest.approx(7.29, abs=0.01)
    assert epochs["arxiv"] == pytest.approx(1.88, abs=0.01)
    assert "'open-web-math' 7.3 times" in plan.warnings[0]
    assert "arxiv'" not in plan.warnings[0]


# ---------------------------------------------------------------------- refusals


def test_plan_with_a_stage_past_its_schedule_is_refused(plan_of: Callable[..., Plan]) -> None:
    problem = only_problem(plan_of(RECIPE + "  tokens: 4_096_000\n"))
    assert "runs for 1000 iterations, but its cosine schedule ends at 300" in problem
    assert problem.split(":")[1] == "7"


def test_plan_with_a_stop_behind_its_end_is_refused(plan_of: Callable[..., Plan]) -> None:
    assert "stops at iteration 301, but ends at 300" in only_problem(plan_of(RECIPE + "  stop_iters: 301\n"))


def test_plan_with_a_batch_that_does_not_divide_is_refused_once(plan_of: Callable[..., Plan]) -> None:
    problem = only_problem(plan_of(RECIPE + "  global_batch_size: 24\n"))
    assert "a global batch of 24 sequences does not divide: micro-batch 16 x data-parallel 1" in problem


def test_plan_whose_cluster_does_not_divide_is_refused(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    text = config_path("clusters", "cpu").read_text().replace("tensor_parallel: 1", "tensor_parallel: 2")
    (tmp_path / "odd.yml").write_text(text.replace("gpus_per_node: 1", "gpus_per_node: 3"))
    plan = plan_of(RECIPE.replace("cluster: cpu", "cluster: odd.yml"))
    assert "3 GPUs do not divide into tensor parallel 2 x pipeline parallel 1" in plan.problems[0]


def test_plan_with_an_accumulation_that_contradicts_the_batch_is_refused() -> None:
    plan = compile_plan(Request(recipe="llemma_34b", cluster="a100_40gb_x256_tp2"))
    assert any("'accumulation' is 2, but a global batch of 1024 sequences needs 4" in text for text in plan.problems)


def test_plan_that_does_not_fit_into_memory_is_refused() -> None:
    plan = compile_plan(Request(recipe="llemma_34b", cluster="h100_80gb_x8"))
    assert any("GiB a GPU, but NVIDIA H100 80 GB SXM has 80" in text for text in plan.problems)


def test_plan_with_too_little_data_for_its_cap_on_epochs_is_refused(data: Path, plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(RECIPE + "  max_epochs: 6\n", data=data)
    assert "'arxiv' would be repeated 10.2 times, but max_epochs allows 6" in only_problem(plan)


def test_plan_with_another_models_tokenizer_is_refused(make_data: Callable[..., Path]) -> None:
    plan = compile_plan(Request(recipe="demo", data=make_data(vocab_size=4097)))
    assert "has 4097 pieces, but the model has 4096 vocabulary rows" in only_problem(plan)


def test_plan_with_a_changed_tokenizer_file_is_refused(data: Path) -> None:
    (data.parent / "tokenizer/tokenizer.model").write_bytes(b"another")
    assert "this is not the tokenizer that made the shards" in only_problem(
        compile_plan(Request(recipe="demo", data=data))
    )


def test_plan_with_truncated_and_missing_shards_is_refused_naming_each(data: Path) -> None:
    prefix = data.parent / "data/web/train"
    Path(f"{prefix}.idx").unlink()
    Path(f"{prefix}.bin").write_bytes(b"12")
    plan = compile_plan(Request(recipe="demo", data=data))
    assert plan.problems == [
        f"{prefix}.bin: 2 bytes, but 120,000 tokens of 2 bytes are 240,000",
        f"{prefix}.idx: this shard of the mixture is missing",
    ]


def test_plan_with_missing_data_or_checkpoint_is_refused(tmp_path: Path) -> None:
    plan = compile_plan(Request(recipe="demo", data=tmp_path / "mixture.json", init_from=tmp_path / "nothing"))
    assert plan.problems == [
        f"{tmp_path}/mixture.json: there is no such file",
        f"{tmp_path}/nothing: there is no such checkpoint",
    ]


def test_plan_with_an_uncontracted_checkpoint_is_refused_and_says_how_to_contract_it(
    data: Path, make_checkpoint: Callable[..., Path]
) -> None:
    folder = make_checkpoint(rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    problem = only_problem(compile_plan(Request(recipe="demo", data=data, init_from=folder)))
    assert "RoPE base is 1,000,000, the configuration's 10,000" in problem
    assert f"llemma convert {folder} OUT --to hf --rope-base 10000" in problem


@pytest.mark.parametrize(
    "written", [{"rope_theta": 1e4}, {"rope_parameters": None, "rope_theta": 10000}, {"rope_parameters": None}]
)
def test_plan_reads_the_rope_base_of_either_transformers_version(
    written: dict[str, object], make_checkpoint: Callable[..., Path]
) -> None:
    """transformers 4 writes rope_theta, and takes 10,000 where it is missing; transformers 5 writes rope_parameters."""
    assert compile_plan(Request(recipe="demo", init_from=make_checkpoint(**written))).problems == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}, "two RoPE bases"),
        ({"rope_parameters": [1e6]}, "'rope_parameters' is [1000000.0], but must be an object"),
        ({"rope_theta": "1e4", "rope_parameters": None}, "'rope_theta' is '1e4', but the RoPE base must be"),
    ],
)
def test_plan_with_a_checkpoint_whose_rope_base_is_uncertain_is_refused(
    written: dict[str, object], expected: str, make_checkpoint: Callable[..., Path]
) -> None:
    """The planner had a reading of its own: it took rope_theta and was silent where rope_parameters said otherwise,
    so that the run was planned and only the trainer, hours later on the cluster, refused it."""
    assert expected in only_problem(compile_plan(Request(recipe="demo", init_from=make_checkpoint(**written))))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hidden_size": 256}, "'hidden_size' is 256, but the configuration's model has 192"),
        ({"intermediate_size": 1536}, "'intermediate_size' is 1536, but the configuration's model has 512"),
        ({"num_key_value_heads": 2}, "'num_key_value_heads' is 2, but the configuration's model has 6"),
        ({"vocab_size": 4097}, "'vocab_size' is 4097, but the configuration's model has 4096"),
        ({"rms_norm_eps": 1e-6}, "'rms_norm_eps' is 1e-06"),
        ({"model_type": "mistral"}, "'model_type' is 'mistral', but must be 'llama'"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
            "positions of the kind 'yarn', but only",
        ),
        ({"head_dim": 64}, "'head_dim' is 64, but the configuration's model has 32"),
        ({"hidden_act": "gelu"}, "'hidden_act' is 'gelu', but the configuration's model has 'silu'"),
    ],
)
def test_plan_with_a_checkpoint_of_another_shape_is_refused(
    change: dict[str, object], expected: str, make_checkpoint: Callable[..., Path]
) -> None:
    assert expected in only_problem(compile_plan(Request(recipe="demo", init_from=make_checkpoint(**change))))


def test_plan_with_a_checkpoint_of_other_files_is_refused(data: Path, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "tokenizer.model").write_bytes(b"another tokenizer")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    (checkpoint / "model-00001-of-00002.safetensors").touch()
    assert compile_plan(Request(recipe="demo", data=data, init_from=checkpoint)).problems == [
        f"{checkpoint}/model-00002-of-00002.safetensors: this file of the checkpoint is missing",
        f"{checkpoint}/tokenizer.model: the checkpoint's tokenizer is not the one that made the shards of {data}",
    ]


@pytest.mark.parametrize("index", ["[1]", '{"weight_map": [1]}', '{"weight_map": {}}', "{}"])
def test_plan_with_a_checkpoint_whose_index_is_none_is_refused(index: str, checkpoint: Path) -> None:
    """An index that was no object ended the planner with a traceback; one without files passed for a checkpoint."""
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors.index.json").write_text(index)
    assert "it has no 'weight_map'" in only_problem(compile_plan(Request(recipe="demo", init_from=checkpoint)))


def test_plan_with_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "this is no checkpoint" in only_problem(compile_plan(Request(recipe="demo", init_from=tmp_path)))


def neox_checkpoint(folder: Path, ranks: int, **keys: object) -> Path:
    step = folder / "global_step0"
    step.mkdir(parents=True)
    (folder / "latest").write_text("global_step0")
    for rank in range(ranks):
        (step / f"mp_rank_{rank:02d}_model_states.pt").touch()
    shape = {
        "num_layers": 4, "hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 1536,
        "rotary_emb_base": 10000, "rms_norm_epsilon": 1e-5, "no_weight_tying": True, **keys,
    }  # fmt: skip
    (folder / "neox_model.yml").write_text(json.dumps(shape))
    return folder


def test_plan_with_a_fitting_neox_checkpoint_loads_it(tmp_path: Path) -> None:
    plan = compile_plan(Request(recipe="demo", init_from=neox_checkpoint(tmp_path / "neox", 1)))
    assert (plan.problems, plan.warnings) == ([], [])


def test_plan_with_a_neox_checkpoint_of_another_rope_base_and_split_is_refused(tmp_path: Path) -> None:
    """NeoX itself ignores the RoPE base of what it loads, and generates noise."""
    folder = neox_checkpoint(tmp_path / "neox", 2, rotary_emb_base=1_000_000)
    first, second = compile_plan(Request(recipe="demo", init_from=folder)).problems
    assert "it is for tensor parallel 2, the plan for 1" in first
    assert "'rotary_emb_base' is 1000000, but the configuration has 10000" in second


def test_plan_with_a_neox_checkpoint_of_two_configurations_is_refused(tmp_path: Path) -> None:
    """The planner let the file that came last win, the converter refused the same folder: now both read it alike."""
    folder = neox_checkpoint(tmp_path / "neox", 1)
    (folder / "global_step0/configs").mkdir()
    for name, base in (("a.yml", 1_000_000), ("b.yml", 10_000)):
        (folder / "global_step0/configs" / name).write_text(f"rotary-emb-base: {base}\n")
    problem = only_problem(compile_plan(Request(recipe="demo", init_from=folder)))
    assert "'rotary_emb_base' is 10000, but another file in this folder says 1000000" in problem


def test_plan_with_a_neox_checkpoint_that_does_not_say_what_it_is_warns(tmp_path: Path) -> None:
    folder = neox_checkpoint(tmp_path / "neox", 1)
    (folder / "neox_model.yml").unlink()
    plan = compile_plan(Request(recipe="demo", init_from=folder))
    assert plan.problems == []
    assert "does not say its RoPE base: make sure that it is 10,000" in plan.warnings[0]


def test_plan_with_faults_of_every_kind_names_them_all_at_once(
    make_data: Callable[..., Path], make_checkpoint: Callable[..., Path], plan_of: Callable[..., Plan]
) -> None:
    plan = plan_of(
        RECIPE + "  tokens: 4_096_000\n  max_epochs: 2\n",
        data=make_data(vocab_size=5000),
        init_from=make_checkpoint(rope_theta=5e5, rope_parameters=None),
    )
    expected = [
        "schedule ends at 300",
        "5000 pieces",
        "'arxiv' would be repeated",
        "'web' would be",
        "RoPE base is 500,000",
    ]
    assert len(plan.problems) == len(expected)
    assert all(part in text for part, text in zip(expected, plan.problems, strict=True)), plan.problems


def test_plan_with_a_misspelt_recipe_key_names_its_line(plan_of: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(RECIPE + "  seq_lenght: 256\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (8, "unknown key 'seq_lenght' (did you mean 'seq_length'?)")


def test_plan_with_a_guard_setting_that_does_not_exist_is_refused(plan_of: Callable[..., Plan]) -> None:
    assert "'guard.no_such_setting'" in only_problem(plan_of(RECIPE + "  guard: {no_such_setting: 1}\n"))


def test_plan_whose_overlay_sets_a_key_of_the_cluster_is_refused(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yml"
    shutil.copyfile(config_path("training", "smoke_cpu"), overlay)
    overlay.write_text(overlay.read_text() + "model_parallel_size: 2\n")
    problem = only_problem(plan_of(RECIPE.replace("smoke_cpu", "mine.yml")))
    assert problem.startswith(f"{overlay}:")
    assert "'model_parallel_size' is the planner's to set" in problem


def test_plan_of_tokens_over_an_empty_batch_is_refused(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    """A batch of 0 sequences ended the planner with a division by zero."""
    text = config_path("training", "smoke_cpu").read_text().replace("train_batch_size: 16 ", "train_batch_size: 0 ")
    (tmp_path / "mine.yml").write_text(text)
    plan = plan_of(RECIPE.replace("smoke_cpu", "mine.yml") + "  tokens: 100000\n")
    assert "'tokens' needs a global batch size" in plan.problems[0]


@pytest.mark.parametrize("params", ["", " {}", " 7"])
def test_plan_of_a_learning_rate_over_an_optimizer_without_params_ends_in_words(
    params: str, plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    """Empty params ended the planner with a traceback. The stage's own rate makes up for them; other values do not."""
    text = config_path("training", "smoke_cpu").read_text()
    given = "  params:\n    lr: 0.002\n    betas: [0.9, 0.95]\n    eps: 0.00000001\n"
    assert given in text
    (tmp_path / "mine.yml").write_text(text.replace(given, f"  params:{params}\n"))
    plan = plan_of(RECIPE.replace("smoke_cpu", "mine.yml") + "  learning_rate: {shape: linear, peak: 1e-3}\n")
    if params == " 7":
        assert "optimizer.params" in only_problem(plan)
    else:
        assert plan.problems == []
        assert plan.stages[0].config.lr == 1e-3


def test_plan_whose_overlays_clash_names_both_lines(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yml"
    overlay.write_text(config_path("training", "smoke_cpu").read_text() + "hidden-size: 256\nsede: 1\n")
    plan = plan_of(RECIPE.replace("smoke_cpu", "mine.yml"))
    assert len(plan.problems) == 2
    assert plan.problems[0].endswith("unknown key 'sede' (did you mean 'seed'?)")
    assert f"the key 'hidden-size' already stands in {config_path('models', 'tiny')}:5" in plan.problems[1]


def test_plan_of_a_model_that_is_no_llama_is_refused(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    text = config_path("models", "tiny").read_text().replace("use_bias_in_mlp: false", "use_bias_in_mlp: true")
    (tmp_path / "biased.yml").write_text(text)
    problem = only_problem(plan_of(RECIPE.replace("tiny", "biased.yml")))
    assert "'use_bias_in_mlp' is True, but must be False in a Llama model" in problem


def test_plan_of_values_that_cannot_stand_together_names_the_overlays_line(
    plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    path = tmp_path / "odd.yml"
    path.write_text(config_path("models", "tiny").read_text().replace("hidden_size: 192", "hidden_size: 193"))
    problem = only_problem(plan_of(RECIPE.replace("tiny", "odd.yml")))
    assert problem == f"{path}:5: 'hidden_size' is 193, but num_attention_heads (6) must divide it"


def test_plan_from_noise_with_a_checkpoint_is_refused(plan_of: Callable[..., Plan], checkpoint: Path) -> None:
    text = RECIPE.replace("start: checkpoint", "start: noise")
    assert "starts from noise, but --init-from" in only_problem(plan_of(text, init_from=checkpoint))


@pytest.mark.parametrize("kind", ["recipes", "models", "training", "clusters"])
def test_find_config_of_an_unknown_name_lists_the_shipped_ones(kind: str) -> None:
    with pytest.raises(InputError, match="neither a file nor one of the shipped ones"):
        find_config(kind, "no-such-thing")

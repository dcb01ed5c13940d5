"""Stages chained through checkpoints, and the model that comes out at the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llemma.cli import main

from .conftest import MakeRun
from .test_numbers import metric_lines, train
from .test_refusals import copied_data


def test_exported_model_is_the_last_checkpoint_with_its_tokenizer(make_run: MakeRun) -> None:
    from safetensors.numpy import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = make_run()
    assert train(run) == 0
    exported = run / "export/hf"
    last = load_file(run / "train/01-math/checkpoints/step_00000012/model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(exported)
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), last[name])
    tokenizer = AutoTokenizer.from_pretrained(exported)
    assert tokenizer("w5 w9")["input_ids"] == [5, 9]
    assert model.generation_config.eos_token_id == 2


def test_export_carries_every_tokenizer_file_but_not_anothers_generation_settings(
    make_run: MakeRun, data: Path, tmp_path: Path
) -> None:
    """The trainer had a list of its own, without vocab.json and merges.txt."""
    run, copy = copied_data(make_run, data, tmp_path)
    (copy / "tokenizer/vocab.json").write_text("{}")
    (copy / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    (copy / "tokenizer/generation_config.json").write_text('{"eos_token_id": 99}')
    assert train(run) == 0
    exported = run / "export/hf"
    assert (exported / "vocab.json").read_text() == "{}"
    assert (exported / "merges.txt").read_text() == "#version: 0.2\n"
    assert json.loads((exported / "generation_config.json").read_text())["eos_token_id"] == 2


def test_exported_config_gives_the_rope_base_to_transformers_4_and_5(make_run: MakeRun) -> None:
    """transformers 5 writes only rope_parameters, and transformers 4 then reads a base of 10,000 without a word."""
    run = make_run(stage={"start": "noise", "init_from": None}, rotary_emb_base=500_000)
    assert train(run) == 0
    config = json.loads((run / "export/hf/config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 500_000


def test_run_in_bf16_is_exported_in_bf16(make_run: MakeRun) -> None:
    from safetensors import safe_open

    run = make_run(precision="bfloat16", zero_optimization={"stage": 1})
    assert train(run) == 0
    with safe_open(run / "export/hf/model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118
    assert json.loads((run / "export/hf/config.json").read_text())["dtype"] == "bfloat16"


def test_second_stage_begins_where_the_first_ended(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(stages=2)
    assert main(["train", str(run), "--stage", "2", "--threads", "1"]) == 2
    assert "begins with 01-math, which is not finished" in capsys.readouterr().err
    assert train(run) == 0
    end, begin = metric_lines(run, "validation")[-1], metric_lines(run, "validation", "02-math")[0]
    assert begin["iteration"] == 0
    assert begin["loss"] == end["loss"]
    assert begin["stage"] == "02-math"
    source = json.loads((run / "export/hf/record.json").read_text())["config"]["stage"]
    assert source == "02-math"


@pytest.mark.parametrize("carry", [False, True])
def test_optimizer_of_the_stage_before_is_taken_over_only_if_asked(make_run: MakeRun, carry: bool) -> None:
    from safetensors.torch import load_file

    run = make_run(stages=2, stage={"carry_optimizer": carry} if carry else {})
    if carry:  # the first stage has none before it
        path = run / "stages/01-math/stage.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"carry_optimizer": False}))
    assert train(run) == 0
    state = load_file(run / "train/02-math/checkpoints/step_00000012/optimizer.safetensors")
    assert state["step.model.norm.weight"].item() == (24 if carry else 12)


def test_checkpoint_can_be_loaded_as_a_model(make_run: MakeRun, base_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    run = make_run()
    assert train(run) == 0
    AutoModelForCausalLM.from_pretrained(run / "train/01-math/checkpoints/step_00000008")


def test_stage_that_stops_early_draws_the_samples_of_the_whole_schedule(make_run: MakeRun) -> None:
    whole, short = make_run("whole"), make_run("short", exit_interval=4)
    assert train(whole) == train(short) == 0
    losses = [[line["loss"] for line in metric_lines(run, "train")] for run in (whole, short)]
    assert losses[1] == losses[0][:4]
    assert [path.name for path in sorted((short / "train/01-math/checkpoints").glob("step*"))] == ["step_00000004"]


def test_exported_model_is_written_anew_after_it_was_lost(make_run: MakeRun) -> None:
    import shutil

    run = make_run()
    assert train(run) == 0
    before = (run / "export/hf/model.safetensors").read_bytes()
    shutil.rmtree(run / "export/hf")
    (run / "export/.partial-hf-killed").mkdir()
    assert train(run) == 0
    assert (run / "export/hf/model.safetensors").read_bytes() == before
    assert [path.name for path in (run / "export").iterdir()] == ["hf"]

"""What cannot be trained is refused before a step is made: keys by name, files that do not fit together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llemma.cli import main
from llemma.train.places import find_stages
from llemma.train.preflight import check_run

from .conftest import MakeRun


def refused(run: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says while it ends with exit code 2 and writes nothing."""
    before = sorted(run.rglob("*"))
    assert main(["train", str(run), *words]) == 2
    assert sorted(run.rglob("*")) == before
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"precision": "fp16"}, "'precision' is 'fp16'"),
        ({"hidden_dropout": 0.1}, "'hidden_dropout' is 0.1"),
        ({"norm": "layernorm"}, "'norm' is layernorm, but must be rmsnorm"),
        ({"sliding_window_width": 128}, "'sliding_window_width' is 128, which the embedded trainer cannot honour"),
        ({"moe_num_experts": 8}, "'moe_num_experts' is 8"),
        ({"train_impl": "rm"}, "'train_impl' is 'rm'"),
        ({"weight_by_num_documents": True}, "give train_data_weights"),
        ({"optimizer": {"type": "Lion", "params": {"lr": 0.001}}}, "its type must be Adam"),
        ({"data_path": "/data/x", "train_data_paths": None, "train_data_weights": None}, "'data_path' is '/data/x'"),
        ({"fp16": {"enabled": True}}, "'fp16' says enabled: true, but precision is fp32"),
        ({"attention_config": [[["local"], 2]]}, "only full attention"),
        ({"pack_impl": "unpacked"}, "'pack_impl' is 'unpacked'"),
    ],
)
def test_key_that_cannot_be_honoured_is_refused_by_name_and_line(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], keys: dict[str, Any], said: str
) -> None:
    run = make_run(**keys)
    message = refused(run, capsys)
    assert said in message
    name = said.split("'")[1] if said.startswith("'") else next(iter(keys))
    number = next(
        n for n, line in enumerate((run / "stages/01-math/neox.yml").read_text().splitlines(), 1) if f'"{name}"' in line
    )
    assert f"neox.yml:{number}: " in message


def test_missing_model_is_refused(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(make_run(stage={"init_from": "/no/such/model"}), capsys)
    assert "/no/such/model: there is no such checkpoint" in message


def test_missing_neox_checkpoint_is_refused(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """NeoX itself warns once and trains from random weights."""
    message = refused(make_run(load="/no/such/checkpoint", stage={"start": "neox", "init_from": None}), capsys)
    assert "/no/such/checkpoint: there is no such checkpoint" in message


def test_neox_checkpoint_is_refused_with_the_command_that_converts_it(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "neox").mkdir()
    message = refused(make_run(load=str(tmp_path / "neox"), stage={"start": "neox", "init_from": None}), capsys)
    assert "llemma convert" in message and "--to hf" in message


def test_other_rope_base_is_refused_with_the_flag_that_changes_it(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], base_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(base_model, tmp_path / "long")
    path = tmp_path / "long/config.json"
    config = json.loads(path.read_text())
    config["rope_parameters"]["rope_theta"] = 1e6
    path.write_text(json.dumps(config))
    message = refused(make_run(stage={"init_from": str(tmp_path / "long")}), capsys)
    assert "RoPE base is 1,000,000, the configuration's 10,000" in message
    assert "--rope-base 10000" in message


def test_rope_base_of_transformers_4_is_read_too(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], base_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(base_model, tmp_path / "old")
    path = tmp_path / "old/config.json"
    config = json.loads(path.read_text())
    del config["rope_parameters"]
    path.write_text(json.dumps(config | {"rope_theta": 500000.0}))
    assert "RoPE base is 500,000" in refused(make_run(stage={"init_from": str(tmp_path / "old")}), capsys)


@pytest.mark.parametrize(
    "changes",
    [{"rope_parameters": "x"}, {"rope_parameters": {"rope_theta": "x"}}, {"vocab_size": "256"}, {"model_type": 1}],
)
def test_model_whose_config_is_nonsense_is_refused_without_a_crash(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], base_model: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    shutil.copytree(base_model, tmp_path / "odd")
    path = tmp_path / "odd/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert "odd/config.json: " in refused(make_run(stage={"init_from": str(tmp_path / "odd")}), capsys)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"num_layers": 3}, "'num_hidden_layers' is 2, but the configuration's model has 3"),
        ({"intermediate_size": 1536}, "'intermediate_size' is 256, but the configuration's model has 512"),
        ({"rms_norm_epsilon": 1e-6}, "'rms_norm_eps' is 1e-05, but the configuration's model has 1e-06"),
        ({"num_kv_heads": None}, "'num_key_value_heads' is 2, but the configuration's model has 4"),
        ({"no_weight_tying": False}, "'tie_word_embeddings' is False, but the configuration's model has True"),
    ],
)
def test_model_of_another_architecture_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], keys: dict[str, Any], said: str
) -> None:
    assert said in refused(make_run(**keys), capsys)


def test_model_is_checked_too_where_the_configuration_leaves_the_vocabulary_rows_to_neox(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], base_model: Path, tmp_path: Path
) -> None:
    """The planner's check, taken over here, wants padded_vocab_size, which a NeoX configuration may leave out."""
    check_run(find_stages(make_run("fitting", padded_vocab_size=None)))
    message = refused(make_run("other", padded_vocab_size=None, num_layers=3), capsys)
    assert "'num_hidden_layers' is 2, but the configuration's model has 3" in message
    shutil.copytree(base_model, tmp_path / "odd")
    path = tmp_path / "odd/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": None}))
    run = make_run("odd-run", padded_vocab_size=None, stage={"init_from": str(tmp_path / "odd")})
    assert "'vocab_size' is None, but must be a whole number" in refused(run, capsys)


def test_model_with_another_tokenizer_json_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], base_model: Path, data: Path, tmp_path: Path
) -> None:
    """Only tokenizer.model was compared: a model with another vocabulary in its tokenizer.json trained on."""
    model = tmp_path / "model"
    shutil.copytree(base_model, model)
    text = (data / "tokenizer/tokenizer.json").read_text()
    (model / "tokenizer.json").write_text(text)
    check_run(find_stages(make_run("same", stage={"init_from": str(model)})))
    (model / "tokenizer.json").write_text(text.replace("w17", "W17"))
    message = refused(make_run("other", stage={"init_from": str(model)}), capsys)
    assert f"{model}/tokenizer.json: the model's tokenizer is not the one that made the shards" in message


def test_model_of_another_vocabulary_is_refused(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(make_run(padded_vocab_size=512), capsys)
    assert "padded_vocab_size is 512, but" in message and "256 pieces" in message


def test_other_tokenizer_than_that_of_the_shards_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "tokenizer.json"
    other.write_text((data / "tokenizer/tokenizer.json").read_text().replace("w17", "W17"))
    assert "this is not the tokenizer that made the shards" in refused(make_run(vocab_file=str(other)), capsys)


def copied_data(make_run: MakeRun, data: Path, tmp_path: Path, **keys: Any) -> tuple[Path, Path]:
    """A run over a copy of the data that a test may spoil, and that copy."""
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    run = make_run(**keys)
    for path in (run / "stages/01-math").iterdir():
        path.write_text(path.read_text().replace(str(data), str(copy)))
    return run, copy


def test_data_shorter_than_planned_are_refused_with_both_numbers(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    from .conftest import write_shards

    run, copy = copied_data(make_run, data, tmp_path)
    write_shards(copy / "data/arxiv/train", 0, 10)
    assert main(["train", str(run)]) == 1
    said = capsys.readouterr().err
    assert "data/arxiv/train: holds" in said and "mixture.json says" in said


def test_truncated_shard_is_told_before_anything_starts(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    run, copy = copied_data(make_run, data, tmp_path)
    path = copy / "data/code/train.bin"
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["train", str(run)]) == 1
    assert "train.bin: has" in capsys.readouterr().err


def test_mixture_that_has_changed_since_the_plan_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    run, copy = copied_data(make_run, data, tmp_path)
    path = copy / "mixture.json"
    path.write_text(path.read_text().replace('"planned_tokens": 3000', '"planned_tokens": 3001'))
    assert main(["train", str(run)]) == 1
    assert "has changed since the run was planned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--stage", "3"], "has the stages 1 to 1"), (["--threads", "0"], "must be at least 1")],
)
def test_option_out_of_range_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in refused(make_run(), capsys, *words)


def test_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "this is no run directory" in refused(tmp_path, capsys)

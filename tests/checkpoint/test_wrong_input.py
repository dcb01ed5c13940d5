"""Checkpoints and options that cannot be used: each refused with the place, what was found and what to do."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llemma.checkpoint import pickles
from llemma.checkpoint.conversion import convert
from llemma.checkpoint.planning import Request, plan_conversion
from llemma.core.errors import DamagedFileError, InputError, LlemmaError

MakeModel = Callable[..., Path]


def run(source: Path, out: Path, **options: object) -> Path:
    convert(plan_conversion(Request(source=source, out=out, **options)))
    return out


def refused(source: Path, out: Path, **options: object) -> str:
    """The message of a conversion that must be refused before anything is written."""
    before = sorted(path.name for path in out.parent.iterdir())
    with pytest.raises(LlemmaError) as caught:
        run(source, out, **options)
    assert sorted(path.name for path in out.parent.iterdir()) == before
    assert caught.value.exit_code == (1 if isinstance(caught.value, DamagedFileError) else 2)
    return str(caught.value)


def edit_config(folder: Path, **changes: object) -> Path:
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    return folder


def edit_rank(neox: Path, rank: int, change: Callable[[dict], object]) -> Path:
    path = neox / f"global_step0/mp_rank_{rank:02d}_model_states.pt"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    return neox


@pytest.fixture
def neox(make_model: MakeModel, tmp_path: Path) -> Path:
    return run(make_model(), tmp_path / "neox", tensor_parallel=2)


# ---------------------------------------------------------------- folders and options


def test_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nothing-here: there is no such folder" in refused(tmp_path / "nothing-here", tmp_path / "out")


def test_folder_of_another_kind_is_told_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    assert "neither config.json" in refused(tmp_path / "music", tmp_path / "out")


def test_output_below_a_file_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="this is a file, so that"):
        run(make_model(), tmp_path / "file" / "out")


def test_output_that_is_the_empty_working_folder_is_written(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`llemma convert MODEL .` wrote everything and then failed, for `.` is no name that a folder can be given."""
    model = make_model()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run(model, Path())
    assert (tmp_path / "here/conversion.json").is_file()


def test_output_that_exists_is_never_overwritten(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("x")
    assert "not empty, and nothing is ever overwritten" in refused(model, tmp_path / "out")
    (tmp_path / "file").write_text("x")
    assert "this is a file" in refused(model, tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tensor_parallel": 3}, "3 ranks do not divide 4 (attention heads); 3 ranks do not divide 256"),
        ({"tensor_parallel": 0}, "--tensor-parallel is 0"),
        ({"to": "hf", "tensor_parallel": 2}, "--tensor-parallel is for GPT-NeoX's layout"),
        ({"rope_base": -1.0}, "RoPE base -1.0 cannot be used"),
        ({"rope_base": 10000.5}, "GPT-NeoX takes whole numbers only"),
        ({"vocab_size": 5}, "'vocab_size' is 97, but --vocab-size is 5"),
        ({"vocab_divisible_by": -2}, "--vocab-divisible-by is -2"),
    ],
)
def test_option_that_cannot_be_met_is_refused(
    make_model: MakeModel, tmp_path: Path, options: dict, message: str
) -> None:
    assert message in refused(make_model(), tmp_path / "out", **options)


def test_ranks_that_do_not_divide_shared_heads_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    message = refused(make_model(kv_heads=2), tmp_path / "out", tensor_parallel=4)
    assert "4 ranks do not divide 2 (key/value heads)" in message


def test_width_that_neox_would_round_up_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    """NeoX makes 768 of a true width of 688 and loads the checkpoint into the wrong model."""
    assert "688 is not a multiple of 256" in refused(make_model(ffn=688), tmp_path / "out")


# ---------------------------------------------------------------- Hugging Face sources


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt_neox"}, "'model_type' is 'gpt_neox', but must be 'llama'"),
        ({"attention_bias": True}, "'attention_bias' is True"),
        ({"head_dim": 16}, "'head_dim' is 16, but must be 8"),
        ({"num_hidden_layers": "2"}, "'num_hidden_layers' is '2'"),
        ({"num_hidden_layers": 2_000_000_000}, "'num_hidden_layers' is 2000000000"),
        ({"num_attention_heads": 0, "hidden_size": None}, "'hidden_size' is missing"),
        ({"num_key_value_heads": 3}, "3 key/value heads do not divide 4"),
        ({"rope_theta": 1e4}, "two RoPE bases"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2}}, "'yarn'"),
    ],
)
def test_configuration_that_is_no_plain_llama_is_refused(
    make_model: MakeModel, tmp_path: Path, changes: dict, message: str
) -> None:
    found = refused(edit_config(make_model(), **changes), tmp_path / "out")
    assert "config.json" in found and message in found


def test_all_problems_of_a_configuration_are_told_at_once(make_model: MakeModel, tmp_path: Path) -> None:
    message = refused(edit_config(make_model(), mlp_bias=True, vocab_size=-1, rms_norm_eps="x"), tmp_path / "out")
    assert all(key in message for key in ("'mlp_bias'", "'vocab_size'", "'rms_norm_eps'"))


def test_configuration_that_is_no_json_is_damaged(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    (model / "config.json").write_text("{")
    assert "not valid JSON" in refused(model, tmp_path / "out")
    (model / "config.json").write_text("[1]")
    assert "not the configuration of a model" in refused(model, tmp_path / "out")


def test_all_tensors_that_do_not_fit_are_told_at_once(make_model: MakeModel, tmp_path: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.layers.1.mlp.up_proj.weight"]
        tensors["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(32)
        tensors["model.norm.weight"] = torch.zeros(31)

    message = refused(edit_tensors(make_model(), change), tmp_path / "out")
    assert "model.layers.1.mlp.up_proj.weight: missing" in message
    assert "model.layers.0.self_attn.q_proj.bias: not a tensor of this model" in message
    assert "model.norm.weight: shape [31], but the configuration makes it [32]" in message


def test_configuration_of_a_smaller_model_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    message = refused(edit_config(make_model(), num_hidden_layers=1), tmp_path / "out")
    assert "model.layers.1.input_layernorm.weight: not a tensor of this model" in message


def test_tensors_of_a_type_without_a_place_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    model = edit_tensors(make_model(), lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.float64)}))
    assert "type F64" in refused(model, tmp_path / "out")
    model = edit_tensors(
        make_model("mixed"), lambda t: t.update({"model.layers.0.mlp.up_proj.weight": torch.ones(256, 32).half()})
    )
    assert "sequential.2.mlp.linear1.weight: made of tensors of different types" in refused(model, tmp_path / "out")


def test_tied_model_with_another_output_layer_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    assert "lm_head.weight differs from model.embed_tokens" in refused(
        edit_config(make_model(), tie_word_embeddings=True), tmp_path / "out"
    )


def test_damaged_weights_are_told_apart_from_wrong_ones(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "no whole safetensors file" in refused(model, tmp_path / "out")
    weights.unlink()
    assert "neither model.safetensors nor" in refused(model, tmp_path / "out")
    (model / "pytorch_model.bin").write_bytes(b"x")
    assert "pytorch_model.bin is a pickle" in refused(model, tmp_path / "out")


@pytest.mark.parametrize(
    ("file_name", "message"),
    [("../../etc/passwd", "no file name"), (3, "no file name"), ("model-00009.safetensors", "this file is missing")],
)
def test_index_that_points_elsewhere_is_refused(
    make_model: MakeModel, tmp_path: Path, file_name: object, message: str
) -> None:
    model = make_model(max_shard_size="60KB")
    index = json.loads((model / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.norm.weight"] = file_name
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert message in refused(model, tmp_path / "out")


# ---------------------------------------------------------------- GPT-NeoX sources


def test_configuration_with_another_rope_base_is_refused(neox: Path, tmp_path: Path) -> None:
    """NeoX itself loads a checkpoint under a wrong base without a word, at 30 % agreement."""
    text = (neox / "neox_model.yml").read_text()
    (neox / "neox_model.yml").write_text(text.replace("rotary_emb_base: 1000000", "rotary_emb_base: 10000"))
    message = refused(neox, tmp_path / "out")
    assert "'rotary_emb_base' is 10000" in message and "written for the RoPE base 1e+06" in message


def test_wanted_configuration_with_another_rope_base_needs_the_option(make_model: MakeModel, tmp_path: Path) -> None:
    wanted = run(make_model(base=1e4), tmp_path / "made", tensor_parallel=2) / "neox_model.yml"
    shutil.copy(wanted, tmp_path / "wanted.yml")
    model = make_model("other", base=1e6)
    message = refused(model, tmp_path / "out", config=tmp_path / "wanted.yml")
    assert "'rotary_emb_base' is 10000" in message and "--rope-base 10000" in message
    out = run(model, tmp_path / "out", config=tmp_path / "wanted.yml", rope_base=1e4)
    assert (out / "neox_model.yml").read_text() == wanted.read_text()


def test_wanted_configuration_of_another_model_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    wanted = run(make_model(layers=1), tmp_path / "made") / "neox_model.yml"
    assert "num_layers 1 against 2" in refused(make_model("other"), tmp_path / "out", config=wanted)


def test_missing_rank_is_named(neox: Path, tmp_path: Path) -> None:
    (neox / "global_step0/mp_rank_00_model_states.pt").unlink()
    assert "mp_rank_00_model_states.pt is missing" in refused(neox, tmp_path / "out")


def test_fewer_ranks_than_were_saved_are_refused(neox: Path, tmp_path: Path) -> None:
    (neox / "global_step0/mp_rank_01_model_states.pt").unlink()
    assert "saved with 2 tensor-parallel ranks, but 1 rank files" in refused(neox, tmp_path / "out")


def test_all_rank_tensors_that_do_not_fit_are_told_at_once(neox: Path, tmp_path: Path) -> None:
    edit_rank(neox, 1, lambda state: state["module"].pop("sequential.3.mlp.linear2.weight"))
    edit_rank(neox, 0, lambda state: state["module"].update({"sequential.9.odd": torch.zeros(1)}))
    edit_rank(neox, 0, lambda state: state["module"].update({"sequential.2.mlp.linear2.weight": torch.zeros(32, 4)}))
    message = refused(neox, tmp_path / "out")
    assert "sequential.3.mlp.linear2.weight of rank 1: missing" in message
    assert "sequential.9.odd of rank 0: not a tensor of this model" in message
    assert "sequential.2.mlp.linear2.weight of rank 0: shape [32, 4]" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("intermediate_size: 768", "intermediate_size: 256", "write 768 if 256 is the true width"),
        ("norm: rmsnorm", "norm: layernorm", "'norm' is 'layernorm', but must be 'rmsnorm'"),
        ("use_bias_in_mlp: false\n", "", "'use_bias_in_mlp' is True"),
        ("num_layers: 2", "num_layers: 3", "sequential.4.input_layernorm.scale of rank 0: missing"),
        ("model_parallel_size: 2", "model_parallel_size: 4", "'model_parallel_size' is 4, but"),
        ("num_layers: 2", "num_layers: [2]", "'num_layers' is [2]"),
    ],
)
def test_neox_configuration_that_does_not_fit_is_refused(
    neox: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (neox / "neox_model.yml").read_text()
    assert old in text
    (tmp_path / "edited.yml").write_text(text.replace(old, new))
    assert message in refused(neox, tmp_path / "out", config=tmp_path / "edited.yml")


def test_checkpoint_without_a_configuration_asks_for_one(neox: Path, tmp_path: Path) -> None:
    (neox / "neox_model.yml").unlink()
    assert "--config neox.yml" in refused(neox, tmp_path / "out")
    assert "there is no such file" in refused(neox, tmp_path / "out", config=tmp_path / "no.yml")


def test_step_that_is_not_there_is_refused(neox: Path, tmp_path: Path) -> None:
    assert "global_step9: there is no such folder (there is: global_step0)" in refused(neox, tmp_path / "out", step="9")
    assert "no name of a folder" in refused(neox, tmp_path / "out", step="../x")
    (neox / "latest").unlink()
    assert "name the step with --step (there is: global_step0)" in refused(neox, tmp_path / "out")
    (neox / "latest").write_text("../../etc")
    assert "'../../etc', which is no name" in refused(neox, tmp_path / "out")


def test_checkpoint_of_a_pipeline_is_told_how_to_be_saved(neox: Path, tmp_path: Path) -> None:
    for path in (neox / "global_step0").glob("*.pt"):
        path.unlink()
    (neox / "global_step0/layer_00-model_00-model_states.pt").write_bytes(b"x")
    assert "pipe_parallel_size 0" in refused(neox, tmp_path / "out")


def test_truncated_rank_file_is_damaged(neox: Path, tmp_path: Path) -> None:
    path = neox / "global_step0/mp_rank_01_model_states.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert "mp_rank_01_model_states.pt: this is no whole torch file" in refused(neox, tmp_path / "out")


class _Command:
    """A pickle that runs a command when it is loaded without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return (os.system, (self.command,))


def test_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"module": _Command(f"touch {tmp_path}/ran")}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=r"asks to create '(posix|nt)\.system'"):
        pickles.load_pickled(tmp_path / "bad.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(_Command(f"touch {tmp_path}/ran")))
    with pytest.raises(LlemmaError):
        pickles.load_pickled(tmp_path / "old.pt")
    assert not (tmp_path / "ran").exists()


class _Program(_Command):
    def __reduce__(self) -> tuple:
        return (subprocess.call, (self.command.split(),))


def test_pickle_is_refused_also_where_another_library_has_allowed_its_names(tmp_path: Path) -> None:
    """torch's list is one for the process, libraries add to it, and ours was only put on top of theirs."""
    torch.save({"module": _Program(f"touch {tmp_path}/ran")}, tmp_path / "bad.pt")
    with torch.serialization.safe_globals([(subprocess.call, "commands.call")]):  # its name in Python 2, as pickled
        with pytest.raises(InputError, match=r"asks to create 'commands\.call'"):
            pickles.load_pickled(tmp_path / "bad.pt")
        assert not (tmp_path / "ran").exists()
        torch.load(tmp_path / "bad.pt", weights_only=True)  # what it would have done
        assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [[1], {"module": {}}, {"module": {"a": 1}}, {"other": 1}])
def test_rank_file_without_weights_is_refused(neox: Path, tmp_path: Path, value: object) -> None:
    torch.save(value, neox / "global_step0/mp_rank_00_model_states.pt")
    assert "mp_rank_00_model_states.pt" in refused(neox, tmp_path / "out")


# ---------------------------------------------------------------- the command


def test_command_ends_with_plain_words_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llemma", "convert", str(tmp_path / "absent"), str(tmp_path / "out")]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr == f"error: {tmp_path}/absent: there is no such folder\n"


def test_command_converts_and_says_what_it_did(make_model: MakeModel, tmp_path: Path) -> None:
    from llemma.cli import main

    model, out = make_model(), tmp_path / "out"
    assert main(["convert", str(model), str(out), "--to", "neox", "--tensor-parallel", "2", "--dry-run"]) == 0
    assert not out.exists()
    assert main(["convert", str(model), str(out), "--to", "neox", "--tensor-parallel", "2"]) == 0
    assert (out / "global_step0/mp_rank_01_model_states.pt").is_file()


def test_full_disk_is_a_plain_error_and_leaves_nothing(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room of a rank file is taken before it is mapped: a write into a hole of a full disk would be a SIGBUS."""
    model = make_model()

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(OSError, match="No space left"):
        run(model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]

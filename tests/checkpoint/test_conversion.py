"""What a conversion keeps, records and leaves behind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from llemma.checkpoint.conversion import convert
from llemma.checkpoint.planning import Conversion, Request, plan_conversion
from llemma.core.errors import DamagedFileError, InputError
from llemma.core.files import sha256_file
from llemma.guard.manifest import check_manifest

MakeModel = Callable[..., Path]


def plan(source: Path, out: Path, **options: object) -> Conversion:
    return plan_conversion(Request(source=source, out=out, **options))


def run(source: Path, out: Path, **options: object) -> Path:
    convert(plan(source, out, **options))
    return out


def record(folder: Path) -> dict:
    return json.loads((folder / "conversion.json").read_text())


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def all_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_weights_come_back_bit_for_bit_in_their_own_type(make_model: MakeModel, tmp_path: Path, dtype: str) -> None:
    model = make_model(dtype=dtype, kv_heads=2)
    back = run(run(model, tmp_path / "neox", tensor_parallel=2), tmp_path / "back")
    before, after = all_tensors(model), all_tensors(back)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)
    config = json.loads((back / "config.json").read_text())
    assert (config["dtype"], config["torch_dtype"]) == (dtype, dtype)


def test_rank_files_load_in_plain_torch_and_hold_only_weights_of_the_layout(
    make_model: MakeModel, tmp_path: Path
) -> None:
    neox = run(make_model(dtype="bfloat16"), tmp_path / "neox", tensor_parallel=2)
    assert (neox / "latest").read_text() == "global_step0"
    state = torch.load(neox / "global_step0/mp_rank_01_model_states.pt", weights_only=True)
    assert (state["mp_world_size"], state["iteration"]) == (2, 0)
    # NeoX compares these with its own configuration when it loads; the RoPE base it would not check by itself.
    assert (state["args"]["rotary_emb_base"], state["args"]["padded_vocab_size"]) == (1_000_000, 98)
    shapes = {name: tuple(tensor.shape) for name, tensor in state["module"].items() if ".3." not in name}
    assert shapes == {
        "sequential.0.word_embeddings.weight": (49, 32),
        "sequential.2.input_layernorm.scale": (32,),
        "sequential.2.attention.query_key_value.weight": (48, 32),
        "sequential.2.attention.dense.weight": (32, 16),
        "sequential.2.post_attention_layernorm.scale": (32,),
        "sequential.2.mlp.linear1.weight": (256, 32),
        "sequential.2.mlp.linear2.weight": (32, 128),
        "sequential.5.norm.scale": (32,),
        "sequential.6.final_linear.weight": (49, 32),
    }
    assert {tensor.dtype for tensor in state["module"].values()} == {torch.bfloat16}


def test_tokenizer_and_generation_config_go_with_the_weights(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    (model / "tokenizer.model").write_bytes(b"pieces")
    (model / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    (model / "generation_config.json").write_text('{"eos_token_id": 2}')
    neox = run(model, tmp_path / "neox", tensor_parallel=2)
    assert (neox / "hf/tokenizer.model").read_bytes() == b"pieces"
    back = run(neox, tmp_path / "back")
    for name in ("tokenizer.model", "tokenizer_config.json", "generation_config.json"):
        assert (back / name).read_bytes() == (model / name).read_bytes()


def test_card_and_what_the_makers_say_go_along_through_every_layout(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(dtype="bfloat16")
    (model / "README.md").write_text("# Made by others")
    (model / "LICENSE.txt").write_text("terms")
    neox = run(model, tmp_path / "neox", tensor_parallel=2, rope_base=1e4)
    meta = run(neox, tmp_path / "meta", to="meta")
    back = run(meta, tmp_path / "back")
    assert (back / "SOURCE_README.md").read_text() == "# Made by others"
    assert (back / "LICENSE").read_text() == "terms"
    card = (neox / "README.md").read_text()
    assert "| RoPE base | 10000, changed on purpose from 1e+06 |" in card
    assert "97 pieces and 1 rows of padding (zeros)" in card
    for folder in (neox, meta, back):
        assert record(neox)["weights_sha256"] in (folder / "README.md").read_text()


def test_optimizer_state_is_said_to_be_left_out(make_model: MakeModel, tmp_path: Path) -> None:
    neox = run(make_model(), tmp_path / "neox", tensor_parallel=2)
    path = neox / "global_step0/mp_rank_01_model_states.pt"
    state = torch.load(path, weights_only=True)
    torch.save({**state, "optimizer": {"state": {0: {"step": 3}}}}, path)
    assert "the optimizer state in 1 file(s) is left out" in "\n".join(plan(neox, tmp_path / "out").lines())


def test_export_carries_the_rope_base_for_both_generations_of_transformers(
    make_model: MakeModel, tmp_path: Path
) -> None:
    config = json.loads((run(make_model(), tmp_path / "x", to="hf", rope_base=1e4) / "config.json").read_text())
    assert config["rope_theta"] == 10000.0
    assert config["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0}


def test_record_tells_the_contraction_the_padding_and_every_hash(make_model: MakeModel, tmp_path: Path) -> None:
    contracted = run(make_model(), tmp_path / "contracted", to="hf", rope_base=1e4)
    neox = run(contracted, tmp_path / "neox", tensor_parallel=2, vocab_divisible_by=64)
    first, second = record(contracted), record(neox)
    assert first["rope"] == {"base_before": 1e6, "base_after": 1e4, "contracted": True}
    assert second["rope"] == {"base_before": 1e4, "base_after": 1e4, "contracted": False}
    assert second["vocabulary"] == {"size": 97, "rows": 128, "padding": 31}
    assert [step["rope"]["contracted"] for step in second["history"]] == [True]
    assert first["tensors"] == second["tensors"]
    written = {entry["path"]: entry["sha256"] for entry in second["outputs"]}
    assert set(written) == set(names(neox)) - {"conversion.json"}
    assert all(sha256_file(neox / path) == sha256 for path, sha256 in written.items())
    listed = check_manifest(neox / "global_step0").files  # what the check before a launch holds the checkpoint to
    assert [entry.path for entry in listed] == ["mp_rank_00_model_states.pt", "mp_rank_01_model_states.pt"]


def test_the_same_conversion_writes_the_same_weights_byte_for_byte(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    one, two = (run(model, tmp_path / name, tensor_parallel=2) for name in ("one", "two"))
    for path in ("global_step0/mp_rank_00_model_states.pt", "global_step0/mp_rank_01_model_states.pt"):
        assert (one / path).read_bytes() == (two / path).read_bytes()


def test_model_in_several_files_is_read_and_written(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model(max_shard_size="60KB")
    assert (model / "model.safetensors.index.json").is_file()
    out = run(model, tmp_path / "out", to="hf", shard_bytes=50_000)
    assert len(list(out.glob("model-*-of-*.safetensors"))) > 2
    before, after = all_tensors(model), all_tensors(out)
    assert all(torch.equal(before[name], after[name]) for name in before)
    from transformers import LlamaForCausalLM

    loaded = LlamaForCausalLM.from_pretrained(out).state_dict()
    assert all(torch.equal(before[name], loaded[name]) for name in before)


def as_trained_by_neox(neox: Path, step: str = "global_step7") -> Path:
    """The checkpoint as NeoX leaves it after training: random states in the files, the configuration beside them."""
    for path in sorted((neox / "global_step0").glob("*.pt")):
        state = torch.load(path, weights_only=True)
        state["module"] = {name: tensor + 0.5 for name, tensor in state["module"].items()}
        state.update(
            iteration=7,
            np_rng_state=np.random.RandomState(3).get_state(),
            random_rng_state=random.Random(3).getstate(),
            torch_rng_state=torch.get_rng_state(),
            lr_scheduler={"num_iters": 7, "start_lr": 1e-4},
            param_shapes=[{"a": torch.Size([2, 3])}],
        )
        (neox / step / "configs").mkdir(parents=True, exist_ok=True)
        torch.save(state, neox / step / path.name)
    keys = (neox / "neox_model.yml").read_text()
    (neox / step / "configs/neox.yml").write_text(keys + "train_iters: 7\nseq_length: 64\n")
    (neox / "latest").write_text(step)
    return neox


def test_trained_checkpoint_with_pickled_random_states_is_read(make_model: MakeModel, tmp_path: Path) -> None:
    """NeoX saves NumPy's random state, which torch's restricted unpickler refuses unless told otherwise."""
    model = make_model()
    neox = as_trained_by_neox(run(model, tmp_path / "neox", tensor_parallel=2))
    before, after = all_tensors(model), all_tensors(run(neox, tmp_path / "back"))
    assert all(torch.equal(after[name], before[name] + 0.5) for name in before)
    old = all_tensors(run(neox, tmp_path / "old", step="0"))
    assert all(torch.equal(old[name], before[name]) for name in before)
    same = all_tensors(run(neox / "global_step7", tmp_path / "same"))
    assert all(torch.equal(after[name], same[name]) for name in before)


def test_trained_checkpoint_elsewhere_needs_the_vocabulary_named(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    (model / "tokenizer.json").write_text("{}")
    neox = as_trained_by_neox(run(model, tmp_path / "neox", tensor_parallel=2))
    bare = tmp_path / "bare"
    bare.mkdir()
    (neox / "global_step7").rename(bare / "global_step7")
    (bare / "latest").write_text("global_step7\n")
    with pytest.raises(InputError, match=r"how many vocabulary rows.*--hf-files.*--vocab-size"):
        plan(bare, tmp_path / "out")
    out = run(bare, tmp_path / "out", hf_files=model)
    assert all_tensors(out)["lm_head.weight"].shape == (97, 32)
    assert (out / "tokenizer.json").is_file()
    assert all_tensors(run(bare, tmp_path / "by-number", vocab_size=90))["lm_head.weight"].shape == (90, 32)


def test_base_of_the_trained_checkpoint_wins_over_that_of_the_first_model(
    make_model: MakeModel, tmp_path: Path
) -> None:
    """Training went on from a contracted model; the Hugging Face files named are those of the one before."""
    model = make_model(base=1e6)
    neox = run(model, tmp_path / "neox", rope_base=1e4)
    found = plan(neox, tmp_path / "out", hf_files=model)
    assert found.hf_config["rope_theta"] == 1e4
    assert any("has the RoPE base 1e+06; 10000 is written" in warning for warning in found.warnings)


def test_norms_that_drifted_apart_among_ranks_are_averaged_and_recorded(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    neox = run(model, tmp_path / "neox", tensor_parallel=2)
    path = neox / "global_step0/mp_rank_01_model_states.pt"
    state = torch.load(path, weights_only=True)
    state["module"]["sequential.5.norm.scale"] += 0.25
    torch.save(state, path)
    (neox / "conversion.json").unlink()
    back = run(neox, tmp_path / "back")
    wanted = all_tensors(model)["model.norm.weight"] + 0.125
    torch.testing.assert_close(all_tensors(back)["model.norm.weight"], wanted)
    assert record(back)["averaged"] == {"model.norm.weight": pytest.approx(0.125, abs=1e-6)}


def test_stored_rotary_frequencies_of_the_right_base_are_left_out(make_model: MakeModel, tmp_path: Path) -> None:
    neox = run(make_model(base=1e6), tmp_path / "neox")
    add_frequencies(neox, 1e6)
    assert not any("inv_freq" in name for name in all_tensors(run(neox, tmp_path / "back")))


def add_frequencies(neox: Path, base: float) -> None:
    path = neox / "global_step0/mp_rank_00_model_states.pt"
    state = torch.load(path, weights_only=True)
    frequencies = (1.0 / base ** (torch.arange(0, 8, 2).float() / 8)).bfloat16()
    state["module"]["sequential.2.attention.rotary_emb.inv_freq"] = frequencies
    torch.save(state, path)


def test_stored_rotary_frequencies_of_another_base_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    neox = run(make_model(base=1e6), tmp_path / "neox")
    add_frequencies(neox, 1e4)
    with pytest.raises(InputError, match=r"inv_freq.*not those of the configured RoPE base 1e\+06"):
        plan(neox, tmp_path / "back")


def test_conversion_that_fails_midway_leaves_nothing_behind(make_model: MakeModel, tmp_path: Path) -> None:
    """A weight that is not what the record says is found on the way, when files are written already."""
    model = run(make_model(), tmp_path / "source", to="hf")
    raw = bytearray((model / "model.safetensors").read_bytes())
    raw[-5] ^= 0xFF
    (model / "model.safetensors").write_bytes(bytes(raw))
    with pytest.raises(DamagedFileError, match=r"lm_head\.weight is not what conversion\.json says"):
        run(model, tmp_path / "neox", tensor_parallel=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "source"]


def test_left_over_of_a_killed_conversion_is_swept_away(make_model: MakeModel, tmp_path: Path) -> None:
    left = tmp_path / ".partial-neox"
    left.mkdir()
    (left / "half").write_text("x")
    neox = run(make_model(), tmp_path / "neox")
    assert not left.exists() and "half" not in names(neox)


def test_plan_alone_writes_nothing_and_can_be_shown(make_model: MakeModel, tmp_path: Path) -> None:
    text = "\n".join(plan(make_model(), tmp_path / "out", tensor_parallel=2, rope_base=1e4).lines())
    assert "RoPE base 1e+06 -> 10000" in text
    assert "97 + 1 rows of padding" in text
    assert "no tokenizer files" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]

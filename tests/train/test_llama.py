"""Our Llama against transformers' from the same folder, and what is refused when a folder is read."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from llemma.core.errors import DamagedFileError, InputError, LlemmaError  # noqa: E402
from llemma.neox.config import NeoxConfig  # noqa: E402
from llemma.train.data.batch import Batch, BatchRules, make_batch  # noqa: E402
from llemma.train.model import llama  # noqa: E402
from llemma.train.model.loss import mean_loss, token_losses  # noqa: E402
from llemma.train.model.weights import load_model, random_model, write_model_config  # noqa: E402

from .conftest import EOD, NEOX  # noqa: E402

CPU = torch.device("cpu")
MIXED = ("selective", "full")


def written_by_transformers(folder: Path, **changes: Any) -> Any:
    """A model of transformers with random weights, and its folder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    sizes: dict[str, Any] = {
        "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 160, "max_position_embeddings": 64, "initializer_range": 0.1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).eval()
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module", params=["mha", "gqa", "tied"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    changes = {"mha": {}, "gqa": {"num_key_value_heads": 2}, "tied": {"tie_word_embeddings": True}}[request.param]
    theirs = written_by_transformers(folder, **changes)
    return load_model(folder, CPU), theirs


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, 300, (rows, length), generator=torch.Generator().manual_seed(2))


def logits(model: Any, batch: Batch) -> torch.Tensor:
    return model(batch.inputs, batch.positions, batch.mask) @ model.output_weight.T


def test_logits_equal_those_of_transformers(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    batch = make_batch(tokens(3, 42), BatchRules())
    with torch.no_grad():
        found = logits(ours, batch)
        torch.testing.assert_close(found, theirs(input_ids=batch.inputs).logits, atol=1e-5, rtol=0)
    assert found.std() > 0.5


def test_logits_of_isolated_documents_equal_those_of_transformers(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    drawn = tokens(2, 42)
    drawn[:, [7, 8, 30]] = EOD
    batch = make_batch(drawn, BatchRules(isolated_by=EOD)).to(CPU)
    with torch.no_grad():
        wanted = theirs(input_ids=batch.inputs, position_ids=batch.positions, attention_mask=batch.mask).logits
        torch.testing.assert_close(logits(ours, batch), wanted, atol=1e-5, rtol=0)


def test_gradients_equal_those_of_transformers_in_fp32_and_nearly_in_bf16(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    batch = make_batch(tokens(3, 42), BatchRules())
    for precision, near in (("fp32", 1e-5), ("bfloat16", 0.02)):
        ours.zero_grad()
        theirs.zero_grad()
        loss = mean_loss(ours, batch, precision)
        torch.autograd.backward(loss)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            wanted_logits = theirs(input_ids=batch.inputs).logits
        wanted = torch.nn.functional.cross_entropy(wanted_logits.float().flatten(0, 1), batch.labels.flatten())
        torch.autograd.backward(wanted)
        assert loss.item() == pytest.approx(wanted.item(), abs=near)
        gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
        assert gradients.keys() == dict(ours.named_parameters()).keys()
        for name, parameter in ours.named_parameters():
            assert (parameter.grad - gradients[name]).norm() < near * gradients[name].norm(), name


def test_weights_held_over_micro_batches_give_the_same_gradients() -> None:
    torch.manual_seed(4)
    model = random_model(NeoxConfig.from_values(NEOX), CPU)
    batches = [make_batch(torch.randint(0, 256, (2, 33)), BatchRules()) for _ in range(2)]
    found = []
    for is_held in (False, True):
        model.zero_grad()
        with model.weights_held() if is_held else torch.enable_grad():
            for batch in batches:
                torch.autograd.backward(mean_loss(model, batch, "bfloat16"))
        found.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_compiled_layers_give_the_numbers_of_eager_ones_and_share_one_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In validation, training, with isolated documents, with either recomputation: four graphs for all layers.

    The graphs are what the compiler is given, run as they are: to compile them takes a C++ compiler a minute.
    """
    from torch._dynamo.utils import counters

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(llama, "_layer", functools.cache(llama._layer.__wrapped__))
    torch.manual_seed(4)
    model = random_model(NeoxConfig.from_values({**NEOX, "init_method_std": 0.1}), CPU)
    drawn = torch.randint(3, 256, (2, 33))
    drawn[:, 9] = EOD
    batches = [make_batch(drawn, BatchRules()), make_batch(drawn, BatchRules(isolated_by=EOD)).to(CPU)]
    found: list[list[torch.Tensor]] = []
    counters.clear()
    for is_compiled in (False, True):
        if is_compiled:
            model.compile_layers()
        model.zero_grad()
        with torch.inference_mode():
            found.append([token_losses(model, batches[0], "fp32")])
        for batch, modes in ((batches[1], ("none", "none")), (batches[0], MIXED)):
            model.recompute(modes)
            loss = mean_loss(model, batch, "fp32")
            torch.autograd.backward(loss)
            found[-1].append(loss.detach())
        found[-1] += [parameter.grad.clone() for parameter in model.parameters()]
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager, atol=1e-5, rtol=1e-5)
    assert counters["stats"]["unique_graphs"] == 4 and not counters["graph_break"]


# ---------------------------------------------------------------------- folders


def test_sharded_weights_are_those_of_one_file(base_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    folder.mkdir()
    shutil.copy(base_model / "config.json", folder)
    whole = load_file(base_model / "model.safetensors")
    weight_map = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(whole)}
    for file in set(weight_map.values()):
        save_file({name: whole[name] for name in whole if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    for name, parameter in load_model(folder, CPU).named_parameters():
        assert torch.equal(parameter, whole[name]), name


def spoiled(base_model: Path, folder: Path, change: dict[str, Any]) -> Path:
    """A copy of the folder whose weights or configuration are changed; None takes something away."""
    shutil.copytree(base_model, folder)
    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    for name, value in change.items():
        target: dict[str, Any] = weights if name.endswith(".weight") else config
        if value is None:
            del target[name]
        else:
            target[name] = torch.zeros(value) if target is weights else value
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.norm.weight": None}, "model.norm.weight: missing"),
        ({"model.layers.7.mlp.up_proj.weight": (2, 2)}, "model.layers.7.mlp.up_proj.weight: not a tensor of this"),
        ({"lm_head.weight": (256, 32)}, "lm_head.weight: shape [256, 32], but the configuration makes it [256, 64]"),
        ({"hidden_act": "gelu"}, "'hidden_act' is 'gelu', but must be 'silu'"),
        ({"attention_bias": True}, "'attention_bias' is True, but must be False"),
        ({"attention_dropout": 0.1}, "'attention_dropout' is 0.1, but the embedded trainer has none"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "positions of the kind 'linear'"),
        ({"head_dim": 32}, "'head_dim' is 32"),
        ({"model_type": "mistral"}, "'model_type' is 'mistral', but must be 'llama'"),
    ],
)
def test_folder_that_is_no_whole_plain_llama_is_refused_by_name(
    base_model: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(LlemmaError) as caught:
        load_model(spoiled(base_model, tmp_path / "spoiled", change), CPU)
    assert isinstance(caught.value, InputError) and said in str(caught.value)


def test_weights_that_were_cut_off_are_told_as_damaged(base_model: Path, tmp_path: Path) -> None:
    folder = spoiled(base_model, tmp_path / "cut", {})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DamagedFileError, match="this is no whole safetensors file"):
        load_model(folder, CPU)


def test_configuration_keeps_what_it_does_not_know_and_takes_a_stage_s_rope_base(
    base_model: Path, tmp_path: Path
) -> None:
    folder = spoiled(base_model, tmp_path / "known", {"bos_token_id": 1, "house": {"of": "ours"}})
    config = NeoxConfig.from_values({**NEOX, "rotary_emb_base": 500_000, "max_position_embeddings": 64})
    model = load_model(folder, CPU, config)
    write_model_config(model.config, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["rope_theta"] == written["rope_parameters"]["rope_theta"] == 500_000
    assert written["max_position_embeddings"] == 64
    assert written["house"] == {"of": "ours"} and written["bos_token_id"] == 1 and written["dtype"] == "float32"

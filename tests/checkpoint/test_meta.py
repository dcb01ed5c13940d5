"""Meta's raw format, proved by the logits of an independent forward in its own layout."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from llemma.checkpoint.conversion import convert
from llemma.checkpoint.meta_files import ffn_width
from llemma.checkpoint.planning import Request, plan_conversion
from llemma.core.errors import DamagedFileError, InputError

MakeModel = Callable[..., Path]


def forward() -> ModuleType:
    spec = importlib.util.spec_from_file_location("meta_forward", Path(__file__).with_name("meta_forward.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(source: Path, out: Path, **options: object) -> Path:
    convert(plan_conversion(Request(source=source, out=out, **options)))
    return out


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = tensors(one), tensors(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def bare(meta: Path, out: Path) -> Path:
    """The folder as Meta publishes one: consolidated files, params.json and nothing of ours."""
    out.mkdir()
    for path in (*meta.glob("consolidated.*.pth"), meta / "params.json"):
        (out / path.name).write_bytes(path.read_bytes())
    return out


@pytest.mark.parametrize(("kv_heads", "ranks", "base"), [(4, 1, 1e4), (4, 2, 1e6), (2, 2, 1e6)])
def test_metas_files_have_the_logits_of_the_model_and_come_back(
    make_model: MakeModel, tmp_path: Path, kv_heads: int, ranks: int, base: float
) -> None:
    from transformers import LlamaForCausalLM

    source = make_model(kv_heads=kv_heads, base=base, vocab=98)
    tokens = torch.randint(0, 98, (2, 48), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = LlamaForCausalLM.from_pretrained(source, attn_implementation="eager").eval()(tokens).logits
    meta = run(source, tmp_path / "meta", to="meta", tensor_parallel=ranks)
    torch.testing.assert_close(forward().meta_logits(meta, tokens), wanted, rtol=0, atol=1e-5)
    published = bare(meta, tmp_path / "published")
    assert_same_weights(run(published, tmp_path / "back", max_positions=64), source)


def test_neox_and_meta_convert_to_each_other_without_hugging_face_in_between(
    make_model: MakeModel, tmp_path: Path
) -> None:
    source = make_model(kv_heads=2, vocab=98, dtype="bfloat16")
    neox = run(source, tmp_path / "neox", tensor_parallel=2)
    meta = run(neox, tmp_path / "meta", to="meta", tensor_parallel=1)
    again = run(meta, tmp_path / "again", to="neox", tensor_parallel=2)
    for rank in (0, 1):
        name = f"global_step0/mp_rank_{rank:02d}_model_states.pt"
        assert (again / name).read_bytes() == (neox / name).read_bytes()
    records = [json.loads((folder / "conversion.json").read_text()) for folder in (neox, meta, again)]
    assert len({record["weights_sha256"] for record in records}) == 1


def test_query_rows_stand_in_pairs_that_are_turned_together(make_model: MakeModel, tmp_path: Path) -> None:
    """Rows 0, 4, 1, 5, ... of a head of width 8: Meta's neighbours are halves of Hugging Face's head."""
    source = make_model(vocab=98)
    found = forward().whole_tensors(run(source, tmp_path / "meta", to="meta", tensor_parallel=2))
    q = tensors(source)["model.layers.1.self_attn.q_proj.weight"]
    order = torch.tensor([head * 8 + at for head in range(4) for at in (0, 4, 1, 5, 2, 6, 3, 7)])
    assert torch.equal(found["layers.1.attention.wq.weight"], q[order])


def test_tied_model_has_the_embedding_as_output_and_is_tied_again_on_return(
    make_model: MakeModel, tmp_path: Path
) -> None:
    source = make_model(tied=True, vocab=98)
    meta = run(source, tmp_path / "meta", to="meta", tensor_parallel=2)
    found = forward().whole_tensors(meta)
    assert torch.equal(found["output.weight"], found["tok_embeddings.weight"])
    assert_same_weights(run(meta, tmp_path / "back"), source)
    untied = run(bare(meta, tmp_path / "published"), tmp_path / "untied", max_positions=64)
    assert "lm_head.weight" in tensors(untied)
    path = meta / "consolidated.01.pth"
    state = torch.load(path, weights_only=True)
    state["output.weight"][3, 5] += 1
    torch.save(state, path)
    with pytest.raises(InputError, match=r"output\.weight: differs from tok_embeddings\.weight"):
        run(meta, tmp_path / "wrong")


def test_embedding_split_by_rows_as_llama_3_has_it_is_read(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model(vocab=98)
    meta = run(source, tmp_path / "meta", to="meta", tensor_parallel=2)
    rows = tensors(source)["model.embed_tokens.weight"].chunk(2, dim=0)
    for rank in (0, 1):
        path = meta / f"consolidated.{rank:02d}.pth"
        state = torch.load(path, weights_only=True)
        state["tok_embeddings.weight"] = rows[rank].clone()
        torch.save(state, path)
    assert_same_weights(run(meta, tmp_path / "back"), source)


@pytest.mark.parametrize(
    ("hidden", "multiple_of", "multiplier", "width"),
    [(4096, 256, 1.0, 11008), (5120, 256, None, 13824), (8192, 256, 1.0, 22016), (4096, 1024, 1.3, 14336)],
)
def test_widths_of_published_models_are_those_of_metas_formula(
    hidden: int, multiple_of: int, multiplier: float | None, width: int
) -> None:
    """params.json of Code Llama 7B, Llama 2 13B, Code Llama 34B, Llama 3 8B, and their true widths."""
    assert ffn_width(hidden, multiple_of, multiplier) == width


@pytest.mark.parametrize("ffn", [256, 512])
def test_width_of_any_model_is_what_the_written_params_make(make_model: MakeModel, tmp_path: Path, ffn: int) -> None:
    """Meta's file does not hold the width; 8/3 of the hidden size 32 makes 85."""
    meta = run(make_model(ffn=ffn, vocab=98), tmp_path / "meta", to="meta")
    params = json.loads((meta / "params.json").read_text())
    assert ffn_width(params["dim"], params["multiple_of"], params.get("ffn_dim_multiplier")) == ffn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_scaled_rope": True}, "'use_scaled_rope' is True"),
        ({"dim": 64}, "'dim' is 64, but tok_embeddings.weight has 16 columns on each of 2 rank"),
        ({"n_layers": 1}, "layers.1.attention.wk.weight of rank 0: not a tensor of this model"),
        ({"vocab_size": 5}, "'vocab_size' is 5, but the embedding has 98 rows"),
        ({"rope_theta": -1}, "'rope_theta' is -1"),
    ],
)
def test_params_that_do_not_fit_the_files_are_refused(
    make_model: MakeModel, tmp_path: Path, change: dict, message: str
) -> None:
    meta = bare(run(make_model(vocab=98), tmp_path / "m", to="meta", tensor_parallel=2), tmp_path / "meta")
    params = json.loads((meta / "params.json").read_text())
    (meta / "params.json").write_text(json.dumps(params | change))
    with pytest.raises(InputError) as caught:
        run(meta, tmp_path / "out", max_positions=64)
    assert message in str(caught.value)


def test_what_metas_files_lack_or_miss_is_named(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model(vocab=98)
    meta = bare(run(source, tmp_path / "m", to="meta", tensor_parallel=2), tmp_path / "meta")
    with pytest.raises(InputError, match=r"--max-positions \(Llama 1: 2048"):
        run(meta, tmp_path / "out")
    data = (meta / "consolidated.01.pth").read_bytes()
    (meta / "consolidated.01.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedFileError, match=r"consolidated\.01\.pth: this is no whole torch file"):
        run(meta, tmp_path / "out", max_positions=64)
    (meta / "consolidated.00.pth").unlink()
    with pytest.raises(InputError, match=r"consolidated\.00\.pth is missing"):
        run(meta, tmp_path / "out", max_positions=64)
    with pytest.raises(InputError, match="2 ranks do not divide 97"):
        run(make_model("odd"), tmp_path / "out", to="meta", tensor_parallel=2)

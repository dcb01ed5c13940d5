"""Checkpoints in Meta's raw format: consolidated.NN.pth, one per model-parallel rank, and params.json.

FOLDER/params.json           {"dim", "n_layers", "n_heads", "n_kv_heads", "multiple_of", "ffn_dim_multiplier",
                              "norm_eps", "rope_theta", "vocab_size"}; what it leaves out is read off the tensors
FOLDER/consolidated.NN.pth   {name: tensor, ...} of rank NN
FOLDER/tokenizer.model
and, where `llemma convert` wrote it: hf/ and conversion.json as in neox_files.py.

Source: meta-llama/llama and meta-llama/codellama, llama/model.py (ModelArgs, FeedForward) and llama/generation.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llemma.checkpoint.architecture import Architecture, Reader
from llemma.checkpoint.mapping import Form, Layout
from llemma.checkpoint.pickles import load_pickled
from llemma.checkpoint.rank_files import RankSink, RankSource, load_module
from llemma.checkpoint.tensors import TensorFacts
from llemma.core.errors import InputError
from llemma.core.files import read_json
from llemma.rope import DEFAULT_BASE

if TYPE_CHECKING:
    import torch

PARAMS_NAME = "params.json"
_RANK_FILE = re.compile(r"^consolidated\.(\d{2,})\.pth$")
_EMBEDDING, _QUERY, _GATE = "tok_embeddings.weight", "layers.0.attention.wq.weight", "layers.0.feed_forward.w1.weight"

_PUBLISHED_WIDTHS: tuple[tuple[int, float | None], ...] = ((256, None), (1024, 1.3), (4096, 1.3), (256, 1.5))
"""(multiple_of, ffn_dim_multiplier) of the models that Meta published, tried first."""


def rank_numbers(folder: Path) -> list[int]:
    """Numbers of the ranks whose files lie in a folder."""
    if not folder.is_dir():
        return []
    return sorted(int(match.group(1)) for path in folder.iterdir() if (match := _RANK_FILE.match(path.name)))


class MetaSource(RankSource):
    """The files of all ranks, seen as Hugging Face tensors."""

    layout_name: Literal["meta"] = "meta"

    def __init__(self, folder: Path, max_positions: int | None, is_tied: bool) -> None:
        ranks = rank_numbers(folder)
        if not ranks:
            raise InputError(f"{folder}: has {PARAMS_NAME}, but no consolidated.00.pth: fetch the checkpoint anew")
        if ranks != list(range(len(ranks))):
            missing = min(set(range(max(ranks) + 1)) - set(ranks))
            raise InputError(f"{folder}: consolidated.{missing:02d}.pth is missing, but later ranks are there")
        place = folder / PARAMS_NAME
        params = read_json(place)
        if not isinstance(params, dict):
            raise InputError(f"{place}: this is not the configuration of a model")
        modules = [
            load_module(path, load_pickled(path), "the file") for path in (folder / rank_file_name(r) for r in ranks)
        ]
        architecture, form = _architecture(params, str(place), folder, modules, max_positions, is_tied)
        layout = Layout(architecture=architecture, tensor_parallel=len(ranks), rows=architecture.vocab_size, form=form)
        super().__init__(folder, modules, layout, str(place))


def _architecture(
    params: dict[str, Any],
    place: str,
    folder: Path,
    modules: list[dict[str, torch.Tensor]],
    max_positions: int | None,
    is_tied: bool,
) -> tuple[Architecture, Form]:
    read = Reader(params, place)
    read.want("use_scaled_rope", False, False, "GPT-NeoX has no scaled RoPE, and without it this is another model")
    ranks, first = len(modules), modules[0]
    hidden = read.integer("dim")
    for name in (_EMBEDDING, _GATE):
        if name not in first or first[name].dim() != 2:
            read.complain(f"{folder / rank_file_name(0)} has no matrix {name}: this is no Llama checkpoint of Meta's")
    rows, width, form = 1, 1, "meta"
    if not read.problems:
        (rows, columns), width = first[_EMBEDDING].shape, first[_GATE].shape[0] * ranks
        if columns == hidden and ranks > 1:
            rows, form = rows * ranks, "meta, embedding in rows"
        elif columns * ranks != hidden:
            read.complain(
                f"'dim' is {hidden}, but {_EMBEDDING} has {columns} columns on each of {ranks} rank(s): a "
                "consolidated file is missing, or this params.json is another model's"
            )
    if isinstance(params.get("vocab_size"), int) and params["vocab_size"] not in (-1, rows):
        read.complain(f"'vocab_size' is {params['vocab_size']}, but the embedding has {rows} rows")
    if max_positions is None and params.get("max_seq_len") is None:
        read.complain(
            "nothing tells for how many positions the model was made, which Meta's format leaves out: name it with "
            "--max-positions (Llama 1: 2048, Llama 2: 4096, Llama 3: 8192, Code Llama: 16384), or a Hugging Face "
            "folder of the same model with --hf-files"
        )
    heads = read.integer("n_heads")
    architecture = Architecture(
        num_layers=read.integer("n_layers", most=10_000),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=read.integer("n_kv_heads", heads),
        ffn_width=width,
        vocab_size=rows,
        max_positions=max_positions or read.integer("max_seq_len", 1),
        rms_norm_eps=read.number("norm_eps", 1e-5),
        rope_base=read.number("rope_theta", DEFAULT_BASE),
        is_tied=is_tied,
    )
    chosen: Form = "meta" if form == "meta" else "meta, embedding in rows"
    return read.done(architecture), chosen


def rank_file_name(rank: int) -> str:
    """Name of the file of one model-parallel rank."""
    return f"consolidated.{rank:02d}.pth"


def meta_sink(folder: Path, facts: list[TensorFacts], layout: Layout) -> RankSink:
    """The files of all ranks, to be written."""
    paths = [folder / rank_file_name(rank) for rank in range(layout.tensor_parallel)]
    return RankSink(paths, facts, layout, [{}] * len(paths), None)


def meta_params(architecture: Architecture) -> dict[str, Any]:
    """A params.json with which Meta's program makes this model.

    Its feed-forward width is not written but computed there: int(multiplier x int(8/3 hidden)), rounded up.
    """
    multiple_of, multiplier = next(
        (pair for pair in _PUBLISHED_WIDTHS if ffn_width(architecture.hidden_size, *pair) == architecture.ffn_width),
        _any_width(architecture),
    )
    params: dict[str, Any] = {
        "dim": architecture.hidden_size,
        "n_layers": architecture.num_layers,
        "n_heads": architecture.num_heads,
        "n_kv_heads": architecture.num_kv_heads,
        "vocab_size": architecture.vocab_size,
        "multiple_of": multiple_of,
        "ffn_dim_multiplier": multiplier,
        "norm_eps": architecture.rms_norm_eps,
        "rope_theta": architecture.rope_base,
    }
    return {key: value for key, value in params.items() if value is not None}


def ffn_width(hidden_size: int, multiple_of: int, multiplier: float | None) -> int:
    """The feed-forward width that Meta's program computes (FeedForward in llama/model.py)."""
    width = int(2 * (4 * hidden_size) / 3)
    if multiplier is not None:
        width = int(multiplier * width)
    return multiple_of * ((width + multiple_of - 1) // multiple_of)


def _any_width(architecture: Architecture) -> tuple[int, float | None]:
    """A pair that makes just this width: one multiple of itself, made of anything from 1 to itself."""
    plain = int(2 * (4 * architecture.hidden_size) / 3)
    return architecture.ffn_width, None if plain <= architecture.ffn_width else architecture.ffn_width / plain / 2

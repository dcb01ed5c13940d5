"""The mapping rules on tensors small enough to read."""

from __future__ import annotations

import torch

from llemma.checkpoint.architecture import Architecture
from llemma.checkpoint.mapping import Layout, Rule, rules_of


def model(heads: int, kv_heads: int, vocab: int = 3) -> Architecture:
    """Heads of width 2, one layer; every size tiny."""
    return Architecture(
        num_layers=1,
        hidden_size=2 * heads,
        num_heads=heads,
        num_kv_heads=kv_heads,
        ffn_width=4,
        vocab_size=vocab,
        max_positions=8,
        rms_norm_eps=1e-5,
        rope_base=1e4,
        is_tied=False,
    )


def rule_named(architecture: Architecture, ending: str) -> Rule:
    return next(rule for rule in rules_of(architecture) if rule.name.endswith(ending))


def fill(architecture: Architecture, ending: str, ranks: int, rows: int = 4) -> list[list[int]]:
    """First column (or all of a row-parallel one) of each rank's tensor, parts numbered 100, 200, 300 by row."""
    layout = Layout(architecture=architecture, tensor_parallel=ranks, rows=rows)
    rule = rule_named(architecture, ending)
    found = []
    for rank in range(ranks):
        on_rank = torch.full(layout.rank_shape(rule), -1.0)
        for number, part in enumerate(rule.parts):
            whole = torch.zeros(layout.hf_shape(part))
            if rule.split == 1:
                whole += torch.arange(whole.shape[1])
            else:
                whole += 100 * (number + 1) + torch.arange(whole.shape[0])[:, None]
            theirs, ours = layout.pairs(rule, number, rank, whole, on_rank)
            ours.copy_(theirs)
        assert rule.is_padded or (on_rank >= 0).all()  # every place was filled
        found.append((on_rank[0] if rule.split == 1 else on_rank[:, 0]).int().tolist())
    return found


def test_multi_head_attention_is_laid_out_head_by_head() -> None:
    assert fill(model(2, 2), "query_key_value.weight", 1) == [
        [100, 101, 200, 201, 300, 301, 102, 103, 202, 203, 302, 303],
    ]
    assert fill(model(2, 2), "query_key_value.weight", 2) == [
        [100, 101, 200, 201, 300, 301],
        [102, 103, 202, 203, 302, 303],
    ]


def test_grouped_query_attention_is_queries_then_keys_then_values_on_each_rank() -> None:
    assert fill(model(4, 2), "query_key_value.weight", 2) == [
        [100, 101, 102, 103, 200, 201, 300, 301],
        [104, 105, 106, 107, 202, 203, 302, 303],
    ]


def test_first_linear_layer_is_up_then_gate_on_each_rank() -> None:
    assert fill(model(2, 2), "linear1.weight", 2) == [[100, 101, 200, 201], [102, 103, 202, 203]]


def test_row_parallel_tensors_share_out_their_columns() -> None:
    assert fill(model(2, 2), "linear2.weight", 2) == [[0, 1], [2, 3]]
    assert fill(model(2, 2), "dense.weight", 2) == [[0, 1], [2, 3]]


def test_vocabulary_leaves_its_last_rows_to_padding() -> None:
    assert fill(model(2, 2, vocab=3), "final_linear.weight", 2, rows=8) == [[100, 101, 102, -1], [-1, -1, -1, -1]]


def test_modules_are_numbered_as_in_neox() -> None:
    assert [rule.name for rule in rules_of(model(2, 2))] == [
        "sequential.0.word_embeddings.weight",
        "sequential.2.input_layernorm.scale",
        "sequential.2.attention.dense.weight",
        "sequential.2.post_attention_layernorm.scale",
        "sequential.2.mlp.linear1.weight",
        "sequential.2.mlp.linear2.weight",
        "sequential.2.attention.query_key_value.weight",
        "sequential.4.norm.scale",
        "sequential.5.final_linear.weight",
    ]

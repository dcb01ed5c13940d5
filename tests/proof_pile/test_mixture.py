"""The mixture: shares in, weights and epochs out, and the proof of what will be drawn."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llemma.core.config import check_config, parse_yaml
from llemma.core.errors import ConfigError, InputError
from llemma.core.schemas import Mixture
from proof_pile.mixture import MixtureConfig, plan_mixture, prove_shares, write_mixture

LLEMMA = """
planned_tokens: 200_000_000_000
groups:
  proof-pile-2: {share: 95, sources: {arxiv: 2, open-web-math: 4, algebraic-stack: 1}}
  pile: {share: 2, sources: {pile: 1}}
  redpajama: {share: 3, sources: {github: 1}}
"""
TOKENS = {
    "arxiv": 29_000_000_000, "open-web-math": 15_000_000_000, "algebraic-stack": 11_000_000_000,
    "pile": 300_000_000_000, "github": 59_000_000_000,
}  # fmt: skip


def config(text: str = LLEMMA) -> MixtureConfig:
    return check_config(parse_yaml(text, "recipe.yml"), MixtureConfig)


def test_llemmas_shares_give_llemmas_weights_and_epochs() -> None:
    """95 % in the ratio 2 : 4 : 1, 2 % and 3 %; at 200 B tokens 1.9, 7.2 and 2.5 epochs (arXiv 2310.10631)."""
    plan = plan_mixture(config(), TOKENS)
    weights = {source.name: source.weight for source in plan.sources}
    assert math.fsum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert weights["arxiv"] == pytest.approx(0.95 * 2 / 7)
    assert weights["open-web-math"] == pytest.approx(0.95 * 4 / 7)
    assert (weights["pile"], weights["github"]) == (pytest.approx(0.02), pytest.approx(0.03))
    epochs = {source.name: round(source.epochs, 1) for source in plan.sources}
    assert (epochs["arxiv"], epochs["open-web-math"], epochs["algebraic-stack"]) == (1.9, 7.2, 2.5)
    assert [warning for warning in plan.warnings if "open-web-math" in warning and "7.24 times" in warning]
    assert len(plan.warnings) == 1


def test_drawn_shares_are_within_a_tenth_of_a_percent_of_the_wanted_ones() -> None:
    """The reference is the draw written as one reads it: always the source that is furthest behind."""
    plan = plan_mixture(config(LLEMMA.replace("200_000_000_000", "20_000_000")), TOKENS)
    proof = prove_shares(plan, 4096)
    assert proof["num_samples"] == 20_000_000 // 4096
    assert proof["largest_difference"] < 0.001
    drawn = [0] * len(plan.sources)
    for number in range(proof["num_samples"]):
        behind = [source.weight * max(number, 1) - count for source, count in zip(plan.sources, drawn, strict=True)]
        drawn[behind.index(max(behind))] += 1
    assert {name: entry["samples"] for name, entry in proof["sources"].items()} == {
        source.name: count for source, count in zip(plan.sources, drawn, strict=True)
    }


def test_llemmas_mixture_with_at_most_four_epochs_moves_the_webs_excess_to_papers_and_code() -> None:
    """The web's 54.29 % would be read 7.24 times; held at 4 it keeps 30 %, and 24.29 % go to its group by 2 : 1."""
    plan = plan_mixture(config(LLEMMA + "excess: move"), TOKENS)
    weight = {source.name: source.weight for source in plan.sources}
    # Code has room for 4 x 11 B = 22 % and is full as well; papers take what is left of the group's 95 %.
    assert weight["open-web-math"] == pytest.approx(0.30) and weight["algebraic-stack"] == pytest.approx(
        0.95 - 0.3 - weight["arxiv"]
    )
    assert weight["arxiv"] == pytest.approx(0.65 * 2 / 3) and weight["pile"] == pytest.approx(0.02)
    assert all(source.epochs <= source.max_epochs * (1 + 1e-9) for source in plan.sources)
    assert [warning.split("'")[1] for warning in plan.warnings] == ["open-web-math"]
    assert "held at 4 epochs: its share is 30.00% in place of 54.29%" in plan.warnings[0]


def test_plan_beyond_every_limit_is_refused_with_the_largest_that_works() -> None:
    text = LLEMMA.replace("200_000_000_000", "2_000_000_000_000") + "excess: move"
    with pytest.raises(InputError, match="there are 1,656,000,000,000: plan so many"):
        plan_mixture(config(text), TOKENS)
    with pytest.raises(InputError, match=r"'open-web-math' is repeated 7\.24 times"):
        plan_mixture(config(LLEMMA + "excess: refuse"), TOKENS)


def test_a_sources_own_limit_goes_before_the_mixtures() -> None:
    text = "planned_tokens: 400\nexcess: move\ngroups: {a: {share: 1, sources: {x: {part: 1, max_epochs: 1}, y: 1}}}"
    plan = plan_mixture(config(text), {"x": 100, "y": 100})
    assert [source.weight for source in plan.sources] == [pytest.approx(0.25), pytest.approx(0.75)]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 50), st.integers(1, 1000), st.floats(0.2, 8)), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 20_000),
)
def test_moved_weights_keep_every_limit_and_the_ratio_of_those_with_room(
    groups: list[list[tuple[int, int, float]]], planned: int
) -> None:
    sections, tokens = {}, {}
    for g, members in enumerate(groups):
        sources = {}
        for s, (part, size, limit) in enumerate(members):
            sources[f"{g}-{s}"] = {"part": part, "max_epochs": limit}
            tokens[f"{g}-{s}"] = size
        sections[f"{g}"] = {"share": g + 1, "sources": sources}
    section = MixtureConfig.model_validate({"groups": sections, "planned_tokens": planned, "excess": "move"})
    try:
        plan = plan_mixture(section, tokens)
    except InputError:
        assert sum(limit * size for members in groups for _, size, limit in members) < planned
        return
    assert math.fsum(source.weight for source in plan.sources) == pytest.approx(1, abs=1e-9)
    assert all(source.epochs <= source.max_epochs * (1 + 1e-6) for source in plan.sources)
    for group in sections:
        free = [s for s in plan.sources if s.group == group and s.epochs < s.max_epochs * (1 - 1e-6)]
        growth = [source.weight / source.asked for source in free]
        assert max(growth, default=1) == pytest.approx(min(growth, default=1))


def test_proof_runs_through_llemmas_whole_plan() -> None:
    """All 48.8 million samples of 200 B tokens, in bounded memory: each source within 1e-6 of its share."""
    proof = prove_shares(plan_mixture(config(), TOKENS), 4096)
    assert proof["num_samples"] == 200_000_000_000 // 4096
    assert sum(entry["samples"] for entry in proof["sources"].values()) == proof["num_samples"]
    assert proof["largest_difference"] < 1e-6
    assert proof["sources"]["open-web-math"]["epochs"] == pytest.approx(7.238, abs=1e-3)


@pytest.mark.parametrize("excess", ["warn", "move"])
def test_proof_counts_what_megatron_core_itself_draws(excess: str) -> None:
    """Its compiled helper over 16.4 B tokens: the same samples from each source, shares within a tenth of a percent."""
    from megatron.core.datasets import helpers

    text = LLEMMA.replace("200_000_000_000", "16_384_000_000") + f"max_epochs: 0.5\nexcess: {excess}"
    plan = plan_mixture(config(text), TOKENS)
    proof = prove_shares(plan, 4096)
    weights = np.array([source.weight for source in plan.sources])
    size = proof["num_samples"]
    sources, samples = np.zeros(size, np.int16), np.zeros(size, np.int64)
    helpers.build_blending_indices(sources, samples, weights / weights.sum(), len(weights), size, False)
    drawn = np.bincount(sources, minlength=len(weights))
    assert [entry["samples"] for entry in proof["sources"].values()] == drawn.tolist()
    assert np.abs(drawn / size - weights).max() < 0.001
    assert proof["largest_difference"] == pytest.approx(np.abs(drawn / size - weights).max(), abs=1e-12)


def test_mixture_without_a_plan_is_one_pass_over_the_training_tokens() -> None:
    plan = plan_mixture(config("groups: {all: {share: 1, sources: {a: 3, b: 1}}}"), {"a": 300, "b": 100})
    assert plan.planned_tokens == 400
    assert [source.epochs for source in plan.sources] == [1, 1]


def test_source_of_part_zero_is_left_out_and_one_in_no_group_is_warned_of() -> None:
    plan = plan_mixture(config("groups: {all: {share: 1, sources: {a: 1, b: 0}}}"), {"a": 10, "b": 10, "c": 10})
    assert [(source.name, source.weight) for source in plan.sources] == [("a", 1)]
    assert len(plan.warnings) == 1 and "'c'" in plan.warnings[0]


def test_missing_and_empty_sources_are_refused_together() -> None:
    with pytest.raises(InputError) as caught:
        plan_mixture(config(), {**TOKENS, "pile": 0, "arxiv": 1, "githob": 3} | {"github": 0})
    assert "'pile' has no training tokens" in str(caught.value) and "'github' has no" in str(caught.value)
    with pytest.raises(InputError, match=r"'github' was not built \(did you mean 'githob'\?\)"):
        plan_mixture(config(), {**{k: v for k, v in TOKENS.items() if k != "github"}, "githob": 3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups: {}", "at least 1"),
        ("groups: {a: {share: 0, sources: {x: 1}}}", "greater than 0"),
        ("groups: {a: {share: .inf, sources: {x: 1}}}", None),
        ("groups: {a: {share: 1, sources: {x: -1}}}", "greater than or equal to 0"),
        ("groups: {a: {share: 1, sources: {x: {part: 1, max_epoch: 2}}}}", "did you mean 'max_epochs'"),
        ("groups: {a: {share: 1, sources: {x: true}}}", None),
        ("excess: mov\ngroups: {a: {share: 1, sources: {x: 1}}}", "recipe.yml:1"),
        ("groups: {a: {share: 1, sources: {x: 0}}}", "all parts are 0"),
        ("groups: {a: {share: 1, sources: {x: 1}}, b: {share: 1, sources: {x: 1}}}", "in two groups"),
        ("groups: {a: {shar: 1, sources: {x: 1}}}", "did you mean 'share'"),
        ("planned_tokens: 0\ngroups: {a: {share: 1, sources: {x: 1}}}", "greater than 0"),
        ("planned_tokens: lots\ngroups: {a: {share: 1, sources: {x: 1}}}", "recipe.yml:1"),
    ],
)
def test_wrong_mixture_sections_are_refused_with_the_place(text: str, message: str | None) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        config(text)


def test_written_mixture_describes_the_shards_and_carries_the_proof(pristine_build: Path) -> None:
    mixture = Mixture.read(pristine_build / "mixture.json")
    assert [(source.name, source.group) for source in mixture.sources] == [
        ("papers", "mathematics"), ("code", "programs"),
    ]  # fmt: skip
    assert mixture.tokenizer.vocab_size == 460 and mixture.tokenizer.eod_id == 2
    assert mixture.tokenizer.dtype == "uint16"
    for source in mixture.sources:
        assert list(source.splits) == ["train", "validation", "test"]
        for shard in source.splits.values():
            assert (pristine_build / f"{shard.path}.bin").stat().st_size == 2 * shard.num_tokens
    record: dict[str, Any] = json.loads((pristine_build / "mixture.record.json").read_text())
    assert set(record["proof"]["sources"]) == {"papers", "code"}
    assert record["proof"]["largest_difference"] < 0.002


def test_too_short_a_plan_and_missing_splits_are_warned_of(small_build: Path) -> None:
    shutil.rmtree(small_build / "data" / "code")
    (small_build / "data" / "papers" / "test.idx").unlink()
    short = MixtureConfig.model_validate(
        {"planned_tokens": 64, "seq_length": 64, "groups": {"a": {"share": 1, "sources": {"papers": 1}}}}
    )
    arguments: dict[str, Any] = {"name": "x", "out": small_build, "tokenizer": "tokenizer/tokenizer.model"}
    assert write_mixture(short, **arguments) == ["mixture: the source 'papers' has no test documents"]
    with pytest.raises(InputError, match="'code' was not built"):
        groups = {"a": {"share": 1, "sources": {"papers": 1, "code": 1}}}
        write_mixture(MixtureConfig.model_validate({"groups": groups}), **arguments)

"""The mixture: shares in, weights and epochs out, and the proof of what will be drawn."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

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
        ("groups: {a: {share: 1, sources: {x: -1}}}", "part of 'x'"),
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

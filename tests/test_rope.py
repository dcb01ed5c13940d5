from __future__ import annotations

import math

import numpy as np
import pytest

from llemma.core.errors import InputError
from llemma.rope import change_base, inverse_frequencies, read_base, write_base


@pytest.mark.parametrize("base", [1e4, 1e6])
def test_inverse_frequencies_are_the_powers_of_the_base(base: float) -> None:
    found = inverse_frequencies(8, base)
    assert found.tolist() == pytest.approx([1.0, base**-0.25, base**-0.5, base**-0.75], rel=1e-15)


def test_inverse_frequencies_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(hidden_size=128, num_attention_heads=2, rope_theta=1e6)
    theirs = LlamaRotaryEmbedding(config).inv_freq.numpy()
    np.testing.assert_allclose(inverse_frequencies(64, 1e6), theirs, rtol=1e-6)


@pytest.mark.parametrize(("head_dim", "base"), [(7, 1e4), (0, 1e4), (8, 1.0), (8, math.inf), (8, math.nan)])
def test_inverse_frequencies_of_impossible_values_raise(head_dim: int, base: float) -> None:
    with pytest.raises(ValueError):
        inverse_frequencies(head_dim, base)


@pytest.mark.parametrize(
    ("config", "base"),
    [
        ({}, 1e4),  # transformers' default
        ({"rope_theta": 1000000}, 1e6),  # transformers 4
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, 1e6),  # transformers 5
        ({"rope_theta": 1e6, "rope_parameters": {"rope_theta": 1000000}, "rope_scaling": None}, 1e6),
    ],
)
def test_base_is_read_from_both_generations_of_transformers(config: dict, base: float) -> None:
    assert read_base(config, "config.json") == base


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}, r"config\.json: two RoPE bases.*10000.*1e\+06"),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, r"'rope_scaling' asks for .*'linear'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "llama3"),
        ({"rope_parameters": 3}, "must be an object"),
        ({"rope_theta": "1e6"}, "'rope_theta' is '1e6'"),
        ({"rope_theta": True}, "'rope_theta' is True"),
        ({"rope_theta": 0}, "'rope_theta' is 0"),
    ],
)
def test_base_that_cannot_be_known_is_refused(config: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_base(config, "config.json")


def test_base_is_written_in_both_places_and_read_alike_by_transformers() -> None:
    from transformers import LlamaConfig

    written = write_base({"hidden_size": 64, "rope_theta": 1e6, "rope_scaling": None}, 10000.0)
    assert written["rope_theta"] == 10000.0
    assert written["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0}
    assert LlamaConfig.from_dict(written).rope_parameters["rope_theta"] == 10000.0
    assert read_base(written, "x") == 10000.0


def test_change_of_base_is_only_made_when_asked_for() -> None:
    assert (change_base(1e6, None).after, change_base(1e6, None).is_change) == (1e6, False)
    assert (change_base(1e6, 10000).after, change_base(1e6, 10000).is_change) == (1e4, True)
    for wanted in (0.0, 1.0, -5.0, math.nan, math.inf):
        with pytest.raises(InputError, match="RoPE base"):
            change_base(1e6, wanted)

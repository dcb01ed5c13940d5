"""Our order against GPT-NeoX's own code, run unchanged from the checkout that NEOX_DIR names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.core.indexed import Blend, samples_per_source

NEOX_DIR = os.environ.get("NEOX_DIR")

pytestmark = [
    pytest.mark.skipif(not NEOX_DIR, reason="NEOX_DIR does not name a GPT-NeoX checkout"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="NeoX's helpers.cpp needs g++"),
]


def test_blend_is_the_one_that_neox_draws(make_pair: Callable[..., Path], tmp_path: Path) -> None:
    random = np.random.RandomState(8)
    prefixes = [
        make_pair("arxiv", random.randint(1, 60, size=50)),
        make_pair("web", random.randint(1, 400, size=9), first=10_000),
        make_pair("code", [3, 1, 20], first=20_000),
    ]
    weights, num_samples, seq_length, seed = [0.3, 0.6, 0.17], 400, 16, 1234
    case = {
        "prefixes": [str(prefix) for prefix in prefixes],
        "weights": weights,
        "num_samples": num_samples,
        "seq_length": seq_length,
        "seed": seed,
    }
    (tmp_path / "case.json").write_text(json.dumps(case))
    assert NEOX_DIR is not None
    program = Path(__file__).with_name("neox_order.py")
    command = [sys.executable, str(program), NEOX_DIR, str(tmp_path / "case.json"), str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    neox = json.loads((tmp_path / "answer.json").read_text())

    blend = Blend.build(list(zip(prefixes, weights, strict=True)), num_samples, seq_length, seed)
    assert neox["counts"] == samples_per_source(weights, num_samples)
    for number, order in enumerate(blend.sources):
        assert neox["document_index"][number] == order.document_index.tolist()
        assert neox["sample_index"][number] == order.sample_index.tolist()
        assert neox["shuffle_index"][number] == order.shuffle_index.tolist()
    assert neox["length"] == blend.neox_length
    assert neox["samples"] == [blend.sample(i)[0].tolist() for i in range(num_samples)]

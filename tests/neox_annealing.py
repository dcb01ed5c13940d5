"""GPT-NeoX's own learning-rate class, where a checkout is at hand."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest


def neox_annealing() -> Any:
    """NeoX's class, loaded from its one file with a stand-in for the package around it."""
    checkout = os.environ.get("NEOX_DIR")
    if not checkout:
        pytest.skip("NEOX_DIR does not name a GPT-NeoX checkout")
    path = Path(checkout) / "megatron/learning_rates.py"
    stand_in = types.ModuleType("megatron")
    stand_in.print_rank_0 = lambda *_: None  # type: ignore[attr-defined]
    before = sys.modules.get("megatron")
    sys.modules["megatron"] = stand_in
    try:
        spec = importlib.util.spec_from_file_location("neox_learning_rates", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules["megatron"]
        else:
            sys.modules["megatron"] = before
    return module.AnnealingLR

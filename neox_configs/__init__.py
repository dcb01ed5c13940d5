"""Configurations that ship with the library, found by name.

models/    architecture, RoPE base and sequence length          stock GPT-NeoX overlays
data/      which shards to train on, in which shares            stock GPT-NeoX overlays
training/  optimizer, schedule, precision, micro-batch          stock GPT-NeoX overlays
clusters/  machines, parallel sizes, accumulation               a schema of our own (llemma.stages.Cluster)
recipes/   runs: a list of stages over one of each              a schema of our own (llemma.stages.Recipe)

No key stands in overlays of two kinds, and no two overlays have one file name (NeoX refuses both).
"""

from __future__ import annotations

from pathlib import Path

KINDS = ("models", "data", "training", "clusters", "recipes")


def config_path(kind: str, name: str) -> Path:
    """Path of a shipped configuration. Raises KeyError with the known names if there is none of that name."""
    path = Path(__file__).parent / kind / f"{name}.yml"
    if kind not in KINDS or name not in config_names(kind):
        raise KeyError(f"no {kind} configuration is called '{name}'; there are: {', '.join(config_names(kind))}")
    return path


def config_names(kind: str) -> list[str]:
    """Names of the shipped configurations of one kind."""
    return sorted(path.stem for path in (Path(__file__).parent / kind).glob("*.yml"))

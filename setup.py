"""Packaging of llemma. Bounds here are loose, so that it installs beside a cluster's own versions; constraints.txt
pins what was tried together."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "llemma/__init__.py").read_text(encoding="utf-8"), re.M)[1]

TRAIN = ["torch>=2.5", "transformers>=4.57", "safetensors>=0.4.5"]
EVAL = ["lm-eval[hf,math,api]>=0.4.13", "sympy>=1.12", "mpmath>=1.3", *TRAIN]
PLOTS = ["matplotlib>=3.8"]
RAY = ["ray>=2.40"]
TRACKERS = {"tensorboard": ["tensorboard>=2.16"], "wandb": ["wandb>=0.18"], "trackio": ["trackio>=0.5"]}
WEB = ["brotli>=1.1", "fastwarc>=0.15", "py3langid>=0.3", "resiliparse>=0.15"]
DEV = [
    "build",
    "hypothesis>=6",
    "megatron-core==0.16.1",
    "mypy",
    "pytest>=8",
    "pytest-xdist>=3",
    "ruff",
    *TRACKERS["tensorboard"],
    "types-PyYAML",
]

setup(
    name="llemma",
    version=VERSION,
    description="From a base language model to a mathematics model: Proof-Pile-2-style data, GPT-NeoX runs, "
    "checkpoint conversion and evaluation.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["llemma*", "proof_pile*", "eval_tasks*", "neox_configs*"]),
    include_package_data=True,  # what MANIFEST.in names: YAML, prompts, samples
    install_requires=[
        "fsspec>=2023.1",
        "mpmath>=1.3",
        "numba>=0.59",
        "numpy>=1.26",
        "orjson>=3.9",
        "pyarrow>=14",
        "pydantic>=2.7",
        "pyyaml>=6",
        "rich>=13",
        "selectolax>=0.3.20",
        "sentencepiece>=0.2",
        "tokenizers>=0.19",
        "zstandard>=0.22",
    ],
    extras_require={
        "train": TRAIN,
        "eval": EVAL,
        "web": WEB,
        "perplexity": ["kenlm>=0.2"],  # has no wheels: it is compiled
        "ray": RAY,
        "slurm": [],  # nothing from PyPI: Slurm's own commands are called; the name is kept for whoever asks for it
        "neox": ["deepspeed>=0.15", "einops", "ftfy", "pybind11", "setuptools<82"],
        "deepspeed": [
            "deepspeed>=0.19.8",
            *TRAIN,
        ],  # its offload is compiled at first use
        "gpu": ["flash-attn>=2.5", "liger-kernel>=0.5"],
        "plots": PLOTS,
        **TRACKERS,
        "track": sorted(package for packages in TRACKERS.values() for package in packages),
        "dev": DEV,
        "all": sorted({*TRAIN, *EVAL, *WEB, *RAY, *PLOTS, *DEV}),
    },
    entry_points={
        "console_scripts": [
            "proof-pile = proof_pile.build.__main__:main",
            "llemma = llemma.cli:main",
            "llemma-eval = eval_tasks.cli:main",
        ]
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Mathematics",
    ],
)

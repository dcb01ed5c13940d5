"""A little run directory, planned from real shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llemma.core.files import sha256_file
from llemma.core.indexed.writer import IndexedWriter
from llemma.core.schemas import Mixture, MixtureSource, Shard, TokenizerInfo
from llemma.plan.compile import Request, compile_plan
from llemma.plan.rundir import write_run
from neox_configs import config_path

VOCAB = 300
TRAINING = """\
optimizer: {type: Adam, params: {lr: 0.002, betas: [0.9, 0.95], eps: 0.00000001}}
weight_decay: 0.1
gradient_clipping: 1.0
train_iters: 2
lr_decay_iters: 2
lr_decay_style: cosine
min_lr: 0.0001
warmup: 0.5
train_batch_size: 4
train_micro_batch_size_per_gpu: 2
precision: fp32
checkpoint_factor: 2
eval_interval: 2
eval_iters: 1
log_interval: 1
num_workers: 0
"""


def train_tokenizer(path: Path) -> None:
    """A SentencePiece model of exactly 300 pieces: bytes, the special ones and a few letters."""
    import io

    import sentencepiece

    words = ("the sum of two primes is even unless one of them is 2 " * 40).split()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(words)]),
        model_writer=model,
        vocab_size=VOCAB,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=True,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


@pytest.fixture(scope="session")
def little_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mixture.json of one source of random tokens, with a real tokenizer."""
    root = tmp_path_factory.mktemp("data")
    (root / "tokenizer").mkdir()
    tokenizer = root / "tokenizer" / "tokenizer.model"
    train_tokenizer(tokenizer)
    shards = {}
    random = np.random.default_rng(7)
    for split, documents in (("train", 40), ("validation", 8), ("test", 8)):
        prefix = root / "data" / "only" / split
        with IndexedWriter(prefix, np.uint16) as writer:
            for _ in range(documents):
                writer.add_document(random.integers(3, VOCAB, 100, dtype=np.uint16))
        shards[split] = Shard(
            path=f"data/only/{split}",
            num_documents=documents,
            num_tokens=100 * documents,
            bin_sha256=sha256_file(f"{prefix}.bin"),
            idx_sha256=sha256_file(f"{prefix}.idx"),
        )
    mixture = Mixture(
        name="little",
        tokenizer=TokenizerInfo(
            kind="sentencepiece",
            path="tokenizer/tokenizer.model",
            sha256=sha256_file(tokenizer),
            vocab_size=VOCAB,
            eod_id=2,
            dtype="uint16",
        ),
        planned_tokens=1000,
        sources=(MixtureSource(name="only", group="all", weight=1.0, epochs=1.0, splits=shards),),
    )
    mixture.write(root / "mixture.json")
    return root / "mixture.json"


@pytest.fixture
def training() -> str:
    """A training overlay of two steps in fp32."""
    return TRAINING


@pytest.fixture
def make_run(tmp_path: Path, little_data: Path) -> Callable[..., Path]:
    """Plans a run of a few steps of a small model and returns its directory."""

    def make(
        cluster: str = "cpu", training: str = TRAINING, start: str = "noise", init_from: Path | None = None
    ) -> Path:
        model = config_path("models", "tiny").read_text()
        for old, new in (("num_layers: 4", "num_layers: 2"), ("256\n", "64\n"), (": 4096 ", f": {VOCAB} ")):
            assert old in model
            model = model.replace(old, new)
        (tmp_path / "small.yml").write_text(model.replace("mlp_multiple_of: 64", "mlp_multiple_of: 256"))
        (tmp_path / "short.yml").write_text(training)
        recipe = tmp_path / "recipe.yml"
        recipe.write_text(
            f"title: T\nmodel: small.yml\ntraining: short.yml\ncluster: {cluster}\nstart: {start}\n"
            "stages: [{name: one}]\n"
        )
        plan = compile_plan(Request(recipe=str(recipe), data=little_data, init_from=init_from))
        assert plan.problems == []
        write_run(plan, tmp_path / "run")
        return tmp_path / "run"

    return make

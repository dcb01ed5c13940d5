"""A small run directory made on the spot: 64 wide, 2 layers, 256 vocabulary rows, words drawn from a seeded chain."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the trainer needs torch")
pytest.importorskip("transformers", reason="the trainer needs transformers")

SEQ_LENGTH = 32
VOCAB = 256
EOD = 2

NEOX: dict[str, Any] = {
    "num_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_kv_heads": 2,
    "intermediate_size": 768,
    "mlp_multiple_of": 256,
    "seq_length": SEQ_LENGTH,
    "max_position_embeddings": SEQ_LENGTH,
    "padded_vocab_size": VOCAB,
    "make_vocab_size_divisible_by": 1,
    "norm": "rmsnorm",
    "rms_norm_epsilon": 1e-5,
    "pos_emb": "rotary",
    "rotary_pct": 1.0,
    "rotary_emb_base": 10000,
    "no_weight_tying": True,
    "gpt_j_residual": False,
    "activation": "swiglu",
    "use_bias_in_norms": False,
    "use_bias_in_attn_linear": False,
    "use_bias_in_mlp": False,
    "optimizer": {"type": "Adam", "params": {"lr": 0.003, "betas": [0.9, 0.95], "eps": 1e-8}},
    "weight_decay": 0.1,
    "gradient_clipping": 1.0,
    "train_iters": 12,
    "lr_decay_iters": 12,
    "lr_decay_style": "cosine",
    "min_lr": 0.0001,
    "warmup": 0.25,
    "precision": "fp32",
    "train_micro_batch_size_per_gpu": 4,
    "gradient_accumulation_steps": 2,
    "seed": 1234,
    "eval_interval": 4,
    "eval_iters": 1,
    "checkpoint_factor": 4,
    "keep_last_n_checkpoints": 3,
    "data_impl": "mmap",
    "tokenizer_type": "HFTokenizer",
}


def sentences(seed: int, num_documents: int) -> list[np.ndarray]:
    """Documents of a chain that a model can learn: the next id is mostly the last one plus a step of the source's."""
    random = np.random.default_rng(seed)
    documents = []
    for _ in range(num_documents):
        length = int(random.integers(20, 90))
        steps = np.where(random.random(length) < 0.9, 1 + seed, random.integers(0, 50, length))
        documents.append(np.append(3 + np.cumsum(steps) % (VOCAB - 3), EOD))
    return documents


def write_shards(prefix: Path, seed: int, num_documents: int) -> None:
    from llemma.core.indexed.writer import IndexedWriter

    prefix.parent.mkdir(parents=True, exist_ok=True)
    with IndexedWriter(prefix, np.dtype(np.uint16)) as writer:
        for document in sentences(seed, num_documents):
            writer.add_document(document.astype(np.uint16))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the data build leaves it: shards of two sources, a tokenizer of 256 pieces, mixture.json."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from llemma.core.files import sha256_file, write_json
    from llemma.core.indexed.reader import IndexedReader

    out = tmp_path_factory.mktemp("data")
    sources = []
    for seed, (name, weight) in enumerate((("arxiv", 0.9), ("code", 0.1))):
        splits = {}
        for split, num_documents in (("train", 60), ("validation", 20)):
            prefix = out / "data" / name / split
            write_shards(prefix, seed, num_documents)
            reader = IndexedReader(prefix)
            splits[split] = {
                "path": prefix.relative_to(out).as_posix(),
                "num_documents": len(reader),
                "num_tokens": reader.num_tokens,
                "bin_sha256": sha256_file(f"{prefix}.bin"),
                "idx_sha256": sha256_file(f"{prefix}.idx"),
            }
        sources.append({"name": name, "group": "test", "weight": weight, "epochs": 1.0, "splits": splits})
    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{number}": number for number in range(3, VOCAB)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (out / "tokenizer").mkdir()
    tokenizer.save(str(out / "tokenizer/tokenizer.json"))
    write_json(out / "tokenizer/tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(
        out / "mixture.json",
        {
            "schema": 1,
            "name": "chain",
            "tokenizer": {
                "kind": "huggingface",
                "path": "tokenizer/tokenizer.json",
                "sha256": sha256_file(out / "tokenizer/tokenizer.json"),
                "vocab_size": VOCAB,
                "eod_id": EOD,
                "dtype": "uint16",
            },
            "planned_tokens": 3000,
            "sources": sources,
        },
    )
    return out


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with seeded random weights of the architecture above."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=256,
        max_position_embeddings=SEQ_LENGTH,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        initializer_range=0.05,
        bos_token_id=1,
        eos_token_id=EOD,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def question(number: int) -> dict[str, Any]:
    """A chain to go on with, the right end of it, a wrong one, and one of the two that `label` tells apart."""
    step, first, length = 1 + number % 3, 3 + 7 * number % 40, 4 + number % 5
    words = [f"w{first + step * place}" for place in range(4 + length)]
    right = " ".join(words[4:])
    wrong = " ".join(f"w{200 + (number + 11 * place) % 50}" for place in range(3 + number % 4))
    return {
        "prompt": " ".join(words[:4]),
        "completion": wrong if number % 3 == 0 else right,
        "label": number % 3 != 0,
        "chosen": right,
        "rejected": wrong,
    }


@pytest.fixture(scope="session")
def conversations(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """What `python -m proof_pile.build conversations` makes for each objective (sft, kto, dpo), of two sources."""
    from proof_pile.build.cli import main

    out = tmp_path_factory.mktemp("conversations")
    for name, numbers in (("chains", range(80)), ("more", range(100, 130))):
        lines = [json.dumps(question(number)) for number in numbers]
        (out / f"{name}.jsonl").write_text("\n".join(lines))
    for objective in ("sft", "kto", "dpo"):
        sources = [f"{name}={out / name}.jsonl" for name in ("chains", "more")]
        words = ["--objective", objective, "--tokenizer", str(data / "tokenizer/tokenizer.json"), "--eod", str(EOD)]
        words += ["--seq-length", str(SEQ_LENGTH), "--validation-share", "0.2", "--out", str(out / objective)]
        assert main(["conversations", *sources, *words]) == 0
    return out


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, data: Path, base_model: Path) -> MakeRun:
    """Writes a run directory: keyword arguments change NeoX's keys (None removes one), `stage` those of stage.json."""

    def make(name: str = "run", *, stage: dict[str, Any] | None = None, stages: int = 1, **keys: Any) -> Path:
        run = tmp_path / name
        for number in range(1, stages + 1):
            _write_stage(run, number, data, base_model, stage or {}, keys)
        return run

    return make


def _write_stage(
    run: Path, number: int, data: Path, base_model: Path, stage: dict[str, Any], keys: dict[str, Any]
) -> None:
    from llemma.core.files import sha256_file

    mixture = json.loads((data / "mixture.json").read_text())
    prefixes = {
        split: [str(data / source["splits"][split]["path"]) for source in mixture["sources"]]
        for split in ("train", "validation")
    }
    weights = [source["weight"] for source in mixture["sources"]]
    values = NEOX | {
        "train_data_paths": prefixes["train"],
        "train_data_weights": weights,
        "valid_data_paths": prefixes["validation"],
        "valid_data_weights": weights,
        "vocab_file": str(data / "tokenizer/tokenizer.json"),
    }
    values = {key: value for key, value in (values | keys).items() if value is not None}
    folder = run / "stages" / f"{number:02d}-math"
    folder.mkdir(parents=True)
    (folder / "neox.yml").write_text(json.dumps(values, indent=1))  # JSON is YAML, and has no anchors
    last = min(values["train_iters"], values.get("exit_interval", values["train_iters"]))
    batch = values["train_micro_batch_size_per_gpu"] * values["gradient_accumulation_steps"]
    plan = {
        "schema": 1,
        "name": "math",
        "number": number,
        "directory": folder.name,
        "objective": "language-modelling",
        "start": "hf" if number == 1 else "stage",
        "init_from": str(base_model) if number == 1 else None,
        "iterations": last,
        "scheduled_iterations": values["train_iters"],
        "tokens_per_iteration": batch * SEQ_LENGTH,
        "tokens": last * batch * SEQ_LENGTH,
        "mixture": str(data / "mixture.json"),
        "mixture_sha256": sha256_file(data / "mixture.json"),
        "sources": [
            {"name": source["name"], "weight": source["weight"], "train": train, "validation": validation}
            for source, train, validation in zip(
                mixture["sources"], prefixes["train"], prefixes["validation"], strict=True
            )
        ],
    }
    (folder / "stage.json").write_text(json.dumps(plan | stage))

"""A model small enough to be asked for real in a test, and local copies of data sets in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two narrow layers with random weights, on a byte-level tokenizer without merges."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few problems of each subset of each benchmark, in the documented layout and of our own writing."""
    from eval_tasks.benchmarks import CEVAL_SUBJECTS, CMMLU_SUBJECTS, MATH_SUBSETS
    from llemma.core.benchmark_rows import MMLU_STEM

    folder = tmp_path_factory.mktemp("data")
    for number, subset in enumerate(MATH_SUBSETS):
        rows = [
            {
                "problem": f"What is ${number} + 5$?",
                "solution": rf"It is $\boxed{{{number + 5}}}$.",
                "level": f"Level {number % 5 + 1}",
            },
            {
                "problem": f"Halve ${number}$.",
                "solution": rf"It is $\boxed{{\frac{{{number}}}{{2}}}}$.",
                "level": "Level 5",
            },
        ]
        _write_lines(folder / "minerva_math" / f"{subset}.jsonl", rows)
    _write_lines(folder / "minerva_math500" / "test.jsonl", rows)
    rows = [
        {
            "question": f"A cook has {n} eggs and buys 1,000 more. How many are there?",
            "answer": f"Add.\n#### {n + 1000:,}",
        }
        for n in (3, 14, 159)
    ]
    _write_lines(folder / "gsm8k" / "main" / "test.jsonl", rows)
    ocw = [("0.25", "What is a quarter?"), ("y = 2 x", "Double $x$."), ("\\sqrt{2}", "Diagonal of a unit square?")]
    _write_lines(folder / "ocw.jsonl", [{"problem": problem, "answer": gold} for gold, problem in ocw])
    question = {"question": " Which is even? ", "choices": ["1", "3", "4", "9"], "answer": 2}
    for subject in MMLU_STEM:
        _write_lines(folder / "mmlu_stem" / f"{subject}.jsonl", [question])
    sat = {"Question": "Which is odd?", "Possible Answers": "(A) 1, (B) 2, (C) 4, (D) 6", "Answer": "A"}
    _write_lines(folder / "sat" / "train.jsonl", [sat])
    for name, answer in (("amc", 142.0), ("aime", "025")):
        _write_lines(folder / name / "default.jsonl", [{"id": 7, "problem": "Guess.", "answer": answer}])
    word_problems = [("25%", "现价是原价的几分之几？"), ("2(1/3)", "七除以三等于几？")]
    _write_lines(
        folder / "math23k.jsonl",
        [{"id": str(n), "original_text": text, "ans": gold} for n, (gold, text) in enumerate(word_problems)],
    )
    exam = {"A": "1", "B": "2", "C": "3", "D": "4"}
    exams = (("ceval", CEVAL_SUBJECTS, "question", "answer"), ("cmmlu", CMMLU_SUBJECTS, "Question", "Answer"))
    for name, subjects, question_key, key in exams:
        for subject in subjects:
            rows = [{**exam, question_key: f"第{n}题"} for n in range(6)]
            _write_lines(folder / name / subject / "dev.jsonl", [{**row, key: "B"} for row in rows])
            _write_lines(folder / name / f"{subject}.jsonl", [{**rows[0], key: "C"}])
    return folder


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

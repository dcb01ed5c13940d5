"""Prompts equal to those that lm-eval itself sends, and prompts of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.documents import load_documents
from eval_tasks.lm_eval_task import example_rows
from eval_tasks.prompts import Prompt, check_prompts_dir, find_prompt, lm_eval_file
from llemma.core.errors import ConfigError, InputError


def _our_context(prompt: Prompt, problem: str) -> str:
    shots = "".join(f"{row['question']} {row['target']}\n\n" for row in example_rows(prompt))
    return shots + prompt.ask(problem)


def _their_context(task_file: str, rows: list[dict[str, Any]]) -> str:
    """The text that lm-eval's own task sends for the first of the given rows."""
    import datasets
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(lm_eval_file(task_file))
    for key in ("tag", "group"):
        config.pop(key, None)
    config["custom_dataset"] = lambda **_: {"test": datasets.Dataset.from_list(rows)}
    config["training_split"] = None
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(0)
    context = task.fewshot_context(task.eval_docs[0], num_fewshot=task.config.num_fewshot)
    assert isinstance(context, str)
    return context


def test_math_prompt_is_byte_for_byte_lm_evals(data_dir: Path) -> None:
    item = load_documents("minerva_math", "geometry", data_dir).items[0]
    rows = [{"problem": item.problem, "solution": item.solution}]
    theirs = _their_context("tasks/minerva_math/minerva_math_geometry.yaml", rows)
    assert _our_context(find_prompt("minerva_math"), item.problem) == theirs
    assert find_prompt("minerva_math").comparable


def test_gsm8k_prompt_is_byte_for_byte_lm_evals(data_dir: Path) -> None:
    item = load_documents("gsm8k", "main", data_dir).items[0]
    rows = [{"question": item.problem, "answer": f"{item.solution}\n#### {item.answer}"}]
    theirs = _their_context("tasks/gsm8k/gsm8k-cot.yaml", rows)
    assert _our_context(find_prompt("gsm8k"), item.problem) == theirs


def test_every_benchmark_has_a_prompt_whose_examples_the_extractor_reads() -> None:
    from eval_tasks.scoring import judge_completion

    for name in BENCHMARKS:
        for example in find_prompt(name).examples:
            verdict = judge_completion(name, "no such answer", example.solution)
            assert verdict.answer is not None, (name, example.solution)


def test_published_prompts_are_not_copied_into_the_package() -> None:
    words = " ".join(find_prompt("minerva_math").examples[0].problem.split())[:30]
    for path in Path(load_documents.__code__.co_filename).parent.rglob("*.[py][ya]*ml"):
        assert words not in " ".join(path.read_text(encoding="utf-8").split())


def test_prompt_of_ones_own_is_taken_and_marked_as_not_comparable(tmp_path: Path) -> None:
    (tmp_path / "gsm8k.yaml").write_text(
        "origin: mine\nquestion: 'Ask: {problem}'\nexamples:\n  - problem: p\n    solution: s\n"
    )
    prompt = find_prompt("gsm8k", tmp_path)
    assert prompt.ask("{x} $y$") == "Ask: {x} $y$"
    assert not prompt.comparable and prompt.origin == "mine (gsm8k.yaml)"
    assert find_prompt("minerva_math", tmp_path).comparable


def test_wrong_prompt_files_are_refused_with_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gsm8k\.yaml"):
        check_prompts_dir(tmp_path, ["gsm8k"])
    (tmp_path / "gsm8k.yaml").write_text("orgin: mine\nexamples: []\n")
    with pytest.raises(ConfigError, match="orgin"):
        find_prompt("gsm8k", tmp_path)
    (tmp_path / "gsm8k.yaml").write_text("origin: a\nquestion: none\nexamples:\n  - {problem: p, solution: s}\n")
    with pytest.raises(InputError, match="exactly once"):
        find_prompt("gsm8k", tmp_path)

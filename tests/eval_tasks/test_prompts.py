"""Prompts equal to those that lm-eval itself sends, and prompts of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.benchmarks import BENCHMARKS, Method
from eval_tasks.documents import load_documents
from eval_tasks.lm_eval_prompts import lm_eval_file
from eval_tasks.prompts import Prompt, check_prompts_dir, find_prompt
from eval_tasks.scoring import find_answer, program_in
from llemma.core.benchmark_rows import MMLU_STEM
from llemma.core.errors import ConfigError, InputError


def _our_context(prompt: Prompt, problem: str) -> str:
    shots = "".join(f"{row['question']} {row['target']}\n\n" for row in prompt.example_rows())
    return shots + prompt.ask(problem)


def _their_context(task_file: str, **splits: list[dict[str, Any]]) -> str:
    """The text that lm-eval's own task sends for the first of the given test rows."""
    import datasets
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(lm_eval_file(task_file))
    for key in ("tag", "group"):
        config.pop(key, None)
    config["custom_dataset"] = lambda **_: {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
    for key in ("training_split", "validation_split", "test_split", "fewshot_split"):
        config[key] = config.get(key) if config.get(key) in splits else None
    # C-Eval and CMMLU leave it open, and are published with five.
    config["num_fewshot"] = 5 if config.get("num_fewshot") is None else config["num_fewshot"]
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(0)
    context = task.fewshot_context(task.eval_docs[0], num_fewshot=task.config.num_fewshot)
    assert isinstance(context, str)
    return context


def test_math_prompt_is_byte_for_byte_lm_evals(data_dir: Path) -> None:
    item = load_documents("minerva_math", "geometry", data_dir).items[0]
    rows = [{"problem": item.problem, "solution": item.solution}]
    theirs = _their_context("tasks/minerva_math/minerva_math_geometry.yaml", test=rows)
    assert _our_context(find_prompt("minerva_math", "geometry"), item.problem) == theirs
    assert find_prompt("minerva_math", "geometry").comparable


def test_gsm8k_prompt_is_byte_for_byte_lm_evals(data_dir: Path) -> None:
    item = load_documents("gsm8k", "main", data_dir).items[0]
    rows = [{"question": item.problem, "answer": f"{item.solution}\n#### {item.answer}"}]
    theirs = _their_context("tasks/gsm8k/gsm8k-cot.yaml", test=rows)
    assert _our_context(find_prompt("gsm8k", "main"), item.problem) == theirs


@pytest.mark.parametrize("subject", MMLU_STEM)
def test_mmlu_prompt_of_each_subject_is_byte_for_byte_lm_evals(data_dir: Path, subject: str) -> None:
    item = load_documents("mmlu_stem", subject, data_dir).items[0]
    row = json.loads((data_dir / "mmlu_stem" / f"{subject}.jsonl").read_text())
    theirs = _their_context(f"tasks/mmlu/flan_cot_fewshot/mmlu_{subject}.yaml", test=[row], validation=[row])
    assert _our_context(find_prompt("mmlu_stem", subject), item.problem) == theirs


@pytest.mark.parametrize(
    ("benchmark", "split", "file"),
    [("ceval", "val", "ceval/ceval-valid_logic.yaml"), ("cmmlu", "test", "cmmlu/cmmlu_anatomy.yaml")],
)
def test_chinese_exam_prompt_is_byte_for_byte_lm_evals(data_dir: Path, benchmark: str, split: str, file: str) -> None:
    subject = {"ceval": "logic", "cmmlu": "anatomy"}[benchmark]
    item = load_documents(benchmark, subject, data_dir).items[0]
    lines = (data_dir / benchmark / subject / "dev.jsonl").read_text().splitlines()
    asked = json.loads((data_dir / benchmark / f"{subject}.jsonl").read_text())
    theirs = _their_context(f"tasks/{file}", **{"dev": [json.loads(line) for line in lines], split: [asked]})
    assert _our_context(find_prompt(benchmark, subject, data_dir=data_dir), item.problem) == theirs


def test_prompt_without_examples_keeps_its_description() -> None:
    prompt = find_prompt("mmlu_stem", "astronomy")
    assert prompt.with_examples(0).ask("Why?").startswith(prompt.description)
    assert not prompt.ask("Why?").startswith(prompt.description)


def test_every_benchmark_has_a_prompt_whose_examples_the_extractor_reads(data_dir: Path) -> None:
    for name, facts in BENCHMARKS.items():
        for example in find_prompt(name, facts.subsets[0], data_dir=data_dir).examples:
            if facts.method is Method.PROGRAM:
                assert program_in(example.solution)
            else:
                assert find_answer(name, example.solution).answer is not None, (name, example.solution)


OWN_ANSWERS = {
    "ocw": ["0.177", r"a \sqrt{\frac{k}{m}}", "s'(t) = 6 - 3 s(t) / 50", "3.978e-19"],
    "sat": ["C", "A", "D", "B"],
    "math23k": ["520/(195/3)", "240*(1-1/4-1/3)", "120/150", "12.5*12.5*2/5"],
    "math_python": ["2", "114", "7/36", r"10\sqrt{2}"],
    "gsm8k_python": ["38", "615", "25", "144", "7", "750", "22", "18"],
}


@pytest.mark.parametrize("name", OWN_ANSWERS)
def test_examples_of_our_own_prompts_are_right(name: str) -> None:
    from eval_tasks.answers import judge
    from eval_tasks.scoring import _shared_sandbox, answer_of_program

    examples = find_prompt(name, BENCHMARKS[name].subsets[0]).examples
    for gold, example in zip(OWN_ANSWERS[name], examples, strict=True):
        if BENCHMARKS[name].method is Method.PROGRAM:
            answer = answer_of_program(_shared_sandbox(), example.solution).answer
        else:
            answer = find_answer(name, example.solution).answer
        assert judge(gold, answer, tolerance=0.006 if "978" in gold else 1e-9).is_equal, (gold, answer)


def test_published_prompts_are_not_copied_into_the_package() -> None:
    words = " ".join(find_prompt("minerva_math", "algebra").examples[0].problem.split())[:30]
    for path in Path(load_documents.__code__.co_filename).parent.rglob("*.[py][ya]*ml"):
        assert words not in " ".join(path.read_text(encoding="utf-8").split())


def test_prompt_of_ones_own_is_taken_and_marked_as_not_comparable(tmp_path: Path) -> None:
    (tmp_path / "gsm8k.yaml").write_text(
        "origin: mine\nquestion: 'Ask: {problem}'\nexamples:\n  - problem: p\n    solution: s\n"
    )
    prompt = find_prompt("gsm8k", "main", prompts_dir=tmp_path)
    assert prompt.ask("{x} $y$") == "Ask: {x} $y$"
    assert not prompt.comparable and prompt.origin == "mine (gsm8k.yaml)"
    assert find_prompt("minerva_math", "algebra", prompts_dir=tmp_path).comparable


def test_wrong_prompt_files_are_refused_with_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gsm8k\.yaml"):
        check_prompts_dir(tmp_path, ["gsm8k"])
    (tmp_path / "gsm8k.yaml").write_text("orgin: mine\nexamples: []\n")
    with pytest.raises(ConfigError, match="orgin"):
        find_prompt("gsm8k", "main", prompts_dir=tmp_path)
    (tmp_path / "gsm8k.yaml").write_text("origin: a\nquestion: none\nexamples:\n  - {problem: p, solution: s}\n")
    with pytest.raises(InputError, match="exactly once"):
        find_prompt("gsm8k", "main", prompts_dir=tmp_path)

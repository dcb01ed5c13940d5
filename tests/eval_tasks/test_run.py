"""The command `run`: a real, tiny model asked through lm-eval, killed and resumed, and every refusal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.cli import main
from eval_tasks.run.generations import Generations
from eval_tasks.run.journal import Journal
from eval_tasks.run.plan import Settings, plan_run
from eval_tasks.run.scored_run import judge_task, summarize
from llemma.core.schemas import EvalResults, EvalSample, read_lines

OUTCOMES = {"EQUAL", "DIFFERENT", "NO_ANSWER", "UNPARSED", "TIMED_OUT"}


def _run(model: Path, out: Path, *words: str) -> int:
    return main(["run", "--model", str(model), "--out", str(out), "--max-new-tokens", "12", *words])


def _settings(model: Path, out: Path, **changes: Any) -> Settings:
    return Settings(model=model, tasks=("builtin",), out=out, **changes)


@pytest.fixture(scope="module")
def scored(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of six problems, greedy and three samples each, in batches of four."""
    out = tmp_path_factory.mktemp("scored")
    assert _run(tiny_model, out, "--limit", "6", "--majority", "3", "--batch-size", "4") == 0
    return out


def test_run_writes_results_and_samples_that_agree(scored: Path) -> None:
    results = EvalResults.read(scored / "results.json")
    samples = list(read_lines(scored / "samples.jsonl", EvalSample))
    task = results.tasks["llemma_builtin"]
    assert task.n == len(samples) == 6
    assert set(task.outcomes) == OUTCOMES and sum(task.outcomes.values()) == 6
    assert task.accuracy == task.outcomes["EQUAL"] / 6
    assert task.majority is not None and task.majority.k == 3
    assert [sample.id for sample in samples] == [f"alg-0{number}" for number in range(1, 7)]
    assert all(len(sample.samples) == 3 and sample.majority is not None for sample in samples)
    assert len(results.model_sha256) == 64
    reasons = " ".join(results.settings["tasks"]["llemma_builtin"]["not_comparable"])
    assert "first 6 of 60" in reasons and "worked examples fit" in reasons


def test_sampling_differs_within_a_problem_and_not_between_runs(scored: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert _run(tiny_model, tmp_path, "--limit", "6", "--majority", "3", "--batch-size", "4") == 0
    assert (tmp_path / "samples.jsonl").read_bytes() == (scored / "samples.jsonl").read_bytes()
    for sample in read_lines(scored / "samples.jsonl", EvalSample):
        assert len({one.completion for one in sample.samples}) == 3


def test_finished_run_is_judged_anew_without_asking_the_model(
    scored: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval_tasks.run import language_model

    def no_model(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model was loaded")

    shutil.copytree(scored / "generations", tmp_path / "generations")
    monkeypatch.setattr(language_model, "load_model", no_model)
    assert _run(tiny_model, tmp_path, "--limit", "6", "--majority", "3", "--batch-size", "4") == 0
    assert (tmp_path / "samples.jsonl").read_bytes() == (scored / "samples.jsonl").read_bytes()
    with pytest.raises(AssertionError, match="was loaded"):
        _run(tiny_model, tmp_path, "--limit", "6", "--batch-size", "4", "--shots", "1")


def test_run_killed_between_batches_goes_on_to_the_same_answers(
    scored: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five batches of the sampled pass are wanted; the kill comes in the third, and cuts its journal line off."""
    add, num_added = Journal.add, 0

    def add_until_killed(journal: Journal, batch: int, completions: list[str]) -> None:
        nonlocal num_added
        num_added += 1
        if num_added == 5:
            with journal.path.open("a", encoding="ascii") as file:
                file.write('{"batch": 2, "completi')
            raise KeyboardInterrupt
        add(journal, batch, completions)

    words = ("--limit", "6", "--majority", "3", "--batch-size", "4")
    monkeypatch.setattr(Journal, "add", add_until_killed)
    assert _run(tiny_model, tmp_path, *words) == 130
    assert not (tmp_path / "results.json").exists()
    monkeypatch.setattr(Journal, "add", add)
    assert _run(tiny_model, tmp_path, *words) == 0
    assert (tmp_path / "samples.jsonl").read_bytes() == (scored / "samples.jsonl").read_bytes()
    assert not list((tmp_path / "generations").glob("*.jsonl"))


def test_math_group_gives_a_row_for_each_subject_and_one_for_all(
    tiny_model: Path, data_dir: Path, tmp_path: Path
) -> None:
    words = ("--tasks", "minerva_math,gsm8k", "--data-dir", str(data_dir), "--batch-size", "16")
    assert _run(tiny_model, tmp_path, *words) == 0
    tasks = EvalResults.read(tmp_path / "results.json").tasks
    assert len(tasks) == 9
    assert tasks["llemma_minerva_math"].n == 14 and tasks["llemma_gsm8k"].n == 3
    assert "lm-eval gsm8k_cot" in tasks["llemma_gsm8k"].prompt_origin


def test_every_outcome_is_counted_apart_and_stays_in_the_denominator(tiny_model: Path, tmp_path: Path) -> None:
    task = plan_run(_settings(tiny_model, tmp_path, limit=5, majority=2)).tasks[0]

    def said(answer: str) -> str:
        return f"Thus.\nFinal Answer: The final answer is ${answer}$. I hope it is correct."

    def generations(*texts: tuple[str, ...]) -> Generations:
        return Generations(completions=texts, num_examples=4, num_truncated=0, seconds=0.0)

    golds = [item.answer for item in task.documents.items]
    greedy = generations((said("27"),), (said("3"),), ("I do not know.",), (said(r"\frac{1"),), (said(golds[4]),))
    sampled = generations(
        (said("27"), said("27")), ("no", said(golds[1])), ("no", "no"), (said("1"), said(golds[3])), ("no", "no")
    )
    judged = judge_task(task, [greedy, sampled])
    assert [sample.outcome for sample in judged] == ["EQUAL", "DIFFERENT", "NO_ANSWER", "UNPARSED", "EQUAL"]
    votes = [sample.majority.outcome for sample in judged if sample.majority is not None]
    assert votes == ["EQUAL", "EQUAL", "NO_ANSWER", "DIFFERENT", "NO_ANSWER"]
    result = summarize(judged, num_samples=2, prompt_origin="own", comparable=False)
    assert result.accuracy == 2 / 5
    assert result.majority is not None and result.majority.accuracy == 2 / 5
    assert result.outcomes == {"EQUAL": 2, "DIFFERENT": 1, "NO_ANSWER": 1, "UNPARSED": 1, "TIMED_OUT": 0}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tasks", "biultin"), "did you mean 'builtin'"),
        (("--tasks", "gsm8k", "--data-dir", "nowhere"), "no such folder of data sets"),
        (("--majority", "1"), "--majority must be 0"),
        (("--limit", "0"), "--limit must be greater than 0"),
        (("--shots", "9"), "only 4 examples"),
        (("--top-p", "2"), "--top-p must lie"),
        (("--dtype", "int8"), "--dtype must be"),
        (("--prompts", "nowhere"), "not a folder of prompts"),
        (("--max-new-tokens", "512"), "leaves no room"),
    ],
)
def test_wrong_option_ends_with_2_and_says_what_is_wanted(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert _run(tiny_model, tmp_path, *words) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_folder_that_is_no_model_is_refused_with_what_it_lacks(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tmp_path / "missing", tmp_path) == 2
    assert "there is no such folder" in capsys.readouterr().err
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "model.safetensors").unlink()
    (model / "tokenizer.json").unlink()
    assert _run(model, tmp_path) == 2
    assert "lacks weights (model.safetensors), a tokenizer" in capsys.readouterr().err
    (model / "trainer.json").write_text("{}")
    assert _run(model, tmp_path) == 2
    assert "RUN/export/hf" in capsys.readouterr().err


def test_damaged_weights_end_with_1_and_without_a_traceback(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert _run(model, tmp_path / "out", "--limit", "1") == 1
    assert "transformers cannot load this model" in capsys.readouterr().err


def test_neox_checkpoint_is_converted_once_by_llemma_convert(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter stands in for itself at the edge of the process; its own tests run it."""
    commands: list[list[str]] = []

    def convert(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        shutil.copytree(tiny_model, command[command.index("convert") + 2])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", convert)
    checkpoint = tmp_path / "neox"
    checkpoint.mkdir()
    (checkpoint / "latest").write_text("global_step1")
    first = plan_run(_settings(checkpoint, tmp_path / "out")).model
    again = plan_run(_settings(checkpoint, tmp_path / "out")).model
    assert first == again and first.given == checkpoint
    assert len(commands) == 1 and commands[0][:4] == [sys.executable, "-m", "llemma", "convert"]
    assert first.sha256 == plan_run(_settings(tiny_model, tmp_path / "out")).model.sha256


def test_plain_lm_eval_runs_the_same_tasks_through_include_path(tiny_model: Path) -> None:
    """A gold answer such as [-6, 4] stays a text: named by a template it would become a list."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    from eval_tasks.catalog import TASKS_DIR, read_catalog

    manager = TaskManager(include_path=str(TASKS_DIR), include_defaults=False)
    catalog = read_catalog()
    assert {*catalog.tasks, *catalog.groups} <= set(manager.all_tasks)
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tiny_model), "dtype": "float32"},
        device="cpu",
        tasks=["llemma_builtin"],
        task_manager=manager,
        num_fewshot=1,
        gen_kwargs={"max_gen_toks": 8},
        limit=4,
        bootstrap_iters=0,
    )
    assert results is not None
    assert results["results"]["llemma_builtin"]["acc,none"] == 0
    targets = [sample["target"] for sample in results["samples"]["llemma_builtin"]]
    assert targets[3] == "[-6, 4]"
    json.dumps(results["results"])

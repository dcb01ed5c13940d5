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
from eval_tasks.run.scored_run import judge_task
from eval_tasks.run.summary import summarize
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
    # Fewer problems, fewer samples and other batches ask for nothing new.
    assert _run(tiny_model, tmp_path, "--limit", "4", "--majority", "2", "--batch-size", "3") == 0
    with pytest.raises(AssertionError, match="was loaded"):
        _run(tiny_model, tmp_path, "--limit", "6", "--batch-size", "4", "--shots", "1")


def test_results_of_other_settings_in_the_same_folder_are_kept_and_named(
    scored: Path, tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They were overwritten without a word."""
    shutil.copytree(scored, tmp_path / "out")
    assert _run(tiny_model, tmp_path / "out", "--limit", "6", "--majority", "3", "--batch-size", "4") == 0
    assert len(list((tmp_path / "out").glob("results*.json"))) == 1
    assert _run(tiny_model, tmp_path / "out", "--limit", "4") == 0
    kept = list((tmp_path / "out").glob("results-*.json"))
    assert len(kept) == 1 and EvalResults.read(kept[0]).tasks["llemma_builtin"].n == 6
    samples = kept[0].with_name(kept[0].name.replace("results", "samples")).with_suffix(".jsonl")
    assert samples.read_bytes() == (scored / "samples.jsonl").read_bytes()
    assert EvalResults.read(tmp_path / "out/results.json").tasks["llemma_builtin"].n == 4


def test_run_killed_between_batches_goes_on_to_the_same_answers(
    scored: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two greedy batches and two of each sample are wanted; the kill comes in the fifth, and cuts a line off."""
    add, num_added = Journal.add, 0

    def add_until_killed(journal: Journal, keys: Any, said: Any, seconds: float) -> None:
        nonlocal num_added
        num_added += 1
        if num_added == 5:
            with journal.path.open("a", encoding="ascii") as file:
                file.write('{"doc": "alg-01", "sample": 1, "sa')
            raise KeyboardInterrupt
        add(journal, keys, said, seconds)

    words = ("--limit", "6", "--majority", "3", "--batch-size", "4")
    monkeypatch.setattr(Journal, "add", add_until_killed)
    assert _run(tiny_model, tmp_path, *words) == 130
    assert not (tmp_path / "results.json").exists()
    monkeypatch.setattr(Journal, "add", add)
    assert _run(tiny_model, tmp_path, *words) == 0
    assert (tmp_path / "samples.jsonl").read_bytes() == (scored / "samples.jsonl").read_bytes()
    for journal in (tmp_path / "generations").glob("*.jsonl"):
        keys = [(row["doc"], row["sample"]) for row in map(json.loads, journal.read_text().splitlines()[1:])]
        assert len(keys) == len(set(keys)) == (6 if ".greedy." in journal.name else 18)


def test_several_seeds_give_mean_and_sd_and_leave_each_others_answers(
    tiny_model: Path, scored: Path, tmp_path: Path
) -> None:
    words = ("--limit", "6", "--majority", "3", "--batch-size", "4", "--seeds", "1234,5")
    assert _run(tiny_model, tmp_path, *words) == 0
    task = EvalResults.read(tmp_path / "results.json").tasks["llemma_builtin"]
    assert task.majority_seeds is not None and task.majority_seeds.seeds == (1234, 5)
    alone = list(read_lines(scored / "samples.jsonl", EvalSample))
    for one, other in zip(alone, read_lines(tmp_path / "samples.jsonl", EvalSample), strict=True):
        assert [sample.seed for sample in other.samples] == [1234] * 3 + [5] * 3
        assert other.samples[:3] == one.samples and other.samples[3].completion != one.samples[0].completion


def test_published_numbers_of_votes_are_each_tasks_own(tiny_model: Path, data_dir: Path, tmp_path: Path) -> None:
    tasks = (
        "minerva_math_algebra",
        "gsm8k",
        "ocw",
        "mmlu_stem_astronomy",
        "sat",
        "math_python_geometry",
        "aime",
        "ceval_logic",
    )
    settings = Settings(model=tiny_model, tasks=tasks, out=tmp_path, majority="published", data_dir=data_dir)
    passes = {task.file.name: task.passes[1:] for task in plan_run(settings).tasks}
    assert [sum(one.num_samples for one in found) for found in passes.values()] == [256, 100, 100, 16, 16, 16, 0, 0]
    # Llemma's sampling: 0.3 where letters are asked for, else 0.6.
    assert [found[0].temperature for found in passes.values() if found] == [0.6, 0.6, 0.6, 0.3, 0.3, 0.6]


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
        return Generations(completions=texts, num_examples=4, num_cut=0, seconds=0.0)

    golds = [item.answer for item in task.items]
    greedy = generations((said("27"),), (said("3"),), ("I do not know.",), (said(r"\frac{1"),), (said(golds[4]),))
    sampled = generations(
        (said("27"), said("27")), ("no", said(golds[1])), ("no", "no"), (said("1"), said(golds[3])), ("no", "no")
    )
    judged = judge_task(task, [greedy, sampled])
    samples = [one.sample for one in judged]
    assert [sample.outcome for sample in samples] == ["EQUAL", "DIFFERENT", "NO_ANSWER", "UNPARSED", "EQUAL"]
    votes = [sample.majority.outcome for sample in samples if sample.majority is not None]
    assert votes == ["EQUAL", "EQUAL", "NO_ANSWER", "DIFFERENT", "NO_ANSWER"]
    result = summarize(judged, seeds=(1234,), prompt_origin="own", comparable=False)
    assert result.accuracy == 2 / 5
    assert result.majority is not None and result.majority.accuracy == 2 / 5 and result.majority.k == 2
    assert result.outcomes == {"EQUAL": 2, "DIFFERENT": 1, "NO_ANSWER": 1, "UNPARSED": 1, "TIMED_OUT": 0}
    assert result.pass_at is not None
    # Of two samples each: both right, one, none, one, none.
    assert {k: one.value for k, one in result.pass_at.items()} == {"1": 2 / 5, "2": 3 / 5}
    # The published metric reads '27' in a sentence alike, and knows no wrong answer from one that it cannot read.
    by_minerva = [one.sample.outcome for one in judge_task(task, [greedy, sampled], policy="minerva")]
    assert by_minerva == ["EQUAL", "DIFFERENT", "NO_ANSWER", "DIFFERENT", "EQUAL"]
    assert result.by is not None and result.by["level"] == {"1": (1, 1.0), "2": (3, 1 / 3), "3": (1, 0.0)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tasks", "biultin"), "did you mean 'builtin'"),
        (("--tasks", "gsm8k", "--data-dir", "nowhere"), "no such folder of data sets"),
        (("--majority", "1"), "--majority must be 'published', 0"),
        (("--limit", "0"), "--limit must be greater than 0"),
        (("--shots", "9"), "only 4 examples"),
        (("--top-p", "2"), "--top-p must lie"),
        (("--dtype", "int8"), "--dtype must be"),
        (("--prompts", "nowhere"), "not a folder of prompts"),
        (("--max-new-tokens", "512"), "leaves no room"),
        (("--policy", "kind"), "--policy must be standard, strict"),
        (("--seeds", "1,2"), "only with --majority"),
        (("--seeds", "1,1", "--majority", "2"), "different whole numbers"),
        (("--backend", "gguf"), "--backend must be hf, vllm, local-completions"),
        (("--backend", "local-completions"), "needs --base-url"),
        (("--base-url", "http://localhost"), "only go with --backend local-completions"),
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

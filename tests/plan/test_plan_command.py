"""`llemma plan` as a person meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llemma.cli import main
from llemma.stages import CompiledStage


def test_plan_of_the_published_recipe_prints_its_numbers_within_100_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["plan", "llemma_7b", "--stop-iters", "42000"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    for number in (
        "6,738,546,688", "176,160,768,000", "42,000 of 48,000", "4,194,304 tokens", "7.09e-06", "46.1 B",
        "20,246 GPU-hours",
    ):  # fmt: skip
        assert number in printed
    assert "warning: repeated more than 4 times" in printed


def test_plan_with_out_writes_a_run_and_says_what_comes_next(
    tmp_path: Path, data: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["plan", "demo", "--data", str(data), "--init-from", str(checkpoint), "--out", str(out)]) == 0
    assert f"llemma launch {out}" in capsys.readouterr().out
    assert (out / "record.json").is_file()


def test_plan_with_80_columns_cuts_no_heading_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory table was wider than a common terminal, and its headings ended in dots: `gradie…`."""
    monkeypatch.setenv("COLUMNS", "80")
    for recipe in ("llemma_7b", "llemma_34b"):
        assert main(["plan", recipe]) == 0
        printed = capsys.readouterr().out
        assert "…" not in printed
        assert "Memory on the fullest GPU, which has 40 GiB" in printed


def test_plan_from_a_neox_checkpoint_names_the_engine_that_can_load_it(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice was `llemma launch RUN`, which starts the embedded trainer, which refuses NeoX's layout."""
    (tmp_path / "neox/global_step0").mkdir(parents=True)
    (tmp_path / "neox/global_step0/mp_rank_00_model_states.pt").touch()
    (tmp_path / "neox/latest").write_text("global_step0")
    out = tmp_path / "run"
    words = ["plan", "demo", "--data", str(data), "--init-from", str(tmp_path / "neox"), "--out", str(out)]
    assert main(words) == 0
    assert f"llemma launch {out} --engine neox" in capsys.readouterr().out


def test_plan_with_out_but_without_data_and_checkpoint_gives_both_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "demo", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "for 2 reasons" in error
    assert "--init-from is missing" in error
    assert "--data is missing" in error
    assert not (tmp_path / "run").exists()


def test_plan_of_an_unknown_recipe_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "lemma_7b"]) == 2
    assert "no recipe 'lemma_7b' (did you mean 'llemma_7b'?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "hours", "tokens", "lines"),
    [
        ("llemma_7b", "23000", "200e9", ["2,415 tokens/s on a GPU", "35.7% of 312 TFLOP/s"]),
        ("llemma_34b", "47_000", "50e9", ["296 tokens/s on a GPU", "20.9% of 312 TFLOP/s"]),
        ("llemma_7b", "23000", None, ["for 201 B tokens", "35.9% of 312 TFLOP/s"]),
        ("demo", "3", None, ["not known: the cluster gives no peak FLOP/s"]),
    ],
)
def test_plan_with_measured_gpu_hours_tells_the_utilization_that_they_mean(
    recipe: str, hours: str, tokens: str | None, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    more = [] if tokens is None else ["--gpu-hours-tokens", tokens]
    assert main(["plan", recipe, "--gpu-hours", hours, *more]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert all(line in printed for line in lines), printed[-400:]


def test_plan_of_branches_shows_where_each_begins_and_what_all_cost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["plan", "minicpm_wsd"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.count("'stable' at 238,000, with its optimizer") == 2
    assert "halved every 5,000 from 0 on" in printed
    assert "memory              as in stage 1" in printed
    assert ["all", "286,103", "1.20", "T"] in [line.split()[:4] for line in printed.splitlines()]


def test_plan_with_data_by_stage_takes_each_for_its_stage_and_the_other_for_the_rest(
    tmp_path: Path, make_data: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plain, decay = make_data(name="plain"), make_data({"mixed": 90_000}, name="decay")
    out = tmp_path / "run"
    words = ["plan", "small_wsd", "--data", str(plain), "--data", f"decay-with-sft={decay}", "--out", str(out)]
    assert main(words) == 0
    mixtures = [CompiledStage.read(path / "stage.json").mixture for path in sorted((out / "stages").iterdir())]
    assert mixtures == [str(plain), str(plain), str(decay)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "nowhere=x"], "the recipe has no stage 'nowhere' (it has: stable, decay-same-data"),
        (["--data", "a/x", "--data", "b/x"], "the stages have a/x already; for one stage say STAGE=b/x"),
        (["--data", "stable=a", "--data", "stable=b"], "the stage 'stable' has a already"),
        (["--data", "stable=a", "--out", "RUN"], "--data is missing for the stages decay-same-data, decay-with-sft"),
    ],
)
def test_plan_with_data_that_cannot_be_told_apart_is_refused(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "small_wsd", *words]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--mfu", "1.5"], ["--mfu", "x"], ["--stop-iters", "0"], ["--gpu-hours", "0"]])
def test_plan_with_a_number_out_of_range_ends_with_exit_code_2(words: list[str]) -> None:
    assert main(["plan", "demo", *words]) == 2

"""`llemma plan` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llemma.cli import main


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


@pytest.mark.parametrize("words", [["--mfu", "1.5"], ["--mfu", "x"], ["--stop-iters", "0"]])
def test_plan_with_a_number_out_of_range_ends_with_exit_code_2(words: list[str]) -> None:
    assert main(["plan", "demo", *words]) == 2

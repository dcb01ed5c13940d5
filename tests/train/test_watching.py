"""What a person, a file and a report learn of a training while it runs, and that it costs no number."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llemma.core.errors import ConfigError, InputError
from llemma.core.progress import on_one_line

from .conftest import EOD, SEQ_LENGTH, VOCAB, MakeRun
from .reference import load_weights, log_probabilities
from .test_resume import handled, metrics, train, weights


def samples(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "train/01-math/samples.jsonl").read_text().splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "w10 w11 w12"}\n\n{"prompt": "w40"}\n')
    return path


def test_samples_change_no_number_of_the_run_and_stand_once_each_after_a_stop(
    make_run: MakeRun, prompts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llemma.train import stage_run

    plain, watched, stopped = (make_run(name) for name in ("plain", "watched", "stopped"))
    words = ("--sample-every", "3", "--prompts", str(prompts))
    assert train(plain) == train(watched, *words) == 0
    assert weights(watched) == weights(plain)
    assert metrics(watched) == metrics(plain)
    assert [line["iteration"] for line in samples(watched)] == [n for n in (0, 3, 6, 9, 12) for _ in range(4)]
    assert {(line["prompt"], line["temperature"]) for line in samples(watched)} == {
        (prompt, temperature) for prompt in ("w10 w11 w12", "w40") for temperature in (0, 0.8)
    }
    said = capsys.readouterr().err
    assert "01-math, iteration 6: 4 samples in " in said and "  w10 w11 w12 ⟶ " in said

    real, calls = stage_run.compute_gradients, []

    def signal_in_the_seventh(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    monkeypatch.setattr(stage_run, "compute_gradients", signal_in_the_seventh)
    with handled(signal.SIGTERM, signal.default_int_handler):
        assert train(stopped, *words) == 0
    monkeypatch.undo()
    assert samples(stopped)[-1]["iteration"] == 6
    with open(stopped / "train/01-math/samples.jsonl", "a") as file:
        file.write(json.dumps(samples(stopped)[0] | {"iteration": 9}) + '\n{"stage')  # what a kill could leave
    assert train(stopped, *words) == 0
    assert samples(stopped) == samples(watched)
    assert weights(stopped) == weights(plain)


def test_generation_is_greedy_as_a_numpy_llama_and_draws_from_its_own_numbers_alone(base_model: Path) -> None:
    import torch

    from llemma.train.model.weights import load_model
    from llemma.train.watch.generation import generate

    model = load_model(base_model, torch.device("cpu"))
    prompts = [[10, 11, 12], [40], list(range(50, 62))]
    before = torch.get_rng_state()

    def written(temperatures: list[float], seed: int = 1) -> list[list[int]]:
        return generate(
            model, prompts, num_new=9, temperatures=temperatures, eod=EOD, vocab_size=200, seed=seed, precision="fp32"
        )

    found = written([0.0, 0.0, 0.0])
    reference = load_weights(base_model)

    def likeliest(ids: list[int]) -> int:
        return int(log_probabilities(reference, np.array(ids))[-1, :200].argmax())

    for prompt, new in zip(prompts, found, strict=True):
        for place, token in enumerate(new):
            assert token == likeliest(prompt + new[:place])
        assert len(new) == 9 or likeliest(prompt + new) == EOD
    drawn = written([0.8, 0.8, 0.8])
    assert drawn == written([0.8, 0.8, 0.8]) != found
    assert drawn != written([0.8, 0.8, 0.8], seed=2)
    assert all(token < 200 for new in drawn for token in new)
    assert torch.equal(torch.get_rng_state(), before) and model.training
    with torch.no_grad():
        model.output_weight.fill_(float("nan"))
    assert written([0.0, 0.8, 0.8]) == [[], [], []]


def test_mfu_is_the_share_of_the_peak_that_the_configuration_names(make_run: MakeRun) -> None:
    run = make_run(peak_theoretical_tflops=0.5)
    assert train(run) == 0
    # 6 FLOPs for each parameter in a matrix product (4 attention matrices, 2 of them half as wide; 3 of the
    # feed-forward; the output layer), and 12 for each layer, width and position.
    matrices = 2 * (64 * 64 * (2 + 2 * 0.5) + 3 * 64 * 256) + VOCAB * 64
    flops = 6 * matrices + 12 * 2 * 64 * SEQ_LENGTH
    lines = [json.loads(line) for line in (run / "train/01-math/metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["kind"] == "train":
            assert line["mfu"] == pytest.approx(line["tokens_per_s"] * flops / 0.5e12, abs=1e-5)
        else:
            assert line["kind"] == "validation" and 0 < line["took_s"] < line["seconds"]


def test_known_peaks_are_found_by_the_names_that_devices_give_themselves() -> None:
    from llemma.train.watch.peak import known_flops

    assert known_flops("NVIDIA H100 80GB HBM3", "bfloat16") == 989e12
    assert known_flops("NVIDIA H100 PCIe", "bfloat16") == 756e12
    assert known_flops("NVIDIA H200", "bfloat16") == 989e12
    assert known_flops("NVIDIA A100-SXM4-80GB", "fp32") == 19.5e12
    assert known_flops("NVIDIA GeForce GTX 1080", "fp32") is None


def test_time_left_counts_steps_validations_samples_and_the_stages_ahead(make_run: MakeRun) -> None:
    from llemma.train.places import find_stages
    from llemma.train.settings import read_settings
    from llemma.train.watch.outlook import Outlook

    here, ahead = (read_settings(stage) for stage in find_stages(make_run(stages=2, eval_interval=5)))
    outlook = Outlook(here, (ahead,), sample_every=4)
    assert outlook.stage_left_s(0) is None and outlook.all_left_s(0) is None
    for seconds in (2.0, 2.0, 2.0, 60.0):  # the hitch does not count
        outlook.step_took(seconds)
    outlook.validation_took(10.0)
    outlook.samples_took(7.0)
    # Of 12 steps 8 are left, validations behind 5 of them are those of 5, 10 and 12, samples those of 8 and 12.
    assert outlook.stage_left_s(4) == 8 * 2 + 3 * 10 + 2 * 7
    assert outlook.stage_left_s(10) == 2 * 2 + 1 * 10 + 1 * 7
    assert outlook.stage_left_s(12) == 0
    # Ahead: 12 steps of 2 s, and before the first, of 5, 10 and 12 a validation of as many samples as a step has.
    assert outlook.all_left_s(12) == pytest.approx(12 * 2 + 4 * 2 / 3)


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def test_terminal_shows_what_happens_in_lines_of_its_own_and_no_text_commands_it(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning was written into the middle of the bar, and Ctrl-C's words over it."""
    import torch

    from llemma.core.logging import get_logger, setup_logging
    from llemma.core.schemas import MetricLine
    from llemma.train.places import find_stages
    from llemma.train.preflight import check_run
    from llemma.train.watch.options import Watching
    from llemma.train.watch.stage_watch import StageWatch

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    setup_logging()
    checked = check_run(find_stages(make_run(stages=2)))
    watching = Watching(stages=checked.settings)
    watch = StageWatch(
        watching, checked.stages[0], checked.settings[0], checked.tokenizers[0], torch.device("cpu"), resumed_at=4
    )
    with watch.shown():
        train_line = MetricLine(
            kind="train", stage="01-math", iteration=5, loss=3.25, lr=1e-3, grad_norm=0.5, tokens_per_s=1024.0
        )
        watch.write(train_line)
        watch.left_out(1)
        watch.write(MetricLine(kind="event", stage="01-math", iteration=5, message="left out: \x1b[2J[red]x"))
        get_logger("llemma.train.test").warning("a warning")
        hostile = {"a\x1b]0;title\x07": 1.5}
        watch.write(
            MetricLine(kind="validation", stage="01-math", iteration=5, loss=2.5, by_source=hostile, took_s=1.25)
        )
        watch.saved(5)
        assert watching.stop.is_shown
        watching.stop.number = signal.SIGINT
    watch.close()
    assert not watching.stop.is_shown
    shown = screen.getvalue()
    assert "\x1b[2J" not in shown and "\x1b]0" not in shown and "\x07" not in shown
    lines = [on_one_line(line, 1000) for line in shown.splitlines()]
    assert any(r"01-math, iteration 5: left out: \x1b[2J[red]x" in line for line in lines)
    assert any("WARNING llemma.train.test: a warning" in line for line in lines)
    assert any(r"validation 2.5000 (a\x1b]0;title\x07 1.5000), 1.2 s" in line for line in lines)
    last = "".join(lines[-6:])
    assert "01-math (1 of 2)" in last and "5/12 steps" in last and "loss 3.2500 (last 3.2500)" in last
    assert "1,024 tokens/s" in last and "2 s left" in last and "1 step left out" in last
    assert "validation 2.5000 at 5" in last and "saved at 5" in last
    assert "interrupted: ends when all is saved" in last


def test_figures_are_packed_by_group_into_the_width_there_is() -> None:
    from llemma.train.watch.display import packed

    groups = [["loss 2.0", "lr 1e-3"], ["100 tokens/s", "5 s left"], ["saved at 3"]]
    assert packed(groups, 80) == ["loss 2.0  lr 1e-3  100 tokens/s  5 s left  saved at 3"]
    assert packed(groups, 40) == ["loss 2.0  lr 1e-3", "100 tokens/s  5 s left  saved at 3"]
    assert packed(groups, 15) == ["loss 2.0", "lr 1e-3", "100 tokens/s", "5 s left", "saved at 3"]


def test_prompts_are_read_from_lines_or_objects_and_refused_with_their_line(tmp_path: Path) -> None:
    from llemma.train.watch.prompts import read_prompts

    text, objects = tmp_path / "a.txt", tmp_path / "b.jsonl"
    text.write_text("Theorem. \n\nLet {x}\r\n")
    assert read_prompts(text) == ("Theorem. ", "Let {x}")
    objects.write_text('{"prompt": "two\\nlines", "id": 3}\n')
    assert read_prompts(objects) == ("two\nlines",)
    objects.write_text('{"prompt": "right"}\nnot JSON\n{"prompt": 3}\n{"prompt": "\\ud800"}\n' + "[" * 100_000)
    with pytest.raises(ConfigError) as caught:
        read_prompts(objects)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4, 5]
    text.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_prompts(text)
    text.write_text("\n")
    with pytest.raises(InputError, match="has 0 prompts, but must have 1 to 32"):
        read_prompts(text)
    with pytest.raises(InputError, match="cannot be read"):
        read_prompts(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sample-every", "-1"), "--sample-every is -1"),
        (("--prompts", "x"), "give  --sample-every STEPS  too"),
        (("--track", "tensorboard"), "llemma[tensorboard]"),
        (("--track", "wandb"), "llemma[wandb]"),
    ],
)
def test_watching_that_cannot_be_is_refused_before_anything_is_trained(
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    for package in ("tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, package, None)
    run = make_run()
    assert train(run, *words) == 2
    assert said in capsys.readouterr().err
    assert not (run / "train").exists()

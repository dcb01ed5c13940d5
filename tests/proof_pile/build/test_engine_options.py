"""The options of `run` that say who does the work: what they make, and what is refused."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from llemma.core.errors import InputError
from proof_pile.build.arguments import parse_bytes
from proof_pile.build.engine_options import add_engine_options, make_engine


def make(*words: str):  # type: ignore[no-untyped-def]
    parser = argparse.ArgumentParser()
    add_engine_options(parser)
    return make_engine(parser.parse_args(words), Path("/data/out"))


@pytest.mark.parametrize(
    ("words", "description"),
    [
        (["--workers", "1"], "this process"),
        (["--workers", "3"], "3 workers"),
        (["--workers", "3", "--memory", "2GiB"], "2 workers"),
        (["--engine", "ray", "--workers", "3"], "a Ray cluster made here, 3 workers"),
        (["--engine", "ray", "--ray-address", "10.0.0.1:6379"], "the Ray cluster at 10.0.0.1:6379"),
        (["--engine", "slurm"], "Slurm"),
        (["--engine", "slurm", "--slurm-partition", "cpu"], "Slurm, partition cpu"),
    ],
)
def test_options_make_the_engine_that_they_say(
    words: list[str], description: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert make(*words).description == description


def test_address_of_ray_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert make("--engine", "ray").description == "the Ray cluster at 10.0.0.2:6379"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--workers", "0"], "--workers is 0, but must be 1 or more"),
        (["--retries", "-1"], "--retries is -1, but must be 0 or more"),
        (["--memory", "much"], "--memory is 'much', but must be a number of bytes"),
        (["--memory", "1MB"], "one worker needs"),
        (["--slurm-mem", "4G"], "--slurm-mem goes with --engine slurm"),
        (["--slurm-cpus", "2"], "--slurm-cpus goes with --engine slurm"),
        (["--engine", "slurm", "--ray-address", "x"], "--ray-address goes with --engine ray"),
        (["--engine", "slurm", "--workers", "2"], "--workers goes with processes on this machine"),
        (["--engine", "ray", "--memory", "4GB"], "--memory goes with --engine local"),
        (["--engine", "ray", "--ray-cpus", "0"], "--ray-cpus is 0.0, but must be more than 0"),
        (["--engine", "slurm", "--slurm-options", "'half"], "--slurm-options is ''half': No closing quotation"),
        (["--engine", "slurm", "--slurm-poll", "-1"], "--slurm-poll is -1.0, but must be more than 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        make(*words)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"), [("8GB", 8 * 10**9), ("8 GiB", 8 << 30), ("1.5g", 15 * 10**8), ("500M", 5 * 10**8), ("12", 12)]
)
def test_number_of_bytes_is_read(text: str, size: int) -> None:
    assert parse_bytes("--memory", text) == size

"""The whole way in small: raw text to a scored model and a page, killed twice on the way."""

from __future__ import annotations

import importlib.util
import json
import types
from pathlib import Path

import pytest

from llemma.rope import read_base

HERE = Path(__file__).parent
OPTIONS = ["--data-recipe", str(HERE / "small_data.yml"), "--recipe", str(HERE / "small_run.yml"), "--limit", "3"]


def load_kill_demo() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("kill_demo", HERE / "kill_demo.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], dict[str, str]]:
    """The folder of a demo that was killed twice, what it ended with, and what an undisturbed one ended with."""
    kill_demo = load_kill_demo()
    folder = tmp_path_factory.mktemp("demo")
    out, log = folder / "demo", folder / "demo.log"
    kill_demo.run_demo(out, OPTIONS, log)
    undisturbed = kill_demo.result_of(out)
    out.rename(folder / "undisturbed")
    in_build = kill_demo.exists(out, "data/steps/tokenize-*/*.bin")
    in_training = kill_demo.exists(out, "run/train/01-math/checkpoints/step_00000008")
    hits = kill_demo.run_demo(out, OPTIONS, log, [in_build, in_training])
    assert hits == 2
    return out, kill_demo.result_of(out), undisturbed


def test_demo_killed_twice_ends_with_the_bytes_of_an_undisturbed_one(
    results: tuple[Path, dict[str, str], dict[str, str]],
) -> None:
    _, killed, undisturbed = results
    assert any(name.endswith(".bin") for name in undisturbed) and "run/export/hf/model.safetensors" in undisturbed
    assert killed == undisturbed


def test_demo_lowers_the_validation_loss_of_every_source(
    results: tuple[Path, dict[str, str], dict[str, str]],
) -> None:
    out, _, _ = results
    lines = [json.loads(line) for line in (out / "run/train/01-math/metrics.jsonl").read_text().splitlines()]
    validations = [line for line in lines if line["kind"] == "validation"]
    first, last = validations[0], validations[-1]
    assert set(first["by_source"]) == {"arxiv", "web", "code"}
    assert all(last["by_source"][name] < first["by_source"][name] - 0.5 for name in first["by_source"])


def test_demo_contracts_the_rope_base_and_says_so_on_the_way(
    results: tuple[Path, dict[str, str], dict[str, str]],
) -> None:
    out, _, _ = results
    configs = {name: json.loads((out / name / "config.json").read_text()) for name in ("base", "start")}
    assert {name: read_base(config, name) for name, config in configs.items()} == {"base": 1e6, "start": 1e4}
    exported = json.loads((out / "run/export/hf-from-neox/config.json").read_text())
    assert exported["rope_theta"] == exported["rope_parameters"]["rope_theta"] == 1e4


def test_demo_ends_with_scores_and_a_page_that_shows_them(
    results: tuple[Path, dict[str, str], dict[str, str]],
) -> None:
    out, _, _ = results
    for label in ("before", "after"):
        scores = json.loads((out / "run/eval" / label / "results.json").read_text())
        assert scores["tasks"]["llemma_builtin"]["n"] == 3
    page = (out / "run/report/report.html").read_text()
    assert "continue pretraining" in page and "builtin, after" in page

"""Every family under plain lm-eval: offline, on local data, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.catalog import TASKS_DIR, read_catalog


def _evaluate(model: Path, names: list[str], **options: Any) -> dict[str, Any]:
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS_DIR), include_defaults=False)
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        device="cpu",
        batch_size=64,
        tasks=names,
        task_manager=manager,
        num_fewshot=1,
        gen_kwargs={"max_gen_toks": 4},
        bootstrap_iters=0,
        **options,
    )
    assert results is not None
    json.dumps(results["results"])
    return results


def test_gold_answer_that_looks_like_a_list_stays_a_text(tiny_model: Path) -> None:
    """Named by a template, [-6, 4] would become a list."""
    results = _evaluate(tiny_model, ["llemma_builtin"], limit=4)
    assert results["results"]["llemma_builtin"]["acc,none"] == 0
    assert [sample["target"] for sample in results["samples"]["llemma_builtin"]][3] == "[-6, 4]"


def test_every_family_runs_to_its_scores(tiny_model: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEMMA_EVAL_DATA", str(data_dir))
    catalog = read_catalog()
    members = {member for group in catalog.groups.values() for member in group}
    names = [*catalog.groups, *(name for name in catalog.tasks if name not in members)]
    results = _evaluate(tiny_model, names, limit=1)
    for name in names:
        assert 0 <= results["results"][name]["acc,none"] <= 1, name
    asked = {name.split("::")[-1] for name in results["samples"]}
    assert asked == set(catalog.tasks)

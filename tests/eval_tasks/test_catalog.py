"""The task files: every shipped one loads, and what lm-eval passes over in silence is an error here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eval_tasks.catalog import TASKS_DIR, read_catalog
from llemma.core.errors import ConfigError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the built-in task's file."""
    shutil.copy(TASKS_DIR / "builtin/llemma_builtin.yaml", tmp_path)
    return tmp_path


def test_every_shipped_task_file_loads_and_lm_eval_has_no_task_of_its_name() -> None:
    import lm_eval

    catalog = read_catalog()
    assert {"llemma_builtin", "llemma_gsm8k", "llemma_minerva_math500"} <= set(catalog.tasks)
    assert len(catalog.groups["llemma_minerva_math"]) == 7
    theirs = {path.stem for path in (Path(lm_eval.__file__).parent / "tasks").rglob("*.yaml")}
    assert not theirs & {*catalog.tasks, *catalog.groups}
    assert all(task.path.stem == name for name, task in catalog.tasks.items())


def test_names_resolve_with_and_without_prefix_and_groups_expand_once() -> None:
    catalog = read_catalog()
    names = catalog.resolve(["llemma_builtin", "builtin", "minerva_math", "minerva_math_algebra"])
    assert names[0] == "llemma_builtin" and len(names) == 8


def test_unknown_names_are_all_named_with_the_nearest_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        read_catalog().resolve(["biultin", "gsm8", "zzz"])
    message = str(caught.value)
    assert "did you mean 'builtin'" in message and "'gsm8k'" in message and "no task 'zzz'" in message


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("task: llemma_builtin", "task: builtin", "must begin with 'llemma_'"),
        ("num_fewshot: 4", "num_fewshots: 4", "did you mean 'num_fewshot'"),
        ("benchmark: builtin", "benchmark: bultin", "known are"),
        ("subset: all", "subset: some", "'builtin' has all"),
        ("  sampling_top_p: 0.95", "  top_p: 0.95", "sampling_top_p"),
        ("test_split: test", "test_split: [test", "not valid YAML"),
        ("test_split: test", "include: nowhere.yaml", "does not exist"),
        ("test_split: test", "include: llemma_builtin.yaml", "includes itself"),
    ],
)
def test_broken_task_file_is_an_error_that_names_the_file(folder: Path, old: str, new: str, told: str) -> None:
    path = folder / "llemma_builtin.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=r"llemma_builtin\.yaml") as caught:
        read_catalog(folder)
    assert told in str(caught.value)


def test_ending_yml_and_a_name_used_twice_are_errors(folder: Path) -> None:
    shutil.copy(folder / "llemma_builtin.yaml", folder / "other.yaml")
    shutil.copy(folder / "llemma_builtin.yaml", folder / "third.yml")
    with pytest.raises(ConfigError) as caught:
        read_catalog(folder)
    assert len(caught.value.problems) == 2
    assert "already that of another file" in str(caught.value) and "rename it to .yaml" in str(caught.value)

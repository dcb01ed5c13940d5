"""The task files: every shipped one loads, and what lm-eval passes over in silence is an error here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eval_tasks.benchmarks import BENCHMARKS
from eval_tasks.catalog import TASKS_DIR, read_catalog
from llemma.core.errors import ConfigError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The built-in task in one file: what its file includes, and the file."""
    own = (TASKS_DIR / "builtin/llemma_builtin.yaml").read_text().replace("include: ../generate.yml\n", "")
    shared = (TASKS_DIR / "generate.yml").read_text()
    (tmp_path / "llemma_builtin.yaml").write_text(shared + own)
    return tmp_path


FAMILY = """\
include: generate.yml
group: llemma_family
task:
  - {task: llemma_one, dataset_kwargs: {benchmark: gsm8k, subset: main}}
  - {task: llemma_two, dataset_kwargs: {benchmark: minerva_math, subset: algebra}}
"""


def test_every_shipped_task_file_loads_and_lm_eval_has_no_task_of_its_name() -> None:
    import lm_eval

    catalog = read_catalog()
    assert {task.benchmark for task in catalog.tasks.values()} == set(BENCHMARKS)
    assert {name.removeprefix("llemma_"): len(members) for name, members in catalog.groups.items()} == {
        "minerva_math": 7,
        "minerva_math_levels": 5,
        "math_python": 7,
        "math_integer": 2,
        "mmlu_stem": 18,
        "ceval": 52,
        "cmmlu": 67,
    }
    theirs = {path.stem for path in (Path(lm_eval.__file__).parent / "tasks").rglob("*.yaml")}
    assert not theirs & {*catalog.tasks, *catalog.groups}
    for name, task in catalog.tasks.items():
        assert name.startswith(task.path.stem.removesuffix("_levels")) and (task.path.parent / "README.md").is_file()


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
        ("output_type: generate_until", "output_type: multiple_choice", "not how 'builtin' is asked"),
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


def test_family_in_one_file_gives_each_member_what_the_file_says_for_all(folder: Path) -> None:
    shared = (folder / "llemma_builtin.yaml").read_text()
    without_task = "".join(line for line in shared.splitlines(keepends=True) if "builtin" not in line)
    (folder / "generate.yml").write_text(without_task)
    (folder / "llemma_family.yaml").write_text(FAMILY)
    catalog = read_catalog(folder)
    assert catalog.groups == {"llemma_family": ("llemma_one", "llemma_two")}
    assert catalog.tasks["llemma_two"].subset == "algebra"
    assert catalog.tasks["llemma_one"].until == catalog.tasks["llemma_builtin"].until
    (folder / "llemma_family.yaml").write_text(FAMILY.replace("main", "x"))
    with pytest.raises(ConfigError, match="'gsm8k' has main"):
        read_catalog(folder)

"""Strict YAML and typed configurations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest

from llemma.core.config import MAX_YAML_BYTES, Config, check_config, load_config, load_yaml, parse_yaml
from llemma.core.errors import ConfigError, InputError


class Files(Config):
    kind: Literal["files"]
    path: Path
    sizes: tuple[int, ...] = ()


class Web(Config):
    kind: Literal["web"]
    threshold: float


class Recipe(Config):
    name: str
    lr: float
    train_iters: int
    flag: bool = False
    sources: list[Annotated[Files | Web, pydantic.Field(discriminator="kind")]] = pydantic.Field(default=[])


GOOD = """
name: tiny
lr: 1e-4
train_iters: 1_000
flag: true
sources:
  - {kind: files, path: /data, sizes: [1, 2]}
  - {kind: web, threshold: 3}
"""


class Listing(Config):
    sources: tuple[Annotated[Files | Web, pydantic.Field(discriminator="kind")], ...] = pydantic.Field(min_length=1)


def problems_of(text: str, model: type[Config] = Recipe) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_config(parse_yaml(text, "r.yml"), model)
    return [str(problem) for problem in caught.value.problems]


def test_config_well_formed_becomes_typed_values() -> None:
    recipe = check_config(parse_yaml(GOOD, "r.yml"), Recipe)
    assert recipe.lr == 1e-4 and recipe.train_iters == 1000 and recipe.flag is True
    assert recipe.sources == [
        Files(kind="files", path=Path("/data"), sizes=(1, 2)),
        Web(kind="web", threshold=3.0),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),  # PyYAML reads this as text
        ("1E5", 1e5),
        (".5", 0.5),
        ("-3", -3),
        ("+7", 7),
        ("4_194_304", 4194304),
        ("0x10", 16),
        ("no", "no"),  # YAML 1.1 makes this False
        ("on", "on"),
        ("12:30", "12:30"),  # YAML 1.1 makes this 750
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("true", True),
        (".inf", math.inf),
        ("1.2.3", "1.2.3"),
    ],
)
def test_yaml_scalar_is_read_by_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}", "f.yml").value["a"]
    assert found == value and type(found) is type(value)


def test_config_with_many_faults_reports_all_of_them_with_lines() -> None:
    found = problems_of(
        "name: 5\nlr: fast\ntrain_iter: 3\nsources:\n  - kind: web\n    treshold: 1\n  - kind: ftp\n    path: /x\n"
    )
    assert found == [
        "r.yml: the key 'train_iters' is missing",
        "r.yml:1: 'name' is 5: input should be a valid string",
        "r.yml:2: 'lr' is 'fast': input should be a valid number",
        "r.yml:3: unknown key 'train_iter' (did you mean 'train_iters'?)",
        "r.yml:5: the key 'threshold' is missing in 'sources.0'",
        "r.yml:6: unknown key 'treshold' (did you mean 'threshold'?)",
        "r.yml:7: 'sources.1': kind 'ftp' is unknown, wanted one of: files, web",
    ]


def test_config_hyphenated_twin_of_a_key_is_refused_as_a_duplicate() -> None:
    """GPT-NeoX checks `train_iters` and `train-iters` for duplicates apart, and silently takes one."""
    assert problems_of("name: a\nlr: 1\ntrain-iters: 5\ntrain_iters: 6\n") == [
        "r.yml:4: the key 'train_iters' stands twice (first as 'train-iters' at line 3)"
    ]


@pytest.mark.parametrize("number", ["3.5", "'3'", "true", "1e3"])
def test_config_integer_given_as_something_else_is_refused(number: str) -> None:
    assert problems_of(f"name: a\nlr: 1\ntrain_iters: {number}\n")[0].startswith("r.yml:3: 'train_iters'")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: &x 1", 1, "anchor"),
        ("a: 1\nb: *x", 2, "anchor"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tag"),
        ("<<: {a: 1}", 1, "plain words"),
        ("? [1, 2]\n: 3", 1, "plain words"),
        ("- 1", 1, "top level"),
        ("a: 1\na: 2", 2, "twice"),
        ("a: 012", 1, "begins with 0"),
        ("a: [1", 1, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
    ],
)
def test_yaml_that_is_unsafe_or_ambiguous_is_refused_with_its_line(text: str, line: int, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yml")
    assert caught.value.problems[0].line == line
    assert word in str(caught.value)


def test_yaml_nested_thousands_deep_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_yaml("a: " + "[" * 5000, "f.yml")


def test_yaml_file_missing_binary_or_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yml: there is no such file"):
        load_yaml(tmp_path / "none.yml")
    (tmp_path / "latin.yml").write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yml:2: this is not UTF-8"):
        load_yaml(tmp_path / "latin.yml")
    (tmp_path / "huge.yml").write_bytes(b"#" * (MAX_YAML_BYTES + 1))
    with pytest.raises(InputError, match="too many"):
        load_yaml(tmp_path / "huge.yml")
    with pytest.raises(InputError, match="not a file"):
        load_config(tmp_path, Recipe)


def test_config_list_with_a_wrong_member_is_not_called_too_short() -> None:
    """One misspelt kind of filter was told with an untrue line more: that `sources` had no items."""
    found = problems_of("sources:\n  - kind: flies\n  - path: /x\n", Listing)
    assert found == [
        "r.yml:2: 'sources.0': kind 'flies' is unknown (did you mean 'files'?), wanted one of: files, web",
        "r.yml:3: the key 'kind' is missing in 'sources.1'",
    ]
    assert problems_of("sources: []\n", Listing)[0].startswith("r.yml:1: 'sources'")

"""Imports run downwards only. The table below is the house's plan; CONTRIBUTING.md tells it in words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("llemma", "proof_pile", "eval_tasks", "neox_configs")
HEAVY = {"torch", "transformers", "sympy", "ray"}

# part -> (what of ours it may import, what it must never import, even inside a function)
GROUND = {"llemma.core"}
FIRST = {"llemma.neox", "llemma.stages", "llemma.schedules", "llemma.rope", "llemma.guard"}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "llemma.core": (set(), HEAVY),
    "llemma.neox": (GROUND | {"llemma.schedules"}, HEAVY),
    "llemma.schedules": (GROUND, HEAVY),
    "llemma.rope": (GROUND, HEAVY),
    "llemma.guard": (GROUND, HEAVY),
    "llemma.stages": (GROUND | {"llemma.schedules"}, HEAVY),
    "llemma.plan": (GROUND | FIRST | {"neox_configs"}, HEAVY),
    "llemma.launch": (GROUND | FIRST | {"neox_configs"}, HEAVY),
    "llemma.neox_engine": (GROUND | {"llemma.neox", "llemma.schedules", "llemma.guard"}, {"sympy", "ray"}),
    "llemma.checkpoint": (GROUND | {"llemma.neox", "llemma.rope", "llemma.guard"}, {"sympy", "ray"}),
    "llemma.train": (GROUND | FIRST | {"llemma.plan", "llemma.checkpoint"}, {"sympy", "ray"}),
    "llemma.report": (GROUND | {"llemma.guard"}, HEAVY),
    "llemma.demo": (GROUND | {"llemma.neox", "neox_configs"}, {"sympy", "ray"}),
    "llemma.cli": (GROUND, HEAVY),
    "llemma.__main__": ({"llemma.cli"}, HEAVY),
    "proof_pile": (GROUND, {"torch", "transformers", "sympy"}),
    "eval_tasks": (GROUND, {"ray"}),
    "neox_configs": (set(), HEAVY),
}
MODEL_ADAPTER = "eval_tasks.run"  # the only place of eval_tasks that may load a model
SYMPY_PLACES = ("eval_tasks.answers", "eval_tasks.tasks")


def modules() -> Iterator[tuple[str, Path]]:
    for part in OURS:
        for path in sorted((ROOT / part).rglob("*.py")):
            if "sample/documents" not in path.as_posix():
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def part_of(name: str) -> str | None:
    """The part of the house that a module belongs to, by the longest name in the table."""
    fitting = [part for part in ALLOWED if name == part or name.startswith(part + ".")]
    return max(fitting, key=len) if fitting else None


def test_every_module_belongs_to_a_part_of_the_house() -> None:
    # `llemma/__init__.py` itself holds the version alone.
    assert [name for name, _ in modules() if part_of(name) is None and name != "llemma"] == []


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_part_imports_only_what_lies_below_it(part: str) -> None:
    allowed, never = ALLOWED[part]
    wrong = []
    for module, path in modules():
        if part_of(module) != part:
            continue
        for line, name in imports(path, module):
            top = name.split(".")[0]
            target = part_of(name)
            if top in OURS and name not in ("llemma.__version__",) and target not in {*allowed, part}:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {part} may not import {name}")
            if top in never:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {part} may never import {top}")
    assert not wrong, "\n".join(wrong)


def test_eval_tasks_loads_models_and_sympy_only_where_it_must() -> None:
    wrong = []
    for module, path in modules():
        if part_of(module) != "eval_tasks":
            continue
        for line, name in imports(path, module):
            top = name.split(".")[0]
            if top in ("torch", "transformers") and not module.startswith(MODEL_ADAPTER):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: only {MODEL_ADAPTER} may import {top}")
            if top == "sympy" and not module.startswith(SYMPY_PLACES):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: only {SYMPY_PLACES} may import sympy")
    assert not wrong, "\n".join(wrong)


def test_no_source_file_is_longer_than_700_lines() -> None:
    paths = [path for _, path in modules()] + list((ROOT / "tests").rglob("*.py")) + list(ROOT.glob("benchmarks/*.py"))
    assert [f"{p.relative_to(ROOT)}" for p in paths if len(p.read_text(encoding="utf-8").splitlines()) > 700] == []

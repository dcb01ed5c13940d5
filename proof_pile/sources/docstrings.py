"""Docstrings of installed packages as prose: one document a module, its mathematics kept between dollar signs.

The code is parsed, never imported.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import warnings
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document, Quarantined, make_document
from proof_pile.sources.inputs import SourceFile, read_text, take_until
from proof_pile.sources.packages import package_files

MAX_SOURCE_BYTES = 4 << 20  # chosen by us: the longest module of scipy holds 0.5 MB

_INLINE_MATH = re.compile(r":math:`([^`]{1,2000})`")
_ROLE = re.compile(r":[a-z:]{2,30}:`~?([^`<]{1,200}?)(?:\s*<[^`>]{1,200}>)?`")
_MATH_BLOCK = re.compile(r"^([ \t]*)\.\. math::[ \t]*(\S[^\n]*)?\n((?:\1[ \t]+\S[^\n]*\n|[ \t]*\n)*)", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*\.\. (?:versionadded|versionchanged|deprecated|currentmodule|plot|index)::.*\n", re.M)


class Config(BaseConfig):
    """Installed packages whose docstrings are taken; `max_bytes` bounds the source files that are looked at."""

    kind: Literal["docstrings"]
    packages: tuple[str, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ("*/tests/*", "*/test_*", "*/_vendor/*", "*/externals/*")
    max_bytes: int | None = Field(default=None, ge=1)
    min_chars: int = Field(default=600, ge=0)
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The Python files of the packages, at most `max_bytes` of them."""
    found = [file for package in config.packages for file in package_files(package, (".py",))]
    kept = [f for f in found if not any(fnmatchcase(f.name, pattern) for pattern in config.exclude)]
    return take_until(kept, config.max_bytes)


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The docstrings of one module as one document, none where they are shorter than `min_chars`."""
    code = read_text(file, MAX_SOURCE_BYTES)
    if isinstance(code, Quarantined):
        yield code
        return
    if code.count('"""') + code.count("'''") < 2:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield Quarantined(path=file.name, reason=f"not Python: {' '.join(str(error).split())[:200]}")
        return
    name = module_name(file.name)
    parts = [part for part in _sections(module, name) if part]
    text = "\n\n".join(parts).strip() + "\n"
    if len(text) >= config.min_chars and len(parts) > 0:
        yield make_document(source, f"doc:{name}", text, {"module": name, "format": "docstring", **config.meta})


def module_name(path: str) -> str:
    """The dotted name of the module in a file ("scipy/linalg/__init__.py" is scipy.linalg)."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _sections(module: ast.Module, name: str) -> Iterator[str]:
    top = ast.get_docstring(module, clean=False)
    if top and top.strip():
        yield f"# {name}\n\n{prose(top)}"
    yield from _members(module.body, name)


def _members(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                yield from _entry(node, f"{prefix}.{node.name}")
                yield from _members(node.body, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            names = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
            yield from _entry(node, f"{prefix}.{node.name}({', '.join(names)})")


def _entry(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, title: str) -> Iterator[str]:
    text = ast.get_docstring(node, clean=False)
    if text and len(text) > 80:
        yield f"## {title}\n\n{prose(text)}"


def prose(docstring: str) -> str:
    """A docstring without its indentation and markup roles, with formulas as $...$ and $$...$$."""
    text = inspect.cleandoc(docstring) + "\n"
    text = _INLINE_MATH.sub(lambda m: f"${m[1].strip()}$", text)
    text = _MATH_BLOCK.sub(_display, text)
    text = _DIRECTIVE.sub("", text)
    text = _ROLE.sub(lambda m: f"`{m[1]}`", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _display(match: re.Match[str]) -> str:
    body = textwrap.dedent(match[3])
    lines = [line for line in [match[2] or "", *body.split("\n")] if line.strip() and not line.startswith(":")]
    formula = "\n".join(line.rstrip() for line in lines)
    return f"{match[1]}$$\n{textwrap.indent(formula, match[1])}\n{match[1]}$$\n\n" if formula else ""

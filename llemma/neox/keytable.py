"""Every key of GPT-NeoX's configuration: name, type, default, group and source line.

`keys.json` beside this file holds the table. It is generated from a checkout, by reading its source (nothing of
it is imported), with

    python -m llemma.neox.keytable NEOX_DIR

and holds: {"commit", "keys": {name: {"type", "choices", "default", "group", "source"}}}. "type" is one of int, float,
number (int or float), str, bool, list, dict, any; "choices" lists the allowed words, in any letter case, or is null;
"default" is null where NeoX computes it; "source" is "file:line" in the checkout.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llemma.core.errors import InputError, LlemmaError
from llemma.core.files import write_text

TABLE_PATH = Path(__file__).with_name("keys.json")
_SOURCES = ("megatron/neox_arguments/deepspeed_args.py", "megatron/neox_arguments/neox_args.py")
_SCALARS = {"int", "float", "str", "bool", "list", "dict"}


@dataclass(frozen=True, kw_only=True)
class NeoxKey:
    """One key that NeoX knows."""

    name: str
    type: str
    choices: tuple[str, ...] | None
    default: Any
    group: str
    source: str

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value of this key by NeoX's own type check, or None."""
        if value is None or self.type == "any":
            return None
        if self.choices is not None and isinstance(value, str):
            if value.lower() in {choice.lower() for choice in self.choices}:
                return None
            return f"is {value!r}, but must be one of {', '.join(self.choices)}"
        if any(_is_of_type(value, kind) for kind in self.type.split("|")):
            return None
        wanted = self.type.replace("|", " or ")
        return f"is {value!r}, but must be of type {wanted}"


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "number": (int, float), "str": (str,), "bool": (bool,), "list": (list,),
    "dict": (dict,),
}  # fmt: skip


def _is_of_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # Python counts True as an int; NeoX compares exact types
        return kind == "bool"
    return isinstance(value, _TYPES[kind])


@functools.cache
def known_keys() -> dict[str, NeoxKey]:
    """The table, by key name."""
    table = json.loads(TABLE_PATH.read_text(encoding="utf-8"))
    return {
        name: NeoxKey(name=name, **{**entry, "choices": tuple(entry["choices"]) if entry["choices"] else None})
        for name, entry in table["keys"].items()
    }


def table_commit() -> str:
    """The commit of GPT-NeoX that the table was read from."""
    commit: str = json.loads(TABLE_PATH.read_text(encoding="utf-8"))["commit"]
    return commit


def read_checkout(neox_dir: Path) -> dict[str, Any]:
    """The table of a GPT-NeoX checkout, read from its source with ast. Raises InputError if it is none."""
    keys: dict[str, NeoxKey] = {}
    for source in _SOURCES:
        path = neox_dir / source
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{neox_dir}: this is not a GPT-NeoX checkout, it has no {source}") from None
        except SyntaxError as error:
            raise InputError(f"{path}:{error.lineno}: this is not readable Python ({error.msg})") from None
        for key in _keys_of_module(tree, source):
            keys[key.name] = key  # a key that stands twice in one class keeps its last definition, as in Python
    return {
        "commit": _commit_of(neox_dir),
        "keys": {
            key.name: {
                "type": key.type,
                "choices": list(key.choices) if key.choices else None,
                "default": key.default,
                "group": key.group,
                "source": key.source,
            }
            for key in keys.values()
        },
    }


def _keys_of_module(tree: ast.Module, source: str) -> Iterator[NeoxKey]:
    for node in tree.body:
        if not (isinstance(node, ast.ClassDef) and node.name.startswith("NeoXArgs")):
            continue
        for item in node.body:
            # An assignment without a type (`tokenizer = None`) is no field: NeoX refuses it in a file.
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                kind, choices = _kind_of(item.annotation)
                yield NeoxKey(
                    name=item.target.id,
                    type=kind,
                    choices=choices,
                    default=_default_of(item.value),
                    group=node.name.removeprefix("NeoXArgs"),
                    source=f"{source}:{item.lineno}",
                )


def _kind_of(annotation: ast.expr) -> tuple[str, tuple[str, ...] | None]:
    if isinstance(annotation, ast.Name):
        return (annotation.id if annotation.id in _SCALARS else "any"), None
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        inside = annotation.slice
        parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        match annotation.value.id:
            case "Literal":
                return "str", tuple(str(part.value) for part in parts if isinstance(part, ast.Constant))
            case "List":
                return "list", None
            case "Optional" | "Union":
                kinds: list[str] = []
                for part in parts:
                    kind, _ = _kind_of(part)
                    if kind not in kinds:
                        kinds.append(kind)
                return ("number" if set(kinds) == {"int", "float"} else "|".join(kinds)), None
    return "any", None


def _default_of(value: ast.expr | None) -> Any:
    if value is None:
        return None
    try:
        return ast.literal_eval(value)
    except ValueError:  # a call, such as the checkout's own git hash
        return None


def _commit_of(neox_dir: Path) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(neox_dir), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        raise InputError(f"{neox_dir}: cannot read the checkout's commit: is it a git clone?") from None
    return answer.stdout.strip()


def main(argv: list[str] | None = None) -> int:
    """Writes keys.json from a checkout; with --check only says whether it is up to date."""
    parser = argparse.ArgumentParser(prog="python -m llemma.neox.keytable", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("neox_dir", type=Path, metavar="NEOX_DIR", help="a clone of GPT-NeoX")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if the table is not the checkout's")
    args = parser.parse_args(argv)
    try:
        table = read_checkout(args.neox_dir)
        if args.check:
            same = table["keys"] == json.loads(TABLE_PATH.read_text(encoding="utf-8"))["keys"]
            print("the table is the checkout's" if same else "the table differs from the checkout")
            return 0 if same else 1
        rows = [f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(table["keys"].items())]
        body = ",\n".join(rows)
        text = f'{{\n  "commit": {json.dumps(table["commit"])},\n  "keys": {{\n{body}\n  }}\n}}\n'
        write_text(TABLE_PATH, text)
    except LlemmaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{TABLE_PATH}: {len(table['keys'])} keys of {table['commit'][:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

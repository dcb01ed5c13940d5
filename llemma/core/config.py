"""Strict YAML, and typed configurations made from it.

What people write by hand is read by the rules of YAML 1.2, so that `1e-4` is a number and `no` is a word.
Refused, all in one error with file and line: keys that stand twice (`train-iters` beside `train_iters` too),
unknown keys, missing keys, wrong types, anchors, aliases, merge keys and tags.
"""

from __future__ import annotations

import difflib
import json
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from llemma.core.errors import ConfigError, InputError, Problem

MAX_YAML_BYTES = 4 << 20  # chosen by us: a hundred times the longest recipe
KeyPath = tuple[str | int, ...]


class Config(pydantic.BaseModel):
    """Base of every typed configuration: frozen, and a key that it does not know is an error."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=pydantic.BaseModel)


@dataclass(frozen=True)
class YamlFile:
    """A YAML file's value as plain dictionaries, lists and scalars, and the line of each of its keys."""

    path: str
    value: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, keys: Sequence[str | int]) -> int | None:
        """Line of a key, or of the nearest one above it; None for the whole file."""
        path = tuple(keys)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def problem(self, keys: Sequence[str | int], message: str) -> Problem:
        """A problem at a key of this file."""
        return Problem(self.path, self.line(keys), message)


def load_config(path: str | Path, model: type[C]) -> C:
    """The typed configuration in a YAML file. Raises ConfigError with all of its problems."""
    return check_config(load_yaml(path), model)


def load_yaml(path: str | Path) -> YamlFile:
    """A YAML file whose top level is a mapping, read strictly. Raises InputError or ConfigError."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: this is not a file") from None
    if len(data) > MAX_YAML_BYTES:
        raise InputError(f"{path}: {len(data):,} bytes are too many for a configuration (at most {MAX_YAML_BYTES:,})")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError([Problem(str(path), line, "this is not UTF-8 text")]) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, path: str) -> YamlFile:
    """The value of YAML text; `path` is the name that problems are reported under."""
    reader = _StrictReader(path)
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"this is not valid YAML: {error.problem or error.context}"
        raise ConfigError([Problem(path, mark.line + 1 if mark else None, message)]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(path, None, f"this is not valid YAML: {error}")]) from None
    except RecursionError:
        raise ConfigError([Problem(path, None, "this is nested too deeply")]) from None
    value = {} if node is None else reader.value(node, ())
    if not isinstance(value, dict):
        reader.complain(node, "the file must hold keys and values at its top level")
    if reader.problems:
        raise ConfigError(sorted(reader.problems, key=lambda problem: problem.line or 0))
    return YamlFile(path, value, reader.lines)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer without aliases: they make small files large and are no help in a configuration."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
            message = f"the anchor {mark}{anchor} is not allowed, write the value out"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


_INT = re.compile(r"[-+]?[0-9][0-9_]*\Z")
_HEX_OR_OCTAL = re.compile(r"0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge")
}
_MERGE_TAG = "tag:yaml.org,2002:merge"


class _StrictReader:
    """Turns composed nodes into plain values, keeping each key's line and collecting problems."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []

    def complain(self, node: yaml.Node | None, message: str) -> None:
        self.problems.append(Problem(self.path, node.start_mark.line + 1 if node else None, message))

    def value(self, node: yaml.Node, keys: KeyPath) -> Any:
        if keys:
            self.lines.setdefault(keys, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            self.complain(node, f"the tag {node.tag} is not allowed")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, keys: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first_lines: dict[str, tuple[str, int]] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.tag == _MERGE_TAG or not isinstance(key_node, yaml.ScalarNode):
                self.complain(key_node, "only plain words may be keys here (no merge keys, lists or mappings)")
                continue
            line = key_node.start_mark.line + 1
            # GPT-NeoX takes `a-b` and `a_b` for one key and checks only one of the two spellings for duplicates.
            same = key.replace("-", "_")
            if same in first_lines:
                spelling, first_line = first_lines[same]
                self.complain(key_node, f"the key '{key}' stands twice (first as '{spelling}' at line {first_line})")
                continue
            first_lines[same] = (key, line)
            self.lines[(*keys, key)] = line
            result[key] = self.value(value_node, (*keys, key))
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        assert isinstance(node, yaml.ScalarNode)
        text = node.value
        if node.style is not None:  # quoted or block text is always text
            return text
        if text in _SPECIAL:
            return _SPECIAL[text]
        if _HEX_OR_OCTAL.match(text):
            return int(text, 0)
        if _INT.match(text):
            digits = text.lstrip("+-").replace("_", "")
            if len(digits) > 1 and digits[0] == "0":
                self.complain(node, f"'{text}' begins with 0: write it without, or quote it if it is text")
            if len(digits) > 4000:
                self.complain(node, "this number is too long")
                return None
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        return text


def check_config(yaml_file: YamlFile, model: type[C]) -> C:
    """The typed configuration of a file that has been read. Raises ConfigError with all of its problems."""
    try:
        # Strict over JSON: a word is never taken for a number, yet a path may be written as text.
        return model.model_validate_json(json.dumps(yaml_file.value), strict=True)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        problems = [_describe(yaml_file, model, detail) for detail in details if not _is_echo(detail, details)]
        unique = dict.fromkeys(problems)
        raise ConfigError(sorted(unique, key=lambda problem: problem.line or 0)) from None


def describe_invalid(
    path: str, value: Any, model: type[pydantic.BaseModel], error: pydantic.ValidationError
) -> ConfigError:
    """A pydantic error over a value that has no lines (JSON), as our ConfigError."""
    whole = YamlFile(path, value, {})
    return ConfigError([_describe(whole, model, detail) for detail in error.errors(include_url=False)])


def _is_echo(detail: Any, details: Sequence[Any]) -> bool:
    """True for "too short" where pydantic left out members only because they are wrong, which is said of each."""
    depth = len(detail["loc"])
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == detail["loc"] for other in details
    )


def _describe(yaml_file: YamlFile, model: type[pydantic.BaseModel], detail: Any) -> Problem:
    keys = _written_keys(yaml_file.value, detail["loc"])
    name = ".".join(str(key) for key in keys) or "the file"
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _field_names(model, detail["loc"][:-1])
        message = f"unknown key '{keys[-1]}'{did_you_mean(str(keys[-1]), known)}"
    elif kind == "missing":
        message = f"the key '{detail['loc'][-1]}' is missing" + (f" in '{name}'" if keys else "")
    elif kind == "union_tag_invalid":
        known = [word.strip("'") for word in detail["ctx"]["expected_tags"].split(", ")]
        tag, key = detail["ctx"]["tag"], detail["ctx"]["discriminator"].strip("'")
        message = f"'{name}': {key} '{tag}' is unknown{did_you_mean(tag, known)}, wanted one of: {', '.join(known)}"
    elif kind == "union_tag_not_found":
        message = f"the key '{detail['ctx']['discriminator'].strip(chr(39))}' is missing in '{name}'"
    elif kind == "value_error":
        message = str(detail["ctx"]["error"])
        if len(keys) > 0:
            message = f"'{name}': {message}"
    else:
        found = detail["input"]
        shown = f" is {found!r}" if isinstance(found, str | int | float | bool | None) else ""
        message = f"'{name}'{shown}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return yaml_file.problem(keys, message)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """' (did you mean 'x'?)' for the nearest known word, or an empty string where none is near."""
    candidates = {name.replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.replace("-", "_"), list(candidates), n=1)
    return f" (did you mean '{candidates[near[0]]}'?)" if near else ""


def _written_keys(value: Any, loc: KeyPath) -> KeyPath:
    """The part of pydantic's location that stands in the file (it also names the members of unions)."""
    keys: list[str | int] = []
    for item in loc:
        in_list = isinstance(value, list) and isinstance(item, int) and item < len(value)
        if in_list or (isinstance(value, dict) and item in value):
            keys.append(item)
            value = value[item]
    return tuple(keys)


def _field_names(model: type[pydantic.BaseModel], loc: KeyPath) -> list[str]:
    """Names of the fields that would have been right at a place of a model."""
    models: list[Any] = [model]
    for item in loc:
        fields = [m.model_fields[item].annotation for m in models if isinstance(item, str) and item in m.model_fields]
        if fields:
            models = [found for annotation in fields for found in _models_in(annotation)]
        elif isinstance(item, str):
            models = [m for m in models if _has_tag(m, item)] or models
    return [name for m in models for name in m.model_fields]


def _has_tag(model: type[pydantic.BaseModel], tag: str) -> bool:
    """True if this member of a tagged union is the one that `tag` (or its class name) selects."""
    literals = (typing.get_args(field.annotation) for field in model.model_fields.values())
    return model.__name__ == tag or any(tag in values for values in literals)


def _models_in(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)

"""Strict YAML: every mistake is reported with file, line, key, what was got, what was expected and a fix.

Parsing is PyYAML's, checking is msgspec's; this module only joins the two so that the message names the line.
"""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml

from divo_runtime.errors import ContractError

T = TypeVar("T", bound=msgspec.Struct)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable data with named fields; unknown keys are errors."""


def read_yaml(path: Path, record: type[T]) -> T:
    """Read a YAML file as `record`.

    Raises:
        ContractError: If the file is missing, is not YAML, or does not fit the record.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fix = "Check the path and the file's encoding."
        raise ContractError(f"Cannot read {path}.", got=str(error), fix=fix) from error
    return parse_yaml(text, record, str(path))


def parse_yaml(text: str, record: type[T], source: str) -> T:
    """Parse YAML text as `record`; `source` names it in errors.

    Raises:
        ContractError: As `read_yaml`.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ContractError("The file is not valid YAML.", where=f"{source}{line}", got=problem) from error
    _require_single_keys(tree, source)
    return convert(data, record, source, tree)


def _require_single_keys(node: yaml.Node | None, source: str) -> None:
    """Refuse a key that stands twice in one place, of which YAML would silently take the last: it may be a limit."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _require_single_keys(item, source)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ContractError(
                    "A key stands twice.", where=f"{source}:{line}, key '{key.value}'",
                    got=f"'{key.value}' in lines {seen[key.value]} and {line}", fix="Remove one of the two.",
                )  # fmt: skip
            seen[key.value] = line
            _require_single_keys(value, source)


def convert(data: Any, record: type[T], source: str, tree: yaml.Node | None = None) -> T:
    """Check plain data (as YAML or JSON gives it) against `record`.

    Raises:
        ContractError: As `read_yaml`.
    """
    try:
        return msgspec.convert(data, record)
    except msgspec.ValidationError as error:
        raise _explain(str(error), data, record, source, tree) from error


def _explain(
    message: str, data: Any, record: type[msgspec.Struct], source: str, tree: yaml.Node | None
) -> ContractError:
    problem, _, location = message.partition(" - at `")
    path = _path_steps(location.rstrip("`"))
    unknown = re.search(r"unknown field `(.+)`", problem)
    missing = re.search(r"missing required field `(.+)`", problem)
    expected, _, got = problem.partition(", got ")
    if unknown:
        key = unknown.group(1)
        near = difflib.get_close_matches(key, sorted(_field_names(record)), n=1)
        fix = f"Did you mean '{near[0]}'?" if near else "Remove it, or see docs/contract.md for the keys."
        got, expected, path = f"the unknown key '{key}'", "a known key", (*path, key)
    elif missing:
        got, expected = "nothing", f"the key '{missing.group(1)}'"
        fix = f"Add '{missing.group(1)}:' here."
    else:
        value = _value_at(data, path)
        got = got.replace("`", "") if value is None or isinstance(value, dict) else repr(value)
        choices = get_args(kind) if get_origin(kind := _type_at(record, path)) is Literal else ()
        expected = expected.removeprefix("Expected ").replace("`", "")
        expected = f"one of {', '.join(map(str, choices))}" if choices else expected
        fix = "Change the value; docs/contract.md lists every key with its type and unit."
        if expected == "float" and isinstance(value, str) and _is_number(value):
            fix = f"Write {float(value)!r}: YAML takes {value} for a text, as it wants a point and a sign in 1.0e+3."
    dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    line = _line_of(tree, path)
    where = f"{source}{f':{line}' if line else ''}, key '{dotted or '(top level)'}'"
    return ContractError("The file does not fit its schema.", where=where, got=got, expected=expected, fix=fix)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _path_steps(location: str) -> tuple[str | int, ...]:
    """Split msgspec's `$.observation[0].unit` into steps."""
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", location)
    return tuple(name if name else int(index) for name, index in steps)


def _value_at(data: Any, path: tuple[str | int, ...]) -> Any:
    try:
        for step in path:
            data = data[step]
    except (KeyError, IndexError, TypeError):
        return None
    return data


def _type_at(kind: Any, path: tuple[str | int, ...]) -> Any:
    """The declared type of the value at `path`, without its annotations."""
    for step in path:
        if isinstance(step, int):
            kind = get_args(kind)[0] if get_args(kind) else None
        else:
            kind = get_type_hints(kind).get(step) if isinstance(kind, type) else None
    return kind


def _line_of(node: yaml.Node | None, path: tuple[str | int, ...]) -> int | None:
    """1-based line of the deepest node of `path` that exists."""
    if node is None:
        return None
    line: int = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _field_names(kind: Any) -> set[str]:
    """All field names of a record and of the records inside it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        inner = (_field_names(hint) for hint in hints.values())
        return set(kind.__struct_fields__).union(*inner)
    return set().union(*(_field_names(argument) for argument in get_args(kind)))

"""What a ROS message type is made of, worked out from its Python class, and the text that defines it.

An MCAP file carries the definition of every type in it. Message packages do not always bring their `.msg` files along,
but every generated class knows its fields; comments and constants are lost that way, layout and names are not.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

BETWEEN = "\n" + "=" * 80 + "\n"
"""What stands between the definitions of a type and those it uses, as rosbag2 has it."""

_IDL_NAMES = {"double": "float64", "float": "float32", "boolean": "bool", "octet": "byte"}
"""IDL's name -> that of `.msg` files, where they differ."""
_PATTERN = re.compile(
    r"(?:sequence<(?P<listed>[^,]+?)(?:, *(?P<most>\d+))?>|(?P<plain>[^\[\]]+?))(?:\[(?P<count>\d+)\])?$"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    kind: str
    """As in a `.msg` file, such as `float64`, `string` or `std_msgs/Header`."""
    bound: str = ""
    """Largest length of a string, such as `<=10`."""
    listed: bool = False
    """Whether it is a sequence of any length, or of a largest one."""
    most: str = ""
    """Largest length of a sequence, such as `<=3`."""
    count: int = 0
    """Length of an array; 0 for anything else."""

    @property
    def nested(self) -> bool:
        """Whether its elements are messages."""
        return "/" in self.kind

    @property
    def line(self) -> str:
        """The field in a `.msg` file."""
        brackets = f"[{self.most}]" if self.listed else f"[{self.count}]" if self.count else ""
        return f"{self.kind}{self.bound}{brackets} {self.name}"


def message_fields(kind: type[Any]) -> tuple[Field, ...]:
    """Return the fields of a message class, which has ROS's `get_fields_and_field_types`."""
    fields = []
    for name, idl in kind.get_fields_and_field_types().items():
        match = _PATTERN.match(idl)
        assert match, f"{kind.__name__}.{name} has the unknown type {idl!r}"
        item = match["listed"] or match["plain"]
        bare = item.partition("<")[0]  # string<10> is a bounded string
        bound = f"<={item[len(bare) + 1 : -1]}" if item != bare else ""
        most = f"<={match['most']}" if match["most"] else ""
        fields.append(
            Field(name, _IDL_NAMES.get(bare, bare), bound, bool(match["listed"]), most, int(match["count"] or 0))
        )
    return tuple(fields)


def nested_class(name: str) -> type[Any]:
    """Return the class of a type as fields name it, such as `std_msgs/Header`.

    Raises:
        ImportError: If its package is not there.
    """
    package, _, short = name.partition("/")
    found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), short)
    return found


def message_definition(kind: type[Any]) -> str:
    """Return the definition of a message class and, after it, of every type that it uses.

    Raises:
        ImportError: If the class of a nested type cannot be imported.
    """
    parts, waiting = [_own_lines(kind)], _used(kind)
    seen = set(waiting)
    while waiting:
        name = waiting.pop(0)
        nested = nested_class(name)
        parts.append(f"MSG: {name}\n{_own_lines(nested)}")
        waiting += [other for other in _used(nested) if other not in seen]
        seen.update(waiting)
    return BETWEEN.join(parts)


def _own_lines(kind: type[Any]) -> str:
    return "".join(f"{field.line}\n" for field in message_fields(kind))


def _used(kind: type[Any]) -> list[str]:
    return list(dict.fromkeys(field.kind for field in message_fields(kind) if field.nested))

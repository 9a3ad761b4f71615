"""ROS messages as CDR, whether they are of rclpy or plain objects with the same fields.

Not rclpy's own serialisation: that of Fast DDS (ros-rclpy 9.1.2) may leave some bytes of stale memory after the last
field and between fields, by which the same message has different bytes each time and `rosbags` refuses some of them.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from divo_runtime.recording.cdr import CdrWriter
from divo_runtime.recording.ros_types import Field, message_fields, nested_class

Write = Callable[[CdrWriter, Any], None]

NUMBERS = {
    "bool": "<u1",
    "byte": "<u1",
    "char": "<u1",
    "float32": "<f4",
    "float64": "<f8",
    **{f"{sign}int{8 * size}": f"<{'u' if sign else 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)},
}
"""Type in a `.msg` file -> little-endian numpy type."""


def message_encoder(kind: type[Any]) -> Callable[[Any], bytes]:
    """Return what encodes messages of a class, or other objects with its fields.

    Args:
        kind: A class with ROS's `get_fields_and_field_types`.

    Raises:
        ImportError: If the class of a nested type cannot be imported.
    """
    write = _message_writer(kind)

    def encode(message: Any) -> bytes:
        writer = CdrWriter()
        write(writer, message)
        return writer.message()

    return encode


def _message_writer(kind: type[Any]) -> Write:
    steps = [(attrgetter(field.name), _field_writer(field)) for field in message_fields(kind)]
    if not steps:  # a message without fields is one byte on the wire
        return lambda writer, message: writer.number(0, "<u1")

    def write(writer: CdrWriter, message: Any) -> None:
        for get, put in steps:
            put(writer, get(message))

    return write


def _field_writer(field: Field) -> Write:
    if not field.listed and not field.count:
        return _element_writer(field)
    if field.kind in NUMBERS:
        kind = NUMBERS[field.kind]
        if field.listed:
            return lambda writer, values: writer.numbers(_bytes_as_numbers(values), kind)
        return lambda writer, values: writer.array(_bytes_as_numbers(values), kind)
    put, listed = _element_writer(field), field.listed

    def write(writer: CdrWriter, values: Any) -> None:
        if listed:
            writer.number(len(values), "<u4")
        for value in values:
            put(writer, value)

    return write


def _element_writer(field: Field) -> Write:
    if field.nested:
        return _message_writer(nested_class(field.kind))
    if field.kind == "string":
        return CdrWriter.string
    kind = NUMBERS[field.kind]
    if field.kind == "byte":  # rclpy has a byte as `bytes` of length 1
        return lambda writer, value: writer.number(value[0] if isinstance(value, bytes) else value, kind)
    return lambda writer, value: writer.number(value, kind)


def _bytes_as_numbers(values: Any) -> Any:
    """Return what numpy can take: a list of single bytes, as rclpy has a sequence of `byte`, becomes numbers."""
    if isinstance(values, bytes):
        return np.frombuffer(values, np.uint8)
    if isinstance(values, list | tuple) and values and isinstance(values[0], bytes):
        return [value[0] for value in values]
    return values

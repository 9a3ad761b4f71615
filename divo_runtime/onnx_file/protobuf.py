"""Protobuf messages taken apart without a schema: a message is a sequence of (field number, wire type, value).

Enough to read an ONNX file where the onnx package is not installed.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Field = tuple[int, "int | bytes"]
"""Field number and value: an int (varint), or bytes (length-delimited or of fixed size)."""


def split_fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of one message.

    Raises:
        ValueError: If the bytes are no message.
        IndexError: If they end within a number.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            size, at = _varint(data, at)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {wire_type} at byte {at}")
        if number == 0 or at + size > len(data):
            raise ValueError(f"protobuf field {number} of {size} bytes at byte {at} of {len(data)}")
        yield number, data[at : at + size]
        at += size


def only_message(fields: Sequence[Field], number: int) -> bytes:
    """Return the one field of a number.

    Raises:
        ValueError: If there is none, or more than one.
    """
    found = messages(fields, number)
    if len(found) != 1:
        raise ValueError(f"{len(found)} protobuf fields {number}, expected 1")
    return found[0]


def messages(fields: Sequence[Field], number: int) -> list[bytes]:
    """Return every length-delimited field of a number, in order."""
    return [as_bytes(value) for key, value in fields if key == number]


def integers(fields: Sequence[Field], number: int) -> list[int]:
    """Return a repeated integer field, packed or not, as 64 bits with a sign."""
    found: list[int] = []
    for key, value in fields:
        if key != number:
            continue
        if isinstance(value, int):
            found.append(signed(value))
            continue
        at = 0
        while at < len(value):
            one, at = _varint(value, at)
            found.append(signed(one))
    return found


def signed(value: int) -> int:
    """Return a varint as the signed 64-bit number that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def as_bytes(value: int | bytes) -> bytes:
    """Return a length-delimited value.

    Raises:
        ValueError: If it is a number.
    """
    if isinstance(value, int):
        raise ValueError(f"a number ({value}) where a message belongs")
    return value


def as_int(value: int | bytes) -> int:
    """Return a number.

    Raises:
        ValueError: If it is bytes.
    """
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value


def as_text(value: int | bytes) -> str:
    """Return a string."""
    return as_bytes(value).decode("utf-8")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the base-128 number at `at` and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError(f"protobuf number without an end at byte {at}")

"""Plain CDR, little endian, as ROS 2 has it on the wire: just enough for the messages that we define ourselves.

Every number stands at a multiple of its size, counted from after the four bytes of the head; a sequence is its length
and its elements. Source: OMG Common Data Representation (formal/02-06-51, 15.3), with the head of DDSI-RTPS 10.5.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD = b"\x00\x01\x00\x00"
"""Representation identifier for plain CDR in little endian, and no options."""

_LENGTH = struct.Struct("<I")
_NUMBERS = {
    kind: struct.Struct(f"<{letter}")
    for kind, letter in zip(
        ("<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"), "bBhHiIqQfd", strict=True
    )
}
"""Little-endian numpy type -> how one such number is packed."""


class CdrWriter:
    """Puts one message together, field by field."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def message(self) -> bytes:
        """Return the message, head included."""
        return HEAD + b"".join(self._parts)

    def raw(self, data: bytes) -> None:
        """Append what is already encoded; its numbers must be aligned for this place."""
        self._parts.append(data)
        self._size += len(data)

    def string(self, text: str) -> None:
        """Append a string."""
        self._align(4)
        encoded = text.encode()
        self.raw(_LENGTH.pack(len(encoded) + 1) + encoded + b"\x00")

    def strings(self, texts: Sequence[str]) -> None:
        """Append a sequence of strings."""
        self._align(4)
        self.raw(_LENGTH.pack(len(texts)))
        for text in texts:
            self.string(text)

    def number(self, value: float, kind: str) -> None:
        """Append one number of a little-endian numpy type such as `<f4`."""
        layout = _NUMBERS[kind]
        self._align(layout.size)
        self.raw(layout.pack(value))

    def array(self, values: NDArray[Any] | Sequence[float], kind: str) -> None:
        """Append (n,) numbers whose count the reader knows."""
        array = np.asarray(values, dtype=kind)
        if array.size:  # nothing is not preceded by padding
            self._align(array.itemsize)
            self.raw(array.tobytes())

    def numbers(self, values: NDArray[Any] | Sequence[float], kind: str) -> None:
        """Append a sequence of (n,) numbers of a little-endian numpy type."""
        self._align(4)
        self.raw(_LENGTH.pack(len(values)))
        self.array(values, kind)

    def _align(self, size: int) -> None:
        if missing := -self._size % size:
            self.raw(bytes(missing))


class CdrReader:
    """Takes one message apart in the order in which it was put together.

    Raises:
        ValueError: By any method, where the data end too early or are no plain little-endian CDR.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] != HEAD:
            raise ValueError(f"expected plain CDR in little endian, got the head {data[:4].hex()}")
        self._data = memoryview(data)[4:]
        self._at = 0

    def fixed(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Return numbers that stand at the beginning of the message, described by a struct."""
        return layout.unpack(self._take(layout.size))

    def string(self) -> str:
        """Return a string."""
        return bytes(self._take(self._length())[:-1]).decode()

    def strings(self) -> tuple[str, ...]:
        """Return a sequence of strings."""
        return tuple(self.string() for _ in range(self._length()))

    def numbers(self, kind: str) -> NDArray[Any]:
        """Return (n,) numbers of a numpy type such as `<f4`."""
        size = self._length()
        item = np.dtype(kind).itemsize
        if size:
            self._align(item)
        return np.frombuffer(self._take(size * item), dtype=kind)

    def _length(self) -> int:
        self._align(4)
        return int(_LENGTH.unpack(self._take(4))[0])

    def _align(self, size: int) -> None:
        self._at += -self._at % size

    def _take(self, size: int) -> memoryview:
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise ValueError(f"the message ends after {len(self._data)} bytes, {self._at + size} are needed")
        self._at += size
        return part

"""What an ONNX file holds, read without the onnx package: names, shapes, opset, and how many numbers it has learnt.

An ONNX file is one protobuf message; protobuf is a sequence of (field number, wire type, value). Only the few fields
that are needed are decoded. Field numbers are those of onnx.proto (onnx 1.x, ModelProto and below).
Sources: https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from divo_runtime.errors import BundleError
from divo_runtime.interfaces import TensorSpec

Field = tuple[int, "int | bytes"]

MODEL_GRAPH, MODEL_OPSET, MODEL_METADATA = 7, 8, 14
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 5, 11, 12
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME = 1, 2, 8
DTYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}


@dataclass(frozen=True, slots=True)
class Graph:
    """The outside of a network."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int
    parameters: int
    """How many float32 numbers are stored in it."""
    metadata: dict[str, str]
    """The file's `metadata_props`."""


def read_graph(path: Path) -> Graph:
    """Read the outside of an ONNX file.

    Raises:
        BundleError: If the file cannot be read or is no ONNX graph.
    """
    try:
        model = list(_fields(path.read_bytes()))
        graph = list(_fields(_only(model, MODEL_GRAPH)))
        opsets = [dict(_fields(_bytes(value))) for number, value in model if number == MODEL_OPSET]
        pairs = [dict(_fields(_bytes(value))) for number, value in model if number == MODEL_METADATA]
        stored = [list(_fields(_bytes(value))) for number, value in graph if number == GRAPH_INITIALIZER]
        stored_names = {_text(dict(tensor).get(TENSOR_NAME, b"")) for tensor in stored}
        specs = {
            side: tuple(_tensor_spec(_bytes(value)) for number, value in graph if number == side)
            for side in (GRAPH_INPUT, GRAPH_OUTPUT)
        }
        return Graph(
            inputs=tuple(spec for spec in specs[GRAPH_INPUT] if spec.name not in stored_names),
            outputs=specs[GRAPH_OUTPUT],
            opset=next((_int(o[OPSET_VERSION]) for o in opsets if o.get(OPSET_DOMAIN, b"") in (b"", b"ai.onnx")), 0),
            parameters=sum(math.prod(_dims(tensor)) for tensor in stored if (TENSOR_TYPE, 1) in tensor),
            metadata={_text(pair.get(1, b"")): _text(pair.get(2, b"")) for pair in pairs},
        )
    except OSError as error:
        raise BundleError("A network file cannot be read.", where=str(path), got=str(error)) from error
    except (ValueError, KeyError, IndexError) as error:
        raise BundleError(
            "A network file is no ONNX graph.",
            where=str(path),
            got=str(error),
            expected="an ONNX model",
            fix="Export the bundle again.",
        ) from error


def _fields(data: bytes) -> Iterator[Field]:
    """Yield (field number, value) of one message; values are int (varint) or bytes (length-delimited or fixed)."""
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


def _tensor_spec(data: bytes) -> TensorSpec:
    """Read a ValueInfoProto: name 1, type 2 -> tensor_type 1 -> elem_type 1, shape 2 -> dim 1 -> dim_value 1."""
    info = dict(_fields(data))
    tensor = dict(_fields(_only(list(_fields(_bytes(info[2]))), 1)))
    dims = [dict(_fields(_bytes(dim))) for number, dim in _fields(_bytes(tensor.get(2, b""))) if number == 1]
    shape = tuple(_int(dim.get(1, -1)) for dim in dims)  # -1: a named, open dimension
    return TensorSpec(_text(info[1]), shape, DTYPES.get(_int(tensor[1]), f"type {tensor[1]!r}"))


def _dims(tensor: list[Field]) -> list[int]:
    """Read the dims of a TensorProto, packed or not."""
    dims: list[int] = []
    for number, value in tensor:
        if number != TENSOR_DIMS:
            continue
        if isinstance(value, int):
            dims.append(value)
            continue
        at = 0
        while at < len(value):
            size, at = _varint(value, at)
            dims.append(size)
    return dims


def _only(fields: list[Field], number: int) -> bytes:
    found = [value for key, value in fields if key == number]
    if len(found) != 1:
        raise ValueError(f"{len(found)} protobuf fields {number}, expected 1")
    return _bytes(found[0])


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"a number ({value}) where a message belongs")
    return value


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode("utf-8")

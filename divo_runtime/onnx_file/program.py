"""What an ONNX file computes, read without the onnx package: its nodes in their order, and its constants.

For engines that do not read ONNX themselves. Field numbers are those of onnx.proto.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divo_runtime.errors import BackendError, BundleError
from divo_runtime.onnx_file.graph import (
    GRAPH_INITIALIZER,
    MODEL_GRAPH,
    TENSOR_DIMS,
    TENSOR_NAME,
    TENSOR_TYPE,
    Graph,
    read_graph,
)
from divo_runtime.onnx_file.protobuf import (
    as_bytes,
    as_int,
    as_text,
    integers,
    messages,
    only_message,
    signed,
    split_fields,
)

GRAPH_NODE = 1
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS = 1, 2, 3, 8
TENSOR_RAW, TENSOR_ELSEWHERE = 9, 14
STORED: Mapping[int, tuple[str, int]] = {1: ("<f4", 4), 6: ("<i4", 5), 7: ("<i8", 7)}
"""Type of an element -> numpy's name, and the field that holds the numbers where they are not in raw bytes."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator."""

    operator: str
    """Such as `Gemm`, with the domain before it if it is not ONNX's own: `com.microsoft.FusedGemm`."""
    inputs: tuple[str, ...]
    """Names of tensors; empty where an optional one is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, float | tuple[int, ...]] = field(default_factory=dict)
    """Numbers and lists of integers; attributes of other kinds are left out."""

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is one integer.

        Raises:
            ValueError: If it is something else.
        """
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"the attribute {name} is {value}, not an integer")
        return value

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is one number.

        Raises:
            ValueError: If it is something else.
        """
        value = self.attributes.get(name, default)
        if isinstance(value, tuple):
            raise ValueError(f"the attribute {name} is {value}, not a number")
        return float(value)


@dataclass(frozen=True, slots=True)
class Program:
    """A network as a list of operations."""

    outside: Graph
    nodes: tuple[Node, ...]
    """Each after those whose tensors it reads."""
    constants: Mapping[str, Array]
    """Name -> float32, int32 or int64 numbers."""


def read_program(path: Path) -> Program:
    """Read an ONNX file whole.

    Raises:
        BackendError: If it cannot be read, is no ONNX graph, or has weights of another type or in another file.
    """
    try:
        outside = read_graph(path)
        model = list(split_fields(path.read_bytes()))
        graph = list(split_fields(only_message(model, MODEL_GRAPH)))
        nodes = tuple(_read_node(node) for node in messages(graph, GRAPH_NODE))
        constants = dict(_read_tensor(tensor) for tensor in messages(graph, GRAPH_INITIALIZER))
    except BundleError as error:
        raise BackendError(
            error.what, where=error.where, got=error.got, expected=error.expected, fix=error.fix
        ) from error
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise BackendError(
            "A network file is no ONNX graph that can be translated.",
            where=str(path),
            got=str(error),
            expected="an ONNX model with its weights inside",
            fix="Export the bundle again.",
        ) from error
    return Program(outside, nodes, constants)


def _read_node(data: bytes) -> Node:
    fields = list(split_fields(data))
    domain = "".join(as_text(value) for number, value in fields if number == NODE_DOMAIN)
    operator = as_text(only_message(fields, NODE_OPERATOR))
    return Node(
        operator if domain in ("", "ai.onnx") else f"{domain}.{operator}",
        tuple(as_text(name) for name in messages(fields, NODE_INPUT)),
        tuple(as_text(name) for name in messages(fields, NODE_OUTPUT)),
        dict(pair for one in messages(fields, NODE_ATTRIBUTE) for pair in _read_attribute(one)),
    )


def _read_attribute(data: bytes) -> list[tuple[str, float | tuple[int, ...]]]:
    """Return name and value, or nothing if it is neither a number nor a list of integers."""
    fields = list(split_fields(data))
    values, name = dict(fields), as_text(only_message(fields, ATTRIBUTE_NAME))
    if ATTRIBUTE_FLOAT in values:
        (number,) = struct.unpack("<f", as_bytes(values[ATTRIBUTE_FLOAT]))
        return [(name, float(number))]
    if ATTRIBUTE_INT in values:
        return [(name, signed(as_int(values[ATTRIBUTE_INT])))]
    if ATTRIBUTE_INTS in values:
        return [(name, tuple(integers(fields, ATTRIBUTE_INTS)))]
    return []


def _read_tensor(data: bytes) -> tuple[str, Array]:
    fields = list(split_fields(data))
    values = dict(fields)
    name, kind = as_text(values[TENSOR_NAME]), as_int(values[TENSOR_TYPE])
    if kind not in STORED:
        raise ValueError(f"the weight '{name}' has elements of type {kind}, neither float32 nor an integer")
    if values.get(TENSOR_ELSEWHERE):
        raise ValueError(f"the weight '{name}' is stored in another file")
    dtype, typed = STORED[kind]
    if TENSOR_RAW in values:
        numbers = np.frombuffer(as_bytes(values[TENSOR_RAW]), dtype)
    elif dtype == "<f4":
        numbers = np.frombuffer(b"".join(messages(fields, typed)), dtype)
    else:
        numbers = np.array(integers(fields, typed), dtype)
    return name, numbers.reshape(integers(fields, TENSOR_DIMS))

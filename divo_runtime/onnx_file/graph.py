"""What an ONNX file holds, read without the onnx package: names, shapes, opset, and how many numbers it has learnt.

An ONNX file is one protobuf message. Only the few fields that are needed are decoded. Field numbers are those of
onnx.proto (onnx 1.x, ModelProto and below).
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from divo_runtime.errors import BundleError
from divo_runtime.interfaces import TensorSpec
from divo_runtime.onnx_file.protobuf import as_bytes, as_int, as_text, integers, messages, only_message, split_fields

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
        model = list(split_fields(path.read_bytes()))
        graph = list(split_fields(only_message(model, MODEL_GRAPH)))
        opsets = [dict(split_fields(opset)) for opset in messages(model, MODEL_OPSET)]
        pairs = [dict(split_fields(pair)) for pair in messages(model, MODEL_METADATA)]
        stored = [list(split_fields(tensor)) for tensor in messages(graph, GRAPH_INITIALIZER)]
        stored_names = {as_text(dict(tensor).get(TENSOR_NAME, b"")) for tensor in stored}
        specs = {
            side: tuple(read_tensor_spec(value) for value in messages(graph, side))
            for side in (GRAPH_INPUT, GRAPH_OUTPUT)
        }
        return Graph(
            inputs=tuple(spec for spec in specs[GRAPH_INPUT] if spec.name not in stored_names),
            outputs=specs[GRAPH_OUTPUT],
            opset=next((as_int(o[OPSET_VERSION]) for o in opsets if o.get(OPSET_DOMAIN, b"") in (b"", b"ai.onnx")), 0),
            parameters=sum(math.prod(integers(tensor, TENSOR_DIMS)) for tensor in stored if (TENSOR_TYPE, 1) in tensor),
            metadata={as_text(pair.get(1, b"")): as_text(pair.get(2, b"")) for pair in pairs},
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


def read_tensor_spec(data: bytes) -> TensorSpec:
    """Read a ValueInfoProto: name 1, type 2 -> tensor_type 1 -> elem_type 1, shape 2 -> dim 1 -> dim_value 1."""
    info = dict(split_fields(data))
    tensor = dict(split_fields(only_message(list(split_fields(as_bytes(info[2]))), 1)))
    dims = [
        dict(split_fields(as_bytes(dim))) for number, dim in split_fields(as_bytes(tensor.get(2, b""))) if number == 1
    ]
    shape = tuple(as_int(dim.get(1, -1)) for dim in dims)  # -1: a named, open dimension
    return TensorSpec(as_text(info[1]), shape, DTYPES.get(as_int(tensor[1]), f"type {tensor[1]!r}"))

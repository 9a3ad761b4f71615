"""A LiteRT model, written operator by operator: tensors of fixed shape, weights inside.

A thin layer over the schema that LiteRT's package brings along, which has a class per table of the file format. It
knows the shape of every tensor, so that a translation need not.
Source: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
MAXIMUM_OF_OLD_CODES = 127
"""The field of an operator's code was one byte once, and is still filled in."""
Array = NDArray[Any]
Shape = tuple[int, ...]


class ModelWriter:
    """Collects operators; a tensor is an index.

    Args:
        schema: The module `ai_edge_litert.schema_py_generated`.
    """

    def __init__(self, schema: ModuleType) -> None:
        self._schema = schema
        self._types = {"f": schema.TensorType.FLOAT32, "i": schema.TensorType.INT32}
        self._codes: dict[tuple[int, int], int] = {}
        self._stored: dict[tuple[str, Shape, bytes], int] = {}
        self._model = schema.ModelT()
        self._model.version, self._model.description = SCHEMA_VERSION, "translated from ONNX by divo"
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []  # buffer 0: not stored in the file
        self._graph = schema.SubGraphT()
        self._graph.name, self._graph.tensors, self._graph.operators = "main", [], []
        self._model.subgraphs = [self._graph]

    def shape(self, tensor: int) -> Shape:
        """Return the shape of a tensor."""
        return tuple(self._graph.tensors[tensor].shape)

    def place(self, shape: Sequence[int], name: str = "", kind: str = "f") -> int:
        """Add a tensor that is fed or computed; kind is `f` for float32, `i` for int32."""
        tensor = self._schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = [int(size) for size in shape], self._types[kind], 0
        tensor.name = name or f"t{len(self._graph.tensors)}"
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, values: Array | float) -> int:
        """Return a tensor that is stored, each value once: float32, or int32 from any integers."""
        array = np.asarray(values)
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int32).reshape(array.shape)
        key = array.dtype.kind, array.shape, array.tobytes()
        if key not in self._stored:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(key[2], np.uint8)
            self._model.buffers.append(buffer)
            self._stored[key] = self.place(array.shape, kind=array.dtype.kind)
            self._graph.tensors[self._stored[key]].buffer = len(self._model.buffers) - 1
        return self._stored[key]

    def add(
        self, operator: str, inputs: Sequence[int], shapes: Sequence[Shape], options: str = "", version: int = 1,
        kind: str = "f", **settings: object,
    ) -> list[int]:  # fmt: skip
        """Add an operator with any number of outputs.

        Args:
            operator: Name in the schema, such as `FULLY_CONNECTED`.
            inputs: Tensors; -1 for an optional one that is left out.
            shapes: Of the outputs.
            options: Name of the operator's table of options without `Options`, such as `FullyConnected`.
            version: Of the operator.
            kind: Of the outputs, as in `place`.
            settings: Fields of the options.

        Returns:
            The outputs.
        """
        code, made = getattr(self._schema.BuiltinOperator, operator), self._schema.OperatorT()
        if (code, version) not in self._codes:
            entry = self._schema.OperatorCodeT()
            entry.builtinCode, entry.version = code, version
            entry.deprecatedBuiltinCode = min(code, MAXIMUM_OF_OLD_CODES)
            self._codes[code, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(entry)
        made.opcodeIndex, made.inputs = self._codes[code, version], list(inputs)
        made.outputs = [self.place(shape, kind=kind) for shape in shapes]
        if options:
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, f"{options}Options")
            made.builtinOptions = getattr(self._schema, f"{options}OptionsT")()
            for name, value in settings.items():
                setattr(made.builtinOptions, name, value)
        self._graph.operators.append(made)
        return list(made.outputs)

    def elementwise(self, operator: str, tensor: int) -> int:
        """Add an operator of one tensor that keeps its shape, such as `LOGISTIC`."""
        return self.add(operator, [tensor], [self.shape(tensor)])[0]

    def broadcast(self, operator: str, left: int, right: int, cut: str = "NONE") -> int:
        """Add `ADD`, `SUB`, `MUL` or `DIV`; `cut` is a fused activation such as `RELU6`."""
        shape = np.broadcast_shapes(self.shape(left), self.shape(right))
        fused = getattr(self._schema.ActivationFunctionType, cut)
        return self.add(operator, [left, right], [shape], operator.capitalize(), fusedActivationFunction=fused)[0]

    def product(self, left: int, weight: Array, bias: Array | None = None) -> int:
        """(..., k) tensor @ (k, n) constant + (n,) constant -> (..., n)."""
        inputs = [left, self.constant(weight.T), -1 if bias is None else self.constant(bias)]
        shape = (*self.shape(left)[:-1], weight.shape[1])
        return self.add("FULLY_CONNECTED", inputs, [shape], "FullyConnected", version=5, keepNumDims=True)[0]

    def reshape(self, tensor: int, shape: Sequence[int]) -> int:
        """Give a tensor another shape of as many elements; one length may be -1, which is what is left."""
        count = math.prod(self.shape(tensor))
        known = [int(size) for size in shape]
        sizes = tuple(count // -math.prod(known) if size == -1 else size for size in known)
        if sizes == self.shape(tensor):
            return tensor
        inputs = [tensor, self.constant(np.array(sizes))]
        kind = "i" if self._graph.tensors[tensor].type == self._types["i"] else "f"
        return self.add("RESHAPE", inputs, [sizes], "Reshape", kind=kind, newShape=list(sizes))[0]

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file."""
        import flatbuffers

        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

"""ONNX to LiteRT: node by node, in memory."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from divo_runtime.backends.litert.graph import LEFT_OUT, Translation
from divo_runtime.backends.litert.operators import OPERATORS
from divo_runtime.errors import BackendError
from divo_runtime.onnx_file.program import Program


def translate(program: Program, schema: ModuleType, path: Path) -> bytes:
    """Write a network as a LiteRT model with the same inputs and outputs, in the same order.

    Args:
        program: The network.
        schema: The module `ai_edge_litert.schema_py_generated`.
        path: The ONNX file, for errors.

    Raises:
        BackendError: If an operator is not among those that our graphs are made of, or an output is missing.
    """
    graph, inputs, outputs = Translation(program, schema, path), program.outside.inputs, program.outside.outputs
    for spec in inputs:
        graph.values[spec.name] = graph.writer.place(spec.shape, spec.name)
    for node in program.nodes:
        if all(name in graph.values for name in node.outputs):
            continue  # made together with the node before it
        if node.operator not in OPERATORS:
            raise graph.refusal(node, "which is unknown")
        try:
            OPERATORS[node.operator](graph, node)
        except (ArithmeticError, LookupError, ValueError) as error:  # inputs, attributes or shapes that do not belong
            raise graph.refusal(node, f"which is malformed: {error}") from error
    if missing := [spec.name for spec in outputs if graph.values.get(spec.name, LEFT_OUT) == LEFT_OUT]:
        raise BackendError(
            "An output of the network is made by no operator.", where=str(path), got=", ".join(missing),
            expected="a whole ONNX graph", fix="Export the bundle again.",
        )  # fmt: skip
    return graph.writer.finish([graph.values[s.name] for s in inputs], [graph.values[s.name] for s in outputs])

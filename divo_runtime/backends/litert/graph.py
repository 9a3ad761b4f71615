"""What a translation from ONNX to LiteRT knows on its way: the network, the model so far, and which tensor is which."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from divo_runtime.backends.litert.model import Array, ModelWriter
from divo_runtime.errors import BackendError
from divo_runtime.onnx_file.program import Node, Program

LEFT_OUT = -1
"""Stands for a tensor that the model does not need, because whoever reads it was translated together with its maker."""


class Translation:
    """One graph on its way.

    Args:
        program: The network.
        schema: The module `ai_edge_litert.schema_py_generated`.
        path: The ONNX file, for errors.

    Attributes:
        values: ONNX name -> tensor of the model, of those that are there so far; `LEFT_OUT` where nobody needs it.
        makers: Name of a tensor -> the node that makes it.
        readers: Name of a tensor -> the nodes that read it.
    """

    def __init__(self, program: Program, schema: ModuleType, path: Path) -> None:
        self.program, self.writer, self.path, self.schema = program, ModelWriter(schema), path, schema
        self.values: dict[str, int] = {}
        self.makers = {name: node for node in program.nodes for name in node.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in program.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def tensor(self, name: str) -> int:
        """Return a tensor by its ONNX name; a constant is stored when it is first asked for."""
        if name not in self.values:
            self.values[name] = self.writer.constant(self.program.constants[name])
        return self.values[name]

    def constant(self, name: str) -> Array | None:
        """Return a constant's numbers, or None if the tensor is computed."""
        return self.program.constants.get(name)

    def require_constant(self, node: Node, index: int) -> Array:
        """Return the numbers of an input that must be constant here."""
        found = self.constant(node.inputs[index])
        if found is None:
            raise self.refusal(node, f"input {index} is computed")
        return found

    def refusal(self, node: Node, why: str) -> BackendError:
        """Return the error for a node that has no translation."""
        return BackendError(
            "LiteRT cannot run this network: an operator has no translation.",
            where=f"{self.path}, node that makes '{node.outputs[0]}'",
            got=f"{node.operator}, {why}",
            expected="an operator of divo's own graphs in float32 (divo_runtime.backends.litert.operators)",
            fix="Run it with the backend onnxruntime.",
        )

    def sole_reader(self, name: str, operator: str) -> Node | None:
        """Return the one node that reads a tensor if it is of this kind and nobody else wants the tensor."""
        readers = self.readers.get(name, [])
        alone = len(readers) == 1 and not self.is_output(name)
        return readers[0] if alone and readers[0].operator == operator else None

    def is_output(self, name: str) -> bool:
        """Return whether a tensor is an output of the network."""
        return any(spec.name == name for spec in self.program.outside.outputs)

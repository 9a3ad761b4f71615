"""The actor in the form that LEAPP loaders and Isaac ROS Deploy want: one input per term, a batch dimension everywhere.

The graph is the actor's own, with a concatenation before it; what only the runtime asks for (the candidates' values) is
cut off. It is a file of its own because the runtime's graphs take the observation in one piece, which is faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.compose
from onnx import TensorProto, helper, numpy_helper

from divo_runtime.bundle.ports import Port, leapp_ports
from divo_runtime.contract import Contract

INNER = "actor/"
"""Prefix of every tensor of the actor's own graph."""


def write_leapp_policy(actor: Path, contract: Contract, path: Path, metadata: Mapping[str, str]) -> None:
    """Write `path` from the graph in `actor`.

    Args:
        actor: ONNX file with inputs `observation` and `noise` and the output `action`.
        contract: The robot task; its terms become the inputs.
        path: File to write, with the tensors of `divo_runtime.bundle.ports.leapp_ports`.
        metadata: Written to the graph's `metadata_props`.

    Raises:
        onnx.checker.ValidationError: If the result is not valid ONNX.
    """
    model = onnx.compose.add_prefix(onnx.load(actor), INNER)  # so that no term's name is taken
    noise = next(value for value in model.graph.input if value.name == f"{INNER}noise")
    candidates = noise.type.tensor_type.shape.dim[0].dim_value
    inputs, outputs = leapp_ports(contract, candidates)
    shape = numpy_helper.from_array(np.array([candidates, contract.action_size]), f"{INNER}noise_shape")
    before = [
        helper.make_node("Concat", [port.name for port in inputs[:-1]], [f"{INNER}observation"], axis=1),
        helper.make_node("Reshape", [inputs[-1].name, shape.name], [f"{INNER}noise"]),
    ]
    after = [helper.make_node("Identity", [f"{INNER}action"], [outputs[0].name])]
    nodes = [*before, *_needed_nodes(model.graph, f"{INNER}action"), *after]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "policy",
        [_value_info(port) for port in inputs],
        [_value_info(port) for port in outputs],
        [shape, *(tensor for tensor in model.graph.initializer if tensor.name in used)],
    )
    result = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    helper.set_model_props(result, dict(metadata))
    onnx.checker.check_model(result, full_check=True)
    path.write_bytes(result.SerializeToString())


def _needed_nodes(graph: onnx.GraphProto, wanted: str) -> list[onnx.NodeProto]:
    """Return the nodes that a tensor depends on, in their order."""
    needed, kept = {wanted}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _value_info(port: Port) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(port.name, TensorProto.FLOAT, port.shape)

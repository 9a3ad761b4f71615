"""What each operator of our graphs is in LiteRT's terms.

They are chosen so that XNNPACK, the library of LiteRT that computes on the CPU, takes as much of the graph as it can in
one piece: it fuses a cut into the operator before it, packs constant weights once, and needs some 25 ns to go from one
operator to the next. What it does not know (the best candidate's index) is computed by LiteRT itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from divo_runtime.backends.litert.graph import LEFT_OUT, Translation
from divo_runtime.backends.litert.model import Array
from divo_runtime.onnx_file.program import Node

SIX = 6.0
"""Where LiteRT's fused cut `RELU6` ends."""
SCALARS = ("Add", "Sub", "Mul", "Div")
ALIKE = {"Sigmoid": "LOGISTIC", "Tanh": "TANH", "Relu": "RELU", "Sqrt": "SQRT", "Neg": "NEG"}
"""ONNX's name -> LiteRT's, of operators that keep the shape."""


def _gemm(graph: Translation, node: Node) -> None:
    """A @ B + C with alpha = beta = 1; where a Split follows, a product for each part."""
    writer, left = graph.writer, node.inputs[0]
    added = node.inputs[2] if len(node.inputs) > 2 else ""
    plain = node.number("alpha", 1.0) == node.number("beta", 1.0) == 1.0 and not node.integer("transA", 0)
    if not plain:
        raise graph.refusal(node, "with a factor, or its left side transposed")
    if (row := graph.constant(left)) is not None:
        graph.values[node.outputs[0]] = _row_times_transposed(graph, node, row)
        return
    weight = graph.require_constant(node, 1)
    weight = weight.T if node.integer("transB", 0) else weight
    bias = graph.constant(added)
    if bias is not None and bias.size == weight.shape[1]:
        bias = bias.reshape(-1)
        split = graph.sole_reader(node.outputs[0], "Split")
        if split is not None and (sizes := _split_sizes(graph, split, weight.shape[1])):
            ends = np.cumsum(sizes)
            for name, size, end in zip(split.outputs, sizes, ends, strict=True):
                part = slice(end - size, end)
                graph.values[name] = writer.product(graph.tensor(left), weight[:, part], bias[part])
            graph.values[node.outputs[0]] = LEFT_OUT
            return
        graph.values[node.outputs[0]] = writer.product(graph.tensor(left), weight, bias)
        return
    value = writer.product(graph.tensor(left), weight)
    graph.values[node.outputs[0]] = writer.broadcast("ADD", value, graph.tensor(added)) if added else value


def _row_times_transposed(graph: Translation, node: Node, row: Array) -> int:
    """(1, k) constant @ (n, k) transposed + (1, n) or (1,) -> (1, n), as the product the other way round."""
    writer, maker = graph.writer, graph.makers.get(node.inputs[1])
    turned = maker is not None and maker.operator == "Transpose"
    if not (turned or node.integer("transB", 0)) or row.shape[0] != 1:
        raise graph.refusal(node, "with a constant left side of several rows")
    source = maker.inputs[0] if maker is not None and turned else node.inputs[1]
    value = writer.reshape(writer.product(graph.tensor(source), row.T), (1, -1))
    return writer.broadcast("ADD", value, graph.tensor(node.inputs[2])) if len(node.inputs) > 2 else value


def _split_sizes(graph: Translation, node: Node, width: int) -> list[int]:
    """Return the lengths of a Split along the last axis; none if it is along another."""
    if node.integer("axis", 0) not in (1, -1):
        return []
    if len(node.inputs) > 1:
        return [int(size) for size in graph.require_constant(node, 1)]
    return [width // len(node.outputs)] * len(node.outputs) if width % len(node.outputs) == 0 else []


def _split(graph: Translation, node: Node) -> None:
    tensor = graph.tensor(node.inputs[0])
    *outer, width = graph.writer.shape(tensor)
    sizes = _split_sizes(graph, node, width)
    if len(outer) != 1 or len(set(sizes)) != 1:
        raise graph.refusal(node, "into parts that are not alike")
    inputs = [graph.writer.constant(np.array(1)), tensor]
    parts = graph.writer.add("SPLIT", inputs, [(*outer, size) for size in sizes], "Split", numSplits=len(sizes))
    graph.values.update(zip(node.outputs, parts, strict=True))


def _transpose(graph: Translation, node: Node) -> None:
    """Nothing where only products read it that are computed the other way round."""
    name, readers = node.outputs[0], graph.readers.get(node.outputs[0], [])
    turned = all(reader.operator == "Gemm" and graph.constant(reader.inputs[0]) is not None for reader in readers)
    if turned and not graph.is_output(name):
        graph.values[name] = LEFT_OUT
        return
    tensor = graph.tensor(node.inputs[0])
    shape, order = graph.writer.shape(tensor), node.attributes.get("perm")
    order = order if isinstance(order, tuple) else tuple(reversed(range(len(shape))))
    inputs = [tensor, graph.writer.constant(np.array(order))]
    (graph.values[name],) = graph.writer.add("TRANSPOSE", inputs, [tuple(shape[axis] for axis in order)], "Transpose")


def _arithmetic(graph: Translation, node: Node) -> None:
    """Sums, differences, products, quotients; a factor of ones is left out."""
    left, right = node.inputs
    factor, tensor = graph.constant(right), graph.tensor(left)
    shape = graph.writer.shape(tensor)
    ones = node.operator == "Mul" and factor is not None and bool((factor == 1).all())
    if ones and factor is not None and np.broadcast_shapes(shape, factor.shape) == shape:
        graph.values[node.outputs[0]] = tensor
        return
    graph.values[node.outputs[0]] = graph.writer.broadcast(node.operator.upper(), tensor, graph.tensor(right))


def _square(graph: Translation, node: Node) -> None:
    if float(graph.require_constant(node, 1)) != 2.0:
        raise graph.refusal(node, "to another power than 2")
    tensor = graph.tensor(node.inputs[0])
    graph.values[node.outputs[0]] = graph.writer.broadcast("MUL", tensor, tensor)


def _clip(graph: Translation, node: Node) -> None:
    tensor = graph.tensor(node.inputs[0])
    for operator, index in (("MINIMUM", 2), ("MAXIMUM", 1)):
        limit = graph.writer.constant(graph.require_constant(node, index).reshape(1))
        (tensor,) = graph.writer.add(operator, [tensor, limit], [graph.writer.shape(tensor)], "MaximumMinimum")
    graph.values[node.outputs[0]] = tensor


def _hard_sigmoid(graph: Translation, node: Node) -> None:
    """min(max(a x + b, 0), 1) as a sixth of (6 a x + 6 b) cut to [0, 6], which is a cut that XNNPACK fuses."""
    writer, tensor = graph.writer, graph.tensor(node.inputs[0])
    slope = np.float32(SIX * node.number("alpha", 0.2))
    if abs(slope - 1) > np.finfo(np.float32).eps:
        tensor = writer.broadcast("MUL", tensor, writer.constant(slope.reshape(1)))
    offset = writer.constant(np.array([SIX * node.number("beta", 0.5)]))
    tensor = writer.broadcast("ADD", tensor, offset, "RELU6")
    graph.values[node.outputs[0]] = writer.broadcast("MUL", tensor, writer.constant(np.array([1 / SIX])))


def _reduce(graph: Translation, node: Node) -> None:
    tensor = graph.tensor(node.inputs[0])
    shape, kept = list(graph.writer.shape(tensor)), node.integer("keepdims", 1)
    axes = sorted(int(axis) % len(shape) for axis in graph.require_constant(node, 1))
    left = tuple(1 if axis in axes else size for axis, size in enumerate(shape) if kept or axis not in axes)
    operator = {"ReduceMean": "MEAN", "ReduceSum": "SUM"}[node.operator]
    inputs = [tensor, graph.writer.constant(np.array(axes))]
    (graph.values[node.outputs[0]],) = graph.writer.add(operator, inputs, [left], "Reducer", keepDims=bool(kept))


def _concat(graph: Translation, node: Node) -> None:
    tensors = [graph.tensor(name) for name in node.inputs]
    shapes, axis = [list(graph.writer.shape(tensor)) for tensor in tensors], node.integer("axis", 0)
    shape = shapes[0]
    shape[axis] = sum(one[axis] for one in shapes[1:]) + shape[axis]
    (graph.values[node.outputs[0]],) = graph.writer.add(
        "CONCATENATION", tensors, [tuple(shape)], "Concatenation", axis=axis % len(shape)
    )


def _matmul(graph: Translation, node: Node) -> None:
    """(..., k) @ (k, n), or a stack (m, r, k) @ (m, k, n)."""
    left, weight = graph.tensor(node.inputs[0]), graph.require_constant(node, 1)
    if weight.ndim == 2:
        graph.values[node.outputs[0]] = graph.writer.product(left, weight)
        return
    shape = (*graph.writer.shape(left)[:-1], weight.shape[-1])
    (graph.values[node.outputs[0]],) = graph.writer.add(
        "BATCH_MATMUL", [left, graph.tensor(node.inputs[1])], [shape], "BatchMatMul"
    )


def _reshape(graph: Translation, node: Node) -> None:
    tensor, shape = graph.tensor(node.inputs[0]), graph.require_constant(node, 1)
    graph.values[node.outputs[0]] = graph.writer.reshape(tensor, shape.tolist())


def _argmax(graph: Translation, node: Node) -> None:
    writer, tensor = graph.writer, graph.tensor(node.inputs[0])
    shape = list(writer.shape(tensor))
    axis = node.integer("axis", 0) % len(shape)
    left = tuple(size for other, size in enumerate(shape) if other != axis)
    inputs = [tensor, writer.constant(np.array([axis]))]
    (best,) = writer.add("ARG_MAX", inputs, [left], "ArgMax", kind="i", outputType=graph.schema.TensorType.INT32)
    shape[axis] = 1
    graph.values[node.outputs[0]] = writer.reshape(best, shape) if node.integer("keepdims", 1) else best


def _gather(graph: Translation, node: Node) -> None:
    tensor, index = (graph.tensor(name) for name in node.inputs)
    shape = graph.writer.shape(tensor)
    axis = node.integer("axis", 0) % len(shape)
    taken = (*shape[:axis], *graph.writer.shape(index), *shape[axis + 1 :])
    (graph.values[node.outputs[0]],) = graph.writer.add("GATHER", [tensor, index], [taken], "Gather", axis=axis)


def _expand(graph: Translation, node: Node) -> None:
    zeros = np.zeros([int(size) for size in graph.require_constant(node, 1)], np.float32)
    tensor = graph.tensor(node.inputs[0])
    graph.values[node.outputs[0]] = graph.writer.broadcast("ADD", tensor, graph.writer.constant(zeros))


def _same(graph: Translation, node: Node) -> None:
    graph.values[node.outputs[0]] = graph.tensor(node.inputs[0])


def _alike(graph: Translation, node: Node) -> None:
    tensor = graph.tensor(node.inputs[0])
    graph.values[node.outputs[0]] = graph.writer.elementwise(ALIKE[node.operator], tensor)


OPERATORS: Mapping[str, Callable[[Translation, Node], None]] = {
    "ArgMax": _argmax,
    "Clip": _clip,
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _same,
    "MatMul": _matmul,
    "Pow": _square,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Split": _split,
    "Transpose": _transpose,
    **dict.fromkeys(SCALARS, _arithmetic),
    **dict.fromkeys(ALIKE, _alike),
}
"""ONNX operator -> its translation."""

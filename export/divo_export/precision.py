"""The same graph in fewer bits: float16 and bfloat16 for GPUs, int8 (QDQ) for engines with integer products.

Inputs and outputs stay float32 in robot units. In float16 and bfloat16 only products and activations are
lowered; the normaliser, the sums of squares, the sampler's answers and the robot's units keep float32, because a raw
observation does not fit into eleven bits. What each variant costs and gains here is in docs/inference.md.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import onnx
from onnx import TensorProto, helper, numpy_helper

from divo_runtime.errors import DivoError
from divo_runtime.observation import FloatArray

Precision = Literal["float32", "float16", "bfloat16", "int8"]
HalfPrecision = Literal["float16", "bfloat16"]

ELEMENT_TYPES: dict[HalfPrecision, int] = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
LOWERED = frozenset(("Gemm", "MatMul", "Sigmoid", "Tanh", "Relu"))
"""Operators that are computed in fewer bits; a Mul is when it multiplies with a sigmoid (SiLU)."""
MOVING = frozenset(("Concat", "Split", "Reshape", "Gather", "Transpose"))
"""Operators that take the data in the type in which it comes."""


class PrecisionError(DivoError):
    """A graph cannot be had in this precision."""


def lower_precision(
    model: onnx.ModelProto, precision: Precision, calibration: Sequence[Mapping[str, FloatArray]] = ()
) -> onnx.ModelProto:
    """Return the graph in another precision; its inputs and outputs stay as they are.

    Args:
        model: A float32 graph of `onnx_from_torch`.
        precision: What its products are computed in.
        calibration: Typical feeds, from which int8 takes the range of every tensor; a few hundred.

    Raises:
        PrecisionError: If int8 is asked for without calibration.
    """
    if precision == "float32":
        return model
    if precision == "int8":
        if not calibration:
            raise PrecisionError(
                "int8 needs to know the range of every tensor.", got="no calibration", expected="typical feeds",
                fix="Give a few hundred observations of the dataset, each with fresh noise.",
            )  # fmt: skip
        return _quantize(model, calibration)
    return _halve(model, precision)


def _halve(model: onnx.ModelProto, precision: HalfPrecision) -> onnx.ModelProto:
    """Compute the lowered operators in half precision, with a Cast wherever a float32 tensor meets them."""
    graph, element = model.graph, ELEMENT_TYPES[precision]
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    floats |= {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    producers = {name: node for node in graph.node for name in node.output}
    low: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    made: dict[str, str] = {}

    def as_type(name: str, lowered: bool) -> str:
        """Return the tensor's name in the wanted type, after a Cast if it has the other one."""
        if name not in floats or (name in low) == lowered:
            return name
        if name not in made:
            made[name] = f"{name}_{precision if lowered else 'float32'}"
            nodes.append(helper.make_node("Cast", [name], [made[name]], to=element if lowered else TensorProto.FLOAT))
        return made[name]

    for node in graph.node:
        source = [producers[name].op_type for name in node.input if name in producers]
        lowered = node.op_type in LOWERED or (node.op_type == "Mul" and "Sigmoid" in source)
        if node.op_type in MOVING:
            lowered = node.input[0] in low
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [as_type(name, lowered) for name in node.input]
        nodes.append(copied)
        if node.op_type != "ArgMax" and (node.op_type not in MOVING or node.input[0] in floats):
            floats.update(node.output)
            low.update(node.output if lowered else ())
    for value in graph.output:
        if value.name in low:
            _rename_output(nodes, value.name, f"{value.name}_{precision}")
            nodes.append(helper.make_node("Cast", [f"{value.name}_{precision}"], [value.name], to=TensorProto.FLOAT))
    weights, nodes = _fold_casts(graph.initializer, nodes, element)
    lowered_graph = helper.make_graph(nodes, graph.name, graph.input, graph.output, weights)
    return _finished(lowered_graph, model)


def _fold_casts(
    weights: Sequence[onnx.TensorProto], nodes: list[onnx.NodeProto], element: int
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """Store a weight that is only cast in the type that it is cast to."""
    by_name, kept, stored = {weight.name: weight for weight in weights}, [], {}
    for node in nodes:
        if node.op_type == "Cast" and node.input[0] in by_name:
            values = numpy_helper.to_array(by_name[node.input[0]])
            dtype = helper.tensor_dtype_to_np_dtype(element)
            stored[node.output[0]] = numpy_helper.from_array(values.astype(dtype), node.output[0])
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    return [weight for weight in (*weights, *stored.values()) if weight.name in used], kept


def _rename_output(nodes: Sequence[onnx.NodeProto], name: str, renamed: str) -> None:
    for node in nodes:
        node.input[:] = [renamed if other == name else other for other in node.input]
        node.output[:] = [renamed if other == name else other for other in node.output]


def _quantize(model: onnx.ModelProto, calibration: Sequence[Mapping[str, FloatArray]]) -> onnx.ModelProto:
    """Quantise products with ONNX Runtime's tool: signed weights per column, unsigned activations."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Feeds(CalibrationDataReader):
        """What the tool wants: one feed after the other, then None."""

        def __init__(self) -> None:
            self._left: Iterator[Mapping[str, FloatArray]] = iter(calibration)

        def get_next(self) -> Mapping[str, FloatArray] | None:
            """Return the next feed."""
            return next(self._left, None)

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        given, written = Path(scratch) / "float32.onnx", Path(scratch) / "int8.onnx"
        onnx.save(model, given)
        quantize_static(
            given,
            written,
            Feeds(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(written)
    return _finished(quantized.graph, quantized, model)


def _finished(
    graph: onnx.GraphProto, like: onnx.ModelProto, metadata_of: onnx.ModelProto | None = None
) -> onnx.ModelProto:
    del graph.value_info[:]
    model = helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
    helper.set_model_props(model, {prop.key: prop.value for prop in (metadata_of or like).metadata_props})
    onnx.checker.check_model(model, full_check=True)
    return model

"""ONNX graphs from torch modules: static shapes, named tensors, checked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 18


def onnx_from_torch(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path, metadata: Mapping[str, str]
) -> None:
    """Export a module, name its tensors, add metadata, and check the file.

    Args:
        module: Takes the inputs in their order and returns a tensor per output name.
        inputs: Name -> example of the static shape.
        outputs: Names in the order in which the module returns them.
        path: File to write; weights are inside.
        metadata: Written to the graph's `metadata_props`.

    Raises:
        onnx.checker.ValidationError: If the graph is not valid ONNX.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecation notices
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces of the exporting machine
        node.ClearField("doc_string")
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())

"""The reader without the onnx package against the onnx package."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from divo_runtime.errors import BundleError
from divo_runtime.interfaces import TensorSpec
from divo_runtime.onnx_file.graph import read_graph


@pytest.fixture
def model():
    weight = numpy_helper.from_array(np.ones((3, 5), np.float32), "weight")
    index = numpy_helper.from_array(np.array([0, 1], np.int64), "index")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["all"]),
        helper.make_node("Gather", ["all", "index"], ["y"], axis=1),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3]), ("weight", [3, 5]))]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "g", values, [out], [weight, index])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("custom", 3), helper.make_opsetid("", 18)])
    helper.set_model_props(model, {"joint_names": "a,b", "naïve": "ünïcode"})
    return model


def test_it_reads_names_shapes_opset_parameters_and_metadata(model, tmp_path):
    onnx.save(model, tmp_path / "m.onnx")
    graph = read_graph(tmp_path / "m.onnx")
    assert graph.inputs == (TensorSpec("x", (1, 3)),)  # weight is stored, not fed
    assert graph.outputs == (TensorSpec("y", (-1, 2)),)  # an open dimension
    assert (graph.opset, graph.parameters) == (18, 15)
    assert graph.metadata == {"joint_names": "a,b", "naïve": "ünïcode"}


def test_every_truncation_is_an_error_and_none_a_traceback(model, tmp_path):
    data = model.SerializeToString()
    for size in range(len(data)):
        (tmp_path / "cut.onnx").write_bytes(data[:size])
        try:
            read_graph(tmp_path / "cut.onnx")
        except BundleError:
            continue
        onnx.load(tmp_path / "cut.onnx")  # what is accepted is a whole number of fields, so onnx accepts it too


def test_noise_is_an_error_and_not_a_traceback(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(300):
        (tmp_path / "noise.onnx").write_bytes(rng.bytes(int(rng.integers(0, 200))))
        with pytest.raises(BundleError):
            read_graph(tmp_path / "noise.onnx")


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(BundleError, match=r"none\.onnx"):
        read_graph(tmp_path / "none.onnx")

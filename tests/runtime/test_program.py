import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from divo_runtime.errors import BackendError
from divo_runtime.onnx_file.program import Node, read_program


def saved(path, nodes, tensors=()):
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2])] for name in ("x", "y")]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", *sides, list(tensors)), opset_imports=opsets, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def test_nodes_keep_their_order_names_and_numbers(tmp_path):
    nodes = [
        helper.make_node("Concat", ["x", "x"], ["xx"], axis=-1),
        helper.make_node("Transpose", ["xx"], ["t"], perm=[1, 0]),
        helper.make_node("HardSigmoid", ["t"], ["h"], alpha=0.25, beta=0.5),
        helper.make_node("QuickGelu", ["h"], ["q"], domain="com.microsoft"),
        helper.make_node("Clip", ["q", "", "limit"], ["y"]),
    ]
    program = read_program(saved(tmp_path / "g.onnx", nodes))
    assert program.nodes == (
        Node("Concat", ("x", "x"), ("xx",), {"axis": -1}),
        Node("Transpose", ("xx",), ("t",), {"perm": (1, 0)}),
        Node("HardSigmoid", ("t",), ("h",), {"alpha": 0.25, "beta": 0.5}),
        Node("com.microsoft.QuickGelu", ("h",), ("q",)),
        Node("Clip", ("q", "", "limit"), ("y",)),
    )
    assert program.nodes[0].integer("axis", 0) == -1
    assert program.nodes[0].integer("other", 7) == 7
    assert program.nodes[2].number("alpha", 0.2) == 0.25
    assert [str(spec) for spec in program.outside.inputs] == ["x float32[1, 2]"]


def test_constants_are_read_however_they_are_stored(tmp_path):
    tensors = [
        numpy_helper.from_array(np.float32([[1.5, -2], [0, 4]]), "raw"),
        helper.make_tensor("typed", TensorProto.FLOAT, [3], [0.5, 0.25, -8]),
        helper.make_tensor("counts", TensorProto.INT64, [2], [-1, 4]),
        helper.make_tensor("small", TensorProto.INT32, [2], [-3, 3]),
        numpy_helper.from_array(np.float32(2), "scalar"),
    ]
    constants = read_program(saved(tmp_path / "g.onnx", [helper.make_node("Relu", ["x"], ["y"])], tensors)).constants
    assert constants["raw"].tolist() == [[1.5, -2], [0, 4]]
    assert constants["typed"].tolist() == [0.5, 0.25, -8]
    assert constants["counts"].tolist() == [-1, 4]
    assert constants["small"].tolist() == [-3, 3]
    assert constants["scalar"].shape == ()
    assert {array.dtype.name for array in constants.values()} == {"float32", "int64", "int32"}


def test_a_weight_in_fewer_bits_or_in_another_file_is_refused_by_name(tmp_path):
    half = numpy_helper.from_array(np.float16([1]), "half")
    with pytest.raises(BackendError, match="'half' has elements of type 10"):
        read_program(saved(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], [half]))
    elsewhere = onnx.TensorProto(name="far", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    with pytest.raises(BackendError, match="'far' is stored in another file"):
        read_program(saved(tmp_path / "b.onnx", [helper.make_node("Relu", ["x"], ["y"])], [elsewhere]))


def test_every_truncation_is_an_error_and_none_a_traceback(tmp_path):
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    whole = saved(tmp_path / "g.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight]).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        with contextlib.suppress(BackendError):  # a cut between two fields leaves a shorter message, which is whole
            read_program(tmp_path / "cut.onnx")


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(BackendError, match=r"nowhere\.onnx"):
        read_program(tmp_path / "nowhere.onnx")

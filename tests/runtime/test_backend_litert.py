import sys
from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from divo_runtime.backends import open_backend, opens_precision
from divo_runtime.conformance import check_backend
from divo_runtime.errors import BackendError

litert = pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'divo[litert]'")

from divo_runtime.backends.litert.backend import LitertBackend, import_litert  # noqa: E402
from divo_runtime.backends.litert.translation import translate  # noqa: E402
from divo_runtime.onnx_file.program import read_program  # noqa: E402

OPSET = 18
RNG = np.random.default_rng(5)
X = np.float32([[1, -2, 3], [0.5, 4, -1]])
W = RNG.standard_normal((3, 4)).astype(np.float32)
C = RNG.standard_normal(4).astype(np.float32)


def saved(path, nodes, constants=(), x=(2, 3), y=None):
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (("x", x), ("y", y))]
    graph = helper.make_graph([helper.make_node(*node[:3], **dict(node[3:])) for node in nodes], "g", *sides, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def answer(path, x=X):
    return LitertBackend(path).run({"x": x})["y"]


def operators(path):
    """Count the operators that the translated model has."""
    library = import_litert()
    model = library.schema.ModelT.InitFromObj(
        library.schema.Model.GetRootAs(translate(read_program(path), library.schema, path))
    )
    names = {value: name for name, value in vars(library.schema.BuiltinOperator).items()}
    return [names[model.operatorCodes[made.opcodeIndex].builtinCode] for made in model.subgraphs[0].operators]


def ints(*values):
    return np.array(values, np.int64)


GRAPHS = {
    "a product and a bias": ([("Gemm", ["x", "w", "c"], ["y"])], {"w": W, "c": C}),
    "a product with a transposed weight": (
        [("Gemm", ["x", "w", "c"], ["y"], ("transB", 1))], {"w": W.T.copy(), "c": C}),
    "a product and a computed sum": (
        [("Relu", ["x"], ["r"]), ("Gemm", ["x", "w", "r"], ["y"])], {"w": W[:, :3].copy()}),
    "a product without a sum": ([("Gemm", ["x", "w"], ["y"])], {"w": W}),
    "a product and one number for all": ([("Gemm", ["x", "w", "c"], ["y"])], {"w": W, "c": C[:1]}),
    "a row times what is transposed": (
        [("Transpose", ["x"], ["t"], ("perm", [1, 0])), ("Gemm", ["w", "t", "c"], ["y"])],
        {"w": W[:, :1].T.copy(), "c": C[:1]}),
    "a row times what the product transposes": (
        [("Gemm", ["w", "x", "c"], ["y"], ("transB", 1))], {"w": W[:, :1].T.copy(), "c": C[:1]}),
    "a transposition that somebody reads": (
        [("Transpose", ["x"], ["t"]), ("Relu", ["t"], ["y"])], {}),
    "a transposition that is an answer": ([("Transpose", ["x"], ["y"])], {}),
    "a product in parts": (
        [("Gemm", ["x", "w", "c"], ["g"]), ("Split", ["g", "s"], ["a", "b"], ("axis", 1)),
         ("Concat", ["b", "a"], ["y"], ("axis", -1))], {"w": W, "c": C, "s": ints(1, 3)}),
    "equal parts": (
        [("Concat", ["x", "x"], ["d"], ("axis", 1)), ("Split", ["d"], ["a", "b"], ("axis", 1), ("num_outputs", 2)),
         ("Sub", ["a", "b"], ["y"])], {}),
    "silu": ([("Sigmoid", ["x"], ["s"]), ("Mul", ["x", "s"], ["y"])], {}),
    "a hard sigmoid": ([("HardSigmoid", ["x"], ["y"], ("alpha", 1 / 6), ("beta", 0.5))], {}),
    "a steep hard sigmoid": ([("HardSigmoid", ["x"], ["y"], ("alpha", 0.5), ("beta", 0.25))], {}),
    "a cut": ([("Clip", ["x", "low", "high"], ["y"])], {"low": np.float32(-1), "high": np.float32(2.5)}),
    "a normalisation": (
        [("Pow", ["x", "two"], ["q"]), ("ReduceMean", ["q", "axes"], ["m"], ("keepdims", 1)),
         ("Add", ["m", "e"], ["n"]), ("Sqrt", ["n"], ["r"]),
         ("Div", ["x", "r"], ["d"]), ("Mul", ["d", "ones"], ["o"]), ("Relu", ["o"], ["y"])],
        {"two": np.float32(2), "axes": ints(-1), "e": np.float32(1e-5), "ones": np.ones(3, np.float32)}),
    "a sum that drops its axis": (
        [("ReduceSum", ["x", "axes"], ["r"], ("keepdims", 0)), ("Neg", ["r"], ["y"])], {"axes": ints(1)}),
    "a stack of products": (
        [("Reshape", ["x", "three"], ["s"]), ("MatMul", ["s", "w"], ["y"])],
        {"three": ints(2, 1, -1), "w": np.stack([W, -2 * W])}),
    "one product for all rows": ([("MatMul", ["x", "w"], ["y"])], {"w": W}),
    "the row of the highest value": (
        [("ReduceSum", ["x", "axes"], ["v"], ("keepdims", 0)), ("ArgMax", ["v"], ["i"], ("axis", 0), ("keepdims", 1)),
         ("Gather", ["x", "i"], ["y"], ("axis", 0))], {"axes": ints(1)}),
    "a column": ([("Gather", ["x", "i"], ["y"], ("axis", 1))], {"i": ints(2)}),
    "copies": (
        [("ReduceSum", ["x", "axes"], ["s"], ("keepdims", 0)), ("Reshape", ["s", "one"], ["o"]),
         ("Expand", ["o", "n"], ["y"])],
        {"axes": ints(0, 1), "one": ints(1), "n": ints(4)}),
    "a hyperbolic tangent and its name": ([("Tanh", ["x"], ["t"]), ("Identity", ["t"], ["y"])], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(GRAPHS))
def test_every_operator_gives_what_onnxruntime_gives(tmp_path, name):
    path = saved(tmp_path / "g.onnx", *GRAPHS[name])
    expected = open_backend(path).run({"x": X})["y"]
    np.testing.assert_allclose(answer(path), expected, rtol=2e-6, atol=1e-6)
    check_backend(open_backend(path, "litert"), np.random.default_rng(1))


def test_a_graph_gives_the_numbers_worked_out_by_hand(tmp_path):
    nodes, constants = GRAPHS["a hard sigmoid"]
    np.testing.assert_allclose(
        answer(saved(tmp_path / "h.onnx", nodes, constants)),
        [[4 / 6, 1 / 6, 1], [3.5 / 6, 1, 2 / 6]], rtol=1e-6,
    )  # fmt: skip
    nodes, constants = GRAPHS["the row of the highest value"]
    path = saved(tmp_path / "r.onnx", nodes, constants)
    assert answer(path).tolist() == [[0.5, 4, -1]]
    assert answer(path, X[::-1].copy()).tolist() == [[0.5, 4, -1]]


@pytest.mark.parametrize("name", ["a cut", "a hard sigmoid", "a normalisation", "silu", "one product for all rows"])
def test_what_is_not_a_number_stays_so_and_infinity_is_cut_as_in_onnxruntime(tmp_path, name):
    path = saved(tmp_path / "g.onnx", *GRAPHS[name])
    for bad in (np.nan, np.inf, -np.inf):
        x = X.copy()
        x[0, 1] = bad
        np.testing.assert_allclose(answer(path, x), open_backend(path).run({"x": x})["y"], rtol=2e-6, atol=1e-6)


def test_a_factor_of_ones_that_repeats_rows_is_not_left_out(tmp_path):
    path = saved(tmp_path / "g.onnx", [("Mul", ["x", "ones"], ["y"])], {"ones": np.ones((2, 3), np.float32)}, x=(1, 3))
    assert answer(path, X[:1]).tolist() == [X[0].tolist()] * 2


def test_a_product_that_is_split_becomes_a_product_for_each_part(tmp_path):
    assert operators(saved(tmp_path / "g.onnx", *GRAPHS["a product in parts"])) == [
        "FULLY_CONNECTED", "FULLY_CONNECTED", "CONCATENATION"
    ]  # fmt: skip


def test_nothing_is_transposed_for_a_head_and_no_gain_of_one_is_multiplied(tmp_path):
    assert operators(saved(tmp_path / "a.onnx", *GRAPHS["a row times what is transposed"])) == [
        "FULLY_CONNECTED", "RESHAPE", "ADD"
    ]  # fmt: skip
    assert operators(saved(tmp_path / "b.onnx", *GRAPHS["a normalisation"])) == [
        "MUL", "MEAN", "ADD", "SQRT", "DIV", "RELU"
    ]  # fmt: skip


def test_a_weight_that_is_used_twice_is_stored_once(tmp_path):
    weight = RNG.standard_normal((64, 64)).astype(np.float32)
    sizes = []
    for count in (1, 3):
        names = ["x", *(f"t{i}" for i in range(1, count)), "y"]
        nodes = [("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
        path = saved(tmp_path / f"{count}.onnx", nodes, {"w": weight}, x=(2, 64))
        sizes.append(len(translate(read_program(path), import_litert().schema, path)))
    assert sizes[1] - sizes[0] < weight.nbytes / 8


REFUSED = {
    "Softmax": ([("Softmax", ["x"], ["y"])], {}, "which is unknown"),
    "Gemm": ([("Gemm", ["x", "w", "c"], ["y"], ("alpha", 2.0))], {"w": W, "c": C}, "with a factor"),
    "MatMul": ([("Relu", ["x"], ["r"]), ("Transpose", ["r"], ["t"]), ("MatMul", ["x", "t"], ["y"])], {}, "is computed"),
    "Pow": ([("Pow", ["x", "three"], ["y"])], {"three": np.float32(3)}, "another power"),
    "Split": ([("Split", ["x", "s"], ["y", "a"], ("axis", 1))], {"s": ints(1, 2)}, "not alike"),
    "ReduceSum": ([("ReduceSum", ["x"], ["y"])], {}, "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("operator", list(REFUSED))
def test_what_has_no_translation_is_told_with_the_node_and_the_way_out(tmp_path, operator):
    nodes, constants, why = REFUSED[operator]
    with pytest.raises(BackendError) as caught:
        LitertBackend(saved(tmp_path / "g.onnx", nodes, constants))
    assert caught.value.got.startswith(f"{operator}, ")
    assert why in caught.value.got
    assert "node that makes 'y'" in caught.value.where
    assert "onnxruntime" in caught.value.fix


def test_an_open_dimension_is_refused(tmp_path):
    with pytest.raises(BackendError, match="fixed float32 tensors"):
        LitertBackend(saved(tmp_path / "g.onnx", [("Relu", ["x"], ["y"])], x=("batch", 3)))


def test_a_graph_that_lost_its_last_node_is_refused(tmp_path):
    model = onnx.load(saved(tmp_path / "g.onnx", [("Relu", ["x"], ["r"]), ("Neg", ["r"], ["y"])]))
    del model.graph.node[1]
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BackendError, match="made by no operator"):
        LitertBackend(tmp_path / "g.onnx")


def test_a_file_that_is_no_graph_is_told_by_name(tmp_path):
    (tmp_path / "actor.onnx").write_bytes(b"not a graph")
    with pytest.raises(BackendError, match=r"actor\.onnx"):
        LitertBackend(tmp_path / "actor.onnx")


def test_a_missing_litert_is_told_with_the_command_that_installs_it(tmp_path, monkeypatch):
    path = saved(tmp_path / "g.onnx", [("Relu", ["x"], ["y"])])
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(BackendError, match=r"pip install 'divo\[litert\]'"):
        open_backend(path, "litert")


def test_it_opens_float32_only_and_says_so():
    assert opens_precision("litert", "float32")
    assert not opens_precision("litert", "float16")
    assert opens_precision("onnxruntime", "float16")

"""The operator that is named must be the one that was made wrong, whichever it is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from divo_export.divergence import find_culprit, name_divergence
from divo_export.graphs import load_trained
from divo_runtime.parity.judgement import Parity
from divo_runtime.parity.report import read_report


def parity_of(bundle, network) -> Parity:
    return next(row for row in read_report(bundle.folder / "parity.json").results if row.network == network)


@pytest.mark.parametrize("network", ["actor", "sampler_k2", "critic"])
def test_a_wrong_weight_is_traced_to_its_matrix_product(exported, network, tmp_path, change_weight, matrix_products):
    run, bundle = exported
    trained, policies = load_trained(run), bundle.manifest.x_divo.policies
    model = onnx.load(bundle.folder / f"{network}.onnx")
    for index, product in enumerate(matrix_products(model)):
        wrong = onnx.ModelProto()
        wrong.CopyFrom(model)
        change_weight(wrong, matrix_products(wrong)[index])
        onnx.save(wrong, tmp_path / f"{network}.onnx")
        text = name_divergence(tmp_path, trained, policies, parity_of(bundle, network))
        place = list(model.graph.node).index(product) + 1
        named = int(text.split("(")[1].split(" of ")[0])
        assert named == place, f"{product.name} is node {place}, but the text says: {text}"


def test_a_right_graph_has_no_culprit_and_the_engine_is_blamed(exported):
    run, bundle = exported
    text = name_divergence(
        bundle.folder, load_trained(run), bundle.manifest.x_divo.policies, parity_of(bundle, "sampler")
    )
    assert text.startswith("none")
    assert "how onnxruntime fuses them" in text


def test_an_unknown_tensor_on_the_way_to_a_known_one_is_no_culprit(tmp_path):
    """y = (2 x) * 0.5 + 1: the product 2 x is unknown to the reference, but what follows is known, up to `wrong`."""
    constants = {"two": [2.0], "half": [0.5], "one": [1.0], "off": [7.0]}
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["doubled"], name="regrouped"),
        helper.make_node("Mul", ["doubled", "half"], ["same"], name="back"),
        helper.make_node("Add", ["same", "off"], ["shifted"], name="wrong"),
        helper.make_node("Neg", ["shifted"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "g.onnx")
    x = np.float32([1, 2, 4, 8, 16, 32, 64, 128])
    known = {8: [x, x + 1, np.sort(-(x + 1))]}
    assert find_culprit(tmp_path / "g.onnx", {"x": x}, known, 1e-5) == "Add 'wrong' (3 of 4), which reads same, off"
    assert find_culprit(tmp_path / "g.onnx", {"x": x}, {8: [x, np.sort(-(x + 7))]}, 1e-5) is None

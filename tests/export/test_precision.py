from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from divo_export.onnx_from_torch import onnx_from_torch
from divo_export.precision import PrecisionError, lower_precision
from divo_export.views import ActorView, SamplerView
from divo_runtime.backends import open_backend
from divo_train.data.minari import load_minari
from divo_train.trained import load_networks

CANDIDATES = 4


@pytest.fixture(scope="module")
def observations(arm_dataset):
    return load_minari(arm_dataset).observations


@pytest.fixture(scope="module")
def feeds(observations):
    rng = np.random.default_rng(6)
    rows = rng.choice(len(observations), 40)
    noises = rng.standard_normal((40, CANDIDATES, 7), dtype=np.float32)
    return [{"observation": observations[i : i + 1], "noise": noise} for i, noise in zip(rows, noises, strict=True)]


@pytest.fixture(scope="module", params=["actor", "sampler"])
def graph(request, make_run, tmp_path_factory):
    networks = load_networks(make_run())
    shared = (networks.contract, networks.normalizer)
    view = ActorView(*shared, networks.actor, networks.q_networks)
    if request.param == "sampler":
        view = SamplerView(*shared, networks.denoiser, networks.q_networks, networks.config.sampler)
    inputs = {"observation": torch.zeros(1, networks.contract.observation_size), "noise": torch.zeros(CANDIDATES, 7)}
    path = tmp_path_factory.mktemp("graph") / "policy.onnx"
    onnx_from_torch(view, inputs, ["action", "value"], path, {"role": "test"})
    return onnx.load(path)


def run(model, feeds, folder):
    path = folder / f"{id(model)}.onnx"
    onnx.save(model, path)
    backend = open_backend(path)
    answers = [backend.run(feed) for feed in feeds]
    backend.close()
    return answers


def weights_of(model):
    """Return the types and sizes of the matrices."""
    return {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 2}


def borders(model):
    return [
        (v.name, v.type.tensor_type.elem_type, [d.dim_value for d in v.type.tensor_type.shape.dim])
        for v in (*model.graph.input, *model.graph.output)
    ]


def test_float32_is_the_graph_itself(graph):
    assert lower_precision(graph, "float32") is graph


@pytest.mark.parametrize(
    ("precision", "element"), [("float16", TensorProto.FLOAT16), ("bfloat16", TensorProto.BFLOAT16)]
)
def test_half_precision_stores_matrices_in_half_the_bytes_and_keeps_float32_borders(graph, precision, element):
    lowered = lower_precision(graph, precision)
    assert weights_of(lowered) == {element}
    assert borders(lowered) == borders(graph)
    assert {p.key: p.value for p in lowered.metadata_props} == {"role": "test"}
    for node in lowered.graph.node:
        if node.op_type in ("Sub", "Div", "Pow", "ReduceMean", "Sqrt", "HardSigmoid"):
            assert not any(name.endswith(precision) for name in node.input), node


def test_float16_answers_to_eleven_bits(graph, feeds, tmp_path):
    expected, got = run(graph, feeds, tmp_path), run(lower_precision(graph, "float16"), feeds, tmp_path)
    errors = [np.abs(a["value"] - b["value"]).max() for a, b in zip(expected, got, strict=True)]
    assert (
        1e-6 < max(errors) < 5e-3
    )  # 2^-11 per rounding, over a dozen layers; zero would mean that nothing was lowered


def test_a_graph_in_float16_leaves_the_given_one_alone(graph):
    before = graph.SerializeToString()
    lower_precision(graph, "float16")
    assert graph.SerializeToString() == before


def test_int8_quantises_the_products_and_still_knows_good_from_bad(graph, feeds, tmp_path):
    quantized = lower_precision(graph, "int8", feeds)
    operators = {node.op_type for node in quantized.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert TensorProto.INT8 in weights_of(quantized)
    assert borders(quantized) == borders(graph)
    expected = np.stack([answer["value"] for answer in run(graph, feeds, tmp_path)])
    got = np.stack([answer["value"] for answer in run(quantized, feeds, tmp_path)])
    assert np.abs(got - expected).max() > 1e-5
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.9


def test_int8_without_typical_feeds_is_refused(graph):
    with pytest.raises(PrecisionError, match=r"range of every tensor[\s\S]*fix: Give a few hundred"):
        lower_precision(graph, "int8")

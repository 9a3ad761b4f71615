from __future__ import annotations

import collections
import dataclasses
import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from divo_export.critics import Critic
from divo_export.layers import PLAIN, UNIT, RobotUnits
from divo_export.onnx_from_torch import onnx_from_torch
from divo_export.unrolling import Sum, unroll
from divo_export.views import ActorView, CriticView, SamplerView
from divo_train.data.minari import load_minari
from divo_train.networks import LayerNormMlp
from divo_train.policies import torch_policy
from divo_train.trained import load_networks

CLOSE = 5e-6
"""Of the action's range, or of a value: float32 sums in another order."""


@pytest.fixture(scope="module")
def networks(make_run):
    return load_networks(make_run())


@pytest.fixture(scope="module")
def observations(arm_dataset):
    return load_minari(arm_dataset).observations[::100]


def view_of(networks, kind, **sampler):
    if kind == "actor":
        return ActorView(networks.contract, networks.normalizer, networks.actor, networks.q_networks)
    config = dataclasses.replace(networks.config.sampler, **sampler)
    return SamplerView(networks.contract, networks.normalizer, networks.denoiser, networks.q_networks, config)


def with_sampler(networks, **sampler):
    config = dataclasses.replace(networks.config.sampler, **sampler)
    return dataclasses.replace(networks, config=dataclasses.replace(networks.config, sampler=config))


def inputs_terms(evaluations):
    return [{name: pytest.approx(weight) for name, weight in e.terms.items()} for e in evaluations]


def test_sums_add_subtract_and_scale_term_by_term():
    total = 2.0 * Sum({"a": 1.0, "b": 3.0}) - Sum({"b": 1.0, "c": 4.0})
    assert total.terms == {"a": 2.0, "b": 5.0, "c": -4.0}


def test_euler_s_input_is_half_the_last_one_and_half_the_answer_when_the_level_halves():
    evaluations, answer = unroll((4.0, 2.0, 0.0), "euler")
    assert inputs_terms(evaluations) == [{"noise": 4.0}, {"denoised0": 0.5, "x0": 0.5}]
    assert [e.sigma for e in evaluations] == [4.0, 2.0]
    assert answer == "denoised1"


def test_the_multistep_solver_extrapolates_from_two_answers():
    """Levels halve, so both steps are ln 2 long: x2 = x1 / 2 + 1/2 (3/2 D1 - 1/2 D0)."""
    evaluations, answer = unroll((4.0, 2.0, 1.0, 0.0), "dpmpp_2m")
    assert inputs_terms(evaluations)[1:] == [
        {"x0": 0.5, "denoised0": 0.5}, {"x1": 0.5, "denoised1": 0.75, "denoised0": -0.25}
    ]  # fmt: skip
    assert answer == "denoised2"


def test_heun_evaluates_twice_per_step_and_once_in_the_last():
    evaluations, answer = unroll((2.0, 1.0, 0.0), "heun")
    assert [e.sigma for e in evaluations] == [2.0, 1.0, 1.0]
    assert inputs_terms(evaluations)[1] == {"x0": 0.5, "denoised0": 0.5}  # x0 - (x0 - D0) / 2
    assert answer == "denoised2"


@pytest.mark.parametrize("candidates", [1, 4])
@pytest.mark.parametrize("solver", ["dpmpp_2m", "euler", "heun"])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@torch.no_grad()
def test_the_folded_sampler_is_the_trained_one(networks, observations, solver, steps, candidates):
    changed = with_sampler(networks, solver=solver, steps=steps)
    reference, view = (
        torch_policy(changed, "sampler", candidates),
        view_of(networks, "sampler", solver=solver, steps=steps),
    )
    require_same(view, reference, observations, networks.contract)


@pytest.mark.parametrize("candidates", [1, 4])
@torch.no_grad()
def test_the_folded_actor_is_the_trained_one(networks, observations, candidates):
    require_same(
        view_of(networks, "actor"), torch_policy(networks, "actor", candidates), observations, networks.contract
    )


def require_same(view, reference, observations, contract):
    rng, (lower, upper) = np.random.default_rng(2), contract.action_range()
    for observation in observations:
        noise = rng.standard_normal(reference.noise_shape, dtype=np.float32)
        action, value = view(torch.from_numpy(observation[None]), torch.from_numpy(noise))
        expected = reference.act(observation, noise)
        assert float(value.max()) == pytest.approx(expected.value, abs=CLOSE)
        assert np.abs((action[0].numpy() - expected.action) / (upper - lower)).max() < CLOSE


@torch.no_grad()
def test_a_folded_critic_gives_every_member_s_answer_and_their_mean():
    torch.manual_seed(3)
    net = LayerNormMlp(inputs=5, width=8, depth=3, members=3)
    observation, coded = torch.randn(1, 3), torch.rand(6, 2)
    expected = net(torch.cat([observation.expand(6, 3), coded * 2 - 1], dim=1))
    critic = Critic(net, 3, UNIT)
    share = observation @ critic.first.weight.float() + critic.first.bias.float()
    torch.testing.assert_close(critic.mean(share, coded), expected.mean(dim=0), atol=CLOSE, rtol=0)
    torch.testing.assert_close(critic.mean(share, coded[:1]), expected.mean(dim=0)[:1], atol=CLOSE, rtol=0)
    torch.testing.assert_close(critic.each(share, coded[:1]), expected[:, 0], atol=CLOSE, rtol=0)


def test_robot_units_reach_both_ends_of_the_range_in_either_coding(networks):
    lower, upper = (torch.from_numpy(side).float() for side in networks.contract.action_range())
    for coding, least, most in ((PLAIN, -1.0, 1.0), (UNIT, 0.0, 1.0)):
        units = RobotUnits(networks.contract, coding)
        torch.testing.assert_close(units(torch.full_like(lower, least)), lower)
        torch.testing.assert_close(units(torch.full_like(lower, most)), upper)
        torch.testing.assert_close(units.inverse(lower), torch.full_like(lower, least), atol=1e-6, rtol=0)


def optimized_operators(view, inputs, outputs, folder):
    """Export, let ONNX Runtime optimise, and count what it will run."""
    path, optimized = folder / "graph.onnx", folder / "optimized.onnx"
    onnx_from_torch(view, inputs, outputs, path, {"role": "test"})
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(optimized), 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(optimized).graph.node)


@pytest.mark.parametrize("candidates", [1, 4])
def test_the_sampler_s_graph_is_products_and_what_lies_between_them(networks, observations, candidates, tmp_path):
    """Five steps of a denoiser of three layers, and a critic of three layers with three members."""
    inputs = {"observation": torch.from_numpy(observations[:1]), "noise": torch.zeros(candidates, 7)}
    counts = optimized_operators(view_of(networks, "sampler"), inputs, ["action", "value"], tmp_path)
    assert counts["QuickGelu"] == 15  # SiLU of each layer, one operator
    assert counts["FusedGemm"] == 5  # the heads, with the cut to [-1, 1] inside
    per_step = 4  # sum of inputs, first layer, two further layers
    if candidates == 1:
        assert counts["Gemm"] == 5 * per_step + 3  # the observation, the critic's first layer and its mean head
        assert counts["MatMul"] == 2
        assert counts["SimplifiedLayerNormalization"] == counts["Relu"] == 3
    else:
        assert counts["Gemm"] == 5 * per_step + 2 + 3 * 3  # the last: two layers and a head of each member
        assert counts["MatMul"] == 0
        assert counts["SimplifiedLayerNormalization"] == counts["Relu"] == 1 + 2 * 3
    slow = {"Expand", "Cast", "Transpose", "Pow", "ReduceMean", "Sqrt", "Sigmoid", "LayerNormalization", "Where"}
    assert not slow & set(counts)
    assert sum(counts.values()) <= (67 if candidates == 1 else 82)


def test_the_critic_s_graph_normalises_in_one_operator(networks, observations, tmp_path):
    view = CriticView(networks.contract, networks.normalizer, networks.q_networks, networks.value)
    inputs = {"observation": torch.from_numpy(observations[:1]), "action": torch.zeros(1, 7)}
    counts = optimized_operators(view, inputs, ["q", "v"], tmp_path)
    assert counts["SimplifiedLayerNormalization"] == 6
    assert not {"Pow", "ReduceMean", "Expand", "Cast"} & set(counts)


def test_a_graph_keeps_no_weight_that_it_does_not_use(networks, observations, tmp_path):
    inputs = {"observation": torch.from_numpy(observations[:1]), "noise": torch.zeros(4, 7)}
    onnx_from_torch(view_of(networks, "actor"), inputs, ["action", "value"], tmp_path / "actor.onnx", {})
    graph = onnx.load(tmp_path / "actor.onnx").graph
    used = {name for node in graph.node for name in node.input}
    assert all(tensor.name in used for tensor in graph.initializer)
    weights = sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    width, hidden, obs, act, members = 24, 16, networks.contract.observation_size, 7, 3
    actor = (obs + 1) * width + act * width + 2 * (width + 1) * width + (width + 1) * act
    critic = members * ((obs + act + 1) * hidden + 2 * (hidden + 1) * hidden + hidden) + 1
    small = 2 * obs + 2 * act + hidden + 2  # normaliser and its cut, robot units, gain
    assert actor + critic <= weights <= actor + critic + small + 4

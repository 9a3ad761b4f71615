"""Real bundles with networks of a few nodes, made with the onnx package alone, to test whatever serves a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from divo_export.leapp_policy import write_leapp_policy
from divo_runtime.bundle.manifest import (
    Moments,
    PolicySettings,
    Provenance,
    Statistics,
)
from divo_runtime.bundle.manifest_writing import compose_manifest, write_manifest
from divo_runtime.contract import Contract
from divo_runtime.parity.check import check_networks, critic_actions
from divo_runtime.parity.report import REPORT_FILE, ParityReport, write_report
from divo_runtime.parity.sample import SAMPLE_FILE, ParitySample, Reference, draw_noise, write_sample

OPSET = 17
CRITICS = 2
SAMPLES = 20
SEED = 3


def write_tiny_bundle(
    folder: Path,
    contract: Contract,
    action: float | Sequence[float] | np.ndarray = 0.0,
    *,
    noise_gain: float = 0.0,
    candidates: int = 4,
    not_a_number_above: tuple[str, float] | None = None,
) -> Path:
    """Write `folder/<contract.name>` with actor, sampler and critic, and return it.

    Args:
        folder: Parent folder.
        contract: The robot task.
        action: One number or (act_dim,) numbers for a constant action, NaN allowed; (act_dim, obs_dim + 1) for a linear
            one, `action @ [observation, 1]`.
        noise_gain: Adds this much of the chosen candidate's noise; the chosen one has the noise nearest to zero.
        candidates: N of the sampler; the actor has 1.
        not_a_number_above: Name of an element of the observation and a threshold above which the action is NaN, for a
            policy that breaks while it runs.
    """
    bundle = folder / contract.name
    bundle.mkdir(parents=True)
    weights = np.asarray(action, dtype=np.float32)
    if weights.ndim < 2:
        bias = np.broadcast_to(weights, (contract.action_size,))
        weights = np.concatenate([np.zeros((contract.action_size, contract.observation_size)), bias[:, None]], axis=1)
    trap = None
    if not_a_number_above:
        trap = (contract.element_names.index(not_a_number_above[0]), not_a_number_above[1])
    _save(bundle / "actor.onnx", _policy_graph(weights, noise_gain, 1, trap))
    _save(bundle / "sampler.onnx", _policy_graph(weights, noise_gain, candidates, trap))
    _save(bundle / "critic.onnx", _critic_graph(contract.observation_size, contract.action_size))
    write_leapp_policy(bundle / "actor.onnx", contract, bundle / "policy.onnx", {"role": "actor"})
    policies = {
        "actor": PolicySettings(kind="actor", candidates=1, steps=1),
        "sampler": PolicySettings(kind="sampler", candidates=candidates, steps=5, sigmas=(1.0, 0.1, 0.0)),
    }
    if trap is None and np.isfinite(weights).all():
        sample = _sample(contract, weights, noise_gain, policies)
        write_sample(bundle / SAMPLE_FILE, sample)
        parity = check_networks(bundle, policies, contract, sample, "onnxruntime")
        write_report(bundle / REPORT_FILE, ParityReport(seed=SEED, results=tuple(parity)))
    manifest = compose_manifest(
        bundle,
        contract,
        policies,
        Statistics(observation=_moments(contract.observation_size), action=_moments(contract.action_size)),
        Provenance(
            dataset="none",
            dataset_sha256="0" * 64,
            transitions=1,
            git_commit="0" * 40,
            divo_version="0",
            created="2000-01-01T00:00:00Z",
            config={"made_for": "tests"},
        ),
        {"exporter": "tests"},
        critics=CRITICS,
    )
    write_manifest(bundle / f"{contract.name}.yaml", manifest)
    return bundle


def _sample(contract: Contract, weights: np.ndarray, gain: float, policies: dict[str, PolicySettings]) -> ParitySample:
    """Work out what the networks should answer to a few observations."""
    rng = np.random.default_rng(SEED)
    observations = rng.uniform(-1, 1, (SAMPLES, contract.observation_size)).astype(np.float32)
    linear = observations @ weights[:, :-1].T + weights[:, -1]
    answers = {}
    for name, settings in policies.items():
        noise = draw_noise(SEED, SAMPLES, (settings.candidates, contract.action_size))
        value = -np.square(noise).sum(axis=2)
        chosen = noise[np.arange(SAMPLES), value.argmax(axis=1)]
        answers[name] = Reference((linear + gain * chosen).astype(np.float32), value)
    q = -np.square(critic_actions(ParitySample(observations, SEED), contract)).sum(axis=1, keepdims=True)
    critic = np.concatenate([q] * CRITICS + [np.zeros_like(q)], axis=1)
    return ParitySample(observations, SEED, answers, critic)


def _policy_graph(weights: np.ndarray, noise_gain: float, candidates: int, trap: tuple[int, float] | None):
    """Make action = W [observation, 1] + gain * noise[best], value = -|noise|^2 of each candidate."""
    act_dim, obs_dim = weights.shape[0], weights.shape[1] - 1
    constants = {
        "weight": weights[:, :obs_dim],
        "bias": weights[:, obs_dim],
        "gain": np.array([noise_gain]),
    }
    integers = {"last_axis": np.array([1])}
    nodes = [
        helper.make_node("Gemm", ["observation", "weight", "bias"], ["linear"], transB=1),
        helper.make_node("Mul", ["noise", "noise"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last_axis"], ["length"], keepdims=0),
        helper.make_node("Neg", ["length"], ["value"]),
        helper.make_node("ArgMax", ["value"], ["best"], axis=0, keepdims=1),
        helper.make_node("Gather", ["noise", "best"], ["chosen"], axis=0),
        helper.make_node("Mul", ["chosen", "gain"], ["offset"]),
        helper.make_node("Add", ["linear", "offset"], ["action" if trap is None else "untrapped"]),
    ]
    if trap:  # sqrt of a negative number is NaN, and 0 * NaN is NaN
        constants |= {"threshold": np.array([trap[1]]), "zero": np.array([0.0])}
        integers |= {"trapped": np.array([trap[0]])}
        nodes += [
            helper.make_node("Gather", ["observation", "trapped"], ["watched"], axis=1),
            helper.make_node("Sub", ["threshold", "watched"], ["margin"]),
            helper.make_node("Sqrt", ["margin"], ["root"]),
            helper.make_node("Mul", ["root", "zero"], ["nothing"]),
            helper.make_node("Add", ["untrapped", "nothing"], ["action"]),
        ]
    return _model(
        nodes,
        {"observation": [1, obs_dim], "noise": [candidates, act_dim]},
        {"action": [1, act_dim], "value": [candidates]},
        constants,
        integers,
    )


def _critic_graph(obs_dim: int, act_dim: int):
    """Make q = -|action|^2 for each member, v = 0 * observation."""
    nodes = [
        helper.make_node("Mul", ["action", "action"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last_axis"], ["length"], keepdims=0),
        helper.make_node("Neg", ["length"], ["one"]),
        helper.make_node("Expand", ["one", "members"], ["q"]),
        helper.make_node("MatMul", ["observation", "nothing"], ["column"]),
        helper.make_node("Reshape", ["column", "single"], ["v"]),
    ]
    return _model(
        nodes,
        {"observation": [1, obs_dim], "action": [1, act_dim]},
        {"q": [CRITICS], "v": [1]},
        {"nothing": np.zeros((obs_dim, 1))},
        {"last_axis": np.array([1]), "members": np.array([CRITICS]), "single": np.array([1])},
    )


def _model(nodes, inputs, outputs, constants, integers):
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    tensors += [numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in integers.items()]
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "tiny", *values, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _save(path: Path, model) -> None:
    path.write_bytes(model.SerializeToString())


def _moments(size: int) -> Moments:
    return Moments(mean=(0.0,) * size, std=(1.0,) * size, minimum=(-1.0,) * size, maximum=(1.0,) * size)

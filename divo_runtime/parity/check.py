"""Runs the networks of a bundle on its parity sample, one observation after the other, as a controller would."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from divo_runtime.backends import open_backend, opens_precision
from divo_runtime.bundle.loading import Bundle
from divo_runtime.bundle.manifest import PolicySettings, Precision
from divo_runtime.bundle.ports import CRITIC, LEAPP_NODE, leapp_feeds
from divo_runtime.contract import Contract
from divo_runtime.interfaces import Backend
from divo_runtime.observation import FloatArray
from divo_runtime.parity.judgement import Answers, Parity, compare_critic, compare_policy, require_parity
from divo_runtime.parity.sample import SAMPLE_FILE, ParitySample, draw_actions, draw_noise, read_sample

ELSEWHERE = (
    "Do not run this bundle on this engine. `divo-export check BUNDLE --run RUN`, where torch and the run are, "
    "names the operator."
)


NO_VALUE = np.zeros(1, np.float32)
"""Stands for the value of a single candidate that is not valued, in the reference as well."""


def run_policy(network: Backend, sample: ParitySample) -> Answers:
    """Ask a policy's network about every observation of a sample, one by one as a controller does."""
    rows, width = next(spec.shape for spec in network.inputs if spec.name == "noise")
    noise = draw_noise(sample.seed, len(sample.observations), (rows, width))
    action, value = np.empty((len(noise), width), np.float32), np.empty((len(noise), rows), np.float32)
    for index, observation in enumerate(sample.observations):
        outputs = network.run({"observation": observation[np.newaxis], "noise": noise[index]})
        action[index], value[index] = outputs["action"][0], outputs.get("value", NO_VALUE)
    return Answers(action, value)


def run_leapp_policy(network: Backend, sample: ParitySample, contract: Contract, actor: Answers) -> Answers:
    """Ask the network for LEAPP loaders, which gives no values: it is the actor, so its choice must be the actor's."""
    shape = actor.value.shape[1], actor.action.shape[1]
    noise = draw_noise(sample.seed, len(sample.observations), shape)
    action = [
        network.run(leapp_feeds(contract, observation, row))["action"][0]
        for observation, row in zip(sample.observations, noise, strict=True)
    ]
    return Answers(np.stack(action), actor.value)


def run_critic(network: Backend, sample: ParitySample, contract: Contract) -> FloatArray:
    """Return (count, members + 1) every member's Q, then V, for the actions that belong to the sample."""
    rows = []
    for observation, action in zip(sample.observations, critic_actions(sample, contract), strict=True):
        outputs = network.run({"observation": observation[np.newaxis], "action": action[np.newaxis]})
        rows.append(np.concatenate([outputs["q"], outputs["v"]]))
    return np.stack(rows)


def critic_actions(sample: ParitySample, contract: Contract) -> FloatArray:
    """Return (count, act_dim) the actions that the critic is asked about, all over the contract's range."""
    lower, upper = (side.astype(np.float32) for side in contract.action_range())
    return draw_actions(sample.seed, len(sample.observations), lower, upper)


def computed_in(settings: PolicySettings | None, backend: str) -> Precision:
    """Return the precision that a network is computed in: the file's, or an engine's that computes in half of it."""
    return "float16" if backend.endswith("fp16") else "float32" if settings is None else settings.precision


def check_networks(
    folder: Path,
    policies: Mapping[str, PolicySettings],
    contract: Contract,
    sample: ParitySample,
    backend: str,
    threads: int = 1,
) -> list[Parity]:
    """Compare every network of a bundle with the sample's answers.

    Args:
        folder: Where the networks are.
        policies: Name -> settings of those to compare; others of the sample are left out.
        contract: The robot task.
        sample: Observations and answers.
        backend: Engine, one of `divo_runtime.backends.OPENERS`.
        threads: Threads for one run, >= 1.

    Returns:
        One record per network that the engine opens: the policies, the critic, and the network for LEAPP loaders if
        there is one. None is judged yet, see `divo_runtime.parity.judgement.require_parity`.

    Raises:
        BackendError: If the engine is missing or cannot open or run a network.
    """
    results, actor = [], None
    opened = {name: chosen for name, chosen in policies.items() if opens_precision(backend, chosen.precision)}
    for name, settings in opened.items():
        with closing(open_backend(folder / f"{name}.onnx", backend, threads)) as network:
            answers = run_policy(network, sample)
        labels = name, backend, computed_in(settings, backend)
        results.append(compare_policy(answers, sample.policies[name], sample, contract, labels))
        actor = answers if name == "actor" else actor
    if sample.critic is not None:
        with closing(open_backend(folder / f"{CRITIC}.onnx", backend, threads)) as network:
            critic = run_critic(network, sample, contract)
        results.append(compare_critic(critic, sample, (CRITIC, backend, computed_in(None, backend))))
    shared = folder / f"{LEAPP_NODE}.onnx"
    if actor is not None and shared.is_file() and not backend.startswith("tensorrt"):  # no engine: others load the ONNX
        with closing(open_backend(shared, backend, threads)) as network:
            answers = run_leapp_policy(network, sample, contract, actor)
        labels = LEAPP_NODE, backend, computed_in(policies["actor"], backend)
        results.append(compare_policy(answers, sample.policies["actor"], sample, contract, labels))
    return results


def check_bundle(bundle: Bundle, backend: str = "onnxruntime", threads: int = 1) -> list[Parity]:
    """Compare a bundle on this machine with the answers that it carries; needs neither torch nor the dataset.

    Raises:
        BundleError: If the bundle carries no sample.
        BackendError: If the engine is missing or cannot open or run a network.
        ParityError: At the first network that is off.
    """
    sample = read_sample(bundle.folder / SAMPLE_FILE)
    policies = {name: chosen for name, chosen in bundle.manifest.x_divo.policies.items() if name in sample.policies}
    results = check_networks(bundle.folder, policies, bundle.contract, sample, backend, threads)
    for parity in results:
        require_parity(parity, ELSEWHERE)
    return results

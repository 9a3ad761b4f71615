"""torch against an exported graph on real observations, judged in robot units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from divo_runtime.contract import Contract
from divo_runtime.errors import DivoError
from divo_runtime.interfaces import Backend, Policy
from divo_runtime.observation import FloatArray
from divo_train.policies import TrainedNetworks

TOLERANCE = 1e-4
"""Largest error that passes, as a fraction of each action's range: float32 reordering stays far below, a wrong unit or
a missing normaliser far above."""
TIE = 1e-5
"""Two candidates whose values differ by less than this, relative to their size, may be chosen either way."""


class ParityError(DivoError):
    """An exported graph does not compute what the trained networks compute."""


@dataclass(frozen=True)
class Parity:
    """How far a backend is from torch."""

    policy: str
    backend: str
    observations: int
    names: tuple[str, ...]
    """Action names."""
    worst: tuple[float, ...]
    """Largest absolute error of each action, in robot units."""
    worst_of_range: tuple[float, ...]
    """The same as a fraction of the action's range."""
    worst_observation: int
    """Number of the observation with the largest error."""
    ties: int
    """Observations where both chose differently between candidates of practically equal value; not counted above."""


def compare(
    reference: Policy,
    exported: Policy,
    observations: FloatArray,
    contract: Contract,
    labels: tuple[str, str],
    seed: int = 0,
) -> Parity:
    """Run both policies on the same observations and noise.

    Args:
        reference: The trained networks in torch.
        exported: The graph in a backend.
        observations: (count, obs_dim) in contract units.
        contract: Gives action names and ranges.
        labels: Names of policy and backend for the report.
        seed: Seed of the noise.
    """
    rng = np.random.default_rng(seed)
    lower, upper = contract.action_range()
    errors = np.zeros((len(observations), contract.action_size))
    ties = 0
    for error, observation in zip(errors, observations, strict=True):
        noise = rng.standard_normal(reference.noise_shape, dtype=np.float32)
        expected, got = reference.act(observation, noise), exported.act(observation, noise)
        error[:] = np.abs(got.action - expected.action)
        swapped = (error > TOLERANCE * (upper - lower)).any() and reference.noise_shape[0] > 1
        if swapped and abs(got.value - expected.value) <= TIE * max(1.0, abs(expected.value)):
            ties, error[:] = ties + 1, 0.0
    worst = errors.max(axis=0)
    return Parity(
        policy=labels[0],
        backend=labels[1],
        observations=len(observations),
        names=contract.action.names,
        worst=tuple(map(float, worst)),
        worst_of_range=tuple(map(float, worst / (upper - lower))),
        worst_observation=int((errors / (upper - lower)).max(axis=1).argmax()),
        ties=ties,
    )


@torch.no_grad()
def compare_critic(
    networks: TrainedNetworks, exported: Backend, observations: FloatArray, backend: str, seed: int = 0
) -> Parity:
    """Compare every member's Q and V on random actions; errors are judged against the spread of V over the data."""
    assert networks.q_networks is not None
    assert networks.value is not None
    rng = np.random.default_rng(seed)
    lower, upper = (side.astype(np.float32) for side in networks.contract.action_range())
    actions = rng.uniform(lower, upper, (len(observations), len(lower))).astype(np.float32)
    normalized = networks.normalizer(torch.from_numpy(observations))
    scaled = torch.from_numpy((actions - lower) / (upper - lower) * 2 - 1)
    q, v = networks.q_networks(normalized, scaled), networks.value(normalized)
    expected = torch.cat([q, v.unsqueeze(0)]).T.numpy()
    got = np.stack([_critic_row(exported, o, a) for o, a in zip(observations, actions, strict=True)])
    errors, spread = np.abs(got - expected), float(v.max() - v.min()) or 1.0
    return Parity(
        policy="critic",
        backend=backend,
        observations=len(observations),
        names=(*(f"q{i}" for i in range(len(q))), "v"),
        worst=tuple(map(float, errors.max(axis=0))),
        worst_of_range=tuple(map(float, errors.max(axis=0) / spread)),
        worst_observation=int(errors.max(axis=1).argmax()),
        ties=0,
    )


def _critic_row(critic: Backend, observation: FloatArray, action: FloatArray) -> FloatArray:
    outputs = critic.run({"observation": observation[np.newaxis], "action": action[np.newaxis]})
    return np.concatenate([outputs["q"], outputs["v"]])


def require_parity(parity: Parity) -> None:
    """Refuse a graph that is off by more than `TOLERANCE`.

    Raises:
        ParityError: Naming policy, backend, action, observation and error.
    """
    if not max(parity.worst_of_range) <= TOLERANCE or parity.ties > 0.01 * parity.observations:
        worst = int(np.argmax(parity.worst_of_range))
        action, share = parity.names[worst], parity.worst_of_range[worst]
        raise ParityError(
            "The exported graph differs from the trained networks.",
            where=f"{parity.policy} in {parity.backend}, action '{action}', observation {parity.worst_observation}",
            got=f"{share:.2e} of the action's range, {parity.ties} ties in {parity.observations}",
            expected=f"at most {TOLERANCE:.0e} of the range, at most 1 % ties",
            fix="Nothing was written. Report the versions of torch, onnx and the backend: this should not happen.",
        )


def write_parity(path: Path, results: Sequence[Parity]) -> None:
    """Write the report as JSON."""
    report = {"tolerance_of_range": TOLERANCE, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(report, indent=1) + "\n")

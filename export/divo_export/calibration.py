"""Measure on held-out episodes what the run-time guards compare with: novelty of observations, values of actions.

Whole episodes are held out, not single steps: neighbouring steps are so alike that they would vouch for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from divo_runtime.backends import open_backend
from divo_runtime.bundle.ports import CRITIC
from divo_runtime.contract import Contract
from divo_runtime.errors import DatasetError
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy
from divo_runtime.policy import NetworkPolicy
from divo_runtime.safety.calibration import Calibration, Novelty, Quantiles, novelty_scores
from divo_train.data.dataset import Dataset

HELD_OUT = 0.2
"""Share of the episodes that calibrates; the rest says what is usual."""

VALUED = 2000
"""Held-out observations on which every policy is asked for its value; at a few hundred microseconds each."""

EDGE = 0.999
"""Share of the training observations within 1 of the mean in each direction."""

FLATTEST = 1e-5
"""Least variance of a direction, in units where every element of the observation has 1. A relation that holds exactly
in the data, to rounding, gets this much slack: 0.3 % of the spread of an element."""

TAILS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
SHARES = (*TAILS, 0.5, *(1.0 - tail for tail in reversed(TAILS)))
"""Which quantiles are kept: mostly the tails, where bounds are."""


def calibrate_folder(folder: Path, contract: Contract, names: Mapping[str, object], dataset: Dataset) -> Calibration:
    """Calibrate for the policies `<name>.onnx` of a folder.

    Args:
        folder: Where the networks are.
        contract: The robot task.
        names: Names of the policies.
        dataset: What they were trained on.

    Raises:
        DatasetError: If there are too few episodes.
        BackendError: If a network cannot be opened or run.
    """
    values: list[float] = []
    rows = held_out_episodes(dataset)
    observations = dataset.observations[dataset.rows[rows]]
    some = observations[np.random.default_rng(0).permutation(len(observations))[:VALUED]]
    with closing(open_backend(folder / f"{CRITIC}.onnx", "onnxruntime")) as critic:
        for name in names:
            with closing(open_backend(folder / f"{name}.onnx", "onnxruntime")) as network:
                values += chosen_values(NetworkPolicy(network, contract, critic), some)
    return Calibration(
        novelty=fit_novelty(
            dataset.observations[dataset.rows[~rows]].astype(np.float64), observations.astype(np.float64)
        ),
        value=quantiles(np.array(values)),
        held_out=len(observations),
    )


def held_out_episodes(dataset: Dataset, seed: int = 0) -> NDArray[np.bool_]:
    """Return (transitions,) whether each transition belongs to an episode that is held out.

    Raises:
        DatasetError: If there are fewer than two episodes.
    """
    episodes = np.unique(dataset.episodes)
    if len(episodes) < 2:
        raise DatasetError(
            "The dataset is too small to calibrate the guards.",
            where=dataset.name,
            got=f"{len(episodes)} episode",
            expected="two or more, some to learn what is usual and some to check it",
            fix="Record more episodes.",
        )
    count = min(max(round(HELD_OUT * len(episodes)), 1), len(episodes) - 1)
    return np.isin(dataset.episodes, np.random.default_rng(seed).permutation(episodes)[:count])


def fit_novelty(training: JointArray, held_out: JointArray) -> Novelty:
    """Learn what training observations are like, and how novel held-out ones then look.

    Args:
        training: (n, obs_dim) observations.
        held_out: (m, obs_dim) others.
    """
    mean, scale = training.mean(0), training.std(0)
    scale = np.where(scale > 0.0, scale, 1.0)  # an element that never changed: anything else in it is far outside
    normal = (training - mean) / scale
    variances, axes = np.linalg.eigh(np.cov(normal, rowvar=False).reshape(len(mean), len(mean)))
    directions = (axes / np.sqrt(np.maximum(variances, FLATTEST))).T
    edge = np.quantile(np.abs(normal @ directions.T), EDGE, axis=0)
    # a direction flattened to nothing, or nearly, keeps its floor of variance as its edge
    directions = directions / np.maximum(edge, 1.0)[:, None] / scale
    novelty = Novelty(
        mean=tuple(mean.tolist()),
        directions=tuple(tuple(row) for row in directions.tolist()),
        lower=tuple(training.min(0).tolist()),
        upper=tuple(training.max(0).tolist()),
        scale=tuple(scale.tolist()),
        scores=Quantiles(shares=(0.0, 1.0), values=(0.0, 0.0)),
    )
    scores = quantiles(novelty_scores(held_out, novelty))
    return msgspec.structs.replace(novelty, scores=scores)


def chosen_values(policy: Policy, observations: NDArray[np.float32], seed: int = 0) -> list[float]:
    """Return the critic's value of what a policy chooses for each of (n, obs_dim) observations."""
    rng = np.random.default_rng(seed)
    draw = (rng.standard_normal(policy.noise_shape, dtype=np.float32) for _ in observations)
    return [policy.act(observation, noise).value for observation, noise in zip(observations, draw, strict=True)]


def quantiles(values: JointArray) -> Quantiles:
    """Return the distribution of (n,) finite values."""
    return Quantiles(shares=SHARES, values=tuple(np.quantile(values, SHARES).tolist()))

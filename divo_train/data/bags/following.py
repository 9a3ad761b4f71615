"""How the measured motion follows the commands: by how many periods, which joint which command, and by what factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract
from divo_runtime.observation import FloatArray
from divo_train.data.bags.motion import joint_columns, twist_columns

Matrix = NDArray[np.float64]

LONGEST_LAG_S = 0.5
"""How far command and motion are shifted against each other at most, either way [s]."""
MOST_LAGS = 25
STILL = 1e-6
"""Standard deviation below which something does not move."""


@dataclass(frozen=True, slots=True)
class Following:
    """Correlation of every command with every measured motion, at every shift."""

    lags: NDArray[np.int64]
    """(L,) periods by which the motion is later than the command; +1 is a robot that obeys at once."""
    correlation: NDArray[np.float64]
    """(L, act_dim, act_dim) of command i with motion j; 0 where one of them stands still."""
    slope: Matrix
    """(L, act_dim) motion i per unit of command i, by least squares."""
    moving: NDArray[np.bool_]
    """(act_dim,) Whether the motion moved at all."""
    commanded: NDArray[np.bool_]
    """(act_dim,) Whether the command changed at all."""

    @property
    def strength(self) -> Matrix:
        """(L,) mean over the moving joints' commands of their correlation with the motion that follows them best."""
        some = self.commanded & self.moving
        if not some.any():
            return np.zeros(len(self.lags))
        best: Matrix = np.abs(self.correlation[:, some]).max(axis=2).mean(axis=1)
        return best

    @property
    def best(self) -> int:
        """Index of the lag at which the motion follows best."""
        return int(np.argmax(self.strength))


def measure_following(
    contract: Contract, observations: Sequence[FloatArray], actions: Sequence[FloatArray]
) -> Following | None:
    """Correlate commands with the motion that the contract observes; None if it observes none.

    Velocities are compared with velocities; of position commands and positions, the changes are.

    Args:
        contract: The robot task.
        observations: (T + 1, obs_dim) per episode.
        actions: (T, act_dim) per episode.
    """
    longest = min(max(round(LONGEST_LAG_S * contract.rate_hz), 4), MOST_LAGS)
    pairs = []
    for seen, asked in zip(observations, actions, strict=True):
        moved = _moved(contract, seen)
        if moved is None:
            return None
        wanted = asked.astype(np.float64)
        if contract.action.kind == "joint_position":
            wanted, moved = np.diff(wanted, axis=0), np.diff(moved, axis=0)
        if len(wanted) > 2 * longest:
            pairs.append((wanted, moved[: len(wanted)]))
    if not pairs:
        return None
    wanted_mean, wanted_std = _moments([wanted for wanted, _ in pairs])
    moved_mean, moved_std = _moments([moved for _, moved in pairs])
    lags = np.arange(-longest, longest + 1)
    size = contract.action_size
    products, weights = np.zeros((len(lags), size, size)), np.zeros(len(lags))
    for wanted, moved in pairs:
        centred, follow = wanted - wanted_mean, moved - moved_mean
        for index, lag in enumerate(lags.tolist()):
            first, last = max(0, -lag), len(centred) - max(0, lag)
            products[index] += centred[first:last].T @ follow[first + lag : last + lag]
            weights[index] += last - first
    covariance = products / weights[:, None, None]
    scale = np.outer(wanted_std, moved_std)
    commanded, moving = wanted_std > STILL, moved_std > STILL
    active = np.outer(commanded, moving)
    correlation = np.divide(covariance, scale, out=np.zeros_like(covariance), where=active[None])
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    slope = np.divide(diagonal, wanted_std**2, out=np.zeros_like(diagonal), where=commanded[None])
    return Following(lags, correlation, slope, moving, commanded)


def _moved(contract: Contract, observations: FloatArray) -> Matrix | None:
    """Return the measured motion (T + 1, act_dim) in the quantity of the action; None if it is not observed."""
    if contract.action.kind == "twist":
        columns = twist_columns(contract)
        return None if columns is None else observations[:, columns].astype(np.float64)
    field = "position" if contract.action.kind == "joint_position" else "velocity"
    columns = joint_columns(contract, field)
    if columns is not None:
        return observations[:, columns].astype(np.float64)
    columns = joint_columns(contract, "position")
    if columns is None or field == "position":
        return None
    steps = np.diff(observations[:, columns].astype(np.float64), axis=0) * contract.rate_hz
    return np.concatenate([steps[:1], steps])  # what moved in a period is known at its end


def _moments(arrays: Sequence[Matrix]) -> tuple[Matrix, Matrix]:
    """Return mean and standard deviation over all rows."""
    whole = np.concatenate(arrays)
    return whole.mean(axis=0), whole.std(axis=0)

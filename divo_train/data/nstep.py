"""Sums over several steps, computed once for the whole dataset.

A window stops at the end of its episode, or of the task in it. A truncated episode bootstraps from its last
observation, a terminated one does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from divo_train.data.dataset import BoolArray, Dataset, FloatArray, IntArray


@dataclass(frozen=True)
class Backups:
    """For each transition i: target = returns[i] + discounts[i] * V(observations[rows[i]])."""

    returns: FloatArray
    """(transitions,) Discounted rewards inside the window."""
    discounts: FloatArray
    """(transitions,) Discount of the bootstrap; 0 where the window holds a termination."""
    rows: IntArray
    """(transitions,) Observation row at the window's end."""


def multi_step_backups(dataset: Dataset, steps: int, discount: float) -> Backups:
    """Return the `steps`-step returns and bootstraps of every transition.

    Raises:
        ValueError: If `steps` < 1.

    Source: Sutton and Barto 2018, eq. 7.1.
    """
    if steps < 1:
        raise ValueError(f"Expected steps >= 1, got {steps}.")
    count = len(dataset)
    ends = np.flatnonzero(_is_last(dataset))
    last = ends[np.searchsorted(ends, np.arange(count))]
    length = np.minimum(steps, last - np.arange(count) + 1)
    returns = np.zeros(count)
    for k in range(steps):
        inside = np.flatnonzero(length > k)
        returns[inside] += discount**k * dataset.rewards[inside + k]
    final = np.arange(count) + length - 1
    discounts = discount**length * ~dataset.terminated[final]
    return Backups(returns.astype(np.float32), discounts.astype(np.float32), dataset.rows + length)


def next_actions(dataset: Dataset, rows: IntArray) -> IntArray:
    """Return, for each observation row, the number of the transition that begins there; -1 at the end of an episode."""
    starting = np.full(len(dataset.observations), -1)
    starting[dataset.rows] = np.arange(len(dataset))
    return starting[rows]


def lambda_returns(dataset: Dataset, value: FloatArray, discount: float, decay: float) -> FloatArray:
    """Return (transitions,) TD(lambda) returns, computed backwards through every episode.

    Args:
        dataset: Logged episodes; rewards as they are, so scale `value` alike.
        value: (rows,) V of every observation row.
        discount: Per step.
        decay: lambda in [0, 1]; 1 gives the return of the rest of the episode, bootstrapped at a truncation.

    Source: Sutton and Barto 2018, eq. 12.20.
    """
    count = len(dataset)
    last = _is_last(dataset)
    bootstrap = value[dataset.rows + 1] * ~dataset.terminated
    returns = np.zeros(count)
    following = 0.0
    for i in range(count - 1, -1, -1):
        ahead = bootstrap[i] if last[i] else (1 - decay) * bootstrap[i] + decay * following
        following = returns[i] = dataset.rewards[i] + discount * ahead
    return returns.astype(np.float32)


def _is_last(dataset: Dataset) -> BoolArray:
    """Return (transitions,) whether nothing that follows belongs to it: an episode or the task ends."""
    return np.append(np.diff(dataset.episodes) != 0, True) | dataset.terminated

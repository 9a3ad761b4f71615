"""Sums over several steps, computed once for the whole dataset.

A window stops at the end of its episode. A truncated episode bootstraps from its last observation, a terminated one
does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from divo_train.data.dataset import Dataset, FloatArray, IntArray


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
    ends = np.append(np.flatnonzero(np.diff(dataset.episodes)), count - 1)
    last = ends[np.searchsorted(ends, np.arange(count))]
    length = np.minimum(steps, last - np.arange(count) + 1)
    returns = np.zeros(count)
    for k in range(steps):
        inside = np.flatnonzero(length > k)
        returns[inside] += discount**k * dataset.rewards[inside + k]
    final = np.arange(count) + length - 1
    discounts = discount**length * ~dataset.terminated[final]
    return Backups(returns.astype(np.float32), discounts.astype(np.float32), dataset.rows + length)

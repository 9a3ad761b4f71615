"""What training has shown, boiled down to numbers that a guard can compare with in microseconds.

An exporter measures them on episodes that were held out, a bundle's manifest carries them, `guards` uses them.

Novelty of an observation x is the larger of two scores, both 1 at the edge of the training data:

* the principal directions of the training data, each scaled so that hardly any training observation exceeds 1 in it;
  the largest |d_i (x - mean)| counts. The directions of small variance are the relations between the inputs that always
  hold, such as goal minus tool, and are what a wrong unit, frame or order breaks. The largest, not their root mean
  square (the Mahalanobis distance), because a few wild episodes make the usual directions heavy-tailed and would drown
  the telling ones; docs/safety.md has the comparison.
* 1 + how far the worst element lies outside its training range, in standard deviations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divo_runtime.fields import JointArray
from divo_runtime.schema import Record


class Quantiles(Record, frozen=True, kw_only=True):
    """A distribution, as the values below which given shares of it lie."""

    shares: tuple[float, ...]
    """Rising, in [0, 1]."""
    values: tuple[float, ...]
    """One per share, never falling."""

    def __post_init__(self) -> None:
        """Check that this is a distribution."""
        sizes = len(self.shares), len(self.values)
        if sizes[0] < 2 or sizes[0] != sizes[1]:
            raise ValueError(f"Expected two or more shares with a value each, got {sizes[0]} and {sizes[1]}")
        if not (_rises(self.shares) and _rises(self.values) and 0.0 <= self.shares[0] <= self.shares[-1] <= 1.0):
            raise ValueError("Expected finite shares in [0, 1] and values, none of them falling")

    def at(self, share: float) -> float:
        """Return the value below which `share` of the distribution lies, between two of them by a straight line."""
        return float(np.interp(share, self.shares, self.values))


class Novelty(Record, frozen=True, kw_only=True):
    """What the training observations were like; one number per element of the observation, in the contract's units."""

    mean: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    """Rows d_i of (any number, obs_dim)."""
    lower: tuple[float, ...]
    """Smallest training observation."""
    upper: tuple[float, ...]
    """Largest training observation."""
    scale: tuple[float, ...]
    """Standard deviation, > 0."""
    scores: Quantiles
    """Of the novelty of observations that were held out."""

    def __post_init__(self) -> None:
        """Check sizes and numbers."""
        rows = (self.mean, self.lower, self.upper, self.scale, *self.directions)
        if not self.directions or any(len(row) != len(self.mean) for row in rows):
            raise ValueError(f"Expected every row of novelty to have {len(self.mean)} numbers")
        if not np.isfinite(rows).all() or min(self.scale) <= 0.0:
            raise ValueError("Expected finite numbers in novelty, and a scale above zero")


class Calibration(Record, frozen=True, kw_only=True):
    """What the guards of a bundle compare with."""

    novelty: Novelty
    value: Quantiles
    """Of the critic's value of what the bundle's policies choose for observations that were held out."""
    held_out: int
    """Number of those observations."""


class NoveltyScore:
    """Computes the novelty of one observation; see the head of this file."""

    def __init__(self, novelty: Novelty) -> None:
        lower, upper, scale = np.array(novelty.lower), np.array(novelty.upper), np.array(novelty.scale)
        self._directions = np.array(novelty.directions)
        self._offsets = self._directions @ np.array(novelty.mean)
        self._centre, self._per_scale = (upper + lower) / 2.0, 1.0 / scale
        self._half_range = (upper - lower) / 2.0 / scale

    def __call__(self, observation: NDArray[np.floating]) -> float:
        """Return the novelty of a finite (obs_dim,) observation, about 1 at the edge of the training data."""
        relations = np.abs(self._directions @ observation - self._offsets).max()
        excess = (np.abs(observation - self._centre) * self._per_scale - self._half_range).max()
        return float(max(relations, 1.0 + excess))


def novelty_scores(observations: JointArray, novelty: Novelty) -> JointArray:
    """Return the novelty of many observations, (n, obs_dim) -> (n,)."""
    score = NoveltyScore(novelty)
    return np.array([score(observation) for observation in observations])


def _rises(numbers: tuple[float, ...]) -> bool:
    return bool(np.isfinite(numbers).all() and (np.diff(numbers) >= 0.0).all())

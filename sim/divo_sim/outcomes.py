"""What came of a number of episodes: rates and means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished episode, however it was played."""

    seed: int
    success: bool
    """The goal was reached."""
    collision_free: bool
    """The goal was reached and nothing was touched on the way."""
    route: int
    """-1 inner, +1 outer, 0 not passed."""
    return_: float
    """Undiscounted sum of rewards."""
    steps: int
    """Control periods."""
    path: tuple[tuple[float, ...], ...]
    """Tool position (x, y, z) after each period [m]."""
    joints: tuple[tuple[float, ...], ...] = ()
    """Joint positions after each period [rad], where they were recorded."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return `0.94 [0.87, 0.98]`."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Score:
    """What a set of episodes says."""

    episodes: int
    success: Estimate
    collision_free: Estimate
    mean_return: Estimate
    steps: float | None
    """Mean control periods of the episodes that reached the goal; None if none did."""
    outer_share: float | None
    """Share of the outer route among the collision-free episodes; None if there is none."""


def score(outcomes: Sequence[Outcome]) -> Score:
    """Count and average at least one episode.

    Raises:
        ValueError: If there is no episode.
    """
    if not outcomes:
        raise ValueError("A score needs at least one episode, got none.")
    reached = [outcome for outcome in outcomes if outcome.success]
    clean = [outcome for outcome in outcomes if outcome.collision_free]
    return Score(
        episodes=len(outcomes),
        success=rate(len(reached), len(outcomes)),
        collision_free=rate(len(clean), len(outcomes)),
        mean_return=mean([outcome.return_ for outcome in outcomes]),
        steps=float(np.mean([outcome.steps for outcome in reached])) if reached else None,
        outer_share=float(np.mean([outcome.route > 0 for outcome in clean])) if clean else None,
    )


def rate(count: int, total: int) -> Estimate:
    """Return a proportion with its exact 95 % interval.

    Source: Clopper and Pearson 1934; as quantiles of the beta distribution in Brown, Cai and DasGupta 2001, eq. (4).

    Args:
        count: Successes, 0 to `total`.
        total: Trials, >= 1.
    """
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1.0 - tail, count + 1, total - count))
    return Estimate(count / total, low, high)


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """Return the mean of at least one value with its 95 % interval by the percentile bootstrap.

    Source: Efron 1979. Equal values have no width.

    Args:
        values: The sample.
        seed: Seed of the resampling, so that the same episodes always give the same interval.
    """
    sample = np.asarray(values, dtype=np.float64)
    resampled = np.random.default_rng(seed).choice(sample, (RESAMPLES, len(sample))).mean(axis=1)
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(resampled, [tail, 100.0 - tail])
    return Estimate(float(sample.mean()), float(low), float(high))

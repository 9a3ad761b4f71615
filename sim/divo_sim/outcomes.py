"""What came of a number of episodes: rates and means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap


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
    path: tuple[tuple[float, float, float], ...]
    """Tool position after each period [m]."""
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
    steps: float
    """Mean control periods of the episodes that reached the goal; NaN if none did."""
    outer_share: float
    """Share of the outer route among the collision-free episodes; NaN if there is none."""


def score(outcomes: Sequence[Outcome]) -> Score:
    """Count and average at least one episode.

    Rates have exact intervals (Clopper and Pearson 1934), the return a percentile bootstrap's.
    """
    reached = [outcome for outcome in outcomes if outcome.success]
    clean = [outcome for outcome in outcomes if outcome.collision_free]
    return Score(
        episodes=len(outcomes),
        success=rate(len(reached), len(outcomes)),
        collision_free=rate(len(clean), len(outcomes)),
        mean_return=mean([outcome.return_ for outcome in outcomes]),
        steps=float(np.mean([outcome.steps for outcome in reached])) if reached else float("nan"),
        outer_share=float(np.mean([outcome.route > 0 for outcome in clean])) if clean else float("nan"),
    )


def rate(count: int, total: int) -> Estimate:
    """Return a proportion with its exact interval."""
    interval = binomtest(count, total).proportion_ci(confidence_level=0.95, method="exact")
    return Estimate(count / total, float(interval.low), float(interval.high))


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """Return a mean with its bootstrap interval; a single value has no width."""
    if len(set(values)) < 2:
        return Estimate(values[0], values[0], values[0])
    rng = np.random.default_rng(seed)
    interval = bootstrap(
        (np.array(values),), np.mean, method="percentile", n_resamples=2000, rng=rng
    ).confidence_interval
    return Estimate(float(np.mean(values)), float(interval.low), float(interval.high))

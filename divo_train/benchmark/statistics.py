"""Interquartile means and stratified bootstrap intervals over training seeds.

What Agarwal et al. 2021 (arXiv:2108.13264, sections 4.1 and 4.3) recommend for few seeds. Their package rliable cannot
be imported beside pandas 3, so the two formulas stand here, on scipy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

Scores = NDArray[np.float64]
"""(seeds, trials) score of each training seed on each trial."""

RESAMPLES = 5_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all (seed, trial) scores."""
    return float(trim_mean(scores, 0.25, axis=None))


def estimate_iqm(scores: Scores, rng: np.random.Generator, resamples: int = RESAMPLES) -> Estimate:
    """Return the interquartile mean; the interval resamples seeds within each trial."""
    picks = _picks(scores.shape, rng, resamples)
    return _estimate(interquartile_mean(scores), _resampled_means(scores, picks))


def estimate_difference(
    first: Scores, second: Scores, rng: np.random.Generator, resamples: int = RESAMPLES, paired: bool = True
) -> Estimate:
    """Return IQM(first) - IQM(second); seeds are paired, because equal seeds share critics and episodes.

    Args:
        first: (seeds, trials) scores.
        second: The same of another policy.
        rng: Draws the seeds.
        resamples: Number of draws.
        paired: Whether the second one's seeds are those drawn for the first; if not, they are drawn for themselves.

    Raises:
        ValueError: If the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"Expected scores of equal shape, got {first.shape} and {second.shape}.")
    picks = _picks(first.shape, rng, resamples)
    others = picks if paired else _picks(second.shape, rng, resamples)
    drawn = _resampled_means(first, picks) - _resampled_means(second, others)
    return _estimate(interquartile_mean(first) - interquartile_mean(second), drawn)


def _picks(shape: tuple[int, ...], rng: np.random.Generator, resamples: int) -> NDArray[np.int64]:
    return rng.integers(shape[0], size=(resamples, *shape))


def _resampled_means(scores: Scores, picks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (resamples,) interquartile means of seeds drawn with replacement, for each trial by itself."""
    drawn = np.take_along_axis(scores[None], picks, axis=1)
    means: NDArray[np.float64] = trim_mean(drawn.reshape(len(picks), -1), 0.25, axis=1)
    return means


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))

"""What training has shown, as a measure of how foreign observations are.

A bundle carries some thousand training observations (its parity sample), so that quantiles and correlations are known.
An older bundle has means and deviations only; then relations between elements are not looked at.

The surprise of an observation x is log(1 + M(x)^2 / d), with M the Mahalanobis distance to the training data and d the
number of elements. Relative terms are taken apart first, goal minus tool into goal and tool, so that a wrong goal is
one wrong term and not two. The logarithm keeps one wild observation from drowning the others, and lets a second mistake
show behind a first that is a thousand times larger.

Source: Mahalanobis 1936, "On the generalised distance in statistics".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.bundle.loading import Bundle
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray, ObservationBuilder
from divo_runtime.parity.sample import SAMPLE_FILE, read_sample

SHRINKAGE = 0.02
"""Share of the unit matrix in the correlations, for relations that hold to the last digit."""
STILL = 0.05
"""Deviation that an element has at least, as a share of the mean one of its unit: what stood still may move."""
SOME = 0.5
"""An element that is there in fewer of the periods is left out of the measure."""


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """The training data of a bundle."""

    contract: Contract
    low: JointArray
    """(obs_dim,) smallest, in the contract's terms."""
    high: JointArray
    deviation: JointArray
    """(obs_dim,) standard deviation; not below a floor."""
    quantiles: JointArray
    """(3, obs_dim) 5 %, 50 % and 95 %; where there is no sample, of normal distributions."""
    sample: JointArray | None
    """(n, obs_dim) training observations."""
    answers: Mapping[str, FloatArray]
    """Policy -> (n, act_dim) its actions for the sample."""

    @property
    def margin(self) -> JointArray:
        """(obs_dim,) how far beyond the extremes an element still counts as inside."""
        return np.maximum(0.05 * (self.high - self.low), self.deviation * 0.1)


def read_training(bundle: Bundle) -> Training:
    """Return what a bundle says about its training data.

    Raises:
        BundleError: If its sample is damaged.
    """
    moments = bundle.manifest.x_divo.statistics.observation
    mean, std = np.array(moments.mean), np.array(moments.std)
    path = bundle.folder / SAMPLE_FILE
    read = read_sample(path) if path.is_file() else None
    sample = read.observations.astype(np.float64) if read else None
    if sample is None:
        low, high = np.array(moments.minimum), np.array(moments.maximum)
        quantiles = np.clip(np.stack([mean - 1.645 * std, mean, mean + 1.645 * std]), low, high)
    else:
        quantiles = np.quantile(sample, (0.05, 0.5, 0.95), axis=0)
    return Training(
        bundle.contract,
        np.array(moments.minimum),
        np.array(moments.maximum),
        np.maximum(std, _floor(bundle.contract, std)),
        quantiles,
        sample,
        {name: reference.action for name, reference in read.policies.items()} if read else {},
    )


class Surprise:
    """Measures how foreign absolute observations (see `absolute`) are to the training data.

    Args:
        training: The training data.
        present: (obs_dim,) which elements are there; the others are left out.
    """

    def __init__(self, training: Training, present: NDArray[np.bool_]) -> None:
        self._columns = np.flatnonzero(present)
        self._low, self._high = training.low, training.high
        if training.sample is None:
            self.centre, self.scale = training.quantiles[1], training.deviation
            correlation = np.eye(len(self.centre))
        else:
            rows = absolute(training.contract, training.sample)
            self._low, self._high = rows.min(axis=0), rows.max(axis=0)
            self.centre, std = rows.mean(axis=0), rows.std(axis=0)
            self.scale = np.maximum(std, _floor(training.contract, std))
            scaled = (rows - self.centre) / self.scale
            correlation = (1 - SHRINKAGE) * scaled.T @ scaled / len(scaled)
            np.fill_diagonal(correlation, 1.0)
        chosen = correlation[np.ix_(self._columns, self._columns)]
        self._whiten = np.linalg.inv(np.linalg.cholesky(chosen))

    def __call__(self, rows: JointArray) -> JointArray:
        """Return the surprise (m,) of (m, obs_dim) observations, complete in the elements that are present."""
        scaled = ((rows - self.centre) / self.scale)[:, self._columns] @ self._whiten.T
        surprise: JointArray = np.log1p(np.square(scaled).mean(axis=1))
        return surprise

    def outside(self, rows: JointArray) -> JointArray:
        """Return which share (obs_dim,) of absolute observations (m, obs_dim) lies outside of the training range."""
        margin = np.maximum(0.05 * (self._high - self._low), 0.1 * self.scale)
        share: JointArray = ((rows < self._low - margin) | (rows > self._high + margin)).mean(axis=0)
        return share


def absolute(contract: Contract, observations: JointArray) -> JointArray:
    """Return observations (m, obs_dim) with every relative term as it was measured, before the subtraction."""
    builder = ObservationBuilder(contract)
    rows = observations.copy()
    for term in contract.observation:
        if term.relative_to:
            rows[:, builder.slice_of(term.name)] += rows[:, builder.slice_of(term.relative_to)]
    return rows


def relative(contract: Contract, rows: JointArray) -> JointArray:
    """Undo `absolute`."""
    builder = ObservationBuilder(contract)
    observations = rows.copy()
    for term in contract.observation:
        if term.relative_to:
            observations[:, builder.slice_of(term.name)] -= rows[:, builder.slice_of(term.relative_to)]
    return observations


def _floor(contract: Contract, deviation: JointArray) -> JointArray:
    units = np.array([term.unit for term in contract.observation for _ in range(term.width)])
    floor = np.empty(len(deviation))
    for unit in set(units.tolist()):
        floor[units == unit] = max(STILL * float(deviation[units == unit].mean()), 1e-6)
    return floor

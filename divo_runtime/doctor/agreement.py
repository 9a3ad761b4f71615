"""How two recorded signals belong together: which follows which, how strongly, by what factor and how much later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.bundle.loading import Bundle
from divo_runtime.contract import Contract
from divo_runtime.doctor.periods import Periods
from divo_runtime.fields import JointArray
from divo_runtime.observation import ObservationBuilder

LONGEST_LAG_S = 0.5
"""How far signals are shifted against each other, either way [s]."""
MOST_LAGS = 25
FEWEST = 40
"""Pairs that a correlation needs."""
SMALL = 1e-6
TWIST_FIELDS = {"linear": ("twist.twist.linear", "twist.linear"), "angular": ("twist.twist.angular", "twist.angular")}


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Correlations of signals a (any, n) and b (any, n) at every shift."""

    lags: NDArray[np.int64]
    """(L,) periods by which b is later than a."""
    correlation: JointArray
    """(L, n, n) of a_i with b_j; 0 where one of them stands still."""
    ratio: JointArray
    """(n,) spread of b_i over that of a_i; NaN where a_i stands still."""
    active: NDArray[np.bool_]
    """(n,) where both moved."""

    @property
    def strength(self) -> JointArray:
        """(L,) mean of the active signals' correlations with their own counterparts."""
        if not self.active.any():
            return np.zeros(len(self.lags))
        own: JointArray = np.diagonal(self.correlation, axis1=1, axis2=2)[:, self.active].mean(axis=1)
        return own

    @property
    def now(self) -> JointArray:
        """(n, n) correlation without a shift."""
        return np.asarray(self.correlation[int(np.flatnonzero(self.lags == 0)[0])])

    @property
    def best(self) -> int:
        """Index of the shift at which b follows a best, by any of its signals."""
        if not self.active.any():
            return int(np.flatnonzero(self.lags == 0)[0])
        return int(np.abs(self.correlation[:, self.active]).max(axis=2).mean(axis=1).argmax())


def measure_agreement(
    first: JointArray, second: JointArray, times_ns: NDArray[np.int64], period_ns: int, still: JointArray
) -> Agreement | None:
    """Correlate two signals at every shift; None if there are too few pairs.

    Args:
        first: (m, n), rows with NaN are left out.
        second: (m, n) likewise.
        times_ns: (m,)
        period_ns: Control period [ns]; shifted pairs that are not so many periods apart are left out.
        still: (n,) deviation below which a signal counts as standing still.
    """
    longest = min(max(round(LONGEST_LAG_S * 1e9 / period_ns), 4), MOST_LAGS)
    lags = np.arange(-longest, longest + 1)
    whole: list[NDArray[np.bool_]] = [np.asarray(np.isfinite(signal).all(axis=1)) for signal in (first, second)]
    both = whole[0] & whole[1]
    if both.sum() < FEWEST:
        return None
    spreads = [signal[both].std(axis=0) for signal in (first, second)]
    correlation = np.zeros((len(lags), first.shape[1], first.shape[1]))
    for index, lag in enumerate(lags.tolist()):
        begin, end = max(0, -lag), len(first) - max(0, lag)
        one, other = slice(begin, end), slice(begin + lag, end + lag)
        apart = times_ns[other] - times_ns[one]
        chosen = whole[0][one] & whole[1][other] & (np.abs(apart - lag * period_ns) < 0.5 * period_ns)
        if chosen.sum() >= FEWEST:
            correlation[index] = _correlate(first[one][chosen], second[other][chosen])
    moving = [spread > still for spread in spreads]
    correlation *= np.outer(moving[0], moving[1])
    ratio = np.divide(spreads[1], spreads[0], out=np.full_like(spreads[0], np.nan), where=moving[0])
    return Agreement(lags, correlation, ratio, moving[0] & moving[1])


def ask_policy(bundle: Bundle, name: str, observations: JointArray, periods: Periods, seed: int) -> JointArray:
    """Return (m, act_dim) what a policy answers to observations; NaN where one is not complete.

    Args:
        bundle: Holds the policy.
        name: Of the policy.
        observations: (m, obs_dim)
        periods: Where the controller recorded its cycles, their noise is used again.
        seed: Of the noise elsewhere.

    Raises:
        BundleError: If there is no such policy.
        BackendError: If its network cannot be run.
    """
    policy = bundle.open_policy(name)
    rng = np.random.default_rng(seed)
    answers = np.full((len(observations), bundle.contract.action_size), np.nan)
    for index in np.flatnonzero(np.isfinite(observations).all(axis=1)).tolist():
        cycle = periods.cycles[index] if periods.cycles else None
        noise = rng.standard_normal(policy.noise_shape, dtype=np.float32)
        if cycle and cycle.policy == name and cycle.noise.shape == policy.noise_shape:
            noise = cycle.noise
        answers[index] = policy.act(observations[index].astype(np.float32), noise).action
    return answers


def measured_motion(contract: Contract) -> Callable[[JointArray], JointArray] | None:
    """Return what takes the motion (m, act_dim) out of observations; None if the contract does not observe it."""
    builder = ObservationBuilder(contract)
    field = "position" if contract.action.kind == "joint_position" else "velocity"
    columns: list[int] = []
    for name in contract.action.names:
        part, _, letter = name.partition(".")
        for term in contract.observation:
            begin = builder.slice_of(term.name).start
            if term.relative_to:
                continue
            if contract.action.kind == "twist":
                if term.field in TWIST_FIELDS[part] and letter in (term.components or "xyz"):
                    columns.append(begin + (term.components or "xyz").index(letter))
                    break
            elif term.field == field and name in term.joints:
                columns.append(begin + term.joints.index(name))
                break
    return (lambda rows: rows[:, columns]) if len(columns) == contract.action_size else None


def _correlate(first: JointArray, second: JointArray) -> JointArray:
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = np.outer(np.sqrt(np.square(first).mean(axis=0)), np.sqrt(np.square(second).mean(axis=0)))
    covariance = first.T @ second / len(first)
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > SMALL**2)

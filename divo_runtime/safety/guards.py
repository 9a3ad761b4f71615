"""Guards: is this a situation that training has shown, and does the critic think the action any good?

Two questions, each with a bound from the bundle's calibration and a reaction from the contract:

* *novelty*: the observation is farther from the training data than nearly every observation that was held out;
* *value*: the critic's value of the chosen action is below that of nearly every action chosen there.

A bound is crossed now and then by chance, so a guard reacts only to some cycles in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from divo_runtime.bundle.loading import Bundle
from divo_runtime.observation import FloatArray
from divo_runtime.safety.calibration import Calibration, NoveltyScore
from divo_runtime.safety.limits import Safety, Watch

NOVELTY_TAIL = 0.001
"""Share of the held-out observations beyond the bound, when the contract does not say."""

VALUE_TAIL = 0.01
"""Likewise; larger, because the lowest values of logs with bad runs belong to situations that are lost already."""

GuardName = Literal["novelty", "value"]


@dataclass(frozen=True, slots=True)
class Trip:
    """One guard's objection."""

    guard: GuardName
    reaction: Literal["warn", "hold", "fault"]
    score: float
    bound: float

    def __str__(self) -> str:
        """Return one line for status topics and logs."""
        if self.guard == "novelty":
            return f"novelty: {self.score:.3g} with 1 at the edge of the training data, bound {self.bound:.3g}"
        return f"value: the critic gives {self.score:.3g}, bound {self.bound:.3g}"


class Guard:
    """The guards of one bundle. Counts cycles in a row, so use it for one controller at a time.

    Args:
        safety: Says how to react.
        calibration: What is usual; None never objects.
    """

    def __init__(self, safety: Safety, calibration: Calibration | None = None) -> None:
        self._watches: dict[GuardName, Watch] = {"novelty": safety.novelty_guard, "value": safety.value_guard}
        self._streaks: dict[GuardName, int] = {"novelty": 0, "value": 0}
        self._novelty: NoveltyScore | None = None
        self._farthest, self._lowest = np.inf, -np.inf
        if calibration is not None:
            self._novelty = NoveltyScore(calibration.novelty)
            self._farthest = calibration.novelty.scores.at(1.0 - (safety.novelty_guard.tail or NOVELTY_TAIL))
            self._lowest = calibration.value.at(safety.value_guard.tail or VALUE_TAIL)

    def forget(self) -> None:
        """Begin to count anew, as at activation."""
        self._streaks = {"novelty": 0, "value": 0}

    def judge(self, observation: FloatArray, value: float) -> tuple[Trip, ...]:
        """Return what is beyond a bound in this cycle, whatever came before; nothing is counted.

        Args:
            observation: (obs_dim,) float32, finite, in the contract's units.
            value: The critic's value of the chosen action; NaN counts as below the bound.
        """
        if self._novelty is None:
            return ()
        trips: list[Trip] = []
        watch = self._watches["novelty"]
        if watch.reaction != "ignore" and not (score := self._novelty(observation)) <= self._farthest:
            trips.append(Trip("novelty", watch.reaction, score, self._farthest))
        watch = self._watches["value"]
        if watch.reaction != "ignore" and not value >= self._lowest:
            trips.append(Trip("value", watch.reaction, value, self._lowest))
        return tuple(trips)

    def check(self, observation: FloatArray, value: float) -> tuple[Trip, ...]:
        """Judge one cycle and return what has been beyond its bound for as many cycles as the contract says.

        Args:
            observation: As `judge`.
            value: As `judge`.
        """
        trips = self.judge(observation, value)
        beyond = {trip.guard for trip in trips}
        for guard in self._streaks:
            self._streaks[guard] = self._streaks[guard] + 1 if guard in beyond else 0
        return tuple(trip for trip in trips if self._streaks[trip.guard] >= self._watches[trip.guard].cycles)


def open_guard(bundle: Bundle) -> Guard:
    """Return the guard of a bundle; of a bundle without calibration, one that never objects."""
    return Guard(bundle.contract.safety, bundle.manifest.x_divo.calibration)

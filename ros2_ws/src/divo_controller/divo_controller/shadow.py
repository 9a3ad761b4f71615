"""Shadow mode: what the policy would do beside what the active controller does, and never a command.

The active controller is whoever publishes on the contract's command topic. Both commands are compared in each cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from divo_controller.inputs import take_newest
from divo_runtime.commands import command_reader
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray

FRESH_PERIODS = 3
"""A command of the active controller that is older is not compared any more."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far two commands are apart."""

    difference: JointArray
    """(act_dim,) the shadow's command minus the active controller's, in the command's unit."""

    @property
    def rms(self) -> float:
        """Root of the mean square over the joints."""
        return float(np.sqrt(np.mean(self.difference**2)))

    @property
    def largest(self) -> float:
        """Largest absolute difference of any joint."""
        return float(np.abs(self.difference).max())


@dataclass(frozen=True, slots=True)
class DivergenceSummary:
    """What all comparisons since activation came to."""

    cycles: int
    """Cycles that were compared."""
    rms: float
    """Root of the mean square over cycles and joints, in the command's unit."""
    largest: float
    """Largest absolute difference of any joint in any cycle."""
    joint_rms: dict[str, float]
    """Root of the mean square over cycles, by joint."""


class DivergenceLog:
    """Sums up divergences.

    Args:
        names: (act_dim,) names of the action.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._squares = np.zeros(len(names))
        self._cycles, self._largest = 0, 0.0

    def add(self, divergence: Divergence) -> None:
        """Count one cycle."""
        self._squares = self._squares + divergence.difference**2
        self._cycles += 1
        self._largest = max(self._largest, divergence.largest)

    def summary(self) -> DivergenceSummary:
        """Return the sums so far; zeros if there was nothing to compare."""
        cycles = max(self._cycles, 1)
        joints = dict(zip(self._names, np.sqrt(self._squares / cycles).tolist(), strict=True))
        rms = math.sqrt(float(self._squares.mean()) / cycles)
        return DivergenceSummary(self._cycles, rms, self._largest, joints)


class ActiveCommand:
    """What the active controller commands now.

    Args:
        subscription: To the contract's command topic, of the group `Polled`.
        contract: Says how to read a message.
    """

    def __init__(self, subscription: Any, contract: Contract) -> None:
        self._subscription, self._read = subscription, command_reader(contract)
        self._limit_ns = FRESH_PERIODS * contract.period_ns
        self._newest: tuple[JointArray | str, int] | None = None

    def compare(self, command: JointArray, system_ns: int) -> Divergence | None:
        """Compare a command (act_dim,) with the newest one on the topic.

        Args:
            command: What the shadow would send.
            system_ns: System time now [ns].

        Returns:
            The divergence; None if the active controller sends nothing, or nothing that can be read.
        """
        if taken := take_newest(self._subscription):
            self._newest = (self._read(taken[0]), taken[1])
        if self._newest is None or isinstance(self._newest[0], str) or system_ns - self._newest[1] > self._limit_ns:
            return None
        return Divergence(command - self._newest[0])

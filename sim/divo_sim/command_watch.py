"""What a simulated robot's driver does with commands: takes whole ones, and brakes when they stay away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.safety.clamping import clamp, decelerate


class CommandWatch:
    """Commands of one contract in the time of a physics engine; one call of `advance` is one of its steps.

    Args:
        contract: Contract of the task, whose commands are velocities.
        physics_hz: Physics steps per second.
        timeout_s: Commands that stay away for longer than this make the robot brake [s].

    Attributes:
        velocity: (act_dim,) what the robot is to be driven at now [unit of the action].
        commands: Accepted since the last reset.
        bad_commands: Of a wrong size or with values that are not finite; they were ignored.
        gaps: How often commands stayed away for longer than the timeout.
    """

    def __init__(self, contract: Contract, physics_hz: int, timeout_s: float) -> None:
        self._lower, self._upper = contract.action_range()
        self._acceleration = np.array([limit.acceleration for limit in contract.limits()])
        self._physics_hz = physics_hz
        self._timeout = max(round(timeout_s * physics_hz), 1)
        self.reset()

    @property
    def begun(self) -> bool:
        """Whether a command has come since the last reset."""
        return self.commands > 0

    @property
    def longest_gap_s(self) -> float:
        """Longest time between two commands, or since the last one [s]."""
        return max(self._longest_silence, self._silence) / self._physics_hz

    def reset(self) -> None:
        """Stand still and forget all commands."""
        self.velocity: JointArray = np.zeros(len(self._lower))
        self.commands, self.bad_commands, self.gaps = 0, 0, 0
        self._silence, self._longest_silence = 0, 0

    def take(self, values: Sequence[float]) -> bool:
        """Take in a command (act_dim,), clipped to the action's range; return whether it was accepted."""
        wanted = np.asarray(values, dtype=np.float64)
        if wanted.shape != self.velocity.shape or not np.isfinite(wanted).all():
            self.bad_commands += 1
            return False
        if self.begun:
            self._longest_silence = max(self._longest_silence, self._silence)
        self.commands += 1
        self._silence = 0
        self.velocity = clamp(wanted, self._lower, self._upper)
        return True

    def advance(self, over: bool) -> bool:
        """Let one physics step pass; return whether the robot brakes in it.

        Args:
            over: Whether the episode has ended: then nothing is counted any more, and the robot brakes.
        """
        if self.begun and not over:
            self._silence += 1
            self.gaps += self._silence == self._timeout + 1
        braking = over or self._silence > self._timeout
        if braking:
            self.velocity = decelerate(self.velocity, self._acceleration, 1.0 / self._physics_hz)
        return braking

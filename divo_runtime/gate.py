"""The safety gate of one contract: what may really be sent, given what was sent last.

Order: action range -> position limits -> velocity -> acceleration around the last command *sent*. The acceleration
limit comes last because the robot cannot break it anyway: if a disturbance makes the limits contradict each other, the
gate brakes as hard as the robot may. This is not functional safety.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.safety import brake_before_limits, clamp, decelerate, limit_change, stopping_speed

ROUNDING = 1e-6
"""Share of the action range by which float32 may miss a bound without that being a clip."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A command and how fast it changes."""

    command: JointArray
    """(act_dim,) position or velocity, as the contract's action kind says."""
    velocity: JointArray
    """(act_dim,) velocity that the command stands for [rad/s or m/s]; the command itself for velocity kinds."""


class SafetyGate:
    """Limits the commands of one contract. Holds no state: what was sent last is an argument.

    Attributes:
        commands_position: Whether commands are joint positions, not velocities.
        needs_position: Whether the measured positions of the action's joints are needed.
    """

    def __init__(self, contract: Contract) -> None:
        limits = contract.limits()
        reach = [limit.position or (-np.inf, np.inf) for limit in limits]
        self.commands_position = contract.action.kind == "joint_position"
        self._names = contract.action.names
        self._period_s = contract.period_s
        self._action_range = contract.action_range()
        self._slack = ROUNDING * (self._action_range[1] - self._action_range[0])
        self._lower = np.array([low for low, _ in reach])
        self._upper = np.array([high for _, high in reach])
        self._velocity = np.array([limit.velocity for limit in limits])
        self._acceleration = np.array([limit.acceleration for limit in limits])
        self._velocity_step = self._acceleration * self._period_s
        self.needs_position = self.commands_position or bool(np.isfinite([self._lower, self._upper]).any())

    def start(self, measured: JointArray | None) -> Motion:
        """Return the motion of a robot at rest: its measured position (position kind), or zero velocity."""
        rest = np.zeros(len(self._names))
        if not self.commands_position:
            return Motion(rest, rest)
        assert measured is not None, "the contract promises a measured position for position commands"
        return Motion(clamp(measured, self._lower, self._upper), rest)

    def outside(self, measured: JointArray | None) -> tuple[str, ...]:
        """Name the joints that stand too far outside their position limits to start position commands there.

        Too far is more than the acceleration limit lets a command move in the first period: commanding the limit itself
        would then be a jump.
        """
        if measured is None or not self.commands_position:
            return ()
        excess = np.abs(measured - clamp(measured, self._lower, self._upper))
        return self._name(excess > self._velocity_step * self._period_s)

    def clamp_action(self, action: JointArray) -> tuple[JointArray, tuple[str, ...]]:
        """Clamp a finite action to the contract's action range.

        Returns:
            (act_dim,) action, and the clips such as `panda_joint2: range`.
        """
        limited = clamp(action, *self._action_range)
        return limited, self._name(np.abs(limited - action) > self._slack, "range")

    def apply(
        self, wanted: JointArray, sent: Motion, measured: JointArray | None, age_s: float
    ) -> tuple[Motion, tuple[str, ...]]:
        """Limit a wanted command to what may follow the last one sent.

        Args:
            wanted: (act_dim,) finite command [unit of the action].
            sent: What was sent one period ago.
            measured: (act_dim,) measured position [rad or m]; None where the contract has no position limits.
            age_s: Age of that measurement [s].

        Returns:
            The motion to send, and the clips such as `panda_joint2: velocity`.
        """
        if self.commands_position:
            return self._limit_position(wanted, sent)
        inside = wanted
        if self.needs_position and measured is not None:
            inside = self._brake(wanted, measured, sent.velocity * max(age_s, 0.0))
        slow = clamp(inside, -self._velocity, self._velocity)
        velocity = limit_change(slow, sent.velocity, self._velocity_step)
        clips = (
            *self._name(inside != wanted, "position"),
            *self._name(slow != inside, "velocity"),
            *self._name(velocity != slow, "acceleration"),
        )
        return Motion(velocity, velocity), clips

    def rest(self, sent: Motion) -> Motion:
        """Return the next motion on the shortest way to a standstill; a motion at rest stays as it is."""
        velocity = decelerate(sent.velocity, self._acceleration, self._period_s)
        if not self.commands_position:
            return Motion(velocity, velocity)
        return self._moved(sent, velocity)

    def _limit_position(self, wanted: JointArray, sent: Motion) -> tuple[Motion, tuple[str, ...]]:
        target = clamp(wanted, self._lower, self._upper)
        way = target - sent.command
        direct = way / self._period_s
        too_fast = np.abs(direct) > self._velocity
        too_sudden = np.abs(direct - sent.velocity) > self._velocity_step
        # A target within reach is taken as it is. One out of reach is approached so that the command stops on it:
        # otherwise the acceleration limit would make the command swing about the target for ever.
        stopping = np.copysign(stopping_speed(np.abs(way), self._acceleration, self._period_s), way)
        approach = np.where(too_fast | too_sudden, stopping, direct)
        velocity = self._brake(approach, sent.command, np.zeros_like(way))
        clips = (
            *self._name((target != wanted) | (velocity != approach), "position"),
            *self._name(too_fast, "velocity"),
            *self._name(too_sudden, "acceleration"),
        )
        velocity = self._limit_velocity(velocity, sent)
        moved = self._moved(sent, velocity)
        exact = np.where(velocity == direct, target, moved.command)  # sent + (target - sent) is not always target
        return Motion(exact, velocity), clips

    def _limit_velocity(self, velocity: JointArray, sent: Motion) -> JointArray:
        return limit_change(clamp(velocity, -self._velocity, self._velocity), sent.velocity, self._velocity_step)

    def _brake(self, velocity: JointArray, position: JointArray, travel: JointArray) -> JointArray:
        return brake_before_limits(
            velocity, position, travel, self._lower, self._upper, self._acceleration, self._period_s
        )

    def _moved(self, sent: Motion, velocity: JointArray) -> Motion:
        return Motion(clamp(sent.command + velocity * self._period_s, self._lower, self._upper), velocity)

    def _name(self, flags: NDArray[np.bool_], what: str = "") -> tuple[str, ...]:
        if not flags.any():
            return ()
        names: Sequence[str] = [name for name, flag in zip(self._names, flags, strict=True) if flag]
        return tuple(f"{name}: {what}" if what else name for name in names)

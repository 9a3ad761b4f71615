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
from divo_runtime.observation import Observation, ObservationBuilder
from divo_runtime.safety import brake_before_limits, clamp, decelerate, limit_change, stopping_speed

ROUNDING = 1e-6
"""Share of the action range by which float32 may miss a bound without that being a clip."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A command, how fast it changes, and what for."""

    command: JointArray
    """(act_dim,) position or velocity, as the contract's action kind says."""
    velocity: JointArray
    """(act_dim,) velocity that the command stands for [rad/s or m/s]; the command itself for velocity kinds."""
    target: JointArray
    """(act_dim,) what the command was on its way to [unit of the command]."""


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
            return Motion(rest, rest, rest)
        assert measured is not None, "the contract promises a measured position for position commands"
        pose = clamp(measured, self._lower, self._upper)
        return Motion(pose, rest, pose)

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
        return Motion(velocity, velocity, wanted), clips

    def rest(self, sent: Motion) -> Motion:
        """Return the next motion on the shortest way to a standstill; a motion at rest stays as it is."""
        velocity = decelerate(sent.velocity, self._acceleration, self._period_s)
        if not self.commands_position:
            return Motion(velocity, velocity, velocity)
        command = self._moved(sent.command, velocity)
        return Motion(command, velocity, command)

    def _limit_position(self, wanted: JointArray, sent: Motion) -> tuple[Motion, tuple[str, ...]]:
        target = clamp(wanted, self._lower, self._upper)
        direct = (target - sent.command) / self._period_s
        # The target's own motion, plus the speed that still stops on it over what was left undone last time. A command
        # that has kept up takes the target as it is; one that has not does not swing about it.
        behind = sent.target - sent.command
        catching_up = np.copysign(stopping_speed(np.abs(behind), self._acceleration, self._period_s), behind)
        approach = np.where(behind == 0.0, direct, (target - sent.target) / self._period_s + catching_up)
        inside = self._brake(approach, sent.command, np.zeros_like(direct))
        slow = clamp(inside, -self._velocity, self._velocity)
        velocity = limit_change(slow, sent.velocity, self._velocity_step)
        eased = np.abs(approach - direct) > ROUNDING * self._velocity
        clips = (
            *self._name((target != wanted) | (inside != approach), "position"),
            *self._name(slow != inside, "velocity"),
            *self._name((velocity != slow) | eased, "acceleration"),
        )
        command = self._moved(sent.command, velocity)
        command = np.where(velocity == direct, target, command)  # sent + (target - sent) is not always target
        return Motion(command, velocity, target), clips

    def _brake(self, velocity: JointArray, position: JointArray, travel: JointArray) -> JointArray:
        return brake_before_limits(
            velocity, position, travel, self._lower, self._upper, self._acceleration, self._period_s
        )

    def _moved(self, position: JointArray, velocity: JointArray) -> JointArray:
        return clamp(position + velocity * self._period_s, self._lower, self._upper)

    def _name(self, flags: NDArray[np.bool_], what: str = "") -> tuple[str, ...]:
        if not flags.any():
            return ()
        names: Sequence[str] = [name for name, flag in zip(self._names, flags, strict=True) if flag]
        return tuple(f"{name}: {what}" if what else name for name in names)


class MeasuredPosition:
    """Finds the measured positions of the action's joints, and their age, in an observation."""

    def __init__(self, contract: Contract, builder: ObservationBuilder) -> None:
        term = contract.term(contract.safety.measured_position)
        begin = builder.slice_of(term.name).start
        self._columns = np.array([begin + term.joints.index(name) for name in contract.action.names])
        self._term = contract.observation.index(term)

    def read(self, observation: Observation) -> JointArray:
        """Return (act_dim,) float64 positions in the order of the action's names."""
        positions: JointArray = observation.vector[self._columns].astype(np.float64)
        return positions

    def age_s(self, observation: Observation) -> float:
        """Return how old they are [s]."""
        return observation.ages_ns[self._term] / 1e9

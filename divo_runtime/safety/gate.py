"""The safety gate of one contract: what may really be sent, given what was sent last.

Order: action range -> position limits -> velocity -> acceleration -> jerk, around the last command *sent*. Acceleration
and jerk come last because the robot cannot break them anyway: if a disturbance makes the limits contradict each other,
the gate brakes as hard as the robot may. This is not functional safety.

Two rules serve the same limits. A joint without a jerk limit, or with one so high that it cannot bind at the control
rate (J T >= 2 A: no change from -A to A within a period breaks it), uses the braking rule of `clamping` on whole
arrays; every other joint moves on the S-curves of `scurve`, one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.safety.clamping import brake_before_limits, clamp, decelerate, limit_change, stopping_speed
from divo_runtime.safety.scurve import JointLimits, approach, chase, limited_step, restrain

ROUNDING = 1e-6
"""Share of the action range by which float32 may miss a bound without that being a clip."""

STRAY_S = 0.1
"""How far a joint that follows may stand from its command, as a time at its velocity limit [s]."""

Cuts = dict[str, NDArray[np.bool_]]
"""Limit -> (act_dim,) whether it has changed the command."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A command, how fast it changes, and what for."""

    command: JointArray
    """(act_dim,) position or velocity, as the contract's action kind says."""
    velocity: JointArray
    """(act_dim,) velocity that the command stands for [rad/s or m/s]; the command itself for velocity kinds."""
    target: JointArray
    """(act_dim,) what the command was on its way to [unit of the command]."""
    acceleration: tuple[float, ...] = ()
    """At the end of the period, of the joints on S-curves [rad/s^2 or m/s^2]; empty means at rest."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves any more."""
        return not self.velocity.any() and not any(self.acceleration)


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
        self._free = np.full(len(limits), np.inf)
        self._velocity = np.array([limit.velocity for limit in limits])
        self._acceleration = np.array([limit.acceleration for limit in limits])
        self._braking_s = 0.5 / self._acceleration  # braking from v goes v^2 / (2 a)
        self._velocity_step = self._acceleration * self._period_s
        self._curves = {
            joint: JointLimits(limit.velocity, limit.acceleration, limit.jerk, self._period_s)
            for joint, limit in enumerate(limits)
            if limit.jerk and limit.jerk * self._period_s < 2.0 * limit.acceleration
        }
        self._all_on_curves = len(self._curves) == len(limits)
        self._standing = (0.0,) * len(self._curves)
        self._first_step = self._velocity_step * self._period_s
        for joint, curve in self._curves.items():
            self._first_step[joint] = approach(0.0, 0.0, curve.velocity, curve)[0] * self._period_s
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
        """Tell of joints that stand too far outside their position limits to start position commands there.

        Too far is more than acceleration and jerk let a command move in the first period: commanding the limit itself
        would then be a jump.
        """
        if measured is None or not self.commands_position:
            return ()
        excess = np.abs(measured - clamp(measured, self._lower, self._upper))
        names = self._name(excess > self._first_step)
        return tuple(f"{name} stands outside its position limits; move it back first" for name in names)

    def strayed(self, measured: JointArray | None, sent: Motion) -> tuple[str, ...]:
        """Tell of joints that do not follow position commands: the drive is off, or somebody has moved them.

        That is so where one stands farther from the last command than it may move in STRAY_S.
        """
        if measured is None or not self.commands_position:
            return ()
        names = self._name(np.abs(measured - sent.command) > self._velocity * STRAY_S)
        return tuple(f"{name} is not where it was sent; deactivate and activate to begin where it is" for name in names)

    def clamp_action(self, action: JointArray) -> tuple[JointArray, tuple[str, ...]]:
        """Clamp a finite action to the contract's action range.

        Returns:
            (act_dim,) action, and the clips such as `panda_joint2: range`.
        """
        limited = clamp(action, *self._action_range)
        if (limited == action).all():
            return limited, ()
        return limited, self._name(np.abs(limited - action) > self._slack, "range")

    def apply(
        self, wanted: JointArray, sent: Motion, measured: JointArray | None, travel: JointArray | float
    ) -> tuple[Motion, tuple[str, ...]]:
        """Limit a wanted command to what may follow the last one sent.

        Args:
            wanted: (act_dim,) finite command [unit of the action].
            sent: What was sent one period ago.
            measured: (act_dim,) measured position [rad or m]; None where the contract has no position limits.
            travel: (act_dim,) how far the commands sent have moved the joints since that measurement [rad or m].

        Returns:
            The motion to send, and the clips such as `panda_joint2: velocity`.
        """
        if self.commands_position:
            return self._limit_position(wanted, sent)
        if measured is None or not self.needs_position:
            motion, cuts = self._limit_velocity(wanted, sent, self._free, self._free)
        else:
            above = self._upper - np.maximum(measured, measured + travel)
            below = np.minimum(measured, measured + travel) - self._lower
            motion, cuts = self._limit_velocity(wanted, sent, above, below)
        return Motion(motion.velocity, motion.velocity, wanted, motion.acceleration), self._name_cuts(cuts)

    def rest(self, sent: Motion) -> Motion:
        """Return the next motion on the shortest way to a standstill; a motion at rest stays as it is."""
        velocity = decelerate(sent.velocity, self._acceleration, self._period_s)
        accelerations: list[float] = []
        for joint, curve, acceleration in self._on_curves(sent):
            velocity[joint], end = approach(float(sent.velocity[joint]), acceleration, 0.0, curve)
            accelerations.append(end)
        if not self.commands_position:
            return Motion(velocity, velocity, velocity, tuple(accelerations))
        command = self._moved(sent.command, velocity)
        return Motion(command, velocity, command, tuple(accelerations))

    def stop(self, sent: Motion) -> list[Motion]:
        """Return the motions, at least one, that lead from the last one sent to a standstill."""
        motions = [self.rest(sent)]
        while not motions[-1].at_rest:
            motions.append(self.rest(motions[-1]))
        return motions

    def _limit_velocity(
        self, wanted: JointArray, sent: Motion, above: JointArray, below: JointArray
    ) -> tuple[Motion, Cuts]:
        """Limit a velocity with the ways left to the upper and lower position limit, (act_dim,) [rad or m] each."""
        slow = inside = clamp(wanted, -self._velocity, self._velocity)
        speed = np.abs(slow)
        if (
            not self._all_on_curves
            and not (speed * (self._period_s + speed * self._braking_s) <= np.where(slow > 0.0, above, below)).all()
        ):
            inside = brake_before_limits(slow, above, below, self._acceleration, self._period_s)
        velocity = limit_change(inside, sent.velocity, self._velocity_step)
        if not self._curves and (velocity == wanted).all():  # what nearly every cycle is like
            return Motion(velocity, velocity, wanted), {}
        cuts = {"position": inside != slow, "velocity": slow != wanted, "acceleration": velocity != inside}
        if not self._curves:
            return Motion(velocity, velocity, wanted), cuts
        cuts["jerk"] = np.zeros(len(self._names), dtype=np.bool_)
        ways_above, ways_below = above.tolist(), below.tolist()  # plain floats are faster one by one
        goals, sent_before = slow.tolist(), sent.velocity.tolist()
        accelerations: list[float] = []
        for joint, curve, acceleration in self._on_curves(sent):
            goal, before = goals[joint], sent_before[joint]
            after, end, braked = limited_step(before, acceleration, goal, ways_above[joint], ways_below[joint], curve)
            velocity[joint] = after
            accelerations.append(end)
            self._tell(cuts, joint, braked, after != goal, abs(goal - before))
        return Motion(velocity, velocity, wanted, tuple(accelerations)), cuts

    def _limit_position(self, wanted: JointArray, sent: Motion) -> tuple[Motion, tuple[str, ...]]:
        target = clamp(wanted, self._lower, self._upper)
        direct = (target - sent.command) / self._period_s
        # The target's own motion, plus the speed that still stops on it over what was left undone last time. A command
        # that has kept up takes the target as it is; one that has not does not swing about it.
        behind = sent.target - sent.command
        catching_up = np.copysign(stopping_speed(np.abs(behind), self._acceleration, self._period_s), behind)
        wish = np.where(behind == 0.0, direct, (target - sent.target) / self._period_s + catching_up)
        above, below = self._upper - sent.command, sent.command - self._lower
        slow = clamp(wish, -self._velocity, self._velocity)
        inside = brake_before_limits(slow, above, below, self._acceleration, self._period_s)
        velocity = limit_change(inside, sent.velocity, self._velocity_step)
        eased = np.abs(wish - direct) > ROUNDING * self._velocity
        cuts = {
            "position": (target != wanted) | (inside != slow),
            "velocity": slow != wish,
            "acceleration": (velocity != inside) | eased,
            "jerk": np.zeros(len(self._names), dtype=np.bool_),
        }
        accelerations: list[float] = []
        for joint, curve, acceleration in self._on_curves(sent):
            goal, before = float(direct[joint]), float(sent.velocity[joint])
            drift = float(target[joint] - sent.target[joint]) / self._period_s
            drift = min(max(drift, -curve.velocity), curve.velocity)
            chased = chase(before, acceleration, (goal - drift) * self._period_s, drift, curve)
            ways = float(above[joint]), float(below[joint])
            after, end, braked = restrain(chased, (before, acceleration), *ways, curve)
            velocity[joint] = after
            accelerations.append(end)
            cuts["velocity"][joint] = abs(goal) > curve.velocity
            self._tell(cuts, joint, braked or bool(target[joint] != wanted[joint]), after != goal, abs(goal - before))
        command = self._moved(sent.command, velocity)
        command = np.where(velocity == direct, target, command)  # sent + (target - sent) is not always target
        return Motion(command, velocity, target, tuple(accelerations)), self._name_cuts(cuts)

    def _on_curves(self, sent: Motion) -> Iterator[tuple[int, JointLimits, float]]:
        """Yield the joints on S-curves with their limits and the acceleration they have now."""
        for (joint, curve), now in zip(self._curves.items(), sent.acceleration or self._standing, strict=True):
            yield joint, curve, now

    def _tell(self, cuts: Cuts, joint: int, braked: bool, missed: bool, change: float) -> None:
        """Note which limit kept a joint on an S-curve from changing its velocity by `change`."""
        hard = missed and change > self._velocity_step[joint]
        cuts["position"][joint] = braked
        cuts["acceleration"][joint] = missed and not braked and hard
        cuts["jerk"][joint] = missed and not braked and not hard

    def _moved(self, position: JointArray, velocity: JointArray) -> JointArray:
        return clamp(position + velocity * self._period_s, self._lower, self._upper)

    def _name_cuts(self, cuts: Cuts) -> tuple[str, ...]:
        return tuple(name for what, flags in cuts.items() for name in self._name(flags, what))

    def _name(self, flags: NDArray[np.bool_], what: str = "") -> tuple[str, ...]:
        if not flags.any():
            return ()
        names: Sequence[str] = [name for name, flag in zip(self._names, flags, strict=True) if flag]
        return tuple(f"{name}: {what}" if what else name for name in names)

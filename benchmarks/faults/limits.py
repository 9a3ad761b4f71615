"""The observer's own arithmetic: is a command allowed, given the ones before and where the joints stand?

Written for the observer and for nothing else: it shares no line with the safety gate, and reads the limits from the
contract's plain text. Between two commands lies one control period; where `n` of them were not seen, n + 1 lie there.

* velocity: |v| <= velocity, and inside the action's range
* acceleration: |v1 - v0| <= a T
* jerk: |v2 - 2 v1 + v0| <= j T^2. The velocities are a motion's at the ends of periods; its mean accelerations in two
  neighbouring periods differ by at most j T if its acceleration changes by at most j.
* position: from where the joint stands, one more period at the command and braking as hard as allowed end inside:
  q + v T + v^2 / (2 a) <= upper. The robot follows a command some time later, and the controller sees that later still:
  `LAG_S` together. What a joint goes in that time at its highest speed of late it may end outside, because what it was
  late in beginning to brake cannot be made good. When a deadline is missed it goes on unwatched as commanded before;
  from then on a command may end outside if it brakes as hard as the joint may.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROUNDING = 1e-9
"""Of a sum of float64 numbers near 1."""

POSITION_ROUNDING = 1e-6
"""Measured positions are float32 on their way through an observation."""

LAG_S = 0.02
"""A state's way to the node, one period each in node and robot, and the command's way back [s]."""

MISSED = 1.8
"""Periods between two commands beyond which a deadline was missed."""

RECENT_S = 0.2
"""As long as a joint brakes at most [s]."""


@dataclass(frozen=True, slots=True)
class JointLimits:
    """What one joint may do."""

    name: str
    lower: float
    """Smallest command [rad/s]."""
    upper: float
    velocity: float
    acceleration: float
    jerk: float = math.inf
    position: tuple[float, float] = (-math.inf, math.inf)


def read_limits(contract: Mapping[str, Any]) -> tuple[tuple[JointLimits, ...], float]:
    """Return the limits in the order of the action's names, and the control period [s].

    Args:
        contract: A contract's YAML as plain data.
    """
    action = contract["action"]
    rows = {row["name"]: row for row in contract["safety"]["limits"]}
    limits = []
    for name, lower, upper in zip(action["names"], action["lower"], action["upper"], strict=True):
        row = rows[name]
        reach = row.get("position", (-math.inf, math.inf))
        jerk = row.get("jerk", math.inf)
        limits.append(JointLimits(name, lower, upper, row["velocity"], row["acceleration"], jerk, tuple(reach)))
    return tuple(limits), 1.0 / contract["rate_hz"]


class CommandCheck:
    """Checks the commands of one publisher, which begins at rest.

    Args:
        limits: Of each joint.
        period_s: Control period [s].
    """

    def __init__(self, limits: Sequence[JointLimits], period_s: float) -> None:
        self._limits, self._period_s = tuple(limits), period_s
        self.restart()

    def restart(self) -> None:
        """Begin at rest, as with another publisher."""
        self._before = [0.0] * len(self._limits)
        self._change: list[float] | None = [0.0] * len(self._limits)
        self._excused = [False] * len(self._limits)
        recent = max(round(RECENT_S / self._period_s), 1)
        self._speeds = [deque([0.0], maxlen=recent) for _ in self._limits]

    def check(
        self, command: Sequence[float], unseen: int, positions: Sequence[float] | None, silence_s: float = 0.0
    ) -> list[str]:
        """Return what is wrong with a command, one line each.

        Args:
            command: (n,) velocities [rad/s].
            unseen: Commands between the last one checked and this one.
            positions: (n,) where the joints stand [rad]; None if that is not known.
            silence_s: Time between the last command and this one [s].
        """
        if len(command) != len(self._limits):
            return [f"{len(command)} values for {len(self._limits)} joints"]
        if not all(map(math.isfinite, command)):
            return [f"not finite: {list(command)}"]
        wrong: list[str] = []
        periods, period_s = unseen + 1, self._period_s
        change = [value - before for value, before in zip(command, self._before, strict=True)]
        for joint, (limit, value) in enumerate(zip(self._limits, command, strict=True)):
            low, high = max(limit.lower, -limit.velocity), min(limit.upper, limit.velocity)
            if not low - ROUNDING <= value <= high + ROUNDING:
                wrong.append(f"{limit.name}: velocity {value:.6g}, allowed {low:g} to {high:g}")
            if abs(change[joint]) > limit.acceleration * period_s * periods + ROUNDING:
                rate = change[joint] / period_s / periods
                wrong.append(f"{limit.name}: acceleration {rate:.6g}, allowed {limit.acceleration:g}")
            if self._change is not None and unseen == 0:
                jerk = (change[joint] - self._change[joint]) / period_s**2
                if abs(jerk) > limit.jerk + ROUNDING / period_s**2:
                    wrong.append(f"{limit.name}: jerk {jerk:.6g}, allowed {limit.jerk:g}")
            before = abs(self._before[joint])
            self._speeds[joint].append(abs(value))
            hardest = max(before - limit.acceleration * period_s, 0.0) + ROUNDING
            self._excused[joint] = (self._excused[joint] or silence_s > MISSED * period_s) and abs(value) <= hardest
            if positions is not None and not self._excused[joint]:
                excess = look_ahead(positions[joint], value, limit, period_s)
                unwatched = max(self._speeds[joint]) * LAG_S + before * silence_s
                if excess > unwatched + POSITION_ROUNDING:
                    wrong.append(
                        f"{limit.name}: from {positions[joint]:.4g} at {value:.4g} it ends {excess:.4g} outside"
                    )
        self._before = list(command)
        self._change = change if unseen == 0 else None
        return wrong


def look_ahead(position: float, velocity: float, limit: JointLimits, period_s: float) -> float:
    """Return how far beyond a position limit a joint ends that moves on for a period and then brakes [rad].

    Args:
        position: Where it stands [rad].
        velocity: Its command [rad/s].
        limit: Of the joint.
        period_s: Control period [s].
    """
    if velocity == 0.0:
        return -math.inf
    way = abs(velocity) * period_s + velocity**2 / (2.0 * limit.acceleration)
    lower, upper = limit.position
    return position + way - upper if velocity > 0 else lower - (position - way)

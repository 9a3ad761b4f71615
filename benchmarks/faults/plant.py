"""The robot of the fault table without its middleware: joints that do as they are told, with a timeout of their own.

No clock and no thread: time is an argument. A command that stays away for longer than the timeout makes the joints
brake by themselves, as the driver of a real robot would; that is what protects the robot when the controller is killed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

GOAL_PERIOD_S = 1.0
GOAL_REACH_M = 0.45
TOOL = (0.1, 0.2, 0.3)
TIMEOUT_S = 0.1
BRAKING = 4.0
"""Deceleration of a joint whose commands stay away [rad/s^2]."""


class Plant:
    """Three joints.

    Args:
        names: Of the joints.
        now_s: Time at the begin [s].
    """

    def __init__(self, names: Sequence[str], now_s: float) -> None:
        self.names = tuple(names)
        self.positions = [0.0] * len(self.names)
        self.velocities = [0.0] * len(self.names)
        self.held: dict[int, float] = {}
        """Joint -> where somebody holds it, whatever is commanded [rad]."""
        self.spinning: dict[int, float] = {}
        """Joint -> the speed that its sensor sees, whatever is commanded [rad/s]."""
        self._wanted = [0.0] * len(self.names)
        self._now_s = self._commanded_s = self._begun_s = now_s

    def command(self, values: Sequence[float], now_s: float) -> None:
        """Take in a velocity command [rad/s]; one that is not finite or of another size is ignored."""
        if len(values) == len(self.names) and all(map(math.isfinite, values)):
            self._wanted, self._commanded_s = list(values), now_s

    def advance(self, now_s: float) -> None:
        """Move until `now_s`."""
        passed_s = max(now_s - self._now_s, 0.0)
        self._now_s = now_s
        for joint, before in enumerate(self.velocities):
            wanted = self._wanted[joint]
            if now_s - self._commanded_s > TIMEOUT_S:
                wanted = self._wanted[joint] = math.copysign(max(abs(before) - BRAKING * passed_s, 0.0), before)
            self.velocities[joint] = wanted
            self.positions[joint] += wanted * passed_s
        for joint, position in self.held.items():
            self.positions[joint], self.velocities[joint] = position, 0.0

    def goal(self, now_s: float) -> tuple[float, float, float]:
        """Return where the goal is [m]: it goes round the tool, so that the joints always have somewhere to go."""
        angle = 2.0 * math.pi * (now_s - self._begun_s) / GOAL_PERIOD_S
        reach = (GOAL_REACH_M * math.sin(angle), GOAL_REACH_M * math.cos(angle), 0.0)
        x, y, z = (tool + way for tool, way in zip(TOOL, reach, strict=True))
        return x, y, z

    def measured(self) -> Mapping[str, list[float]]:
        """Return what the joints' sensors say: `position` [rad], `velocity` [rad/s]."""
        velocity = [self.spinning.get(joint, value) for joint, value in enumerate(self.velocities)]
        return {"position": list(self.positions), "velocity": velocity}

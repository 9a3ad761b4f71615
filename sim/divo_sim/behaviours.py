"""Scripted behaviours of the arm task, good, bad and mediocre, as sources of logged data.

Every behaviour steers the tool along way-points with a damped Jacobian inverse, or wanders. All keep the contract's
acceleration limits, as a robot behind the controller's safety gate would. Their randomness comes from the generator
they are started with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_sim.arm_scene import START_TOOL_M, ArmScene
from divo_sim.panda import HOME_RAD, resolve_velocity

INNER_VIA_M = ((-0.20, -0.13, 0.16), (-0.20, 0.13, 0.16))
OUTER_VIA_M = ((0.19, -0.14, 0.16), (0.19, 0.14, 0.16))
"""Way-points round the post, relative to the centre of its foot; as near as stays clean in at least 97 % of
episodes (`benchmarks/expert_success.py`)."""
CORNER_RADIUS_M = 0.06
"""A way-point counts as passed from here."""
APPROACH_GAIN_PER_S = 6.0
"""Tool speed per distance from the last way-point."""
POSTURE_GAIN_PER_S = 1.0
"""How strongly the free degrees are drawn to the home posture."""


class Pilot(Protocol):
    """Steers the arm for one episode."""

    def act(self, scene: ArmScene) -> JointArray:
        """Return the joint velocities (7,) [rad/s] for the next control period."""
        ...


@dataclass(frozen=True, slots=True)
class Style:
    """How a way-point behaviour moves."""

    speed_m_s: tuple[float, float]
    """Range of the tool's cruising speed, one draw per episode."""
    noise_rad_s: float
    """Standard deviation of the action noise."""
    noise_memory: float = 0.0
    """Correlation of the noise from one step to the next, 0 to 1."""
    margin: tuple[float, float] = (1.0, 1.0)
    """Range of the factor on the way-points' distance from the post, one draw per episode."""


CLEAN = Style(speed_m_s=(0.36, 0.42), noise_rad_s=0.12, noise_memory=0.7)
SLOPPY = Style(speed_m_s=(0.18, 0.32), noise_rad_s=0.30, noise_memory=0.5, margin=(0.15, 0.60))
DIRECT = Style(speed_m_s=(0.25, 0.50), noise_rad_s=0.15, noise_memory=0.5)


class WaypointPilot:
    """Leads the tool through way-points and holds it at the last one.

    Args:
        contract: For rate and limits.
        waypoints: Positions in the base frame, each (3,) [m].
        style: How to move.
        rng: Source of the episode's noise.
    """

    def __init__(
        self, contract: Contract, waypoints: Sequence[JointArray], style: Style, rng: np.random.Generator
    ) -> None:
        self._waypoints = list(waypoints)
        self._speed_m_s = rng.uniform(*style.speed_m_s)
        self._noise = CorrelatedNoise(style.noise_rad_s, style.noise_memory, contract.action_size, rng)
        self._gate = RateLimit(contract)

    def act(self, scene: ArmScene) -> JointArray:
        """Steer towards the present way-point, slower near the last one."""
        offset = self._waypoints[0] - scene.tool()
        distance = float(np.linalg.norm(offset))
        if len(self._waypoints) > 1 and distance < CORNER_RADIUS_M:
            self._waypoints.pop(0)
            return self.act(scene)
        last = len(self._waypoints) == 1
        speed = min(self._speed_m_s, APPROACH_GAIN_PER_S * distance) if last else self._speed_m_s
        position = np.array(scene.panda.joint_state()[0][: len(HOME_RAD)])
        velocity = resolve_velocity(
            scene.panda.tool_jacobian(),
            offset * (speed / max(distance, 1e-9)),
            POSTURE_GAIN_PER_S * (np.array(HOME_RAD) - position),
        )
        return self._gate.pass_on(velocity + self._noise.draw())


class WanderPilot:
    """Moves the joints at random, smoothly."""

    def __init__(self, contract: Contract, rng: np.random.Generator) -> None:
        self._noise = CorrelatedNoise(0.45, 0.95, contract.action_size, rng)
        self._gate = RateLimit(contract)

    def act(self, scene: ArmScene) -> JointArray:
        """Take the next step of the random process, whatever the scene."""
        return self._gate.pass_on(self._noise.draw())


class CorrelatedNoise:
    """A stationary first-order autoregressive process, the sampled form of Ornstein-Uhlenbeck noise."""

    def __init__(self, deviation: float, memory: float, size: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._memory = memory
        self._fresh = deviation * np.sqrt(1.0 - memory**2)
        self._value = deviation * rng.standard_normal(size)

    def draw(self) -> JointArray:
        """Return the next value (size,)."""
        self._value = self._memory * self._value + self._fresh * self._rng.standard_normal(len(self._value))
        return self._value


class RateLimit:
    """Keeps commands inside the contract's action range and acceleration limits, as the robot's own gate would."""

    def __init__(self, contract: Contract) -> None:
        self._lower, self._upper = contract.action_range()
        self._change = np.array([limit.acceleration for limit in contract.limits()]) * contract.period_s
        self._last = np.zeros(contract.action_size)

    def pass_on(self, command: JointArray) -> JointArray:
        """Return the nearest allowed command to `command` (n,)."""
        limited = np.clip(command, self._last - self._change, self._last + self._change)
        self._last = np.clip(limited, self._lower, self._upper)
        return self._last


def start_inner(contract: Contract, scene: ArmScene, rng: np.random.Generator) -> Pilot:
    """Round the post on the base's side, clean."""
    return _round(contract, scene, INNER_VIA_M, CLEAN, rng)


def start_outer(contract: Contract, scene: ArmScene, rng: np.random.Generator) -> Pilot:
    """Round the post on the far side, clean."""
    return _round(contract, scene, OUTER_VIA_M, CLEAN, rng)


def start_sloppy(contract: Contract, scene: ArmScene, rng: np.random.Generator) -> Pilot:
    """Either way round: slow, shaky and too close to the post."""
    return _round(contract, scene, (INNER_VIA_M, OUTER_VIA_M)[rng.integers(2)], SLOPPY, rng)


def start_straight(contract: Contract, scene: ArmScene, rng: np.random.Generator) -> Pilot:
    """Straight to the goal, through the post."""
    return WaypointPilot(contract, [scene.goal], DIRECT, rng)


def start_random(contract: Contract, scene: ArmScene, rng: np.random.Generator) -> Pilot:
    """Smooth random joint velocities."""
    return WanderPilot(contract, rng)


def start_wrong(contract: Contract, scene: ArmScene, rng: np.random.Generator) -> Pilot:
    """Half the way round the post, then back, and waiting on the wrong side."""
    via = (INNER_VIA_M, OUTER_VIA_M)[rng.integers(2)][: rng.integers(1, 3)]
    there = [scene.post + offset for offset in via]
    return WaypointPilot(contract, [*there, *there[-2::-1], START_TOOL_M + 0.08 * rng.standard_normal(3)], DIRECT, rng)


def _round(
    contract: Contract,
    scene: ArmScene,
    via: Sequence[tuple[float, float, float]],
    style: Style,
    rng: np.random.Generator,
) -> Pilot:
    margin = np.array([rng.uniform(*style.margin), 1.0, 1.0])
    return WaypointPilot(contract, [*(scene.post + margin * offset for offset in via), scene.goal], style, rng)


BEHAVIOURS: dict[str, Callable[[Contract, ArmScene, np.random.Generator], Pilot]] = {
    "inner": start_inner,
    "outer": start_outer,
    "sloppy": start_sloppy,
    "straight": start_straight,
    "random": start_random,
    "wrong": start_wrong,
}
"""Name -> how to begin an episode of it. The place in this table is the label in datasets."""

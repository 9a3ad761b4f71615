"""Scripted behaviours of the maze task, good and bad, as sources of logged data.

Those of the mixtures that drive at all drive with the same hand: towards the centre of the next cell, slower the more
they have to turn, with the same noise and within the contract's acceleration limits. What differs is where they go, so
that a learner must tell good from bad by what comes of it and not by how it looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_sim.behaviours import CorrelatedNoise, RateLimit
from divo_sim.maze_episode import cell_at
from divo_sim.maze_map import Cell, MazeMap
from divo_sim.maze_scene import MazeScene

CORNER_RADIUS_M = 0.35
"""A cell's centre counts as passed from here; the way across the corner stays 0.3 m away from it, the base is 0.2 m."""
TURN_GAIN_PER_S = 3.0
"""Turn rate per heading error."""


class Pilot(Protocol):
    """Steers the base for one episode."""

    def act(self, scene: MazeScene) -> JointArray:
        """Return the twist (2,) [m/s, rad/s] for the next control period."""
        ...


@dataclass(frozen=True, slots=True)
class Style:
    """How a pilot drives."""

    speed_m_s: tuple[float, float]
    """Range of the cruising speed, one draw per episode."""
    noise: tuple[float, float]
    """Standard deviation of the noise on speed [m/s] and turn rate [rad/s]."""
    noise_memory: float = 0.5
    """Correlation of the noise from one step to the next, 0 to 1."""


CLEAN = Style(speed_m_s=(0.85, 0.95), noise=(0.03, 0.1))
USUAL = Style(speed_m_s=(0.7, 0.95), noise=(0.08, 0.3))


class WayPilot:
    """Drives from cell to cell, and at the end to the goal.

    Args:
        contract: For rate and limits.
        style: How to drive.
        next_cell: The cell after a cell, or None for the goal itself; asked at the start and at each centre.
        rng: Source of the episode's noise.
    """

    def __init__(
        self, contract: Contract, style: Style, next_cell: Callable[[Cell], Cell | None], rng: np.random.Generator
    ) -> None:
        self._speed_m_s = rng.uniform(*style.speed_m_s)
        self._noise = [CorrelatedNoise(deviation, style.noise_memory, 1, rng) for deviation in style.noise]
        self._gate = RateLimit(contract)
        self._next_cell = next_cell
        self._target: Cell | None = None
        self._begun = False

    def act(self, scene: MazeScene) -> JointArray:
        """Steer towards the present target; take the next one when its centre is near."""
        if not self._begun:
            self._begun, self._target = True, self._next_cell(cell_at(scene.position()))
        while self._target is not None and math.dist(self._target, scene.position()) < CORNER_RADIUS_M:
            after = self._next_cell(self._target)
            if after == self._target:
                break
            self._target = after
        twist = steer(scene.pose(), scene.goal if self._target is None else np.array(self._target), self._speed_m_s)
        return self._gate.pass_on(twist + np.concatenate([noise.draw() for noise in self._noise]))


class WanderPilot:
    """Drives at random, smoothly, more ahead than back."""

    def __init__(self, contract: Contract, rng: np.random.Generator) -> None:
        self._noise = [CorrelatedNoise(deviation, 0.9, 1, rng) for deviation in (0.35, 1.0)]
        self._gate = RateLimit(contract)

    def act(self, scene: MazeScene) -> JointArray:
        """Take the next step of the random process, whatever the scene."""
        return self._gate.pass_on(np.array([0.25, 0.0]) + np.concatenate([noise.draw() for noise in self._noise]))


def steer(pose: tuple[float, float, float], target: JointArray, speed_m_s: float) -> JointArray:
    """Return the twist (2,) [m/s, rad/s] that drives towards a point: turn by the heading error, slow down for it.

    Args:
        pose: x [m], y [m], yaw [rad].
        target: (2,) [m].
        speed_m_s: Speed straight ahead; times the cosine of the heading error, 0 if the target is behind.
    """
    x, y, yaw = pose
    error = math.remainder(math.atan2(target[1] - y, target[0] - x) - yaw, 2 * math.pi)
    return np.array([speed_m_s * max(0.0, math.cos(error)), TURN_GAIN_PER_S * error])


def follow_way(maze: MazeMap, scene: MazeScene) -> Callable[[Cell], Cell | None]:
    """Return the shortest way to the scene's goal as a question for the next cell."""
    goal = cell_at(scene.goal)
    away = maze.distances(goal)

    def next_cell(cell: Cell) -> Cell | None:
        nearer = min(maze.neighbours(cell), key=away.__getitem__)
        return None if cell == goal or nearer == goal else nearer

    return next_cell


def turn_wrong(maze: MazeMap, scene: MazeScene, rng: np.random.Generator) -> Callable[[Cell], Cell | None]:
    """Return a walk through the maze that never enters the goal's cell and goes back only at its dead ends."""
    goal = cell_at(scene.goal)
    visited: list[Cell] = []

    def next_cell(cell: Cell) -> Cell | None:
        ways = [other for other in maze.neighbours(cell) if other != goal]
        onward = [other for other in ways if not visited or other != visited[-1]]
        visited.append(cell)
        choices = onward or ways or [cell]
        return choices[rng.integers(len(choices))]

    return next_cell


def start_expert(contract: Contract, scene: MazeScene, rng: np.random.Generator) -> Pilot:
    """Drive the shortest way to the goal, however far, with little noise."""
    return WayPilot(contract, CLEAN, follow_way(scene.maze, scene), rng)


def start_purposeful(contract: Contract, scene: MazeScene, rng: np.random.Generator) -> Pilot:
    """Drive the shortest way to the goal; `data_pair` puts the start near it."""
    return WayPilot(contract, USUAL, follow_way(scene.maze, scene), rng)


def start_wrong(contract: Contract, scene: MazeScene, rng: np.random.Generator) -> Pilot:
    """Drive as well, but turn anywhere, and away from the goal when next to it."""
    return WayPilot(contract, USUAL, turn_wrong(scene.maze, scene, rng), rng)


def start_random(contract: Contract, scene: MazeScene, rng: np.random.Generator) -> Pilot:
    """Smooth random twists."""
    return WanderPilot(contract, rng)


MAZE_BEHAVIOURS: dict[str, Callable[[Contract, MazeScene, np.random.Generator], Pilot]] = {
    "expert": start_expert,
    "purposeful": start_purposeful,
    "wrong": start_wrong,
    "random": start_random,
}
"""Name -> how to begin an episode of it. The place in this table is the label in datasets."""

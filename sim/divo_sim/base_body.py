"""The base in a maze as a simulated robot: 120 steps of physics per second, scored as `divo_sim.base_maze` scores."""

from __future__ import annotations

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_sim.base_messages import BaseMessage
from divo_sim.maze_episode import Episode, advance_episode, begin_episode, step_reward
from divo_sim.maze_map import MAPS, MapName
from divo_sim.maze_pairs import Pairs, evaluation_pair
from divo_sim.maze_scene import PHYSICS_HZ, MazeScene
from divo_sim.simulated_robot import SimulatedRobot, Vector


class BaseBody:
    """Base, maze and goal.

    Args:
        maze: Name of the map.
        pairs: Start and goal of an episode.
    """

    physics_hz = PHYSICS_HZ

    def __init__(self, maze: MapName, pairs: Pairs) -> None:
        self._scene = MazeScene(MAPS[maze])
        self._pairs: Pairs = pairs
        self.episode: Episode = begin_episode(self._scene.maze, self._scene.position())

    def reset(self, seed: int) -> None:
        """Place base and goal as `BaseMaze.reset(seed=seed)` does."""
        rng = np.random.default_rng(seed)
        self._scene.reset(*evaluation_pair(self._scene.maze, self._pairs, rng), rng)
        self.episode = begin_episode(self._scene.maze, self._scene.position())

    def drive(self, command: JointArray) -> None:
        """Let a twist (2,) [m/s, rad/s] be followed."""
        self._scene.set_twist(command)

    def advance(self) -> bool:
        """Let 1/120 s pass; return whether a wall was touched."""
        return self._scene.advance(1)

    def score(self, contact: bool) -> float:
        """Account for a control period; return its reward."""
        self.episode = advance_episode(self.episode, self._scene.position(), self._scene.goal, contact)
        return step_reward(self.episode)

    def place(self) -> Vector:
        """Return the base's position (x, y) [m]."""
        return tuple(self.episode.position.tolist())

    def joints(self) -> Vector:
        """Return nothing: a base has no joints to report."""
        return ()

    def messages(self, stamp_ns: int) -> dict[str, BaseMessage]:
        """Return what the sensors say now, by topic."""
        return self._scene.messages(stamp_ns)

    def close(self) -> None:
        """End the physics client."""
        self._scene.close()


def simulated_base(
    contract: Contract, maze: MapName, seed: int = 0, timeout_s: float = 0.2, pairs: Pairs = "far"
) -> SimulatedRobot:
    """Return the base in a maze as a robot that takes commands, of its contract."""
    return SimulatedRobot(BaseBody(maze, pairs), contract, seed, timeout_s)

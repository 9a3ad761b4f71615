"""The maze as a place to record scripted behaviours in: which start and goal each episode of data has."""

from __future__ import annotations

from typing import Any

import numpy as np

from divo_runtime.observation import FloatArray
from divo_sim.base_maze import BaseMaze
from divo_sim.maze_behaviours import MAZE_BEHAVIOURS
from divo_sim.maze_map import MapName
from divo_sim.maze_pairs import Goals, data_pair
from divo_sim.rollout import Act


class ScriptedMaze:
    """One map with the goals of `play` or of `diverse` data.

    Args:
        maze: Name of the map.
        goals: Where the goals of the data are.
    """

    def __init__(self, maze: MapName, goals: Goals) -> None:
        self.environment = BaseMaze(maze)
        self._goals = goals

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Names of the scripted behaviours; the place in the tuple is the label in datasets."""
        return tuple(MAZE_BEHAVIOURS)

    def begin(self, behaviour: str, seed: int) -> tuple[FloatArray, dict[str, Any], Act]:
        """Begin an episode; return its first observation and info, and what acts in it."""
        scene, rng = self.environment.scene, np.random.default_rng([seed, 1])
        start, goal = data_pair(scene.maze, self._goals, behaviour, rng)
        observation, info = self.environment.reset(seed=seed, options={"start": start, "goal": goal})
        pilot = MAZE_BEHAVIOURS[behaviour](self.environment.contract, scene, rng)
        return observation, info, lambda: pilot.act(scene)

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Let one control period pass."""
        return self.environment.step(action)

    def close(self) -> None:
        """End the physics client."""
        self.environment.close()

"""The maze task as a gymnasium environment: drive a differential-drive base to a goal that may be far away.

Observations are made by the controller's own `ObservationBuilder` from the messages that the simulated robot would
publish, and actions are the contract's twists, so what is learned here means the same on the robot.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from divo_runtime.errors import DivoError
from divo_runtime.observation import FloatArray, Measurement, ObservationBuilder
from divo_sim.contracts import base_maze_contract
from divo_sim.maze_episode import Episode, advance_episode, begin_episode, step_reward
from divo_sim.maze_map import MAPS, Cell, MapName
from divo_sim.maze_pairs import Pairs, evaluation_pair
from divo_sim.maze_scene import PHYSICS_HZ, MazeScene


class BaseMaze(gymnasium.Env[FloatArray, FloatArray]):
    """Observation (32,) and action (2,) [m/s, rad/s] as the contract says; 10 Hz, with the map's step limit.

    Reward: 1 on arriving within 0.4 m of the goal (which alone terminates), else 0.

    Args:
        maze: Name of the map.
        pairs: Start and goal of an episode: one of the map's fixed `far` pairs, or any two cells (`random`).
        render_mode: None; there are no pictures of this task while it runs.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  the name and form are gymnasium's

    def __init__(self, maze: MapName = "medium", pairs: Pairs = "far", render_mode: str | None = None) -> None:
        self.contract = base_maze_contract()
        self.render_mode = render_mode
        self.scene = MazeScene(MAPS[maze])
        lower, upper = self.contract.action_range()
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.contract.observation_size,), np.float32)
        self.action_space = spaces.Box(lower.astype(np.float32), upper.astype(np.float32), dtype=np.float32)
        self._pairs = pairs
        self._builder = ObservationBuilder(self.contract)
        self._substeps = round(PHYSICS_HZ / self.contract.rate_hz)
        self.episode: Episode = begin_episode(self.scene.maze, self.scene.position())
        """Where the present episode stands."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begin an episode: the base near the centre of a cell, facing anywhere, the goal near that of another.

        Args:
            seed: Makes the episode reproducible.
            options: `pair`: number of one of the map's far pairs; or `start` and `goal`: cells. By default drawn, as
                the environment's `pairs` says.

        Raises:
            DivoError: If the options name no free cells of the map.
        """
        super().reset(seed=seed)
        maze, rng = self.scene.maze, self.np_random
        start, goal = self._read_pair(options) if options else evaluation_pair(maze, self._pairs, rng)
        self.scene.reset(start, goal, self.np_random)
        self.episode = begin_episode(self.scene.maze, self.scene.position())
        return self._observe(), self._info()

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Hold the twist `action` (2,) [m/s, rad/s] for one control period.

        Raises:
            DivoError: If the action is not (2,) finite numbers.
        """
        command = np.asarray(action, dtype=np.float64)
        if command.shape != self.action_space.shape or not np.isfinite(command).all():
            raise DivoError(
                "The environment cannot take this action.",
                got=repr(action),
                expected="2 finite numbers: forward speed [m/s] and turn rate [rad/s]",
                fix="Look for a policy that diverged or has another action size.",
            )
        self.scene.set_twist(np.clip(command, self.action_space.low, self.action_space.high))
        contact = self.scene.advance(self._substeps)
        after = advance_episode(self.episode, self.scene.position(), self.scene.goal, contact)
        self.episode = after
        return self._observe(), step_reward(after), after.terminated, after.truncated, self._info()

    def close(self) -> None:
        """End the physics client."""
        self.scene.close()

    def _read_pair(self, options: dict[str, Any]) -> tuple[Cell, Cell]:
        maze = self.scene.maze
        pair = options.get("pair")
        if set(options) == {"pair"} and isinstance(pair, int | np.integer) and 0 <= pair < len(maze.far_pairs):
            return maze.far_pairs[pair]
        if set(options) == {"start", "goal"} and {tuple(options["start"]), tuple(options["goal"])} <= set(maze.cells):
            return tuple(options["start"]), tuple(options["goal"])
        raise DivoError(
            "The environment cannot begin like this.",
            where=f"map '{maze.name}'",
            got=repr(options),
            expected=f"'pair': 0 to {len(maze.far_pairs) - 1}, or 'start' and 'goal': free cells (column, row)",
            fix="Count columns from the left and rows from below, from 0.",
        )

    def _observe(self) -> FloatArray:
        now_ns = self.episode.steps * self.contract.period_ns
        messages = self.scene.messages(now_ns)
        measurements = {topic: Measurement(message, now_ns, now_ns) for topic, message in messages.items()}
        return self._builder.build(measurements, now_ns).usable()

    def _info(self) -> dict[str, Any]:
        """Return the same keys at reset and at every step, as dataset writers need it."""
        episode = self.episode
        return {
            "success": episode.success,
            "contact": episode.contact,
            "contacts": episode.contacts,
            "collision_free": episode.collision_free,
            "route": episode.route,
            "position": episode.position,
        }

"""D4RL's environments, rebuilt on gymnasium's MuJoCo and gymnasium-robotics; importing this registers them.

`d4rl-v4/NAME` for halfcheetah, hopper, walker2d, antmaze-umaze, antmaze-medium and antmaze-large, where v4 is the
version of MuJoCo's models, and `d4rl-v5/NAME` for the first three. They are near D4RL's environments, not the same:
`differences` says where they part, and is printed beside every score.

Sources: https://github.com/Farama-Foundation/D4RL, `d4rl/locomotion/{ant,maze_env,goal_reaching_env}.py`;
https://github.com/Farama-Foundation/Gymnasium-Robotics, `gymnasium_robotics/envs/maze`.
"""

from __future__ import annotations

import importlib.metadata
import os
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from divo_runtime.errors import DivoError
from divo_runtime.observation import FloatArray

VERSIONS = ("v4", "v5")
LOCOMOTION = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d"}
"""Name here -> gymnasium's."""
MAZES = {
    "antmaze-umaze": ("AntMaze_UMaze", (3, 1), 700),
    "antmaze-medium": ("AntMaze_Medium", (6, 6), 1000),
    "antmaze-large": ("AntMaze_Large", (7, 9), 1000),
}
"""Name here -> gymnasium-robotics', (row, column) of D4RL's goal, time limit [steps]."""

START_CELL = (1, 1)
"""(row, column) where D4RL's ant starts, in every maze; there its coordinates are (0, 0)."""
CELL_M = 4.0
GOAL_DISTANCE_M = 0.5
"""D4RL's; gymnasium-robotics has 0.45."""
START_NOISE = 0.1
"""Of D4RL's `reset_model`: half width of uniform noise on every position, standard deviation on every velocity."""
ANT_TIMESTEP_S = 0.02
ANT_TORQUE = 30.0
ANT_SOLIMP = (0.8, 0.8, 0.01)
"""In D4RL's `assets/ant.xml`; gymnasium's has 0.01 s, 150 and MuJoCo's defaults, and is the same otherwise."""

MUJOCO = "a newer MuJoCo than D4RL's mujoco-py: motion is close to that in the data, not identical with it"
V5 = "the v5 models differ (friction of Walker2d, rewards of Hopper and Walker2d): not a D4RL score"
ANT = "gymnasium's ant with D4RL's time step, torques and contact softness; walls as gymnasium-robotics builds them"


def differences(environment: str, version: str) -> tuple[str, ...]:
    """Return how an environment here differs from D4RL's, in words."""
    return (MUJOCO, *([V5] if version == "v5" else []), *([ANT] if environment in MAZES else []))


def versions() -> dict[str, str]:
    """Return package -> version, of what decides about a score."""
    installed = {each.name.lower(): each.version for each in importlib.metadata.distributions()}
    return {name: installed.get(name, "not installed") for name in ("gymnasium", "mujoco", "gymnasium-robotics")}


class LocomotionTask(gymnasium.Wrapper):
    """float32 observations, and the facts that our evaluation counts: success is not having fallen."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begin an episode."""
        observation, _ = self.env.reset(seed=seed, options=options)
        return observation.astype(np.float32), _facts(True)

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Take one control step."""
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return observation.astype(np.float32), float(reward), terminated, truncated, _facts(not terminated)


class AntMazeTask(gymnasium.Wrapper):
    """D4RL's AntMaze: (29,) positions and velocities in D4RL's coordinates; reward 1 and the end at the goal.

    D4RL's y runs with the rows of its map, gymnasium-robotics' against them. So the maze is built upside down, and only
    a shift is left between the two.

    Args:
        env: gymnasium-robotics' maze, upside down.
        goal_cell: (row, column) of the goal in D4RL's map.
    """

    def __init__(self, env: gymnasium.Env, goal_cell: tuple[int, int]) -> None:
        super().__init__(env)
        self._maze: Any = env.unwrapped
        self._maze.position_noise_range = 0.0  # D4RL's noise is drawn below
        _make_d4rl_ant(self._maze.ant_env.model)
        self._goal_cell = goal_cell
        self._goal = np.zeros(2)
        self._rows = len(self._maze.maze.maze_map)
        self._origin = self._maze.maze.cell_rowcol_to_xy(np.array(self._upside_down(START_CELL)))
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (29,), np.float32)

    @property
    def goal(self) -> FloatArray:
        """(2,) goal in D4RL's coordinates [m]."""
        return self._goal.astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Begin an episode at the start, with a new goal inside its cell, as D4RL's v2 environments do."""
        cells = {"reset_cell": self._upside_down(START_CELL), "goal_cell": self._upside_down(self._goal_cell)}
        self.env.reset(seed=seed, options={name: np.array(cell) for name, cell in cells.items()})
        rng = self._maze.np_random
        corner = (np.array(self._goal_cell[::-1]) - START_CELL[::-1]) * CELL_M
        self._goal = corner + rng.uniform(0, CELL_M / 4, 2) + rng.uniform(0, CELL_M / 8, 2)
        self._maze.goal = self._goal + self._origin
        ant = self._maze.ant_env
        position, velocity = ant.data.qpos.copy(), ant.data.qvel.copy()
        position[:15] += rng.uniform(-START_NOISE, START_NOISE, 15)
        velocity[:14] += START_NOISE * rng.standard_normal(14)
        ant.set_state(position, velocity)
        return self._observe(), _facts(False)

    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Take one control step."""
        truncated = bool(self.env.step(action)[3])
        observation = self._observe()
        arrived = bool(np.linalg.norm(observation[:2] - self._goal) <= GOAL_DISTANCE_M)
        return observation, float(arrived), arrived, truncated, _facts(arrived)

    def _observe(self) -> FloatArray:
        data = self._maze.ant_env.data
        state = np.concatenate([data.qpos[:15], data.qvel[:14]])
        state[:2] -= self._origin
        return state.astype(np.float32)

    def _upside_down(self, cell: tuple[int, int]) -> tuple[int, int]:
        return self._rows - 1 - cell[0], cell[1]


def _make_d4rl_ant(model: Any) -> None:
    """Give gymnasium's ant what D4RL's has otherwise."""
    model.opt.timestep = ANT_TIMESTEP_S
    model.actuator_gear[:, 0] = ANT_TORQUE
    model.geom_solimp[:, :3] = ANT_SOLIMP


def make_locomotion(name: str, version: str) -> gymnasium.Env:
    """Return one of gymnasium's MuJoCo robots.

    Raises:
        DivoError: If MuJoCo is not installed.
    """
    return LocomotionTask(_make(f"{LOCOMOTION[name]}-{version}", {}))


def make_antmaze(name: str, version: str) -> gymnasium.Env:
    """Return a maze.

    Raises:
        DivoError: If MuJoCo or gymnasium-robotics is not installed.
    """
    base, goal_cell, limit = MAZES[name]
    gymnasium.register_envs(_robotics())
    base_id = f"{base}-{version}"
    upside_down = [list(row) for row in reversed(gymnasium.spec(base_id).kwargs["maze_map"])]
    settings = {"maze_map": upside_down, "continuing_task": False, "reset_target": False, "max_episode_steps": limit}
    return AntMazeTask(_make(base_id, settings), goal_cell)


def _make(environment: str, settings: Mapping[str, Any]) -> gymnasium.Env:
    os.environ.setdefault("MUJOCO_GL", "disabled")  # nothing is drawn; without this, importing mujoco wants a display
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # v4 is what is wanted
            return gymnasium.make(environment, disable_env_checker=True, **settings)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise _missing(str(error)) from error


def _robotics() -> Any:
    try:
        import gymnasium_robotics
    except ImportError as error:
        raise _missing(str(error)) from error
    return gymnasium_robotics


def _missing(got: str) -> DivoError:
    return DivoError("MuJoCo's environments are not installed.", got=got, fix="pip install '.[d4rl]'")


def _facts(success: bool) -> dict[str, Any]:
    return {"success": success, "collision_free": success, "route": 0}


for _name in (*LOCOMOTION, *MAZES):
    for _version in VERSIONS if _name in LOCOMOTION else VERSIONS[:1]:
        gymnasium.register(
            f"d4rl-{_version}/{_name}",
            entry_point=f"{__name__}:{'make_antmaze' if _name in MAZES else 'make_locomotion'}",
            kwargs={"name": _name, "version": _version},
            disable_env_checker=True,
        )

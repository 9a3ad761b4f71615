"""What can be collected: each task with its behaviours, mixtures, contract and environment, in one table."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import get_args

from divo_runtime.errors import DivoError
from divo_sim import (
    arm_episode,
    arm_reach,
    arm_scene,
    base_maze,
    base_messages,
    behaviours,
    maze_behaviours,
    maze_episode,
    maze_map,
    maze_pairs,
    maze_scene,
    panda,
    rollout,
    scripted_maze,
)
from divo_sim.arm_reach import ArmReach
from divo_sim.behaviours import BEHAVIOURS
from divo_sim.contracts import arm_reach_text, base_maze_text, name_environment
from divo_sim.environments import ARM_REACH_BIASED_ID, ARM_REACH_ID, base_maze_id, qualified
from divo_sim.maze_behaviours import MAZE_BEHAVIOURS
from divo_sim.maze_map import MAPS, MapName
from divo_sim.maze_pairs import Goals
from divo_sim.mixtures import BIASED_MIXTURES, MAZE_MIXTURES, MIXTURES, Mixture, Mixtures
from divo_sim.rollout import Scripted
from divo_sim.scripted_maze import ScriptedMaze

ARM_SOURCES: tuple[ModuleType, ...] = (arm_episode, arm_reach, arm_scene, behaviours, panda, rollout)
MAZE_SOURCES: tuple[ModuleType, ...] = (
    base_maze,
    base_messages,
    behaviours,
    maze_behaviours,
    maze_episode,
    maze_map,
    maze_pairs,
    maze_scene,
    rollout,
    scripted_maze,
)
"""Modules that decide what an episode looks like; data of different versions of them are never mixed."""


@dataclass(frozen=True)
class Task:
    """Something that datasets can be made of."""

    name: str
    prefix: str
    """Beginning of the datasets' names, after `divo/`; the mixture follows."""
    environment: str
    """Gymnasium id of the task that the data are for."""
    behaviours: tuple[str, ...]
    """Names of the behaviours; the place in the tuple is the label in datasets."""
    mixtures: Mixtures
    step_limit: int
    """Most transitions of an episode."""
    contract: str
    """YAML text of the contract, naming this environment."""
    description: str
    algorithm: str
    """How the data were made, in a few words."""
    good: tuple[str, ...]
    """Behaviours that a learner should imitate; told to nobody but the analysis."""
    sources: tuple[ModuleType, ...]
    open: Callable[[], Scripted]
    """Make the task; it costs as much as ten episodes."""

    def dataset_id(self, mixture: Mixture) -> str:
        """Return Minari's name of a dataset."""
        return f"divo/{self.prefix}{mixture}-v0"

    def code_hash(self) -> str:
        """Return the SHA-256 of the contract and the code that decide what an episode looks like."""
        digest = hashlib.sha256(self.contract.encode())
        for module in self.sources:
            digest.update(inspect.getsource(module).encode())
        return digest.hexdigest()


def arm_task(name: str, mixtures: Mixtures, biased: bool = False) -> Task:
    """Return the arm's task; all its datasets share one folder."""
    environment = ARM_REACH_BIASED_ID if biased else ARM_REACH_ID
    return Task(
        name=name,
        prefix="arm_reach/",
        environment=environment,
        behaviours=tuple(BEHAVIOURS),
        mixtures=mixtures,
        step_limit=arm_episode.STEP_LIMIT,
        contract=name_environment(arm_reach_text(), qualified(environment)),
        description="Scripted behaviours of a simulated Franka Panda; not demonstrations by people.",
        algorithm="scripted way-points with noise",
        good=("inner", "outer"),
        sources=ARM_SOURCES,
        open=partial(ArmReach, biased=biased),
    )


def maze_task(maze: MapName, goals: Goals) -> Task:
    """Return the task of one map with the goals of `play` or of `diverse` data."""
    environment = base_maze_id(maze, "far")
    return Task(
        name=f"base_maze/{maze}-{goals}",
        prefix=f"base_maze/{maze}-{goals}-",
        environment=environment,
        behaviours=tuple(MAZE_BEHAVIOURS),
        mixtures=MAZE_MIXTURES,
        step_limit=MAPS[maze].step_limit,
        contract=name_environment(base_maze_text(), qualified(environment)),
        description="Scripted behaviours of a simulated differential-drive base; not demonstrations by people.",
        algorithm="scripted ways from cell to cell with noise",
        good=("expert", "purposeful"),
        sources=MAZE_SOURCES,
        open=partial(ScriptedMaze, maze, goals),
    )


ARM_REACH = arm_task("arm_reach", MIXTURES)
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        ARM_REACH,
        arm_task("arm_reach_biased", BIASED_MIXTURES, biased=True),
        *(maze_task(maze, goals) for maze in MAPS for goals in get_args(Goals)),
    )
}
"""Every task by its name."""


def find_task(name: str, mixture: Mixture) -> Task:
    """Return a task that has the mixture.

    Raises:
        DivoError: If there is no such task, or it has no such mixture.
    """
    task = TASKS.get(name)
    if task is None or mixture not in task.mixtures:
        raise DivoError(
            "There is no such dataset to collect.",
            got=f"task '{name}' with mixture '{mixture}'",
            expected="; ".join(f"{task.name}: {', '.join(task.mixtures)}" for task in TASKS.values()),
        )
    return task

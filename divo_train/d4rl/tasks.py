"""The D4RL tasks that can be played here, by the names of D4RL's datasets, and their normalised score.

Source of the reference returns, step limits and file names: D4RL's `infos.py` and the registrations beside it
(https://github.com/Farama-Foundation/D4RL). They are the same for every version of a dataset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from divo_runtime.errors import DatasetError

MODULE = "divo_train.d4rl.environments"
"""Gymnasium imports this before it looks for the environment."""


@dataclass(frozen=True)
class Family:
    """What all datasets of one D4RL environment share."""

    random_return: float
    """Mean return of random actions, which scores 0."""
    expert_return: float
    """Mean return of D4RL's expert, which scores 100."""
    rate_hz: float
    """Control steps per simulated second."""
    max_episode_steps: int
    """Time limit [steps]."""
    reward_shift: float = 0.0
    """Added to every reward at import."""


FAMILIES = {
    "halfcheetah": Family(-280.178953, 12135.0, 20.0, 1000),
    "hopper": Family(-20.272305, 3234.3, 125.0, 1000),
    "walker2d": Family(1.629008, 4592.3, 125.0, 1000),
    "antmaze-umaze": Family(0.0, 1.0, 10.0, 700, reward_shift=-1.0),
    "antmaze-medium": Family(0.0, 1.0, 10.0, 1000, reward_shift=-1.0),
    "antmaze-large": Family(0.0, 1.0, 10.0, 1000, reward_shift=-1.0),
}
"""Environment -> facts. AntMaze's 0 / 1 becomes -1 / 0, as IQL does: a critic that begins near 0 then learns faster."""

LOCOMOTION_QUALITIES = ("random", "medium", "medium-replay", "medium-expert", "full-replay", "expert")
MAZE_QUALITIES = {
    "antmaze-umaze": ("", "diverse"),
    "antmaze-medium": ("play", "diverse"),
    "antmaze-large": ("play", "diverse"),
}
MAZE_FILES = {"u-maze": "antmaze-umaze", "big-maze": "antmaze-medium", "hardest-maze": "antmaze-large"}
"""D4RL's files call the mazes otherwise than its names do."""
VERSIONS = {"antmaze": ("v0", "v2"), "": ("v0", "v1", "v2")}


@dataclass(frozen=True)
class D4rlTask:
    """One D4RL dataset and the environment that it is scored in."""

    name: str
    """D4RL's name, such as `halfcheetah-medium-v2`."""
    environment: str
    """Name of the environment, such as `halfcheetah`."""

    @property
    def family(self) -> Family:
        """What it shares with the other datasets of its environment."""
        return FAMILIES[self.environment]

    @property
    def gymnasium_id(self) -> str:
        """Environment that it is scored in by default; MuJoCo's v4 models are those of D4RL's time."""
        return gymnasium_id(self.environment, "v4")


def gymnasium_id(environment: str, version: str) -> str:
    """Return the id for `gymnasium.make`, of a D4RL environment on the v4 or v5 models."""
    return f"{MODULE}:d4rl-{version}/{environment}"


def find_task(name: str) -> D4rlTask:
    """Return the task of a D4RL dataset's name.

    Raises:
        DatasetError: If there is no such dataset, or its environment cannot be played here.
    """
    for environment in FAMILIES:
        qualities = MAZE_QUALITIES.get(environment, LOCOMOTION_QUALITIES)
        versions = VERSIONS["antmaze" if environment in MAZE_QUALITIES else ""]
        if name in {"-".join(filter(None, (environment, each, v))) for each in qualities for v in versions}:
            return D4rlTask(name, environment)
    raise DatasetError(
        "This is no D4RL dataset that can be scored here.",
        got=name,
        expected="such as halfcheetah-medium-v2, hopper-medium-replay-v2, walker2d-expert-v2 or antmaze-large-play-v2",
        fix="See docs/d4rl.md for the list.",
    )


def task_of_file(path: Path) -> D4rlTask | None:
    """Return the task whose data D4RL keeps in a file of this name, or None if it is not D4RL's."""
    try:
        return find_task(_maze_name(path.stem) or path.stem.replace("_", "-"))
    except DatasetError:
        return None


def _maze_name(stem: str) -> str:
    """Return the name of an AntMaze dataset; several goals mean `diverse`, one goal from several starts `play`."""
    pattern = r"Ant_maze_([a-z]+-maze)_noisy_multistart_(True|False)_multigoal_(True|False)_sparse(_fixed)?"
    found = re.fullmatch(pattern, stem)
    if found is None or found[1] not in MAZE_FILES:
        return ""
    quality = "diverse" if found[3] == "True" else "play" if found[2] == "True" else ""
    return "-".join(filter(None, (MAZE_FILES[found[1]], quality, "v2" if found[4] else "v0")))


def normalised_score(task: D4rlTask, return_: float) -> float:
    """Return 100 * (return - random) / (expert - random).

    Source: D4RL (Fu et al. 2020, arXiv:2004.07219), section 4; papers print it times 100, as here.
    """
    family = task.family
    return 100.0 * (return_ - family.random_return) / (family.expert_return - family.random_return)

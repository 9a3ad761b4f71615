"""What a dataset says about itself: recipe, spaces, contract, and statistics of every behaviour in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from divo_sim.behaviours import BEHAVIOURS
from divo_sim.contracts import arm_reach_text
from divo_sim.dataset import space_text
from divo_sim.environments import ARM_REACH_ID
from divo_sim.rollout import Rollout


def describe_dataset(dataset_id: str, recipe: Mapping[str, Any], episodes: Sequence[Rollout]) -> dict[str, Any]:
    """Return the metadata of a dataset, in Minari's keys and some of our own.

    Ours are `recipe`, `behaviours` (the meaning of `infos/behaviour`), `statistics` per behaviour, and `contract`
    (its YAML text).
    """
    environment = gymnasium.make(ARM_REACH_ID)
    try:
        spaces = {
            "observation_space": space_text(environment.observation_space),
            "action_space": space_text(environment.action_space),
        }
    finally:
        environment.close()
    return {
        "dataset_id": dataset_id,
        "description": "Scripted behaviours of a simulated Franka Panda; not demonstrations by people.",
        "author": ["DIVO contributors"],
        "algorithm_name": "scripted way-points with noise",
        "requirements": ["divo[sim]"],
        "env_spec": gymnasium.spec(ARM_REACH_ID).to_json(),
        **spaces,
        "recipe": dict(recipe),
        "behaviours": list(BEHAVIOURS),
        "statistics": _statistics(episodes),
        "contract": arm_reach_text(),
    }


def _statistics(episodes: Sequence[Rollout]) -> dict[str, dict[str, float]]:
    labels = [int(episode.infos["behaviour"][0]) for episode in episodes]
    total = sum(map(len, episodes))
    statistics = {}
    for label, name in enumerate(BEHAVIOURS):
        mine = [episode for episode, its_label in zip(episodes, labels, strict=True) if its_label == label]
        if mine:
            success = np.array([episode.infos["success"][-1] for episode in mine])
            clean = np.array([not episode.infos["contact"].any() for episode in mine])
            statistics[name] = {
                "episodes": len(mine),
                "transitions": sum(map(len, mine)),
                "share": sum(map(len, mine)) / total,
                "success": float(success.mean()),
                "collision_free": float((success & clean).mean()),
                "mean_return": float(np.mean([episode.rewards.sum() for episode in mine])),
                "mean_steps": float(np.mean([len(episode) for episode in mine])),
            }
    return statistics

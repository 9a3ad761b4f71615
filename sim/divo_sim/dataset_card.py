"""What a dataset says about itself: recipe, spaces, contract, and statistics of every behaviour in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np

from divo_sim.dataset import space_text
from divo_sim.normalization import reference_scores
from divo_sim.rollout import Rollout
from divo_sim.tasks import ARM_REACH, Task


def describe_dataset(
    dataset_id: str, recipe: Mapping[str, Any], episodes: Sequence[Rollout], task: Task = ARM_REACH
) -> dict[str, Any]:
    """Return the metadata of a dataset, in Minari's keys and some of our own.

    Ours are `recipe`, `behaviours` (the meaning of `infos/behaviour`), `good_behaviours`, `statistics` per behaviour,
    `normalization` (what random and expert episodes reach in the environment, where it was measured), and `contract`
    (its YAML text).
    """
    scores = reference_scores(task.environment)
    environment = gymnasium.make(task.environment)
    try:
        spaces = {
            "observation_space": space_text(environment.observation_space),
            "action_space": space_text(environment.action_space),
        }
    finally:
        environment.close()
    return {
        "dataset_id": dataset_id,
        "description": task.description,
        "author": ["DIVO contributors"],
        "algorithm_name": task.algorithm,
        "requirements": ["divo[sim]"],
        "env_spec": gymnasium.spec(task.environment).to_json(),
        **spaces,
        **({"ref_min_score": scores.random.return_, "ref_max_score": scores.expert.return_} if scores else {}),
        "recipe": dict(recipe),
        "behaviours": list(task.behaviours),
        "good_behaviours": list(task.good),
        "statistics": _statistics(episodes, task.behaviours),
        "normalization": asdict(scores) if scores else None,
        "contract": task.contract,
    }


def _statistics(episodes: Sequence[Rollout], behaviours: Sequence[str]) -> dict[str, dict[str, float]]:
    labels = [int(episode.infos["behaviour"][0]) for episode in episodes]
    total = sum(map(len, episodes))
    statistics = {}
    for label, name in enumerate(behaviours):
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

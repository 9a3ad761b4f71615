"""Play seeded episodes in the contract's gymnasium environment and count."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import gymnasium
import numpy as np
import torch
from scipy.stats import binomtest

from divo_train.policies import TorchPolicy, draw_noise, torch_policy
from divo_train.trained import load_networks

FIRST_EVALUATION_SEED = 10_000
"""Far from the seeds of data collection."""


@dataclass(frozen=True)
class Episode:
    """One evaluation episode."""

    seed: int
    success: bool
    """The goal was reached."""
    collision_free: bool
    """The goal was reached and nothing was touched on the way."""
    route: int
    """Side on which the obstacle was passed: -1 inner, +1 outer, 0 neither."""
    return_: float
    """Undiscounted sum of rewards."""
    steps: int
    """Control steps."""
    path: tuple[tuple[float, ...], ...] = ()
    """Position of the tool or of the base after each step [m], where the environment tells it."""


def play_episode(environment: gymnasium.Env, policy: TorchPolicy, seed: int) -> Episode:
    """Play one episode; the environment and the policy's noise are functions of `seed`."""
    observation, info = environment.reset(seed=seed)
    rng = np.random.default_rng([seed, 1])
    total, over, path = 0.0, False, []
    while not over:
        action = policy.act(observation, draw_noise(policy, rng)).action
        observation, reward, terminated, truncated, info = environment.step(action)
        total, over = total + float(reward), terminated or truncated
        place = info.get("tool_position", info.get("position", ()))
        path.append(tuple(round(float(x), 4) for x in place))
    success, free, route = bool(info["success"]), bool(info["collision_free"]), int(info["route"])
    return Episode(seed, success, free, route, total, len(path), tuple(path))


def evaluate(
    run: Path, kind: str, episodes: int, workers: int, candidates: int | None = None,
    first_seed: int = FIRST_EVALUATION_SEED, report: Callable[[int], None] = lambda _: None, environment: str = "",
) -> list[Episode]:  # fmt: skip
    """Play `episodes` seeded episodes of a run's policy in parallel processes, by default where its contract says."""
    seeds = range(first_seed, first_seed + episodes)
    chunks = [list(seeds[i : i + 5]) for i in range(0, episodes, 5)]
    results: list[Episode] = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for played in pool.map(partial(_play_chunk, run, kind, candidates, environment), chunks):
            results += played
            report(len(results))
    return results


def _play_chunk(
    run: Path, kind: str, candidates: int | None, environment_id: str, seeds: Sequence[int]
) -> list[Episode]:
    torch.set_num_threads(1)
    policy = torch_policy(load_networks(run), kind, candidates)
    environment = gymnasium.make(environment_id or policy.networks.contract.environment)
    try:
        return [play_episode(environment, policy, seed) for seed in seeds]
    finally:
        environment.close()


@dataclass(frozen=True)
class Summary:
    """What the episodes say, with exact 95 % intervals (Clopper and Pearson)."""

    episodes: int
    success: float
    success_interval: tuple[float, float]
    collision_free: float
    collision_free_interval: tuple[float, float]
    return_mean: float
    steps_mean: float
    outer_share: float
    """Share of the collision-free episodes that took the outer route."""


def summarize(episodes: Sequence[Episode]) -> Summary:
    """Count and average."""

    def share(count: int) -> tuple[float, tuple[float, float]]:
        interval = binomtest(count, len(episodes)).proportion_ci(method="exact")
        return count / len(episodes), (float(interval.low), float(interval.high))

    free = [episode for episode in episodes if episode.collision_free]
    return Summary(
        len(episodes),
        *share(sum(episode.success for episode in episodes)),
        *share(len(free)),
        float(np.mean([episode.return_ for episode in episodes])),
        float(np.mean([episode.steps for episode in episodes])),
        float(np.mean([episode.route > 0 for episode in free])) if free else float("nan"),
    )


def write_evaluation(run: Path, name: str, episodes: Sequence[Episode]) -> Path:
    """Write every episode to evaluation/NAME.csv, and summary and paths as JSON beside it; return the JSON's path."""
    folder = run / "evaluation"
    folder.mkdir(exist_ok=True)
    names = [field.name for field in dataclasses.fields(Episode) if field.name != "path"]
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(episode) for episode in episodes)
    path = folder / f"{name}.json"
    whole = {"summary": dataclasses.asdict(summarize(episodes)), "episodes": [dataclasses.asdict(e) for e in episodes]}
    path.write_text(json.dumps(whole) + "\n")
    return path

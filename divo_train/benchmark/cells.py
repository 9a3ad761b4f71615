"""What a plan plays: every policy of every seed in every environment, and snapshots of some for learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from divo_train.benchmark.episodes import Cell, read_results
from divo_train.benchmark.plan import Plan, Trial, policies_of

DEFAULT = "default"
"""Name of the contract's own environment."""


def evaluations(trial: Trial) -> Mapping[str, str]:
    """Return name -> gymnasium id of the environments that the score is made of; an empty id is the contract's."""
    return trial.environments or {DEFAULT: ""}


def cells_of(plan: Plan, trial: Trial) -> Iterator[Cell]:
    """Return every cell of a trial: evaluations first, then probes, then learning curves."""
    for environment in (*evaluations(trial), *trial.probes):
        for policy in policies_of(plan, trial):
            for seed in range(plan.seeds):
                yield Cell(trial.name, policy, seed, environment)
    if plan.curves is None:
        return
    for policy in policies_of(plan, trial):
        for environment in evaluations(trial) if policy in plan.curves.policies else ():
            for seed in range(plan.seeds):
                for point in plan.curves.points:
                    yield Cell(trial.name, policy, seed, environment, point)


def episodes_of(plan: Plan, trial: Trial, cell: Cell) -> range:
    """Return the seeds of a cell's episodes."""
    count = plan.probe_episodes if cell.environment in trial.probes else plan.episodes
    if cell.point and plan.curves:
        count = plan.curves.episodes
    return range(plan.first_seed, plan.first_seed + count)


def is_played(plan: Plan, trial: Trial, cell: Cell, folder: Path) -> bool:
    """Return whether a cell's file is there, with the episodes that the plan asks for."""
    played = read_results(cell.path(folder), trial.name).get(cell, [])
    return [episode.seed for episode in played] == list(episodes_of(plan, trial, cell))

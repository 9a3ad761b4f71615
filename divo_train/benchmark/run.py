"""Train and play a plan; whatever is finished is kept, so that a killed benchmark goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import torch
from joblib import Parallel, delayed, parallel_config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from divo_train.benchmark.episodes import Cell, write_episodes
from divo_train.benchmark.plan import Plan, Trial, fit_config
from divo_train.evaluate import play_episode
from divo_train.fit import fit, seed_folder
from divo_train.methods import METHODS
from divo_train.policies import torch_policy
from divo_train.trained import load_networks

DEFAULT = "default"
"""Name of the contract's own environment."""


def run_plan(plan: Plan, runs: Path, results: Path, workers: int, backend: str, console: Console) -> None:
    """Train every trial, all seeds side by side, and play every policy that has not been played.

    Args:
        plan: The benchmark.
        runs: Folder of the run folders; not kept in git.
        results: Folder of the CSV files.
        workers: Processes.
        backend: joblib's: `loky` for this machine, `ray` for a Ray cluster.
        console: Where progress is shown.
    """
    for trial in plan.trials:
        cells = [cell for cell in cells_of(plan, trial) if not cell.path(results).exists()]
        if not cells:
            console.print(f"{trial.name}: already played")
            continue
        config = dataclasses.replace(
            fit_config(plan, trial, runs / plan.name / trial.name), methods=methods_of(plan), workers=workers
        )
        fit(config, console)
        jobs = (
            delayed(play_cell)(seed_folder(config, cell.seed), cell, _environment(trial, cell), plan, results)
            for cell in cells
        )
        with _progress(console) as progress, parallel_config(backend, n_jobs=workers):
            for _ in progress.track(
                Parallel(return_as="generator_unordered")(jobs), total=len(cells), description=f"{trial.name}: play"
            ):
                pass


def play_cell(run: Path, cell: Cell, environment: str, plan: Plan, results: Path) -> None:
    """Play one cell and write its file."""
    torch.set_num_threads(1)
    policy = torch_policy(load_networks(run), cell.policy)
    world = gymnasium.make(environment or policy.networks.contract.environment)
    try:
        seeds = range(plan.first_seed, plan.first_seed + plan.episodes)
        write_episodes(cell.path(results), [play_episode(world, policy, seed) for seed in seeds])
    finally:
        world.close()


def cells_of(plan: Plan, trial: Trial) -> Iterator[Cell]:
    """Return every cell of a trial."""
    for policy in plan.policies:
        for environment in trial.environments or (DEFAULT,):
            for seed in range(plan.seeds):
                yield Cell(trial.name, policy, seed, environment)


def methods_of(plan: Plan) -> tuple[str, ...]:
    """Return the methods that train a plan's policies."""
    return tuple(name for name, method in METHODS.items() if set(method.policies) & set(plan.policies))


def _environment(trial: Trial, cell: Cell) -> str:
    return trial.environments.get(cell.environment, "")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)

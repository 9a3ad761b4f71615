"""Train and play a plan; whatever is finished is kept, so that a killed benchmark goes on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import get_active_backend
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from divo_runtime.errors import DivoError
from divo_train.benchmark.cells import cells_of, episodes_of, evaluations, is_played
from divo_train.benchmark.episodes import Cell, gather_cells, write_results
from divo_train.benchmark.plan import Plan, Trial, fit_configs, run_folder, split_policy
from divo_train.benchmark.play import play_together
from divo_train.benchmark.snapshots import load_snapshot
from divo_train.config import FitConfig
from divo_train.fit import fit, seed_folder
from divo_train.methods import METHODS
from divo_train.policies import torch_policy
from divo_train.trained import load_networks

TOGETHER = 10
"""Episodes that a process plays at a time."""


def run_plan(
    plan: Plan, runs: Path, results: Path, workers: int, backend: str, console: Console, device: str = "cpu"
) -> None:
    """Train every trial, all seeds side by side, and play every policy that has not been played.

    Args:
        plan: The benchmark.
        runs: Folder of the run folders; not kept in git.
        results: Folder of the published CSV files, one per trial.
        workers: Processes.
        backend: joblib's: `loky` for this machine, `ray` for a Ray cluster whose machines share this folder.
        console: Where progress is shown.
        device: cpu or cuda; training only.

    Raises:
        CheckpointError: If a run was begun with other settings.
        DivergedError: If training fails.
    """
    with parallel_config(backend, n_jobs=workers):
        waiting = [trial for trial in plan.trials if not _is_finished(plan, trial, runs)]
        if backend != "loky":  # elsewhere there may be many machines: every run of the plan at once
            configs = [config for trial in waiting for config in _configs(plan, trial, runs, 1, device)]
            _run_jobs([_job(_fit_quietly, config) for config in configs], f"{plan.name}: train", workers, console)
        for trial in plan.trials:
            if trial in waiting:
                for config in _configs(plan, trial, runs, workers, device) if backend == "loky" else ():
                    fit(config, console)
                _play_trial(plan, trial, run_folder(plan, trial, runs), workers, console)
            publish_trial(plan, trial, runs, results, console)


def publish_trial(plan: Plan, trial: Trial, runs: Path, results: Path, console: Console) -> None:
    """Write what has been played of a trial, whole or not, as its CSV; one from elsewhere stays if nothing was."""
    played = gather_cells(cells_of(plan, trial), run_folder(plan, trial, runs))
    if played:
        write_results(results / f"{trial.name}.csv", played)
    console.print(f"{trial.name}: {sum(map(len, played.values())):,} episodes played here", highlight=False)


def play_cell(config: FitConfig, cell: Cell, plan: Plan, trial: Trial, folder: Path) -> None:
    """Play one cell and write its file.

    Raises:
        DivoError: If the policy is to choose among a number of answers and has no choice.
    """
    torch.set_num_threads(1)
    if cell.point and plan.curves:
        networks = load_snapshot(config, cell.seed, cell.point)
    else:
        networks = load_networks(seed_folder(config, cell.seed))
    name, candidates = split_policy(cell.policy)
    policy = torch_policy(networks, name, candidates)
    if candidates is not None and policy.proposer.score is None:
        raise DivoError("This policy does not choose among answers.", where=plan.name, got=cell.policy, expected=name)
    environment = {**evaluations(trial), **trial.probes}[cell.environment] or networks.contract.environment
    seeds = episodes_of(plan, trial, cell)
    with ExitStack() as stack:
        worlds = [stack.enter_context(closing(gymnasium.make(environment))) for _ in seeds[:TOGETHER]]
        write_results(cell.path(folder), {cell: play_together(worlds, policy, seeds)})


def method_of(policy: str) -> str:
    """Return the method that trains a policy."""
    return next(name for name, method in METHODS.items() if split_policy(policy)[0] in method.policies)


def _play_trial(plan: Plan, trial: Trial, folder: Path, workers: int, console: Console) -> None:
    configs = fit_configs(plan, trial, folder)
    cells = [cell for cell in cells_of(plan, trial) if not is_played(plan, trial, cell, folder)]
    jobs = [_job(play_cell, configs[method_of(cell.policy)], cell, plan, trial, folder) for cell in cells]
    _run_jobs(jobs, f"{trial.name}: play", workers, console)


def _is_finished(plan: Plan, trial: Trial, runs: Path) -> bool:
    folder = run_folder(plan, trial, runs)
    return all(is_played(plan, trial, cell, folder) for cell in cells_of(plan, trial))


def _configs(plan: Plan, trial: Trial, runs: Path, workers: int, device: str) -> Iterator[FitConfig]:
    """Return each run of a trial once."""
    configs = fit_configs(plan, trial, run_folder(plan, trial, runs))
    for config in dict.fromkeys(configs.values()):
        yield dataclasses.replace(config, workers=workers, device=device)


def _job(function: Callable[..., None], *arguments: Any) -> Any:
    """Return a call for joblib that is made in this process's folder, on whatever machine."""
    return delayed(_call_in)(Path.cwd(), function, *arguments)


def _call_in(folder: Path, function: Callable[..., None], *arguments: Any) -> None:
    os.chdir(folder)
    function(*arguments)


def _fit_quietly(config: FitConfig) -> None:
    fit(config, Console(quiet=True))


def _run_jobs(jobs: Sequence[Any], title: str, workers: int, console: Console) -> None:
    """Run jobs in parallel with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(title, total=len(jobs))
        for _ in _finished(jobs, workers):
            progress.advance(bar)


def _finished(jobs: Sequence[Any], workers: int) -> Iterator[object]:
    """Yield once for each job that has ended; in groups where the backend, such as Ray's, tells no earlier."""
    if get_active_backend()[0].supports_return_generator:
        yield from Parallel(return_as="generator_unordered")(jobs)
        return
    for start in range(0, len(jobs), 8 * workers):
        yield from Parallel()(jobs[start : start + 8 * workers])

"""`divo-train benchmark`: run a plan, then write its tables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from divo_runtime.errors import DivoError


@dataclass(frozen=True)
class BenchmarkConfig:
    """Train and play tasks x datasets x methods x seeds from one file, and write tables with intervals.

    A benchmark that was killed goes on where it was: stages from their last checkpoint, evaluations from the first
    cell (a policy of a seed in an environment) without a file.
    """

    plan: Annotated[Path, tyro.conf.Positional] = Path("benchmarks/mixed.yaml")
    """File that says what is compared."""
    runs: Path = Path("runs/benchmark")
    """Folder of run folders: weights, metrics, curves, episodes as they are played."""
    results: Path = Path("benchmarks/results")
    """Folder of the results: a CSV per trial, tables.md, scores.png; in a folder with the plan's name."""
    workers: int = 0
    """Processes; 0 means one per core of this machine."""
    backend: str = "loky"
    """joblib backend: loky for this machine; ray for a Ray cluster (pip install ray first) whose machines share this
    folder under the same path. RAY_ADDRESS names the cluster; without it Ray runs on this machine alone."""
    device: str = "cpu"
    """Where training runs: cpu or cuda. Evaluation stays on the CPU."""
    tables_only: bool = False
    """Publish what has been played so far, and write the tables; train and play nothing."""


def run_benchmark(config: BenchmarkConfig, console: Console) -> Path:
    """Run a plan and write its tables; return the path of tables.md.

    Raises:
        DivoError: If the plan is wrong, a dataset is missing, or training fails.
    """
    from divo_train.benchmark.plan import read_plan
    from divo_train.benchmark.run import publish_trial, run_plan
    from divo_train.benchmark.tables import write_tables

    plan = read_plan(config.plan)
    results = config.results / plan.name
    if config.tables_only:
        for trial in plan.trials:
            publish_trial(plan, trial, config.runs, results, console)
    else:
        _use_backend(config.backend)
        workers = config.workers or os.cpu_count() or 1
        run_plan(plan, config.runs, results, workers, config.backend, console, config.device)
    return write_tables(plan, results)


def _use_backend(name: str) -> None:
    """Make joblib know Ray's backend, if that is asked for.

    Raises:
        DivoError: If there is no such backend, or Ray is not installed.
    """
    if name == "loky":
        return
    if name != "ray":
        raise DivoError("There is no such backend.", where="--backend", got=name, expected="loky or ray")
    try:
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise DivoError(
            "Ray is not installed.", where="--backend ray", got=str(error), fix="pip install ray"
        ) from error
    register_ray()

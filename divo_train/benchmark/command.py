"""`divo-train benchmark`: run a plan, then write its tables."""

from __future__ import annotations

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
    cell without a CSV file.
    """

    plan: Annotated[Path, tyro.conf.Positional] = Path("benchmarks/mixed.yaml")
    """File that says what is compared."""
    runs: Path = Path("runs/benchmark")
    """Folder of run folders: weights, metrics, curves."""
    results: Path = Path("benchmarks/results")
    """Folder of the results: per-episode CSV, tables.md, scores.png; in a folder with the plan's name."""
    workers: int = 2
    """Processes."""
    backend: str = "loky"
    """joblib backend of the evaluation: loky for this machine, ray for a Ray cluster (pip install ray first)."""
    tables_only: bool = False
    """Write the tables from what has been played; train and play nothing."""


def run_benchmark(config: BenchmarkConfig, console: Console) -> Path:
    """Run a plan and write its tables; return the path of tables.md.

    Raises:
        DivoError: If the plan is wrong, a dataset is missing, or training fails.
    """
    from divo_train.benchmark.plan import read_plan
    from divo_train.benchmark.run import run_plan
    from divo_train.benchmark.tables import write_tables

    plan = read_plan(config.plan)
    results = config.results / plan.name
    if not config.tables_only:
        _use_backend(config.backend)
        run_plan(plan, config.runs, results, config.workers, config.backend, console)
    return write_tables(plan, results)


def _use_backend(name: str) -> None:
    """Make joblib know Ray's backend, if that is asked for."""
    if name != "ray":
        return
    try:
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise DivoError(
            "Ray is not installed.", where="--backend ray", got=str(error), fix="pip install ray"
        ) from error
    register_ray()

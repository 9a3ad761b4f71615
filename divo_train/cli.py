"""`divo-train fit` and `divo-train evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from divo_runtime.errors import DivoError
from divo_train.benchmark.command import BenchmarkConfig, run_benchmark
from divo_train.config import FitConfig


@dataclass(frozen=True)
class EvaluateConfig:
    """Play a run's policies in the simulated task of their contract."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/arm_reach/mixed-25")
    """Run folder."""
    policies: tuple[str, ...] = ("sampler", "actor", "bc")
    """Which policies to play."""
    episodes: int = 100
    """Episodes per policy; seeds 10000, 10001, ..."""
    candidates: int | None = None
    """Best-of-N; by default as trained."""
    workers: int = 2
    """Processes."""


def main() -> None:
    """Entry point."""
    console = Console()
    commands: dict[str, Callable[..., FitConfig | EvaluateConfig | BenchmarkConfig]] = {
        "fit": FitConfig,
        "evaluate": EvaluateConfig,
        "benchmark": BenchmarkConfig,
    }
    config = tyro.extras.subcommand_cli_from_dict(commands, description="Offline DIVO training.")
    try:
        if isinstance(config, FitConfig):
            from divo_train.fit import fit

            folder = fit(config, console)
            console.print(f"Trained. Weights {folder / 'policy.safetensors'}, curves {folder / 'curves.png'}")
        elif isinstance(config, BenchmarkConfig):
            console.print(f"Tables: {run_benchmark(config, console)}")
        else:
            _evaluate(config, console)
    except DivoError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. The same command goes on from the last checkpoint.")
        sys.exit(130)


def _evaluate(config: EvaluateConfig, console: Console) -> None:
    from divo_train.evaluate import evaluate, summarize, write_evaluation

    table = Table(title=f"{config.run}, {config.episodes} episodes, 95 % intervals")
    for column in ("policy", "reached", "reached without contact", "return", "steps", "outer route"):
        table.add_column(column)
    for kind in config.policies:
        with Progress(*Progress.get_default_columns(), console=console, transient=True) as progress:
            bar = progress.add_task(kind, total=config.episodes)
            report = partial(_advance, progress, bar)
            episodes = evaluate(config.run, kind, config.episodes, config.workers, config.candidates, report=report)
        summary = summarize(episodes)
        write_evaluation(config.run, kind, episodes)
        low, high = summary.success_interval
        free_low, free_high = summary.collision_free_interval
        table.add_row(
            kind,
            f"{summary.success:.2f} [{low:.2f}, {high:.2f}]",
            f"{summary.collision_free:.2f} [{free_low:.2f}, {free_high:.2f}]",
            f"{summary.return_mean:.2f}",
            f"{summary.steps_mean:.1f}",
            f"{summary.outer_share:.2f}",
        )
    console.print(table)


def _advance(progress: Progress, bar: TaskID, done: int) -> None:
    progress.update(bar, completed=done)


if __name__ == "__main__":
    main()

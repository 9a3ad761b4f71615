"""`divo-train import`, `fit`, `evaluate` and `benchmark`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from divo_runtime.errors import DivoError
from divo_train.benchmark.command import BenchmarkConfig, run_benchmark
from divo_train.config import FitConfig
from divo_train.import_command import ImportConfig, run_import


@dataclass(frozen=True)
class EvaluateConfig:
    """Play a run's policies in the simulated task of their contract."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/arm_reach/mixed-25")
    """Run folder."""
    policies: tuple[str, ...] = ("sampler", "actor", "bc")
    """Which policies to play."""
    episodes: int = 100
    """Episodes per policy."""
    first_seed: int = 10_000
    """Seed of the first episode; the others follow."""
    candidates: int | None = None
    """Best-of-N; by default as trained."""
    workers: int = 2
    """Processes."""
    d4rl: str = ""
    """Play in this D4RL task instead and print normalised scores, such as halfcheetah-medium-v2 (docs/d4rl.md)."""
    models: Literal["v4", "v5"] = "v4"
    """Version of MuJoCo's models, with --d4rl; v4 is nearer to D4RL's."""


def main() -> None:
    """Entry point."""
    console = Console()
    commands: dict[str, Callable[..., FitConfig | EvaluateConfig | ImportConfig | BenchmarkConfig]] = {
        "import": ImportConfig,
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
        elif isinstance(config, ImportConfig):
            run_import(config, console)
        elif isinstance(config, BenchmarkConfig):
            console.print(f"Tables: {run_benchmark(config, console)}")
        else:
            _evaluate(config, console)
    except DivoError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        imports = isinstance(config, ImportConfig)
        rest = "Nothing was written." if imports else "The same command goes on from the last checkpoint."
        Console(stderr=True).print(f"Interrupted. {rest}")
        sys.exit(130)


def _evaluate_d4rl(config: EvaluateConfig, console: Console) -> None:
    from divo_train.d4rl.scoring import evaluate_d4rl

    with Progress(*Progress.get_default_columns(), console=console, transient=True) as progress:

        def track(policy: str) -> Callable[[int], None]:
            return partial(_advance, progress, progress.add_task(policy, total=config.episodes))

        path = evaluate_d4rl(
            config.run, config.d4rl, config.policies, config.episodes, config.first_seed, config.workers,
            config.candidates, config.models, console, track,
        )  # fmt: skip
    console.print(f"Written to {path}", soft_wrap=True, highlight=False)


def _evaluate(config: EvaluateConfig, console: Console) -> None:
    if config.d4rl:
        _evaluate_d4rl(config, console)
        return
    from divo_train.evaluate import evaluate, summarize, write_evaluation

    table = Table(title=f"{config.run}, {config.episodes} episodes, 95 % intervals")
    for column in ("policy", "reached", "reached without contact", "return", "steps", "outer route"):
        table.add_column(column)
    for kind in config.policies:
        with Progress(*Progress.get_default_columns(), console=console, transient=True) as progress:
            bar = progress.add_task(kind, total=config.episodes)
            report = partial(_advance, progress, bar)
            episodes = evaluate(
                config.run, kind, config.episodes, config.workers, config.candidates, config.first_seed, report
            )
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

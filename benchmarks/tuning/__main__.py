"""Run tuning studies: train every variant on the tuning seeds, play it, and keep a row each.

`python -m benchmarks.tuning benchmarks/tuning/maze_20.yaml`; a study that was stopped goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import gymnasium
import torch
import tyro
from rich.console import Console

from benchmarks.tuning.document import fill
from benchmarks.tuning.labels import label_row, markdown_labels, read_labels, write_labels
from benchmarks.tuning.play import play
from benchmarks.tuning.results import markdown_table, read_rows, row_of, write_rows
from benchmarks.tuning.study import Study, Trial, read_study, train
from divo_train.policies import torch_policy
from divo_train.trained import load_networks


@dataclass(frozen=True)
class Tuning:
    """Run tuning studies, one process and one thread."""

    plans: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Study files."""
    seeds: tuple[int, ...] = ()
    """Only these of the study's training seeds."""
    only: tuple[str, ...] = ()
    """Only these variants; those that they take stages from must have been trained."""
    runs: Path = Path("runs/tuning")
    """Folder of the run folders."""
    results: Path = Path("benchmarks/results/tuning")
    """Folder of the CSV files."""
    tables_only: bool = False
    """Print what has been measured; train and play nothing."""
    document: Path | None = None
    """Put the tables into this document, where it has a place for them."""


def main() -> None:
    """Entry point."""
    command, console = tyro.cli(Tuning), Console(highlight=False)
    torch.set_num_threads(1)
    tables: dict[str, str] = {}
    for plan in command.plans:
        study = read_study(plan)
        if not command.tables_only:
            run_study(study, command, console)
        labels = read_labels(command.results / f"{study.name}-labels.csv")
        tables[study.name] = markdown_table(study, read_rows(command.results / f"{study.name}.csv"))
        tables[f"{study.name}-labels"] = markdown_labels(labels)
        console.print(f"{study.question}\n\n{tables[study.name]}\n{tables[study.name + '-labels']}")
    if command.document:
        fill(command.document, tables)


def run_study(study: Study, command: Tuning, console: Console) -> None:
    """Train and play what has not been trained and played."""
    path, labels = command.results / f"{study.name}.csv", command.results / f"{study.name}-labels.csv"
    episodes = range(study.first_seed, study.first_seed + study.episodes)
    order = {variant.name: number for number, variant in enumerate(study.variants)}
    for seed in command.seeds or study.seeds:
        for variant in (one for one in study.variants if not command.only or one.name in command.only):
            run = train(Trial(study, variant, seed, command.runs), console.print)
            known = read_labels(labels)
            old = (variant.name, seed) in {(row.variant, row.seed) for row in known}
            new = not variant.like or "labels" in variant.settings
            if new and not old and (row := label_row(run, variant.name, seed)):
                write_labels(labels, sorted([*known, row], key=lambda row: (order[row.variant], row.seed)))
                console.print(str(row))
            for policy in variant.policies:
                for name, environment in study.environments.items():
                    key = variant.name, policy, name, seed
                    rows = read_rows(path)
                    if key in {row.key for row in rows}:
                        continue
                    kind, _, candidates = policy.partition("@")
                    player = torch_policy(load_networks(run), kind, int(candidates) if candidates else None)
                    made = row_of(key, play(player, environment, episodes))
                    console.print(f"{policy} {name}: reached {made.reached}, untouched {made.untouched}")
                    write_rows(path, sorted([*rows, made], key=lambda row: order[row.variant]))


if __name__ == "__main__":
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    main()

"""Per-episode results as CSV: a file per cell while a benchmark runs, written whole; published, a file per trial.

Columns: policy, environment, seed (of training), point (of a learning curve; 0 is the last checkpoint), episode (its
seed), outcome (0: goal not reached, 1: reached, 2: reached and nothing touched), route (-1, 0, 1), return, steps.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from divo_train.evaluate import Episode

COLUMNS = ("policy", "environment", "seed", "point", "episode", "outcome", "route", "return", "steps")


@dataclass(frozen=True)
class Cell:
    """One policy of one training seed, played in one environment."""

    trial: str
    policy: str
    seed: int
    environment: str
    """Name of the evaluation; `default` for the contract's environment."""
    point: int = 0
    """Number of the snapshot, from 1; 0 for the last checkpoint."""

    def path(self, folder: Path) -> Path:
        """Return its file inside a run folder."""
        point = f"-point{self.point}" if self.point else ""
        return folder / "episodes" / f"{self.policy}-{self.environment}-seed{self.seed}{point}.csv"


Results = Mapping[Cell, Sequence[Episode]]


def write_results(path: Path, results: Results) -> None:
    """Write cells' episodes, without their paths, replacing the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    with temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for cell, episodes in results.items():
            writer.writerows(_row(cell, episode) for episode in episodes)
    os.replace(temporary, path)


def read_results(path: Path, trial: str) -> dict[Cell, list[Episode]]:
    """Read what `write_results` wrote; nothing if there is no such file."""
    results: dict[Cell, list[Episode]] = {}
    if not path.exists():
        return results
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            cell = Cell(trial, row["policy"], int(row["seed"]), row["environment"], int(row["point"]))
            results.setdefault(cell, []).append(_episode(row))
    return results


def gather_cells(cells: Iterator[Cell], folder: Path) -> dict[Cell, list[Episode]]:
    """Return the episodes of those cells that have been played in a run folder, in the order of the cells."""
    found: dict[Cell, list[Episode]] = {}
    for cell in cells:
        found |= read_results(cell.path(folder), cell.trial)
    return found


def _row(cell: Cell, episode: Episode) -> tuple[str | int, ...]:
    outcome = int(episode.success) + int(episode.collision_free)
    value = f"{episode.return_:.6g}"
    key = (cell.policy, cell.environment, cell.seed, cell.point)
    return (*key, episode.seed, outcome, episode.route, value, episode.steps)


def _episode(row: Mapping[str, str]) -> Episode:
    outcome = int(row["outcome"])
    return Episode(
        seed=int(row["episode"]),
        success=outcome > 0,
        collision_free=outcome > 1,
        route=int(row["route"]),
        return_=float(row["return"]),
        steps=int(row["steps"]),
    )

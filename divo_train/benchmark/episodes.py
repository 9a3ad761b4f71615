"""Per-episode results as CSV: one file per trial, policy, seed and environment, written whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from divo_train.evaluate import Episode


@dataclass(frozen=True)
class Cell:
    """One policy of one training seed, played in one environment."""

    trial: str
    policy: str
    seed: int
    environment: str
    """Name of the evaluation; `default` for the contract's environment."""

    def path(self, folder: Path) -> Path:
        """Return its file inside a results folder."""
        return folder / self.trial / f"{self.policy}-{self.environment}-seed{self.seed}.csv"


def write_episodes(path: Path, episodes: Sequence[Episode]) -> None:
    """Write a cell's episodes, without their paths."""
    names = [field.name for field in fields(Episode) if field.name != "path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        for episode in episodes:
            row = asdict(episode)
            writer.writerow({**row, "return_": round(row["return_"], 5)})
    os.replace(temporary, path)


def read_episodes(path: Path) -> list[Episode]:
    """Read what `write_episodes` wrote."""
    with path.open(newline="") as file:
        return [
            Episode(
                seed=int(row["seed"]),
                success=row["success"] == "True",
                collision_free=row["collision_free"] == "True",
                route=int(row["route"]),
                return_=float(row["return_"]),
                steps=int(row["steps"]),
            )
            for row in csv.DictReader(file)
        ]

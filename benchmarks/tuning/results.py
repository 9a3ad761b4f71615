"""What came of a study: a row per variant, policy, environment and seed, as CSV and as a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.csv_rows import write_records
from benchmarks.tuning.study import Study
from divo_train.evaluate import Episode


@dataclass(frozen=True)
class Row:
    """One policy of one variant, trained with one seed, in one environment."""

    variant: str
    policy: str
    environment: str
    seed: int
    episodes: int
    reached: float
    """Share of the episodes."""
    untouched: float
    """Share of the episodes that reached the goal without contact."""
    return_: float
    """Mean."""
    steps: float
    """Mean."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from other rows."""
        return self.variant, self.policy, self.environment, self.seed


def row_of(key: tuple[str, str, str, int], episodes: Sequence[Episode]) -> Row:
    """Count and average."""
    means = np.mean([[one.success, one.collision_free, one.return_, one.steps] for one in episodes], axis=0)
    return Row(*key, len(episodes), *(round(float(mean), 4) for mean in means))


def read_rows(path: Path) -> list[Row]:
    """Read a study's CSV; none if there is none yet."""
    if not path.exists():
        return []
    kinds = {"seed": int, "episodes": int, "reached": float, "untouched": float, "return_": float, "steps": float}
    with path.open(newline="") as file:
        return [Row(**{key: kinds.get(key, str)(value) for key, value in row.items()}) for row in csv.DictReader(file)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Replace a study's CSV in one step."""
    write_records(path, Row, rows)


def markdown_table(study: Study, rows: Sequence[Row]) -> str:
    """Return a line per variant and policy; per environment, for every seed, percent that reached (untouched)."""
    names = list(study.environments)
    lines = [f"| variant | policy | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for variant, policy in dict.fromkeys((row.variant, row.policy) for row in rows):
        cells = []
        for name in names:
            found = [r for r in rows if (r.variant, r.policy, r.environment) == (variant, policy, name)]
            shares = [f"{100 * row.reached:.0f} ({100 * row.untouched:.0f})" for row in sorted(found, key=_seed)]
            cells.append(" / ".join(shares) or "-")
        lines.append(f"| {variant} | {policy} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _seed(row: Row) -> int:
    return row.seed

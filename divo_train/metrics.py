"""Metrics of one stage, to CSV and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Appends one row per logged step; rows after the step that a run resumes from are dropped first."""

    def __init__(self, folder: Path, stage: str, resume_step: int) -> None:
        self._path = folder / "metrics" / f"{stage}.csv"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._rows = [row for row in read_metrics(self._path) if row["step"] <= resume_step]
        self._board = SummaryWriter(str(folder / "tensorboard" / stage), purge_step=resume_step + 1)
        self._rewrite()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row."""
        self._rows.append({"step": float(step), **metrics})
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._rows[0]))
            if len(self._rows) == 1:
                writer.writeheader()
            writer.writerow({**self._rows[-1], "step": step})
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)

    def _rewrite(self) -> None:
        with self._path.open("w", newline="") as file:
            if self._rows:
                writer = csv.DictWriter(file, fieldnames=list(self._rows[0]))
                writer.writeheader()
                writer.writerows({**row, "step": int(row["step"])} for row in self._rows)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics file; none if there is no file. A half-written last row is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        whole = [line for line in file if line.endswith("\n")]
    return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(whole)]

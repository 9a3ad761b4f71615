"""Precision and recall of the binary weight while the labelling critic trains, for every dataset and seed of a plan.

`python -m benchmarks.label_curves PLAN` reads the snapshots that `divo-train benchmark` kept and writes
one CSV; `benchmarks.results` draws it and takes the figures from it. The labels in use are those of the last snapshot.
No learner sees the provenance: it is read here, after training.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from joblib import Parallel, delayed
from rich.console import Console

from benchmarks.csv_rows import write_records
from benchmarks.label_quality import good_transitions, label_quality
from divo_train.advantage import label_advantages
from divo_train.benchmark.plan import fit_configs, read_plan
from divo_train.benchmark.snapshots import snapshot_tensors
from divo_train.config import FitConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.methods.divo import VALUE
from divo_train.training import snapshot_path, snapshot_steps

METHOD = "divo"
DIGITS = 4


@dataclass(frozen=True)
class LabelRow:
    """The labels of one training seed at one snapshot of the critic."""

    trial: str
    seed: int
    updates: int
    """Of the labelling critic so far."""
    good: float
    """Share of good transitions in the data, which is the precision of chance."""
    auc: float
    positive: float
    precision: float
    recall: float


@dataclass(frozen=True)
class LabelCurves:
    """Compare the labels with the hidden behaviours, over training."""

    plan: Annotated[Path, tyro.conf.Positional] = Path("benchmarks/mixed.yaml")
    """File that says what was compared."""
    runs: Path = Path("runs/benchmark")
    """Folder of run folders."""
    results: Path = Path("benchmarks/results")
    """Folder of the results; a folder with the plan's name in it gets `labels.csv`."""
    workers: int = 0
    """Processes; 0 means one per core."""

    def run(self, console: Console) -> Path:
        """Write the rows of every trial whose critic was trained here, keep those of the others; return the file."""
        plan = read_plan(self.plan)
        path = self.results / plan.name / "labels.csv"
        known = read_labels(path)
        rows: list[LabelRow] = []
        for trial in plan.trials:
            config = fit_configs(plan, trial, self.runs / plan.name / trial.name).get(METHOD)
            if config and all(path.exists() for path in _snapshots(config)):
                jobs = [delayed(label_rows)(config, trial.name, seed) for seed in range(plan.seeds)]
                rows += [row for found in Parallel(n_jobs=self.workers or os.cpu_count() or 1)(jobs) for row in found]
            else:
                console.print(f"{trial.name}: no labelling critic was trained here, or no snapshots were kept")
                rows += [row for row in known if row.trial == trial.name]
        write_labels(path, rows)
        return path


def label_rows(config: FitConfig, trial: str, seed: int) -> list[LabelRow]:
    """Return one seed's rows, a snapshot each."""
    torch.set_num_threads(1)
    folder = Path(config.dataset)
    dataset = load_minari(folder, hidden=True)
    data, good = training_set(dataset, "cpu"), good_transitions(dataset, folder)
    rows: list[LabelRow] = []
    if good.all() or not good.any():  # such as `biased`, where every driver is clean
        return rows
    for point, updates in enumerate(snapshot_steps(VALUE.updates(config), config.snapshots), start=1):
        critic = snapshot_tensors(config, VALUE, seed, point)
        found = label_quality(label_advantages(data, config, critic).numpy(), good, config.labels.positive_fraction)
        numbers = {name: round(value, DIGITS) for name, value in asdict(found).items()}
        rows.append(LabelRow(trial, seed, updates, round(float(good.mean()), DIGITS), **numbers))
    return rows


def write_labels(path: Path, rows: Sequence[LabelRow]) -> None:
    """Write rows, replacing the file in one step."""
    write_records(path, LabelRow, rows)


def read_labels(path: Path) -> list[LabelRow]:
    """Read what `write_labels` wrote; nothing if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            LabelRow(
                row["trial"], int(row["seed"]), int(row["updates"]),
                *(float(row[name]) for name in ("good", "auc", "positive", "precision", "recall")),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def _snapshots(config: FitConfig) -> list[Path]:
    steps = snapshot_steps(VALUE.updates(config), config.snapshots)
    return [snapshot_path(Path(config.out), VALUE.name, step) for step in steps] or [Path(config.out) / "none"]


if __name__ == "__main__":
    console = Console(highlight=False)
    console.print(f"Labels: {tyro.cli(LabelCurves).run(console)}")

"""How well a trained variant's labels find the clean behaviours, which the data name but hide from learners."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.csv_rows import write_records
from benchmarks.label_quality import area_under_curve
from divo_train.advantage import advantage_threshold, label_advantages
from divo_train.config import FitConfig
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.trained import config_from
from divo_train.training import finished_tensors

CLEAN = ("inner", "outer", "purposeful")


@dataclass(frozen=True)
class LabelRow:
    """One variant's labels, of one training seed."""

    variant: str
    seed: int
    auc: float
    """Probability that a clean transition has a higher advantage than another."""
    positive: float
    """Share of the data above the threshold."""
    precision: float
    """Share of clean transitions among these."""
    recall: float
    """Share of the clean transitions above the threshold."""


def label_row(run: Path, variant: str, seed: int) -> LabelRow | None:
    """Compare a run's labels with the behaviours; None if it has no labelling critic."""
    config = config_from(json.loads((run / "config.json").read_text()), FitConfig)
    critic = finished_tensors(run, "value", config.value.updates)
    if critic is None:
        return None
    folder = Path(config.dataset)
    dataset = load_minari(folder, hidden=True)
    names = json.loads((folder / "data" / "metadata.json").read_text())["behaviours"]
    clean = np.isin(dataset.hidden["behaviour"], [names.index(name) for name in CLEAN if name in names])
    advantage = label_advantages(training_set(dataset, "cpu"), config, critic)
    positive = (advantage > advantage_threshold(advantage, config.labels.positive_fraction)).numpy()
    numbers = (
        area_under_curve(advantage.numpy(), clean), positive.mean(), clean[positive].mean(), positive[clean].mean()
    )  # fmt: skip
    return LabelRow(variant, seed, *(round(float(number), 4) for number in numbers))


def read_labels(path: Path) -> list[LabelRow]:
    """Read a study's label rows; none if there are none yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            LabelRow(row.pop("variant"), int(row.pop("seed")), **{key: float(value) for key, value in row.items()})
            for row in csv.DictReader(file)
        ]


def write_labels(path: Path, rows: Sequence[LabelRow]) -> None:
    """Replace a study's label rows in one step."""
    write_records(path, LabelRow, rows)


def markdown_labels(rows: Sequence[LabelRow]) -> str:
    """Return a line per variant and seed."""
    lines = ["| variant | seed | AUC | positive share | precision | recall |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.variant} | {row.seed} | {row.auc:.2f} | {row.positive:.2f} | {row.precision:.2f} | {row.recall:.2f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"

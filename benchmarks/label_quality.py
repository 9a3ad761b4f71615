"""How well do a run's advantage labels tell good demonstrations from the rest?

The data say, hidden from every learner, which scripted behaviour made each transition. This script compares: area under
the ROC curve of the m-step advantage for "made by a good behaviour" (on the arm also over the transitions before the
post alone), and precision and recall of the binary weights. `python -m benchmarks.label_quality RUN`
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from divo_train.advantage import advantage_threshold, label_advantages
from divo_train.data.dataset import Dataset
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.trained import load_networks
from divo_train.training import finished_tensors


@dataclass(frozen=True)
class LabelQuality:
    """Compare advantage labels with the behaviours that made the data."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/arm_reach/mixed-25")
    """Run folder."""
    horizons_s: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0)
    """Lengths of the m-step advantage [s]."""


@dataclass(frozen=True)
class Quality:
    """What labels are worth against the hidden truth."""

    auc: float
    """Probability that a good transition has a higher advantage than another."""
    positive: float
    """Share of the data above the threshold: that has the full weight."""
    precision: float
    """Share of good transitions among these; the share of good transitions in the data is what chance gives."""
    recall: float
    """Share of the good transitions that have the full weight."""


def main() -> None:
    """Entry point."""
    command = tyro.cli(LabelQuality)
    config = load_networks(command.run).config
    dataset = load_minari(Path(config.dataset), hidden=True)
    data, good = training_set(dataset, "cpu"), good_transitions(dataset, Path(config.dataset))
    before = transitions_before_the_post(dataset)
    critic = finished_tensors(command.run, "value", config.value.updates) or {}
    columns = ("m-step [s]", "AUC", "AUC before the post", "positive share", "precision", "recall")
    table = Table(*columns, title=f"labels of {command.run}")
    for horizon_s in command.horizons_s:
        labels = replace(config.labels, horizon_s=horizon_s)
        advantage = label_advantages(data, replace(config, labels=labels), critic).numpy()
        found = label_quality(advantage, good, labels.positive_fraction)
        early = "-" if before is None else f"{area_under_curve(advantage[before], good[before]):.2f}"
        numbers = (f"{number:.2f}" for number in (found.positive, found.precision, found.recall))
        table.add_row(f"{horizon_s:.2f}", f"{found.auc:.2f}", early, *numbers)
    Console().print(table)


def label_quality(
    advantage: NDArray[np.float32], good: NDArray[np.bool_], positive_fraction: tuple[float, float]
) -> Quality:
    """Compare the binary weight of advantages (n,) with what was good (n,)."""
    positive = advantage > advantage_threshold(torch.from_numpy(advantage), positive_fraction)
    precision = float(good[positive].mean()) if positive.any() else 0.0
    return Quality(area_under_curve(advantage, good), float(positive.mean()), precision, float(positive[good].mean()))


def good_transitions(dataset: Dataset, folder: Path) -> NDArray[np.bool_]:
    """Return (transitions,) whether a behaviour made it that a learner should imitate, by the dataset's own word."""
    metadata = json.loads((folder / "data" / "metadata.json").read_text(encoding="utf-8"))
    names = metadata["behaviours"]
    return np.isin(dataset.hidden["behaviour"], [names.index(name) for name in metadata["good_behaviours"]])


def transitions_before_the_post(dataset: Dataset) -> NDArray[np.bool_] | None:
    """Return (transitions,) whether the post is still ahead; None where there is no post."""
    names = dataset.contract.element_names
    if "post_offset.y" not in names:
        return None
    return dataset.observations[dataset.rows][:, names.index("post_offset.y")] > 0.05


def area_under_curve(score: NDArray[np.float32], good: NDArray[np.bool_]) -> float:
    """Return the probability that a good transition scores higher than another (Mann and Whitney 1947)."""
    count = int(good.sum())
    return float((rankdata(score)[good].sum() - count * (count + 1) / 2) / (count * (len(good) - count)))


if __name__ == "__main__":
    main()

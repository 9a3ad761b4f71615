"""How well do a run's advantage labels tell clean demonstrations from the rest?

The data say, hidden from every learner, which scripted behaviour made each transition. This script compares: area under
the ROC curve of the m-step advantage for "made by a clean behaviour", over all transitions and over those before the
post, and precision and recall of the binary weights. `python -m benchmarks.label_quality RUN`
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from divo_train.advantage import advantage_threshold, label_advantages
from divo_train.data.minari import load_minari
from divo_train.data.training_set import training_set
from divo_train.trained import load_networks
from divo_train.training import finished_tensors

CLEAN = ("inner", "outer")


@dataclass(frozen=True)
class LabelQuality:
    """Compare advantage labels with the behaviours that made the data."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/arm_reach/mixed-25")
    """Run folder."""
    horizons_s: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0)
    """Lengths of the m-step advantage [s]."""


def main() -> None:
    """Entry point."""
    command = tyro.cli(LabelQuality)
    config = load_networks(command.run).config
    folder = Path(config.dataset)
    dataset = load_minari(folder, hidden=True)
    data = training_set(dataset, "cpu")
    names = json.loads((folder / "data" / "metadata.json").read_text())["behaviours"]
    clean = np.isin(dataset.hidden["behaviour"], [names.index(name) for name in CLEAN])
    ahead = dataset.observations[dataset.rows][:, dataset.contract.element_names.index("post_offset.y")] > 0.05
    critic = finished_tensors(command.run, "value", config.value.updates) or {}
    columns = ("m-step [s]", "AUC", "AUC before the post", "positive share", "precision", "recall")
    table = Table(*columns, title=f"labels of {command.run}")
    for horizon_s in command.horizons_s:
        labels = replace(config.labels, horizon_s=horizon_s)
        advantage = label_advantages(data, replace(config, labels=labels), critic)
        positive = (advantage > advantage_threshold(advantage, labels.positive_fraction)).numpy()
        values = advantage.numpy()
        auc, early = area_under_curve(values, clean), area_under_curve(values[ahead], clean[ahead])
        numbers = (horizon_s, auc, early, positive.mean(), clean[positive].mean(), positive[clean].mean())
        table.add_row(*(f"{number:.2f}" for number in numbers))
    Console().print(table)


def area_under_curve(score: NDArray[np.float32], good: NDArray[np.bool_]) -> float:
    """Return the probability that a good transition scores higher than another (Mann and Whitney 1947)."""
    count = int(good.sum())
    return float((rankdata(score)[good].sum() - count * (count + 1) / 2) / (count * (len(good) - count)))


if __name__ == "__main__":
    main()

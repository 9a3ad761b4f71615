"""Learning curves of a run, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from divo_train.metrics import read_metrics

matplotlib.use("agg")


def draw_curves(folder: Path, stages: Sequence[str]) -> Path:
    """Plot every metric of every stage into `curves.png` and return its path."""
    rows = {stage: read_metrics(folder / "metrics" / f"{stage}.csv") for stage in stages}
    columns = max(len(metrics[0]) - 1 for metrics in rows.values() if metrics)
    figure = Figure(figsize=(3.2 * columns, 2.4 * len(stages)), layout="constrained")
    axes = figure.subplots(len(stages), columns, squeeze=False)
    for line, (stage, metrics) in zip(axes, rows.items(), strict=True):
        names = [name for name in (metrics[0] if metrics else {}) if name != "step"]
        for axis, name in zip(line, [*names, *[""] * (columns - len(names))], strict=True):
            axis.set_visible(bool(name))
            if name:
                axis.plot([row["step"] for row in metrics], [row[name] for row in metrics], linewidth=1)
                axis.set_title(f"{stage}: {name}", fontsize=9)
                axis.tick_params(labelsize=7)
                axis.grid(alpha=0.3)
    path = folder / "curves.png"
    figure.savefig(path, dpi=110)
    return path

"""Precision and recall of the binary weight over training, a panel for each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.label_curves import LabelRow
from divo_train.benchmark.pictures import SAME_BYTES

SHOWN = ("precision", "recall")


def draw_labels(rows: Sequence[LabelRow], path: Path) -> None:
    """Draw means over training seeds, with the range of the seeds and what chance would give."""
    trials = list(dict.fromkeys(row.trial for row in rows))
    columns = min(len(trials), 3)
    lines = -(-len(trials) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.7 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for axis, trial in zip(axes, trials, strict=False):
        own = [row for row in rows if row.trial == trial]
        steps = sorted({row.updates for row in own})
        for name in SHOWN:
            seeds = [[getattr(row, name) for row in own if row.updates == step] for step in steps]
            (line,) = axis.plot(steps, [np.mean(each) for each in seeds], label=name, linewidth=1.4)
            low, high = [min(each) for each in seeds], [max(each) for each in seeds]
            axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        axis.axhline(own[0].good, color="0.4", linestyle="--", linewidth=1, label="precision of chance")
        axis.set_title(trial, fontsize=9)
        axis.set_ylim(0, 1)
        axis.set_xlabel("updates of the labelling critic", fontsize=7)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[len(trials) :]:
        axis.set_visible(False)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110, metadata=SAME_BYTES)

"""Pictures of scores: intervals by trial, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from divo_train.benchmark.plan import Curves, Plan, policies_of
from divo_train.benchmark.scores import Played, iqm, is_own, overall, titles, trial_rows
from divo_train.benchmark.statistics import Estimate

matplotlib.use("agg")

SAME_BYTES = {"Software": None}
"""A picture is the same file for the same numbers, whatever version of matplotlib drew it."""


def draw_scores(plan: Plan, trials: Mapping[str, Played], path: Path) -> None:
    """Draw the scores of every trial that has been run, with intervals and the seeds as dots, and those over all."""
    tables = {name: rows for name, played in trials.items() if (rows := trial_rows(plan, played))}
    scores, names = overall(plan, trials), titles(plan)
    most = max([*(len(rows) for rows in tables.values()), len(scores), 1])
    panels = max(len(tables) + bool(scores), 1)
    columns = min(panels, 3)
    lines = -(-panels // columns)
    figure = Figure(figsize=(4.2 * columns, lines * (0.9 + 0.24 * most)), layout="constrained")
    axes = iter(figure.subplots(lines, columns, squeeze=False).flat)
    if scores:
        whole = {policy: (iqm(one), tuple(one.mean(axis=1))) for policy, one in scores.items()}
        ordered = dict(sorted(whole.items(), key=lambda item: -item[1][0].value))
        _draw_panel(next(axes), "over all", ordered, names)
    for name, rows in tables.items():
        _draw_panel(next(axes), name, {row.policy: (row.score, row.seeds) for row in rows}, names)
    for axis in axes:
        axis.set_visible(False)
    figure.savefig(path, dpi=110, metadata=SAME_BYTES)


def draw_curves(plan: Plan, curves: Curves, trials: Mapping[str, Played], path: Path) -> bool:
    """Draw the mean score over seeds by share of the updates, with the range of the seeds; False if there is none."""
    counted = {name: played for name, played in trials.items() if played.trial.counted and played.cells}
    figure = Figure(figsize=(3.6 * max(len(counted), 1), 3.2), layout="constrained")
    names, drawn = titles(plan), False
    for axis, (name, played) in zip(
        figure.subplots(1, max(len(counted), 1), squeeze=False)[0], counted.items(), strict=True
    ):
        for policy in (one for one in policies_of(plan, played.trial) if one in curves.policies):
            points = {point: played.scores(policy, point) for point in curves.points}
            points[curves.snapshots] = played.scores(policy)
            seen = {100 * point / curves.snapshots: list(each.values()) for point, each in points.items() if each}
            if len(seen) > 1:
                (line,) = axis.plot(
                    list(seen), [np.mean(each) for each in seen.values()], label=names[policy], linewidth=1.2
                )
                low, high = [min(each) for each in seen.values()], [max(each) for each in seen.values()]
                axis.fill_between(list(seen), low, high, color=line.get_color(), alpha=0.12, linewidth=0)
                drawn = True
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("share of the updates, percent", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels() if drawn else ([], [])
    if drawn:
        figure.axes[0].set_ylabel("score", fontsize=8)
        figure.legend(handles, labels, fontsize=7, loc="outside lower center", ncols=4)
        figure.savefig(path, dpi=110, metadata=SAME_BYTES)
    return drawn


def _draw_panel(
    axis: Axes, title: str, rows: Mapping[str, tuple[Estimate, tuple[float, ...]]], names: Mapping[str, str]
) -> None:
    for line, (policy, (score, seeds)) in enumerate(reversed(list(rows.items()))):
        colour = "C1" if is_own(policy) else "C0"
        axis.plot([score.low, score.high], [line, line], color=colour, linewidth=3, alpha=0.5)
        axis.plot(seeds, [line] * len(seeds), ".", color="0.4", markersize=4)
        axis.plot(score.value, line, "|", color=colour, markersize=10, markeredgewidth=2)
    axis.set_yticks(range(len(rows)), [names[policy] for policy in reversed(list(rows))], fontsize=7)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("score: 0 random, 100 expert", fontsize=7)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", alpha=0.3)

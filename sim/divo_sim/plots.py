"""Plots of a validation: tool paths seen from above, and how the node's latency was distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch

from divo_sim.arm_scene import POST_CENTRE_M, POST_RADIUS_M, POST_SPREAD_M
from divo_sim.loop_episode import Latency
from divo_sim.outcomes import Outcome
from divo_sim.validation import Layout

DPI = 130
CLEAN, CONTACT, LOST = "#2563c9", "#d6453d", "#8a8f98"
POST, GOAL, INK = "#e0714f", "#2e9e5b", "#3b4048"
X_RANGE_M, Y_RANGE_M = (0.22, 0.84), (-0.36, 0.42)


def path_colour(outcome: Outcome) -> str:
    """Return the colour of an episode: clean, reached with contact, or not reached."""
    return CLEAN if outcome.collision_free else CONTACT if outcome.success else LOST


def plot_paths(path: Path, outcomes: Sequence[Outcome], layouts: Mapping[int, Layout]) -> None:
    """Write a picture of the tool's paths from above; goals are drawn where the layout of the seed is known."""
    figure = Figure(figsize=(4.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    width, depth, _ = POST_SPREAD_M
    corner = (POST_CENTRE_M[0] - width, POST_CENTRE_M[1] - depth)
    spread = FancyBboxPatch(
        corner, 2 * width, 2 * depth, boxstyle=f"round,pad={POST_RADIUS_M}", fill=False, ls=":", ec=POST, lw=1.2
    )
    axes.add_patch(spread)
    axes.add_patch(Circle(POST_CENTRE_M[:2], POST_RADIUS_M, color=POST, alpha=0.35, lw=0))
    goals = np.array([layouts[outcome.seed].goal for outcome in outcomes if outcome.seed in layouts]).reshape(-1, 3)
    axes.scatter(goals[:, 0], goals[:, 1], s=16, color=GOAL, alpha=0.55, linewidths=0, zorder=1)
    for outcome in sorted(outcomes, key=lambda one: one.collision_free, reverse=True):  # the others on top
        points = np.array(outcome.path).reshape(-1, 3)
        axes.plot(points[:, 0], points[:, 1], color=path_colour(outcome), lw=1.0, alpha=0.6, zorder=2)
    kinds = [(CLEAN, "clean"), (CONTACT, "reached, with contact"), (LOST, "not reached")]
    counts = [sum(path_colour(outcome) == colour for outcome in outcomes) for colour, _ in kinds]
    lines = [
        Line2D([], [], color=colour, label=f"{name}: {count}")
        for (colour, name), count in zip(kinds, counts, strict=True)
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False, fontsize=8, handlelength=1.2)
    axes.set(xlim=X_RANGE_M, ylim=Y_RANGE_M, aspect="equal", xlabel="x [m]", ylabel="y [m]")
    axes.tick_params(labelsize=8, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=DPI)


def plot_latency(path: Path, values_ms: Sequence[float], latency: Latency, period_ms: float) -> None:
    """Write a histogram with a logarithmic count axis, with p50, p99 and the control period marked."""
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    low, high = min([*values_ms, period_ms]) * 0.8, max([*values_ms, period_ms]) * 1.15
    low = max(low, 1e-3)
    axes.hist(values_ms, bins=np.geomspace(low, high, 70).tolist(), color=CLEAN, alpha=0.8)
    marks = [(latency.p50_ms, "p50", "--"), (latency.p99_ms, "p99", "-")]
    for value, name, style in marks:
        axes.axvline(value, color=INK, ls=style, lw=1.2, label=f"{name} {value:.2f} ms")
    axes.axvline(period_ms, color=CONTACT, lw=1.4, label=f"period {period_ms:g} ms")
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="compute time per cycle [ms]", ylabel="cycles")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_ylim(bottom=0.7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.14))
    figure.savefig(path, dpi=DPI)

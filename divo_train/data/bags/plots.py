"""Pictures of an import: the time line of every bag, the distributions of every number, command against motion."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from divo_runtime.contract import Contract
from divo_train.data.bags.assembly import EpisodeSample
from divo_train.data.bags.following import Following
from divo_train.data.bags.importing import BagReport
from divo_train.data.bags.tally import BINS, KEPT

DPI = 110
KEPT_COLOUR, LIMIT, INK, OTHER = "#2e9e5b", "#d6453d", "#3b4048", "#8a8f98"
CAUSES = ("#d6453d", "#e0914f", "#7a52c7", "#2563c9", "#c74f93")
MOST_BAGS = 24
PER_COLUMN = 4
"""Periods that a column of the time line holds at least, on average."""
MOST_PANELS = 64
COLUMNS = 4


def plot_timeline(bags: Sequence[BagReport]) -> bytes:
    """Return a PNG with one row per bag: what became of its periods along its time."""
    shown = bags[:MOST_BAGS]
    totals: Counter[str] = Counter()
    for bag in shown:
        totals.update({cause: count for cause, count in bag.tally.counts.items() if cause != KEPT})
    colours = dict(zip([cause for cause, _ in totals.most_common()], CAUSES, strict=False))
    figure = Figure(figsize=(9.5, 1.2 + 0.32 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    image = np.ones((len(shown), BINS, 3))
    for row, bag in enumerate(shown):
        counts = np.array([bag.tally.bins[cause] for cause in bag.tally.bins], float).reshape(-1, BINS)
        shades = np.array([_shade(cause, colours) for cause in bag.tally.bins]).reshape(-1, 3)
        merged = max(math.ceil(PER_COLUMN * BINS / max(counts.sum(), 1)), 1)  # so that short bags have no stripes
        edges = np.arange(0, BINS, merged)
        counts = np.repeat(np.add.reduceat(counts, edges, axis=1), np.diff(edges, append=BINS), axis=1)
        total = counts.sum(axis=0)
        some = total > 0
        image[row, some] = (counts.T @ shades)[some] / total[some, None]
    axes.imshow(image, aspect="auto", interpolation="nearest", extent=(0, 100, len(shown) - 0.5, -0.5))
    axes.set_yticks(range(len(shown)), [f"{bag.path.name} ({_minutes(bag)})" for bag in shown], fontsize=7)
    axes.set_xlabel("share of the bag's time [%]", fontsize=8)
    axes.tick_params(labelsize=7, colors=INK)
    listed = [(KEPT, KEPT_COLOUR), *colours.items(), ("other causes", OTHER)]
    handles = [
        Patch(color=colour, label=cause) for cause, colour in listed if cause != "other causes" or len(totals) > 5
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=7)
    return _png(figure)


def plot_observations(contract: Contract, sample: EpisodeSample) -> bytes:
    """Return a PNG with a histogram of every number of the observation, with position limits where it has them."""
    limits = {limit.name: limit.position for limit in contract.safety.limits}
    bounds: list[tuple[float, float] | None] = []
    units: list[str] = []
    for term in contract.observation:
        place = term.field == "position" and not term.relative_to and term.unit == "rad"
        bounds += [limits.get(joint) if place else None for joint in term.joints] or [None] * term.width
        units += [term.unit] * term.width
    return _histograms(np.concatenate(sample.observations), contract.element_names, units, bounds)


def plot_actions(contract: Contract, sample: EpisodeSample) -> bytes:
    """Return a PNG with a histogram of every number of the action, with the contract's range."""
    bounds = list(zip(contract.action.lower, contract.action.upper, strict=True))
    units = [contract.action.unit] * contract.action_size
    return _histograms(np.concatenate(sample.actions), contract.action.names, units, bounds)


def plot_following(contract: Contract, following: Following) -> bytes:
    """Return a PNG: how well the motion follows the commands, by how much later it is taken."""
    figure = Figure(figsize=(5.6, 2.8), layout="constrained")
    axes = figure.add_subplot()
    lags_ms = following.lags * contract.period_s * 1e3
    for index, name in enumerate(contract.action.names):
        axes.plot(lags_ms, following.correlation[:, index, index], lw=0.8, alpha=0.6, label=name)
    axes.plot(lags_ms, following.strength, color=INK, lw=2, label="best joint, mean")
    axes.axvline(contract.period_s * 1e3, color=KEPT_COLOUR, ls="--", lw=1, label="one period")
    axes.set(xlabel="motion taken later than the command by [ms]", ylabel="correlation", ylim=(-1.05, 1.05))
    axes.tick_params(labelsize=7, colors=INK)
    axes.legend(frameon=False, fontsize=6, ncols=2)
    return _png(figure)


def _histograms(
    rows: np.ndarray, names: Sequence[str], units: Sequence[str], bounds: Sequence[tuple[float, float] | None]
) -> bytes:
    shown = min(rows.shape[1], MOST_PANELS)
    lines = math.ceil(shown / COLUMNS)
    figure = Figure(figsize=(9.5, 1.35 * lines + 0.2), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for index, axes in enumerate(panels):
        axes.set_axis_on() if index < shown else axes.set_axis_off()
        if index >= shown:
            continue
        axes.hist(rows[:, index], bins=50, color="#2563c9", alpha=0.85)
        for bound in bounds[index] or ():
            axes.axvline(bound, color=LIMIT, lw=1, ls="--")
        axes.set_title(f"{names[index]} [{units[index]}]", fontsize=7, color=INK)
        axes.set_yticks([])
        axes.tick_params(labelsize=6, colors=INK)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    return _png(figure)


def _shade(cause: str, colours: dict[str, str]) -> tuple[float, float, float]:
    return to_rgb(KEPT_COLOUR if cause == KEPT else colours.get(cause, OTHER))


def _minutes(bag: BagReport) -> str:
    seconds = (bag.span_ns[1] - bag.span_ns[0]) / 1e9
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI, format="png")
    return stream.getvalue()

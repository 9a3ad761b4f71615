"""Pictures of a timing benchmark: distributions at one rate, and percentiles over all rates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.timing.cells import RATES_HZ
from benchmarks.timing.summary import EDGES_US, Spread, Summary

DPI = 130
COLOURS = {"noop": "#8a8f98", "actor": "#2563c9", "sampler": "#2e9e5b", "naive": "#d6453d"}
NAMES = {"noop": "no-operation node", "actor": "actor", "sampler": "sampler", "naive": "rclpy timer node"}
TITLES = {
    "wakeup": "wake-up error",
    "inference": "inference",
    "compute": "node compute",
    "end_to_end": "stamp to command",
    "age": "age of newest input",
}
LOADS = ("idle", "loaded")
MERGED = 6
"""Bins of the published histogram per bin of the picture."""


def plot_histograms(path: Path, summaries: Mapping[str, Summary], rate_hz: int) -> None:
    """Write the distributions at one rate: a row per quantity, a column per load, both axes logarithmic."""
    quantities = ("wakeup", "compute", "end_to_end")
    figure = Figure(figsize=(9.0, 7.5), layout="constrained")
    grid = figure.subplots(len(quantities), len(LOADS), sharex=True, sharey=True, squeeze=False)
    for row, quantity in zip(grid, quantities, strict=True):
        for axes, load in zip(row, LOADS, strict=True):
            for subject, colour in COLOURS.items():
                if summary := summaries.get(f"{rate_hz}hz-{subject}-{load}"):
                    _draw(axes, summary.spreads[quantity], colour, NAMES[subject])
            axes.axvline(1e3 / rate_hz, color="#3b4048", lw=1.0, ls=":")
            axes.set(xscale="log", yscale="log", xlim=(5e-3, 1e2), ylim=(1e-6, 1.0))
            axes.set_title(f"{TITLES[quantity]}, {load}", fontsize=9)
            _tidy(axes)
    for axes in grid[-1]:
        axes.set_xlabel(f"ms; dotted: the period at {rate_hz} Hz")
    for axes in grid[:, 0]:
        axes.set_ylabel("share of cycles")
    if grid[0, 0].get_legend_handles_labels()[0]:
        grid[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=DPI)


def plot_rates(path: Path, summaries: Mapping[str, Summary]) -> None:
    """Write the percentiles over the rates: a row per quantity, a column per load; p50 to p99.9 and the maximum."""
    quantities = ("wakeup", "compute", "end_to_end")
    figure = Figure(figsize=(9.0, 7.5), layout="constrained")
    grid = figure.subplots(len(quantities), len(LOADS), sharex=True, sharey="row", squeeze=False)
    for row, quantity in zip(grid, quantities, strict=True):
        for axes, load in zip(row, LOADS, strict=True):
            for subject, colour in COLOURS.items():
                found = [(rate, summaries.get(f"{rate}hz-{subject}-{load}")) for rate in RATES_HZ]
                known = [(rate, summary.spreads[quantity]) for rate, summary in found if summary]
                rates = [rate for rate, _ in known]
                low, high, top = ([getattr(one, name) / 1e3 for _, one in known] for name in ("p50", "p99", "maximum"))
                axes.plot(rates, low, color=colour, lw=1.4, marker="o", ms=3, label=NAMES[subject])
                axes.plot(rates, high, color=colour, lw=1.0, ls="--", marker="o", ms=3)
                axes.plot(rates, top, color=colour, ls="", marker="_", ms=8)
            axes.set(xscale="log", yscale="log", xticks=RATES_HZ)
            axes.set_xticks(RATES_HZ, [str(rate) for rate in RATES_HZ])
            axes.minorticks_off()
            axes.set_title(f"{TITLES[quantity]}, {load}", fontsize=9)
            _tidy(axes)
    for axes in grid[-1]:
        axes.set_xlabel("rate [Hz]; line: p50, dashed: p99, bar: maximum")
    for axes in grid[:, 0]:
        axes.set_ylabel("ms")
    if grid[0, 0].get_legend_handles_labels()[0]:
        grid[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=DPI)


def _draw(axes: Axes, spread: Spread, colour: str, name: str) -> None:
    edges_ms = EDGES_US[1::MERGED] / 1e3
    counts = np.array(spread.histogram[1:]).reshape(-1, MERGED).sum(axis=1)
    shares = np.maximum(counts / spread.count, 1e-9)
    axes.stairs(shares, edges_ms, color=colour, lw=1.3, label=f"{name}, n = {spread.count}")


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)

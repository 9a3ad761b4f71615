"""Blocks to numbers that can be compared: percentiles, misses, ratios, histograms. Never mean and deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.timing.samples import Block, Samples, joined

QUANTITIES = ("wakeup", "inference", "compute", "end_to_end", "reaction", "age", "period_error")
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
EDGES_US = np.concatenate([[0.0], np.geomspace(1.0, 1e6, 241)])
"""Forty bins per decade from 1 us to 1 s, and one for everything below 1 us."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity was distributed [us]."""

    count: int
    minimum: float
    p50: float
    p90: float
    p99: float
    p999: float
    p9999: float
    maximum: float
    block_p99: tuple[float, ...]
    """p99 of each block, so that the spread from start to start shows."""
    histogram: tuple[int, ...]
    """Samples per bin of `EDGES_US`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One cell."""

    cycles: int
    """Cycles after warm-up, of all blocks, unseen ones included."""
    missed: int
    stolen: int
    """Missed deadlines in whose time a bare thread of the highest priority stood still too: the host had the core."""
    worst_streak: int
    unseen: int
    holds: int
    robot_missed_share: float
    """Worst block's share of deadlines that the stand-in robot itself missed."""
    spreads: dict[str, Spread]
    """Quantity -> distribution after warm-up."""
    cold: dict[str, tuple[float, float]]
    """Quantity -> (p50, maximum) of the warm-up cycles [us]."""

    @property
    def missed_share(self) -> float:
        """Missed deadlines per deadline."""
        return self.missed / (self.cycles + self.missed)


def percentile(values: Samples, percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that at least `percent` of all do not exceed.

    Args:
        values: (n,) in any order, n >= 1.
        percent: 0 < percent <= 100.
    """
    rank = math.ceil(round(percent / 100 * len(values), 9))  # 99.9 % of 1000 must be rank 999, not 1000 by rounding
    return float(np.partition(values, rank - 1)[rank - 1])


def spread(parts: Sequence[Samples]) -> Spread:
    """Return how the samples of all blocks together are distributed.

    Args:
        parts: Samples of each block [us]; at least one sample in each.
    """
    values = joined(parts)
    p50, p90, p99, p999, p9999 = (percentile(values, percent) for percent in PERCENTILES)
    counts, _ = np.histogram(np.clip(values, EDGES_US[0], EDGES_US[-1]), EDGES_US)
    return Spread(
        count=len(values),
        minimum=float(values.min()),
        p50=p50,
        p90=p90,
        p99=p99,
        p999=p999,
        p9999=p9999,
        maximum=float(values.max()),
        block_p99=tuple(percentile(part, 99.0) for part in parts),
        histogram=tuple(int(count) for count in counts),
    )


def summarize(warm: Sequence[Block], cold: Sequence[Block], cycles: int) -> Summary:
    """Return the summary of a cell.

    Args:
        warm: Each block after its warm-up.
        cold: Each block's warm-up.
        cycles: Cycles asked for after warm-up, of all blocks.
    """
    starts = {name: joined([getattr(block, name) for block in cold]) for name in QUANTITIES}
    return Summary(
        cycles=cycles,
        missed=sum(block.missed for block in warm),
        stolen=sum(block.stolen for block in warm),
        worst_streak=max(block.worst_streak for block in warm),
        unseen=sum(block.unseen for block in warm),
        holds=sum(block.holds for block in warm),
        robot_missed_share=max(block.robot_missed_share for block in warm),
        spreads={name: spread([getattr(block, name) for block in warm]) for name in QUANTITIES},
        cold={name: (percentile(values, 50.0), float(values.max())) for name, values in starts.items() if len(values)},
    )


def ratio(of: Summary, to: Summary, quantity: str, percentile_name: str) -> float:
    """Return one percentile of a quantity of a cell divided by that of another."""
    return float(getattr(of.spreads[quantity], percentile_name) / getattr(to.spreads[quantity], percentile_name))

"""Latencies as percentiles, without allocation in the control loop. Means hide what hurts, so there are none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How a latency was distributed [ns]."""

    p50: int
    p99: int
    p999: int
    max: int
    """The worst of all values ever added, also of those that have left the ring."""
    count: int
    """How many values were ever added; below 1000, p999 is the maximum of the ring."""


class LatencyRing:
    """Keeps the last `capacity` values.

    Args:
        capacity: How many values the percentiles look at, >= 1. For an honest p99.9 take 10000 or more.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be >= 1, got {capacity}")
        self._values = np.zeros(capacity, dtype=np.int64)
        self._count = 0
        self._max = 0

    def add(self, ns: int) -> None:
        """Add one value [ns]."""
        self._values[self._count % len(self._values)] = ns
        self._max = ns if self._count == 0 else max(self._max, ns)
        self._count += 1

    def percentiles(self) -> Percentiles:
        """Return nearest-rank percentiles: the smallest value that at least p percent do not exceed; zeros if empty."""
        kept = np.sort(self._values[: min(self._count, len(self._values))])
        if not len(kept):
            return Percentiles(0, 0, 0, 0, 0)
        p50, p99, p999 = (int(kept[math.ceil(share * len(kept)) - 1]) for share in (0.5, 0.99, 0.999))
        return Percentiles(p50, p99, p999, self._max, self._count)

    def clear(self) -> None:
        """Forget everything, for example after warm-up."""
        self._count = self._max = 0

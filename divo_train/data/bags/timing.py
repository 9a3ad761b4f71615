"""How regularly a topic was recorded: rate, jitter, latency, losses, and whether a clock jumped. In bounded memory."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
"""Messages that are looked at together."""
SAMPLE = 65_536
"""Values kept for percentiles; beyond that every second one goes, again and again."""
JUMP_BLOCK = 32
"""Messages whose median latency is compared with that of the next as many, so that one late message is no jump."""
JUMP_NS = 100_000_000
"""A latency that changes by more than this, and stays changed, is a clock that was set."""
BACKWARD_NS = 1_000_000
"""A stamp earlier than the one before by more than this is a clock that was set back."""
PAUSE = 20
"""A gap of this many intervals is a pause, not a loss."""
PERIODIC = 0.5
"""Spread of the middle half of the intervals, relative to their median, up to which a topic is called periodic."""


class Sample:
    """A bounded, evenly thinned sample of a stream of numbers; exact while the stream is short."""

    def __init__(self) -> None:
        self._values: NDArray[np.int64] = np.empty(0, np.int64)
        self._stride = 1
        self._phase = 0
        self.count = 0
        """Numbers in the stream."""
        self.largest = 0
        """Largest of them."""

    def add(self, values: NDArray[np.int64]) -> None:
        """Take in the next (n,) numbers."""
        if not len(values):
            return
        self.largest = max(self.largest, int(values.max())) if self.count else int(values.max())
        self.count += len(values)
        taken = values[self._phase :: self._stride]
        self._phase = (self._phase - len(values)) % self._stride
        self._values = np.concatenate([self._values, taken])
        while len(self._values) > SAMPLE:
            self._phase += self._stride * (len(self._values) % 2)
            self._values, self._stride = self._values[::2], self._stride * 2

    @property
    def values(self) -> NDArray[np.int64]:
        """What was kept, in order."""
        return self._values

    def percentile(self, percent: float) -> float:
        """Return a percentile; NaN of nothing."""
        return float(np.percentile(self._values, percent)) if len(self._values) else float("nan")


@dataclass(frozen=True, slots=True)
class TopicTiming:
    """Times of one topic."""

    topic: str
    type: str
    messages: int
    rate_hz: float
    """One over the median interval; NaN for fewer than two messages."""
    jitter_ms: float
    """Half of what lies between the 1st and the 99th percentile of the intervals."""
    longest_gap_ms: float
    lost: int | None
    """Messages that a periodic topic lacks, estimated from its gaps; None if it is not periodic."""
    latency_ms: tuple[float, float, float] | None
    """Arrival minus stamp: 1st percentile, median, 99th percentile; None without stamps."""
    jumps: int
    """How often its clock jumped against the recorder's."""
    backward: int
    """How often its stamps went back."""
    first_ns: int
    """Arrival of the first message."""
    last_ns: int
    """Arrival of the last message."""
    failures: int = 0
    """Messages that were needed and could not be decoded."""


class TimingMeter:
    """Measures one topic; fed message by message.

    Args:
        topic: Its name in the bag.
        kind: Its type.
        stamped: Whether its messages have a header.
    """

    def __init__(self, topic: str, kind: str, stamped: bool) -> None:
        self._topic, self._kind, self._stamped = topic, kind, stamped
        self._arrivals, self._stamps = array("q"), array("q")
        self._intervals, self._latencies = Sample(), Sample()
        self._last_arrival: int | None = None
        self._last_stamp: int | None = None
        self._last_level: float | None = None
        self._rest: NDArray[np.int64] = np.empty(0, np.int64)
        self._first = 0
        self._count = self._jumps = self._backward = 0

    def add(self, arrival_ns: int, stamp_ns: int) -> None:
        """Take in the times of the next message; the stamp counts only for stamped topics."""
        self._arrivals.append(arrival_ns)
        self._stamps.append(stamp_ns)
        if len(self._arrivals) >= BLOCK:
            self._digest()

    def result(self, failures: int = 0) -> TopicTiming:
        """Return what was measured."""
        self._digest()
        median = self._intervals.percentile(50)
        spread = self._intervals.percentile(99) - self._intervals.percentile(1)
        core = self._intervals.percentile(75) - self._intervals.percentile(25)
        periodic = self._count > 10 and median > 0 and core <= PERIODIC * median
        latency = [self._latencies.percentile(percent) / 1e6 for percent in (1, 50, 99)]
        return TopicTiming(
            topic=self._topic,
            type=self._kind,
            messages=self._count,
            rate_hz=1e9 / median if median > 0 else float("nan"),
            jitter_ms=spread / 2e6,
            longest_gap_ms=self._intervals.largest / 1e6,
            lost=self._lost(median) if periodic else None,
            latency_ms=(latency[0], latency[1], latency[2]) if self._latencies.count else None,
            jumps=self._jumps,
            backward=self._backward,
            first_ns=self._first,
            last_ns=self._last_arrival or 0,
            failures=failures,
        )

    def _lost(self, median: float) -> int:
        intervals = self._intervals.values
        gaps = intervals[(intervals > 1.5 * median) & (intervals < PAUSE * median)]
        thinned = self._intervals.count / max(len(intervals), 1)
        return round(float((np.round(gaps / median) - 1).sum()) * thinned)

    def _digest(self) -> None:
        if not self._arrivals:
            return
        arrivals = np.frombuffer(self._arrivals, np.int64).copy()
        stamps = np.frombuffer(self._stamps, np.int64).copy()
        self._arrivals, self._stamps = array("q"), array("q")
        if self._last_arrival is None:
            self._first = int(arrivals[0])
            self._intervals.add(np.diff(arrivals))
        else:
            self._intervals.add(np.diff(arrivals, prepend=self._last_arrival))
        self._last_arrival = int(arrivals[-1])
        self._count += len(arrivals)
        if self._stamped:
            self._compare(arrivals, stamps)

    def _compare(self, arrivals: NDArray[np.int64], stamps: NDArray[np.int64]) -> None:
        """Compare arrivals with stamps."""
        steps = np.diff(stamps) if self._last_stamp is None else np.diff(stamps, prepend=self._last_stamp)
        self._backward += int((steps < -BACKWARD_NS).sum())
        self._last_stamp = int(stamps[-1])
        latencies = arrivals - stamps
        self._latencies.add(latencies)
        pending = np.concatenate([self._rest, latencies])
        blocks = len(pending) // JUMP_BLOCK
        levels = np.median(pending[: blocks * JUMP_BLOCK].reshape(blocks, JUMP_BLOCK), axis=1) if blocks else []
        for level in levels:
            if self._last_level is not None and abs(level - self._last_level) > JUMP_NS:
                self._jumps += 1
            self._last_level = float(level)
        self._rest = pending[blocks * JUMP_BLOCK :]

"""The control loop: the only place of the runtime with a clock.

Cycle k is due at start + k * period, so the rate does not drift with the time a cycle takes. A deadline that has passed
before its cycle could start is counted and skipped: two commands in quick succession would break the acceleration
limits, which assume one period between commands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from divo_runtime.timing.latency import LatencyRing


class Clock(Protocol):
    """Time that never jumps."""

    def now_ns(self) -> int:
        """Return the time [ns]."""

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at or after `deadline_ns`; at once if it has passed."""


class MonotonicClock:
    """The machine's monotonic clock.

    Args:
        spin_ns: The last part of a sleep that is spent awake [ns], >= 0; it buys punctuality with processor time.
    """

    def __init__(self, spin_ns: int = 0) -> None:
        self._spin_ns = spin_ns

    def now_ns(self) -> int:
        """Return the time since some fixed point [ns]."""
        return time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep until `deadline_ns` of this clock."""
        while (left_ns := deadline_ns - self._spin_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        while time.monotonic_ns() < deadline_ns:
            pass


@dataclass(slots=True)
class LoopStats:
    """What a loop counted; may be read by another thread while the loop runs."""

    cycles: int = 0
    """Cycles that ran."""
    missed: int = 0
    """Deadlines that were skipped because an earlier cycle or the machine took too long."""
    worst_streak: int = 0
    """Most deadlines skipped in a row."""
    wakeup: LatencyRing = field(default_factory=LatencyRing)
    """How long after its deadline each cycle started [ns]."""
    duration: LatencyRing = field(default_factory=LatencyRing)
    """How long each cycle took [ns]."""


def run_loop(
    period_ns: int,
    clock: Clock,
    tick: Callable[[int], None],
    should_stop: Callable[[], bool],
    stats: LoopStats | None = None,
) -> LoopStats:
    """Call `tick` once per period until `should_stop` says so.

    Args:
        period_ns: Control period [ns], > 0.
        clock: Time source.
        tick: Called with the clock's time at its start [ns]; whatever it raises ends the loop.
        should_stop: Asked before every cycle.
        stats: Counters to fill, for reading them meanwhile; new ones by default.

    Returns:
        The counters.

    Raises:
        ValueError: If the period is not positive.
    """
    if period_ns <= 0:
        raise ValueError(f"period_ns must be > 0, got {period_ns}")
    stats = stats or LoopStats()
    deadline = clock.now_ns()
    while not should_stop():
        clock.sleep_until_ns(deadline)
        started = clock.now_ns()
        tick(started)
        finished = clock.now_ns()
        stats.cycles += 1
        stats.wakeup.add(started - deadline)
        stats.duration.add(finished - started)
        late = max((finished - deadline - 1) // period_ns, 0)  # deadlines that lie strictly before `finished`
        stats.missed += late
        stats.worst_streak = max(stats.worst_streak, late)
        deadline += (late + 1) * period_ns
    return stats

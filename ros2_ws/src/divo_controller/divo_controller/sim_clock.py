"""Pacing by simulated time, which may run fast, slow or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.0005
"""How often simulated time is looked at; a small part of the shortest control period."""


class SimClock:
    """A clock over ROS time for `use_sim_time`. One thread's.

    When simulated time is set back, cycles go on from there: a loop that waited for its old deadline would be silent
    for as long as time was set back, with the robot moving.

    Args:
        now_ns: Returns ROS time [ns].
        should_stop: Ends a sleep early, since the simulation may be paused for ever.
    """

    def __init__(self, now_ns: Callable[[], int], should_stop: Callable[[], bool]) -> None:
        self._time_ns = now_ns
        self._should_stop = should_stop
        self._last_ns, self._set_back_ns = 0, 0

    def now_ns(self) -> int:
        """Return a time that never goes back [ns]."""
        time_ns = self._time_ns()
        self._set_back_ns += max(self._last_ns - time_ns, 0)
        self._last_ns = time_ns
        return time_ns + self._set_back_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep until `deadline_ns` of this clock, or until told to stop."""
        while self.now_ns() < deadline_ns and not self._should_stop():
            time.sleep(POLL_S)

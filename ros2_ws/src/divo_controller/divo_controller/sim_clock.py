"""Pacing by simulated time, which may run fast, slow or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.0005
"""How often simulated time is looked at; a small part of the shortest control period."""


class SimClock:
    """A clock over ROS time for `use_sim_time`.

    Args:
        now_ns: Returns ROS time [ns].
        should_stop: Ends a sleep early, since the simulation may be paused for ever.
    """

    def __init__(self, now_ns: Callable[[], int], should_stop: Callable[[], bool]) -> None:
        self.now_ns = now_ns
        self._should_stop = should_stop

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep until ROS time reaches `deadline_ns`, or until told to stop."""
        while self.now_ns() < deadline_ns and not self._should_stop():
            time.sleep(POLL_S)

"""A clock that lets each cycle be rehearsed shortly before its deadline, and remembers which deadline that was.

A thread that sleeps for some milliseconds comes back to caches that have forgotten it: the same cycle takes longer than
right after another. Played once for nothing while there is time, it is faster when the robot waits for it
(docs/timing.md has the rounds).
"""

from __future__ import annotations

from collections.abc import Callable

from divo_runtime.timing.loop import Clock

SHORTEST_PERIOD = 3
"""Of how many leads a period must at least consist, so that a rehearsal does not follow right upon a cycle.

After a cycle that took as long there is none: a policy that has become slow must not double the robot's silence."""

PAUSE = 1000
"""Deadlines without a rehearsal after one for which there is no lead that is long enough."""

MARGIN = 1.5
"""How many times as long as a rehearsal took the lead becomes when it was too short: a slow machine needs more."""


class RehearsingClock:
    """Sleeps like another clock, and rehearses on the way.

    Args:
        clock: Paces the cycles.
        lead_ns: How long before a deadline is rehearsed at first [ns]; 0: never.
        rehearse: What is then called, in the sleeping thread.
        longest_ns: What the lead may become when a rehearsal takes longer than it [ns].

    Attributes:
        deadline_ns: What was last slept for, so that a cycle can tell how late it began.
        overran_ns: By how much a rehearsal made that deadline missed; 0 if it did not, or there was none.
    """

    def __init__(
        self, clock: Clock, lead_ns: int = 0, rehearse: Callable[[], object] = lambda: None, longest_ns: int = 0
    ) -> None:
        self._clock, self._lead_ns, self._rehearse = clock, lead_ns, rehearse
        self._longest_ns, self._long_cycle_ns = longest_ns, SHORTEST_PERIOD * lead_ns
        self.now_ns = clock.now_ns
        self.deadline_ns = self.overran_ns = 0
        self._woke_ns = clock.now_ns()
        self._paused = 0

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Sleep until `deadline_ns`; rehearse before it if there is still the time and the last cycle was not long."""
        self.deadline_ns, self.overran_ns = deadline_ns, 0
        now_ns = self._clock.now_ns()
        if self._paused:
            self._paused -= 1
        elif now_ns < deadline_ns - self._lead_ns and now_ns - self._woke_ns < self._long_cycle_ns:
            self._clock.sleep_until_ns(deadline_ns - self._lead_ns)
            begun_ns = self._clock.now_ns()
            self._rehearse()
            ended_ns = self._clock.now_ns()
            self.overran_ns = max(ended_ns - deadline_ns, 0)
            if self.overran_ns:
                self._was_too_long(ended_ns - begun_ns)
        self._clock.sleep_until_ns(deadline_ns)
        self._woke_ns = self._clock.now_ns()

    def _was_too_long(self, took_ns: int) -> None:
        """Begin earlier from now on, or if that cannot be, leave it for a while."""
        if took_ns < self._longest_ns:
            self._lead_ns = min(round(MARGIN * took_ns), self._longest_ns)
        else:
            self._paused = PAUSE


def rehearsal_lead_ns(rehearse_us: int, period_ns: int, simulated: bool) -> int:
    """Return how long before each deadline is rehearsed [ns]; 0 if the period is too short, or time is simulated.

    Args:
        rehearse_us: As wished by the user [us]; 0: not at all.
        period_ns: Control period.
        simulated: Whether time is a simulator's, which nobody can be early for.
    """
    lead_ns = rehearse_us * 1000
    return 0 if simulated or period_ns < SHORTEST_PERIOD * lead_ns else lead_ns

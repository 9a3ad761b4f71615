"""The authority that a policy has after a start: from 0 to 1 over a time."""

from __future__ import annotations

LONGEST_STEP = 2.0
"""Periods by which authority grows at most in a step."""


class Ramp:
    """Grows linearly with time; a clock that goes back takes authority away, never beyond zero.

    Args:
        length_s: Time from 0 to 1, >= 0; 0 means full authority at once.
        period_s: Time between two steps; twice as much is what one counts at most, so that a clock that is set forward
            gives no authority.
    """

    def __init__(self, length_s: float, period_s: float) -> None:
        self._length_ns, self._longest_step_ns = length_s * 1e9, LONGEST_STEP * period_s * 1e9
        self._newest_ns = 0
        self._passed_ns = 0.0

    def start(self, now_ns: int) -> None:
        """Begin at 0."""
        self._newest_ns, self._passed_ns = now_ns, 0.0

    def advance(self, now_ns: int) -> float:
        """Go on to `now_ns` and return the authority there, in [0, 1]; to be called once per cycle."""
        step_ns = min(now_ns - self._newest_ns, self._longest_step_ns)
        self._newest_ns, self._passed_ns = now_ns, max(self._passed_ns + step_ns, 0.0)
        return min(self._passed_ns / self._length_ns, 1.0) if self._length_ns > 0 else 1.0

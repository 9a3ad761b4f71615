"""The authority that a policy has after a start: from 0 to 1 over a time."""

from __future__ import annotations


class Ramp:
    """Grows linearly with time; a clock that goes back takes authority away, never beyond zero.

    Args:
        length_s: Time from 0 to 1, >= 0; 0 means full authority at once.
    """

    def __init__(self, length_s: float) -> None:
        self._length_ns = length_s * 1e9
        self._start_ns = 0

    def start(self, now_ns: int) -> None:
        """Begin at 0."""
        self._start_ns = now_ns

    def authority(self, now_ns: int) -> float:
        """Return the authority at `now_ns`, in [0, 1]."""
        if self._length_ns <= 0:
            return 1.0
        return min(max((now_ns - self._start_ns) / self._length_ns, 0.0), 1.0)

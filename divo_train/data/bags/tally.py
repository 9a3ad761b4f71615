"""What became of every control period of a bag: counts by cause, and along time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

BINS = 400
"""Columns of the time line."""
KEPT = "kept"


@dataclass(slots=True)
class Tally:
    """Counts the periods of one bag.

    Args:
        begin_ns: Where the time line begins [ns].
        end_ns: Where it ends [ns].
    """

    begin_ns: int
    end_ns: int
    counts: Counter[str] = field(default_factory=Counter)
    """Cause -> periods dropped; `kept` -> transitions written."""
    bins: dict[str, list[int]] = field(default_factory=dict)
    """The same along time, `BINS` columns each."""

    def add(self, cause: str, now_ns: int) -> None:
        """Count one period."""
        self.counts[cause] += 1
        self.bins.setdefault(cause, [0] * BINS)[self._column(now_ns)] += 1

    def add_all(self, cause: str, times_ns: Iterable[int]) -> None:
        """Count one period at each time."""
        for now_ns in times_ns:
            self.add(cause, now_ns)

    @property
    def dropped(self) -> int:
        """Periods that did not become transitions."""
        return sum(count for cause, count in self.counts.items() if cause != KEPT)

    def _column(self, now_ns: int) -> int:
        width_ns = max(self.end_ns - self.begin_ns, 1)
        return min(max((now_ns - self.begin_ns) * BINS // width_ns, 0), BINS - 1)

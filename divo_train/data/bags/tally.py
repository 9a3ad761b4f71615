"""What became of every control period of a bag: counts by cause, and along time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

BINS = 400
"""Columns of the time line."""
LONGEST_EXAMPLE = 160
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
    examples: dict[str, str] = field(default_factory=dict)
    """Cause -> details of the first period that it dropped, where there are any."""

    def add(self, cause: str, now_ns: int, example: str = "") -> None:
        """Count one period."""
        self.counts[cause] += 1
        if example:
            self.examples.setdefault(cause, example[:LONGEST_EXAMPLE])
        self.bins.setdefault(cause, [0] * BINS)[self._column(now_ns)] += 1

    def add_span(self, cause: str, begin_ns: int, end_ns: int, count: int) -> None:
        """Count periods that are spread evenly over a time, however many they are."""
        self.counts[cause] += count
        bins = self.bins.setdefault(cause, [0] * BINS)
        first, last = self._column(begin_ns), self._column(end_ns)
        for place, column in enumerate(range(first, last + 1)):
            columns = last + 1 - first
            bins[column] += count * (place + 1) // columns - count * place // columns

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

"""One thing in a recording that looks wrong, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NAMED = 3
"""Bags named in one warning."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One thing that looks wrong."""

    subject: str
    """Short: `joint order`, `no motion`, `unit`, `stale topic`, `lag`, `saturation`, `clock`, `frame`, `constant`,
    `loss`."""
    finding: str
    """What was seen."""
    advice: str
    """What to look at."""

    def __str__(self) -> str:
        """Return one paragraph."""
        return f"{self.finding} {self.advice}"


def list_bags(names: Iterable[str]) -> str:
    """Return some names and how many more there are."""
    every = list(names)
    more = f" and {len(every) - NAMED} more bags" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more

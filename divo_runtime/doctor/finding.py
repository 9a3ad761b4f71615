"""One thing that looks wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What looks wrong, and what to do about it."""

    subject: str
    """Short: `topic`, `joint names`, `stale`, `clock`, `unit`, `sign`, `joint order`, `frame`, `offset`, `novelty`,
    `command order`, `command sign`, `command unit`, `command range`, `lag`, `no motion`, `policy`."""
    what: str
    advice: str

    def __str__(self) -> str:
        """Return one paragraph."""
        return f"{self.subject}: {self.what} {self.advice}"

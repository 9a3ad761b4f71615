"""One episode that the controller node played on the simulated robot: its outcome, and how well time was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from divo_runtime.timing.latency import LatencyRing
from divo_sim.outcomes import Outcome

Timing = Mapping[str, float]
"""One control cycle as the node's `~/timing` tells it: `total_us`, `missed`, `cycle` and others."""


@dataclass(frozen=True, slots=True)
class LoopEpisode:
    """An episode over ROS topics."""

    outcome: Outcome
    contacts: int
    """Control periods with contact."""
    commands: int
    """Commands that the robot received."""
    longest_gap_s: float
    """Longest time between two commands, as the robot saw it [s]."""
    command_gaps: int
    """How often commands stayed away for longer than the robot's timeout."""
    bad_commands: int
    """Commands that the robot refused."""
    faults: int
    """Latched faults of the controller that had to be reset before this episode."""
    timings: tuple[Timing, ...] = ()
    """Every control cycle."""

    @property
    def missed(self) -> int:
        """Deadlines missed; the node counts from its activation, which is once per episode."""
        return int(max((timing["missed"] for timing in self.timings), default=0))


@dataclass(frozen=True, slots=True)
class Latency:
    """Time from the newest measurement taken to the command published, and the deadlines kept."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cycles: int
    missed: int
    """Control periods in which no cycle began, because an earlier one or the machine took too long."""
    longest_gap_ms: float
    """Longest time between two commands, as the robot saw it."""


def read_episode(record: Mapping[str, Any], faults: int, timings: Iterable[Timing]) -> LoopEpisode:
    """Make an episode of the record that the robot publishes on `~/episode`."""
    return LoopEpisode(
        outcome=Outcome(
            seed=record["seed"],
            success=record["success"],
            collision_free=record["collision_free"],
            route=record["route"],
            return_=record["return_"],
            steps=record["steps"],
            path=tuple(map(tuple, record["path"])),
            joints=tuple(map(tuple, record["joints"])),
        ),
        contacts=record["contacts"],
        commands=record["commands"],
        longest_gap_s=record["longest_gap_s"],
        command_gaps=record["command_gaps"],
        bad_commands=record["bad_commands"],
        faults=faults,
        timings=tuple(timings),
    )


def total_ms(episodes: Iterable[LoopEpisode]) -> list[float]:
    """Return the compute time of every cycle [ms]."""
    return [timing["total_us"] / 1e3 for episode in episodes for timing in episode.timings]


def measure_latency(episodes: Sequence[LoopEpisode]) -> Latency:
    """Return nearest-rank percentiles over all cycles of all episodes; zeros without any cycle."""
    values = total_ms(episodes)
    ring = LatencyRing(max(len(values), 1))
    for value in values:
        ring.add(round(value * 1e6))
    found = ring.percentiles()
    return Latency(
        p50_ms=found.p50 / 1e6,
        p99_ms=found.p99 / 1e6,
        p999_ms=found.p999 / 1e6,
        max_ms=found.max / 1e6,
        cycles=len(values),
        missed=sum(episode.missed for episode in episodes),
        longest_gap_ms=1e3 * max((episode.longest_gap_s for episode in episodes), default=0.0),
    )

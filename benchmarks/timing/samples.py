"""From what the stand-in wrote down to one row per control cycle: pure functions, no ROS.

The n-th command that a node publishes is that of its n-th cycle, and the middleware numbers what is published, so a
command and the times of its cycle are joined by number; that the command left within the cycle is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing.witness import Standstills
from divo_runtime.errors import DivoError

Samples = NDArray[np.float64]
US_PER_S = 1e6
NONE: Standstills = np.zeros((0, 2), np.int64)
CLOCK_SLACK_US = 200.0
"""`time_s` and the middleware's stamps come from the same clock; the rest is the cost of asking for the time."""


class JoinError(DivoError):
    """Commands and cycles do not belong together."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What the stand-in wrote down of one block."""

    timing: Mapping[str, Samples]
    """Field of `~/timing` -> (n,), one value per cycle in the order of arrival."""
    sequence: NDArray[np.int64]
    """(m,) number of each command that arrived; the publisher counts from 1."""
    sent_ns: NDArray[np.int64]
    """(m,) when the publisher's middleware took it over, in the system clock."""
    received_ns: NDArray[np.int64]
    """(m,) when the robot's middleware had it, in the system clock."""
    status: Mapping[str, str]
    """The node's last `~/status`; empty for a node without."""
    robot_states: int = 0
    """States that the stand-in sent."""
    robot_missed: int = 0
    """States that it skipped because it, too, was late."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of one cell, in microseconds; cycles that were not seen, or whose command was not, are left out."""

    wakeup: Samples
    """(n,) how long after its absolute deadline each cycle began."""
    inference: Samples
    """(n,) the policy's call."""
    compute: Samples
    """(n,) from the newest measurements taken to the command published."""
    age: Samples
    """(n,) age of the newest input when the cycle took it."""
    end_to_end: Samples
    """(n,) from the stamp of the newest input used to the arrival of the command at the robot."""
    reaction: Samples
    """(n,) from the inputs taken to the arrival of the command at the robot: the end to end without the age."""
    period_error: Samples
    """(n - 1,) how far two neighbouring cycles began from one period apart; gaps of unseen cycles are left out."""
    missed: int
    """Deadlines that passed before their command was out."""
    stolen: int
    """Those of them that passed while a bare thread of the highest priority stood still too (`witness.py`)."""
    worst_streak: int
    """Most of them in a row."""
    unseen: int
    """Cycles whose times or command did not reach the robot."""
    holds: int
    """How often the controller held or was in fault; its policy was not asked then."""
    robot_missed_share: float = 0.0
    """Share of the stand-in's own deadlines that it missed; a robot that stammers makes old observations."""


def read_recording(path: Path) -> Recording:
    """Read a file of the stand-in."""
    with np.load(path) as data:
        fields = str(data["fields"]).split(",")
        return Recording(
            timing={name: data["timing"][:, column] for column, name in enumerate(fields)},
            sequence=data["command_sequence"],
            sent_ns=data["command_sent_ns"],
            received_ns=data["command_received_ns"],
            status=json.loads(str(data["status"])),
            robot_states=int(data["robot_states"]),
            robot_missed=int(data["robot_missed"]),
        )


def join(recording: Recording, first: int, last: int, period_us: float, standstills: Standstills = NONE) -> Block:
    """Return the cycles number `first` to `last`, both included.

    Args:
        recording: What the stand-in wrote down.
        first: Number of the first cycle after warm-up; cycles count from 1.
        last: Number of the last cycle.
        period_us: Control period [us].
        standstills: Of the machine, meanwhile.

    Raises:
        JoinError: If commands did not leave within the cycle of the same number, or no cycle is left.
    """
    timing = recording.timing
    number = timing["cycle"].astype(np.int64)
    _, at, of = np.intersect1d(number, recording.sequence, return_indices=True)
    kept = (number[at] >= first) & (number[at] <= last)
    at, of = at[kept], of[kept]
    if not len(at):
        raise JoinError(
            "No cycle was seen.", got=f"cycles {number[:1]} to {number[-1:]}", expected=f"{first} to {last}"
        )
    started_us = timing["time_s"][at] * US_PER_S  # double precision keeps a quarter of a microsecond of today's date
    sent_us = recording.sent_ns[of] / 1e3 - started_us
    outside = (sent_us < -CLOCK_SLACK_US) | (sent_us > timing["total_us"][at] + CLOCK_SLACK_US)
    if outside.any():
        raise JoinError(
            "Commands and cycles of the same number do not belong together.",
            got=f"{outside.sum()} of {len(at)} left outside their cycle, the last after {sent_us.max():.0f} us",
            expected="one command per cycle",
            fix="Check that nothing else publishes commands in this ROS domain.",
        )
    reaction = recording.received_ns[of] / 1e3 - started_us
    age = timing["newest_age_ms"][at] * 1e3
    missed, streak = count_missed(number, timing["missed"], first, last)
    return Block(
        wakeup=timing["lateness_us"][at],
        inference=timing["policy_us"][at],
        compute=timing["total_us"][at],
        age=age,
        end_to_end=age + reaction,
        reaction=reaction,
        period_error=period_errors(number[at], started_us, period_us),
        missed=missed,
        stolen=count_stolen(number, timing, first, last, standstills),
        worst_streak=streak,
        unseen=last - first + 1 - len(at),
        holds=sum(int(recording.status.get(f"count.{event}", 0)) for event in ("holds", "trips")),
        robot_missed_share=recording.robot_missed / max(recording.robot_states + recording.robot_missed, 1),
    )


def count_missed(number: NDArray[np.int64], missed: Samples, first: int, last: int) -> tuple[int, int]:
    """Return how many deadlines were missed between two cycles, and the most in a row.

    Args:
        number: (n,) cycle numbers in rising order.
        missed: (n,) deadlines missed before each of those cycles, since the first cycle of all.
        first: Misses from this cycle on count.
        last: Misses before this cycle count.
    """
    counts = missed[(number >= first) & (number <= last)].astype(np.int64)
    steps = np.diff(counts)
    return int(steps.sum()), int(steps.max(initial=0))


def count_stolen(
    number: NDArray[np.int64], timing: Mapping[str, Samples], first: int, last: int, standstills: Standstills
) -> int:
    """Return how many deadlines were missed in a gap between two cycles in which the machine stood still.

    Args:
        number: (n,) cycle numbers in rising order.
        timing: Fields `time_s`, `lateness_us` and `missed` of those cycles.
        first: Misses from this cycle on count.
        last: Misses before this cycle count.
        standstills: (m, 2) of the machine [ns].
    """
    kept = (number >= first) & (number <= last)
    began_s, due_s = timing["time_s"][kept], timing["time_s"][kept] - timing["lateness_us"][kept] / US_PER_S
    steps = np.diff(timing["missed"][kept]).astype(np.int64)
    stood_s = standstills / 1e9
    return sum(
        int(steps[at])
        for at in np.flatnonzero(steps)
        if ((stood_s[:, 0] < began_s[at + 1]) & (stood_s[:, 1] > due_s[at])).any()
    )


def period_errors(number: NDArray[np.int64], started_us: Samples, period_us: float) -> Samples:
    """Return |start of the next cycle - start of this one - period| for neighbouring cycles.

    A missed deadline leaves its gap in: the robot waited that long.

    Args:
        number: (n,) cycle numbers.
        started_us: (n,) when they began.
        period_us: Control period.
    """
    neighbours = np.diff(number) == 1
    errors: Samples = np.abs(np.diff(started_us)[neighbours] - period_us)
    return errors


def joined(parts: Sequence[Samples]) -> Samples:
    """Return samples of several blocks as one array."""
    return np.concatenate(parts) if parts else np.zeros(0)

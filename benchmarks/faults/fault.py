"""One row of the table: a fault, how it is injected, what must happen, and within which time.

The limits of time follow from the contract of `benchmarks.faults.contract` and hold for the product over real DDS on a
busy machine: `SEEN` for noticing what a message says (one period of robot and controller each, DDS, a status at
100 Hz), its `max_age_ms` more where silence must be noticed, its `fault_after_ms` until the latch, and the longest
braking (0.8 rad/s at 5 rad/s^2, with joint b's jerk limit 0.19 s) until the robot is at rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from benchmarks.faults import spoilers
from benchmarks.faults.spoilers import MakeSpoil

SEEN = 60.0
AGE = 100.0
GOAL_AGE = 200.0
GOAL_PERIOD = 50.0
"""The goal is sent at 20 Hz, so a fault of it may begin so much later than its injection."""

LATCH = 400.0
BRAKING = 240.0
STALL = 220.0
"""The watchdog's `stall_timeout_ms` and how often it looks."""

GAP = 100.0
"""Longest silence on the command topic that any fault may cause, unless its row says otherwise [ms]."""

BACK = 500.0
"""Until the policy commands again with full authority, after what was wrong has ended; `blend_s` is 100 ms of it."""

Where = Literal["controller", "node"]


def noticed_within(topic: str, silent: bool = False) -> float:
    """Return how soon a fault of a topic's messages must be noticed [ms]; `silent` if by their age alone."""
    if topic == "goal":
        return SEEN + GOAL_PERIOD + (GOAL_AGE if silent else 0.0)
    return SEEN + (AGE if silent else 0.0)


class Reaction(str, Enum):
    """What must happen."""

    GO_ON = "goes on"
    """Neither holds nor faults."""
    RECOVER = "goes on, after a hold at most"
    """May hold for a moment; no fault; runs again by itself."""
    HOLD = "holds, then goes on by itself"
    LATCH = "holds, then latches a fault"
    """A reset is refused while the cause stands, and needed when it is gone."""
    TRIP = "latches a fault at once"
    """As LATCH."""
    STOP = "latches a fault at once; may be reset"
    """There is no cause that stands."""
    DIE = "is silent; the robot's own timeout stops it"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    name: str
    injection: str
    """How it is injected, in words."""
    reaction: Reaction
    spoil: MakeSpoil = spoilers.leave_alone
    """What is done to the robot's messages."""
    act: str = ""
    """What else is done: a key of `benchmarks.faults.acts`."""
    reason: str = ""
    """What the reasons in the status must contain."""
    counter: str = ""
    """A number in the status that must grow."""
    says: str = ""
    """What the status must say, or the answer to a request."""
    within_ms: float = SEEN
    """From the injection to the first reaction (holding, or fault if at once)."""
    lasts_ms: float = 300.0
    """How long it is injected at least; a LATCH or TRIP stands until the fault is latched and a reset refused."""
    gap_ms: float = GAP
    """Longest silence on the command topic."""
    least_gap_ms: float = 0.0
    """Silence that there must be, or the policy was not as slow as is meant."""
    at_least_hz: float = 0.0
    """Joint states that the robot must have sent per second; less would not be the fault that is meant."""
    back_ms: float = BACK
    """From the end of what was wrong, or the reset, until the policy runs."""
    hold: dict[str, float] = field(default_factory=dict)
    """Joint -> where somebody holds it meanwhile [rad]."""
    spin: dict[str, float] = field(default_factory=dict)
    """Joint -> the speed that its sensor reports meanwhile [rad/s]."""
    only: Where | None = None
    """Where it makes sense, if not in both."""
    rig: Literal["plain", "recording", "simulated time"] = "plain"
    """How the node is run."""
    soak: bool = True
    """Whether it may come up in the soak, where one node lives for an hour."""

    @property
    def latched_within_ms(self) -> float | None:
        """From the injection to the latched fault [ms]; None where none may be latched."""
        if self.reaction is Reaction.LATCH:
            return self.within_ms + LATCH
        return self.within_ms if self.reaction in (Reaction.TRIP, Reaction.STOP) else None

    @property
    def rest_within_ms(self) -> float | None:
        """From the injection to the robot at rest [ms]; None where it need not stop."""
        if self.reaction in (Reaction.GO_ON, Reaction.RECOVER):
            return None
        return self.within_ms + BRAKING

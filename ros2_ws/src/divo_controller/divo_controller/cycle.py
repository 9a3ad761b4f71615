"""What one control cycle did, and where its time went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from divo_runtime.controller import ControllerOutput
from divo_runtime.observation import Measurement


@dataclass(frozen=True, slots=True)
class Cycle:
    """One control cycle. Times that do not exist, because no input was there, are -1."""

    number: int
    """Counts from 1 at activation."""
    output: ControllerOutput
    input_age_ns: int
    """Age of the oldest input used; -1 if one was missing."""
    publish_ns: int
    total_ns: int
    """From taking the newest measurements to the command published."""
    lateness_ns: int
    """How long after its deadline the cycle began."""
    slack_ns: int
    """Time left until the next deadline when the command was published; negative when it was missed."""
    missed: int
    """Deadlines missed since activation."""
    now_ns: int = 0
    """When the cycle took its measurements, in the clock of their stamps."""
    take_ns: int = 0
    """How long taking the measurements from the middleware took."""
    transport_ns: int = -1
    """From the stamp of the input that arrived last to its arrival."""
    queue_ns: int = -1
    """From the arrival of the input that arrived last to the begin of the cycle."""
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    """What the controller was given; never changes."""
    policy: str = ""
    """Name of the policy that was asked; empty if none was."""


def describe_cycle(
    number: int,
    output: ControllerOutput,
    measurements: Mapping[str, Measurement],
    now_ns: int,
    marks_ns: tuple[int, int, int, int],
    lateness_ns: int,
    slack_ns: int,
    missed: int,
    policy: str,
) -> Cycle:
    """Put together what is known after a cycle.

    Args:
        number: Of the cycle.
        output: Of the controller's step.
        measurements: That the controller was given.
        now_ns: When they were taken, in the clock of their stamps.
        marks_ns: Begin, measurements taken, step done, command published; of one steady clock.
        lateness_ns: How long after its deadline the cycle began.
        slack_ns: Left until the next deadline.
        missed: Deadlines missed so far.
        policy: Name of the policy in use.
    """
    begin_ns, taken_ns, decided_ns, end_ns = marks_ns
    ages_ns = output.observation.ages_ns if output.observation else (-1,)
    oldest_ns = -1 if -1 in ages_ns else max(ages_ns)
    last = max(measurements.values(), key=_arrival, default=None)
    return Cycle(
        number=number,
        output=output,
        input_age_ns=oldest_ns,
        publish_ns=end_ns - decided_ns,
        total_ns=end_ns - begin_ns,
        lateness_ns=lateness_ns,
        slack_ns=slack_ns,
        missed=missed,
        now_ns=now_ns,
        take_ns=taken_ns - begin_ns,
        transport_ns=last.received_ns - last.stamp_ns if last else -1,
        queue_ns=now_ns - last.received_ns if last else -1,
        measurements=measurements,
        policy=policy if output.noise is not None else "",
    )


def _arrival(measurement: Measurement) -> int:
    return measurement.received_ns

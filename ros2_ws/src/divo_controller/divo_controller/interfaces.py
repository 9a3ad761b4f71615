"""What the control loop needs of the node around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from divo_controller.cycle import Cycle
from divo_runtime.fields import JointArray
from divo_runtime.observation import Measurement


class Robot(Protocol):
    """What the loop needs of the node around it."""

    def measurements(self) -> Mapping[str, Measurement]:
        """Return the newest measurement of each topic."""

    def now_ns(self) -> int:
        """Return the time in the clock of the measurements' stamps [ns]."""

    def publish(self, command: JointArray, now_ns: int) -> None:
        """Send a command (act_dim,)."""


class Crew(Protocol):
    """What the node does around each cycle, in the control thread."""

    def prepare(self) -> None:
        """Get the thread ready, such as by raising its priority; called once."""

    def begin(self, deadline_ns: int) -> None:
        """Note when this cycle's command is due, in `time.monotonic_ns`; called before each step."""

    def policy_name(self) -> str:
        """Return the name of the policy that acted last."""

    def rehearse(self, now_ns: int, measurements: Mapping[str, Measurement]) -> None:
        """Play the coming cycle for nothing; called shortly before it, while the policy is followed."""

    def report(self, cycle: Cycle) -> None:
        """Take note of a cycle whose command was sent."""

"""What the node has put together at the moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from divo_controller.control_loop import ControlLoop
from divo_controller.hot_reload import Trial
from divo_controller.robot_topics import RobotTopics
from divo_controller.session import Session
from divo_runtime.output import EMERGENCY_STOP

T = TypeVar("T")


@dataclass(slots=True)
class Assembly:
    """The parts that come and go with the lifecycle; `None` is what is not there."""

    session: Session | None = None
    """From configure to cleanup."""
    robot: RobotTopics | None = None
    """From configure to cleanup."""
    loop: ControlLoop | None = None
    """From activate to deactivate."""
    trial: Trial | None = None
    """From a reload while active to the end of its first cycles."""

    fault: str = ""
    """What is to be latched when there is a session: an emergency stop, or what was latched in the last one."""

    def emergency_stop(self) -> None:
        """Latch the fault; of a node that is not configured, for when it is. May come from any thread."""
        if self.session:
            self.session.controller.emergency_stop()
        else:
            self.fault = self.fault or EMERGENCY_STOP

    def between_cycles(self, action: Callable[[], T], late: bool = False) -> T:
        """Run an action on the controller in the thread that owns it now.

        Args:
            action: What to do.
            late: Whether it is still to be done when it could not be done in time.

        Raises:
            TimeoutError: If no cycle boundary came in time.
        """
        return self.loop.ask(action, late) if self.loop else action()

"""What the node has put together at the moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from divo_controller.control_loop import ControlLoop
from divo_controller.hot_reload import Trial
from divo_controller.robot_topics import RobotTopics
from divo_controller.session import Session

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

    def between_cycles(self, action: Callable[[], T]) -> T:
        """Run an action on the controller in the thread that owns it now.

        Raises:
            TimeoutError: If no cycle boundary came in time; the action is still done at the next one.
        """
        return self.loop.ask(action) if self.loop else action()

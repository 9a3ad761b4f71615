"""What a control loop needs around it, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import numpy as np

from divo_controller.cycle import Cycle
from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import Measurement

FULL_SPEED = [0.02, -0.02]
PATIENCE_S = 10.0


class ConstantPolicy:
    noise_shape = (1, 2)

    def act(self, observation, noise):
        return PolicyAction(np.array(FULL_SPEED, np.float32), 0.0)


class Notes:
    """A crew that keeps the cycles."""

    def __init__(self) -> None:
        self.cycles: list[Cycle] = []
        self.report = self.cycles.append
        self.deadlines: list[int] = []
        self.begin = self.deadlines.append
        self.rehearsed: list[tuple[int, Mapping[str, Measurement]]] = []

    def rehearse(self, now_ns, measurements) -> None:
        self.rehearsed.append((now_ns, measurements))

    def prepare(self) -> None:
        """Nothing to prepare."""

    def policy_name(self) -> str:
        return "constant"


class RobotInMemory:
    """Records commands; raises once, at the command of the given number."""

    def __init__(self, fails_at: int = 0) -> None:
        self.commands: list[list[float]] = []
        self.fails_at = fails_at
        message = SimpleNamespace(name=["left", "right"], position=[0.0, 0.0], velocity=[0.0, 0.0])
        self._measurements = {"joint_states": message}

    def measurements(self):
        return {topic: Measurement(message, self.now_ns()) for topic, message in self._measurements.items()}

    def now_ns(self) -> int:
        return time.time_ns()

    def publish(self, command, now_ns) -> None:
        if len(self.commands) + 1 == self.fails_at:
            self.fails_at = 0
            raise RuntimeError("the cable is gone")
        self.commands.append(command.tolist())


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

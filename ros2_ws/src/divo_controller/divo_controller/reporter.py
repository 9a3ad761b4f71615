"""Tells the world how the node is, in every lifecycle state and even while the executor is busy.

It has a thread of its own, because a timer would make the executor go through all that it waits for, ten times per
second and with the interpreter's lock held; in a loop of 1000 Hz that is most of what is left of lateness.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Any

from divo_controller.assembly import Assembly
from divo_controller.cycle import Cycle
from divo_controller.diagnostics import Report
from divo_controller.monitor import Monitor
from divo_controller.own_topics import OwnTopics
from divo_controller.parameters import Parameters

DIAGNOSTICS_PERIOD_S = 0.99
"""A little less than a second, so that a status every second is not just too early."""

ERRORS_PERIOD_S = 5.0


class Reporter:
    """Publishes `~/status` and, once per second, `/diagnostics`; and `~/timing` in the control thread.

    Args:
        node: The ROS node.
        assembly: What it has put together.
        settings: The node's parameters.
        look: Called before each status, for what else wants a look now and then.
    """

    def __init__(self, node: Any, assembly: Assembly, settings: Parameters, look: Callable[[], None]) -> None:
        self._node, self._assembly, self._look = node, assembly, look
        self.monitor = Monitor(node.get_fully_qualified_name())
        self.topics = OwnTopics(node, settings.shadow)
        self._period_s = 1.0 / settings.status_rate_hz
        self._stop = Event()
        self._thread = Thread(target=self._run, name="divo_reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Publish once more, then nothing more of itself."""
        self._stop.set()
        self._thread.join()

    def add(self, cycle: Cycle) -> None:
        """Take note of a cycle and publish its times. Called by the control thread."""
        self.monitor.add(cycle)
        session, robot = self._assembly.session, self._assembly.robot
        assert session, "there is a session while the loop runs"
        assert robot, "there are topics while the loop runs"
        self.topics.publish_timing(cycle, session.policies)
        if robot.divergence:
            self.topics.publish_divergence(robot.divergence, session.contract.action.names)

    def _report(self) -> Report:
        return self.monitor.report(self._assembly.session, self._assembly.robot)

    def _run(self) -> None:
        due_s = monotonic()
        while True:
            last = self._stop.wait(self._period_s)
            try:
                self._look()
                report = self._report()
                self.topics.publish_status(report)
                if last or monotonic() >= due_s:
                    self.topics.publish_diagnostics(report, self._node.get_clock().now().nanoseconds)
                    due_s = monotonic() + DIAGNOSTICS_PERIOD_S
            except Exception:  # parts come and go beside this thread; without it nobody would see how the node is
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=ERRORS_PERIOD_S)
            if last:
                return

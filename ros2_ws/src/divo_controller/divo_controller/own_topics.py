"""What the node publishes about itself: `~/status`, `~/timing`, `~/policy_metadata`, `~/is_active`, `/diagnostics`."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, Float64MultiArray, String

from divo_controller.control_loop import Cycle
from divo_controller.diagnostics import Report, diagnostic_array, status_message, timing_message, timing_values

COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TIMING_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""Deep enough that a recorder that looks once per second loses no cycle of a fast controller."""


class OwnTopics:
    """Publishers of the node's own topics; they exist in every lifecycle state.

    Args:
        node: The ROS node.
    """

    def __init__(self, node: Any) -> None:
        self._status = node.create_publisher(DiagnosticStatus, "~/status", COMMAND_QOS)
        self._timing = node.create_publisher(Float64MultiArray, "~/timing", TIMING_QOS)
        self._metadata = node.create_publisher(String, "~/policy_metadata", LATCHED_QOS)
        self._active = node.create_publisher(Bool, "~/is_active", LATCHED_QOS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timing_message = timing_message()
        self._missed_at_diagnostics = 0
        self._missed_at_status = 0

    def publish_timing(self, cycle: Cycle) -> None:
        """Publish the times of one cycle; the only method that the control thread calls."""
        self._timing_message.data = array("d", timing_values(cycle))
        self._timing.publish(self._timing_message)

    def publish_status(self, report: Report) -> None:
        """Publish `~/status`."""
        self._status.publish(status_message(report, self._missed_at_status))
        self._missed_at_status = report.missed

    def publish_diagnostics(self, report: Report, now_ns: int) -> None:
        """Publish `/diagnostics`."""
        status = status_message(report, self._missed_at_diagnostics)
        self._missed_at_diagnostics = report.missed
        self._diagnostics.publish(diagnostic_array([status], now_ns))

    def publish_metadata(self, metadata: Mapping[str, object]) -> None:
        """Publish what policy is loaded, for everyone who comes later too."""
        self._metadata.publish(String(data=json.dumps(metadata)))

    def publish_active(self, active: bool) -> None:
        """Publish whether the policy commands the robot, for everyone who comes later too."""
        self._active.publish(Bool(data=active))

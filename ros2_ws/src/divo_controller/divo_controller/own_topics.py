"""What the node publishes about itself: `~/status`, `~/timing`, `~/policy_metadata`, `~/is_active`, `/diagnostics`."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, Float64MultiArray, String

from divo_controller.cycle import Cycle
from divo_controller.diagnostics import (
    Report,
    diagnostic_array,
    divergence_message,
    divergence_values,
    status_message,
    timing_message,
    timing_values,
)
from divo_controller.shadow import Divergence

STATUS_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CYCLE_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""Deep enough that a recorder that looks once per second loses no cycle of a fast controller."""


class OwnTopics:
    """Publishers of the node's own topics; they exist in every lifecycle state.

    Args:
        node: The ROS node.
        shadow: Whether `~/divergence` exists too.
    """

    def __init__(self, node: Any, shadow: bool) -> None:
        self._status = node.create_publisher(DiagnosticStatus, "~/status", STATUS_QOS)
        self._timing = node.create_publisher(Float64MultiArray, "~/timing", CYCLE_QOS)
        self._metadata = node.create_publisher(String, "~/policy_metadata", LATCHED_QOS)
        self._active = node.create_publisher(Bool, "~/is_active", LATCHED_QOS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._divergence = node.create_publisher(Float64MultiArray, "~/divergence", CYCLE_QOS) if shadow else None
        self._timing_message = timing_message()
        self._divergence_message: Any = None
        self._missed_at_diagnostics = 0
        self._missed_at_status = 0

    def publish_timing(self, cycle: Cycle, policies: Sequence[str]) -> None:
        """Publish the times of one cycle. Called by the control thread."""
        self._timing_message.data = array("d", timing_values(cycle, policies))
        self._timing.publish(self._timing_message)

    def publish_divergence(self, divergence: Divergence, names: Sequence[str]) -> None:
        """Publish how far the shadow's command is from the active controller's. Called by the control thread."""
        if self._divergence is None:
            return
        if self._divergence_message is None:
            self._divergence_message = divergence_message(names)
        self._divergence_message.data = array("d", divergence_values(divergence))
        self._divergence.publish(self._divergence_message)

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
        self._divergence_message = None  # the next contract may have other names
        self._metadata.publish(String(data=json.dumps(metadata)))

    def publish_active(self, active: bool) -> None:
        """Publish whether the policy commands the robot, for everyone who comes later too."""
        self._active.publish(Bool(data=active))

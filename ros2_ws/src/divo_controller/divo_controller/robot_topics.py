"""The robot as the contract names it: one subscription per input topic, one publisher for the command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from divo_controller.conversions import command_converter
from divo_controller.inputs import Inputs, Polled
from divo_controller.ros_packages import message_class
from divo_controller.shadow import ActiveCommand, Divergence, DivergenceLog
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import Measurement

SHADOW_TOPIC = "~/shadow_command"
DELIVERY_TIMEOUT = Duration(nanoseconds=200_000_000)
"""How long the last command, which brings the robot to rest, is waited for."""


class RobotTopics:
    """Subscriptions and command publisher of one contract.

    Args:
        node: The lifecycle node; its publisher stays mute unless the node is active.
        contract: Names the topics and types.
        frame_id: Frame of TwistStamped commands.
        shadow: Publish on `~/shadow_command` instead of the contract's command topic, and listen to that one.

    Raises:
        RosPackageError: If a message package of the contract cannot be imported.
    """

    def __init__(self, node: Any, contract: Contract, frame_id: str, shadow: bool = False) -> None:
        self._node = node
        self._simulated = node.get_parameter("use_sim_time").value
        self._convert = command_converter(contract, frame_id)
        self._convert_for_nothing = command_converter(contract, frame_id)  # not the message that another thread sends
        command_type = message_class(contract.action.type)
        types = {topic: message_class(name) for topic, name in contract.topics.items()}
        self._polled = Polled()
        self._subscriptions: list[Any] = []
        inputs = {topic: self._subscribe(kind, topic) for topic, kind in types.items()}
        self._inputs = Inputs(inputs, contract.clock, self._arrival_ns)
        self._forgets = False
        self._publisher = node.create_lifecycle_publisher(
            command_type,
            SHADOW_TOPIC if shadow else contract.action.topic,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._active = ActiveCommand(self._subscribe(command_type, contract.action.topic), contract) if shadow else None
        self._names = contract.action.names
        self.divergence: Divergence | None = None
        self.divergences = DivergenceLog(self._names)

    @property
    def shadow(self) -> bool:
        """Whether nothing of what is published commands the robot."""
        return self._active is not None

    def measurements(self) -> Mapping[str, Measurement]:
        """Return the newest measurement of each topic. Called by one thread at a time."""
        if self._forgets:
            self._forgets = False
            self._inputs.forget()
        return self._inputs.newest()

    def now_ns(self) -> int:
        """Return ROS time [ns]."""
        return int(self._node.get_clock().now().nanoseconds) if self._simulated else time.time_ns()

    def publish(self, command: JointArray, now_ns: int) -> None:
        """Publish a command (act_dim,); in shadow mode, compare it with the active controller's."""
        self._publisher.publish(self._convert(command, now_ns))
        if self._active:
            self.divergence = self._active.compare(command, time.time_ns())
            if self.divergence:
                self.divergences.add(self.divergence)

    def rehearse(self, command: JointArray, now_ns: int) -> None:
        """Make the message of a command (act_dim,), and send nothing."""
        self._convert_for_nothing(command, now_ns)

    def begin(self) -> None:
        """Start anew at activation."""
        self.divergence, self.divergences = None, DivergenceLog(self._names)

    def forget(self) -> None:
        """Drop all measurements at the next look, as after a jump of the clock. May come from any thread."""
        self._forgets = True

    def destroy(self) -> None:
        """Remove subscriptions and publisher from the node, once the last command has arrived."""
        self._publisher.wait_for_all_acked(DELIVERY_TIMEOUT)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _subscribe(self, kind: type[Any], topic: str) -> Any:
        """Subscribe best-effort with room for one message, the newest, unless QoS overrides say otherwise."""
        subscription = self._node.create_subscription(
            kind,
            topic,
            _ignore,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            callback_group=self._polled,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._subscriptions.append(subscription)
        return subscription

    def _arrival_ns(self, system_ns: int) -> int:
        """Return an arrival in ROS time; a simulated one is not known before the message is taken."""
        return self.now_ns() if self._simulated else system_ns


def _ignore(message: Any) -> None:
    """Stand for the callback that rclpy asks for; messages are taken by the control thread."""

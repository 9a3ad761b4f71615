"""The robot as the contract names it: one subscription per input topic, one publisher for the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.duration import Duration

from divo_controller.conversions import command_converter
from divo_controller.inputs import Inputs
from divo_controller.own_topics import COMMAND_QOS, INPUT_QOS
from divo_controller.ros_packages import message_class
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import Measurement

DELIVERY_TIMEOUT = Duration(nanoseconds=200_000_000)
"""How long the last command, which brings the robot to rest, is waited for."""


class RobotTopics:
    """Subscriptions and command publisher of one contract.

    Args:
        node: The lifecycle node; its publisher stays mute unless the node is active.
        contract: Names the topics and types.
        frame_id: Frame of TwistStamped commands.

    Raises:
        RosPackageError: If a message package of the contract cannot be imported.
    """

    def __init__(self, node: Any, contract: Contract, frame_id: str) -> None:
        self._node = node
        self._inputs = Inputs(contract.clock)
        self._convert = command_converter(contract, frame_id)
        command_type = message_class(contract.action.type)
        types = {topic: message_class(name) for topic, name in contract.topics.items()}
        self._publisher = node.create_lifecycle_publisher(command_type, contract.action.topic, COMMAND_QOS)
        self._subscriptions = [
            node.create_subscription(kind, topic, self._receiver(topic), INPUT_QOS) for topic, kind in types.items()
        ]

    def measurements(self) -> Mapping[str, Measurement]:
        """Return the newest measurement of each topic."""
        return self._inputs.newest()

    def now_ns(self) -> int:
        """Return ROS time [ns]."""
        return int(self._node.get_clock().now().nanoseconds)

    def publish(self, command: JointArray, now_ns: int) -> None:
        """Publish a command (act_dim,)."""
        self._publisher.publish(self._convert(command, now_ns))

    def forget(self) -> None:
        """Drop all measurements, as after a jump of the clock."""
        self._inputs.forget()

    def destroy(self) -> None:
        """Remove subscriptions and publisher from the node, once the last command has arrived."""
        self._publisher.wait_for_all_acked(DELIVERY_TIMEOUT)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _receiver(self, topic: str) -> Callable[[Any, Any], None]:
        """Return the callback of a topic; the middleware's own arrival time is not delayed by a busy executor."""
        simulated = self._node.get_parameter("use_sim_time").value

        def receive(message: Any, info: Any) -> None:
            self._inputs.receive(topic, message, self.now_ns() if simulated else info["received_timestamp"])

        return receive

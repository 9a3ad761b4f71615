"""Between ROS messages and the runtime: commands out, times in."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from divo_controller.ros_packages import message_class
from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray

NS_PER_S = 1_000_000_000

CommandConverter = Callable[[JointArray, int], Any]
"""(command (act_dim,), time of the command [ns]) -> message."""


def stamp_ns(message: Any, received_ns: int) -> int:
    """Return the time of a message [ns]: its header's stamp, or its arrival where the stamp is absent or zero."""
    header = getattr(message, "header", None)
    if header is None:
        return received_ns
    return int(header.stamp.sec) * NS_PER_S + int(header.stamp.nanosec) or received_ns


def command_converter(contract: Contract, frame_id: str) -> CommandConverter:
    """Return what turns commands of a contract into messages of its command type.

    The converter fills one message again and again, so a message is only valid until the next call.

    Args:
        contract: Says the message type, the names and their order.
        frame_id: Frame of TwistStamped commands; other types have none.

    Raises:
        RosPackageError: If the message package cannot be imported.
    """
    message = message_class(contract.action.type)()
    if contract.action.type == "std_msgs/msg/Float64MultiArray":
        return _to_array(message, contract)
    if contract.action.type == "geometry_msgs/msg/TwistStamped":
        return _to_twist(message, contract, frame_id)
    return _to_trajectory(message, contract)


def _to_array(message: Any, contract: Contract) -> CommandConverter:
    """forward_command_controller: bare numbers in the order of its `joints` parameter, so the layout names them."""
    dimension = message_class("std_msgs/msg/MultiArrayDimension")
    size = contract.action_size
    message.layout.dim = [dimension(label=",".join(contract.action.names), size=size, stride=size)]

    def convert(command: JointArray, now_ns: int) -> Any:
        message.data = array("d", command.tobytes())
        return message

    return convert


def _to_trajectory(message: Any, contract: Contract) -> CommandConverter:
    """joint_trajectory_controller: one point, one period ahead; the zero stamp means that it starts on arrival."""
    point = message_class("trajectory_msgs/msg/JointTrajectoryPoint")()
    point.time_from_start.sec, point.time_from_start.nanosec = divmod(contract.period_ns, NS_PER_S)
    message.joint_names = list(contract.action.names)
    message.points = [point]
    target = "positions" if contract.action.kind == "joint_position" else "velocities"

    def convert(command: JointArray, now_ns: int) -> Any:
        setattr(point, target, array("d", command.tobytes()))
        return message

    return convert


def _to_twist(message: Any, contract: Contract, frame_id: str) -> CommandConverter:
    message.header.frame_id = frame_id
    parts = [name.split(".") for name in contract.action.names]
    slots = [(getattr(message.twist, vector), letter) for vector, letter in parts]

    def convert(command: JointArray, now_ns: int) -> Any:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, NS_PER_S)
        for (vector, letter), value in zip(slots, command.tolist(), strict=True):
            setattr(vector, letter, value)
        return message

    return convert

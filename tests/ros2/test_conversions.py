"""Messages by hand: what stands where, in which unit, at which time."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from divo_controller.conversions import command_converter, stamp_ns
from divo_controller.inputs import Inputs
from divo_controller.ros_packages import RosPackageError, message_class
from divo_runtime.contract import Contract
from divo_runtime.schema import parse_yaml

BASE = """
schema: 1
name: base
rate_hz: 20
observation:
  - {name: velocity, topic: odom, type: nav_msgs/msg/Odometry, field: twist.twist.linear, unit: m/s, max_age_ms: 100}
action:
  kind: twist
  names: [linear.x, angular.z]
  unit: m/s
  lower: [-1, -2]
  upper: [1, 2]
  topic: cmd_vel
  type: geometry_msgs/msg/TwistStamped
safety:
  limits:
    - {name: linear.x, velocity: 1.0, acceleration: 1.0}
    - {name: angular.z, velocity: 2.0, acceleration: 2.0}
"""


@pytest.fixture
def with_action(contract):
    return lambda **changes: msgspec.structs.replace(
        contract, action=msgspec.structs.replace(contract.action, **changes)
    )


def test_a_bare_array_holds_the_command_in_the_order_of_the_names(contract):
    message = command_converter(contract, "base_link")(np.array([0.1, -0.2]), 0)

    assert isinstance(message, Float64MultiArray)
    assert list(message.data) == [0.1, -0.2]
    assert message.layout.dim[0].label == "left,right"
    assert message.layout.dim[0].size == 2


def test_a_trajectory_names_the_joints_and_ends_one_period_ahead(with_action):
    contract = with_action(type="trajectory_msgs/msg/JointTrajectory", kind="joint_position", unit="rad")
    message = command_converter(contract, "base_link")(np.array([0.1, -0.2]), 5)

    assert list(message.joint_names) == ["left", "right"]
    assert list(message.points[0].positions) == [0.1, -0.2]
    assert list(message.points[0].velocities) == []
    assert (message.points[0].time_from_start.sec, message.points[0].time_from_start.nanosec) == (0, 20_000_000)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)


def test_a_trajectory_of_velocities_leaves_the_positions_empty(with_action):
    contract = with_action(type="trajectory_msgs/msg/JointTrajectory")
    message = command_converter(contract, "base_link")(np.array([0.1, -0.2]), 0)

    assert list(message.points[0].velocities) == [0.1, -0.2]
    assert list(message.points[0].positions) == []


def test_a_twist_is_stamped_and_filled_by_name():
    message = command_converter(parse_yaml(BASE, Contract, "base.yaml"), "base")(np.array([0.5, -1.0]), 3_000_000_007)

    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 7)
    assert message.header.frame_id == "base"
    assert (message.twist.linear.x, message.twist.linear.y, message.twist.angular.z) == (0.5, 0.0, -1.0)


def test_a_message_without_a_stamp_counts_from_its_arrival():
    stamped = JointState()
    stamped.header.stamp.sec, stamped.header.stamp.nanosec = 2, 5

    assert stamp_ns(stamped, 9) == 2_000_000_005
    assert stamp_ns(JointState(), 9) == 9
    assert stamp_ns(Float64MultiArray(), 9) == 9


def test_the_newest_message_of_each_topic_wins_and_what_was_handed_out_never_changes():
    inputs = Inputs("receive")
    inputs.receive("a", "first", 1)
    before = inputs.newest()
    inputs.receive("a", "second", 2)
    inputs.receive("b", "other", 3)

    assert {topic: m.message for topic, m in before.items()} == {"a": "first"}
    assert {topic: (m.message, m.stamp_ns) for topic, m in inputs.newest().items()} == {
        "a": ("second", 2),
        "b": ("other", 3),
    }
    inputs.forget()
    assert inputs.newest() == {}


def test_an_unknown_message_says_which_package_lacks_it():
    with pytest.raises(RosPackageError, match="'sensor_msgs' has no message 'JointStates'"):
        message_class("sensor_msgs/msg/JointStates")
    with pytest.raises(RosPackageError, match='pip install "ros-my-msgs"'):
        message_class("my_msgs/msg/Thing")

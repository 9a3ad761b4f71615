"""Messages by hand: what stands where, in which unit, at which time."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.qos import HistoryPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from divo_controller.conversions import command_converter, stamp_ns
from divo_controller.inputs import Inputs, take_newest
from divo_controller.ros_packages import RosPackageError, message_class
from divo_controller.shadow import ActiveCommand
from divo_runtime.commands import command_reader
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


class Queue:
    """A subscription of rclpy as far as `Inputs` uses it: messages wait until they are taken."""

    msg_type = None

    def __init__(self, depth: int = 1, keeps_all: bool = False) -> None:
        history = HistoryPolicy.KEEP_ALL if keeps_all else HistoryPolicy.KEEP_LAST
        self.qos_profile = SimpleNamespace(depth=depth, history=history)
        self.handle = self
        self.waiting: list[tuple[object, dict[str, int]]] = []

    def __enter__(self) -> None:
        """Keep the handle alive."""

    def __exit__(self, *error: object) -> None:
        """Let the handle go."""

    def arrive(self, message: object, received_ns: int) -> None:
        room = 99 if self.qos_profile.history == HistoryPolicy.KEEP_ALL else self.qos_profile.depth
        self.waiting = [*self.waiting, (message, {"received_timestamp": received_ns})][-room:]

    def take_message(self, kind: object, raw: bool) -> tuple[object, dict[str, int]] | None:
        return self.waiting.pop(0) if self.waiting else None


def test_the_newest_message_of_each_topic_wins_and_what_was_handed_out_never_changes():
    a, b = Queue(), Queue(depth=3)
    inputs = Inputs({"a": a, "b": b}, "receive", lambda system_ns: system_ns + 100)
    a.arrive("first", 1)
    before = inputs.newest()
    a.arrive("second", 2)
    b.arrive("other", 3)
    b.arrive("newer", 4)

    assert {topic: m.message for topic, m in before.items()} == {"a": "first"}
    assert {topic: (m.message, m.stamp_ns, m.received_ns) for topic, m in inputs.newest().items()} == {
        "a": ("second", 102, 102),
        "b": ("newer", 104, 104),
    }
    assert inputs.newest() is inputs.newest()  # nothing came, nothing changes
    a.arrive("from before the clock jumped", 5)
    inputs.forget()
    assert inputs.newest() == {}


@pytest.mark.parametrize("kind", ["std_msgs/msg/Float64MultiArray", "trajectory_msgs/msg/JointTrajectory"])
def test_a_command_read_back_is_the_command_that_was_sent(contract, kind):
    arm = msgspec.structs.replace(contract, action=msgspec.structs.replace(contract.action, type=kind))
    message = command_converter(arm, "base")(np.array([0.25, -0.5]), 0)

    assert command_reader(arm)(message).tolist() == [0.25, -0.5]


def test_a_trajectory_of_another_controller_is_read_by_joint_name_and_refused_if_a_joint_is_missing(contract):
    action = msgspec.structs.replace(contract.action, type="trajectory_msgs/msg/JointTrajectory")
    arm = msgspec.structs.replace(contract, action=action)
    message = command_converter(arm, "base")(np.array([0.25, -0.5]), 0)

    message.joint_names = ["right", "left"]
    assert command_reader(arm)(message).tolist() == [-0.5, 0.25]
    message.joint_names = ["right", "other"]
    assert command_reader(arm)(message) == "command without left"
    message.joint_names, message.points = ["left", "right"], []
    assert "unreadable" in command_reader(arm)(message)


@pytest.mark.parametrize("data", [[0.1], [0.1, float("nan")], []])
def test_a_command_that_cannot_be_read_is_not_compared(contract, data):
    queue = Queue()
    active = ActiveCommand(queue, contract)
    queue.arrive(Float64MultiArray(data=[0.25, 0.5]), 0)
    assert active.compare(np.array([0.5, 0.5]), 1).largest == 0.25
    queue.arrive(Float64MultiArray(data=data), 2)
    assert active.compare(np.array([0.5, 0.5]), 3) is None


def test_all_that_waits_is_taken_where_the_queue_keeps_all():
    queue = Queue(keeps_all=True)
    for number in range(5):
        queue.arrive(number, number)
    assert take_newest(queue) == (4, 4)
    assert take_newest(queue) is None


def test_an_unknown_message_says_which_package_lacks_it():
    with pytest.raises(RosPackageError, match="'sensor_msgs' has no message 'JointStates'"):
        message_class("sensor_msgs/msg/JointStates")
    with pytest.raises(RosPackageError, match='pip install "ros-my-msgs"'):
        message_class("my_msgs/msg/Thing")

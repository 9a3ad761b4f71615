"""`divo-sim robot` over DDS: topics, an episode by service, and the controller node driving it."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from divo_sim.contracts import arm_reach_contract
from divo_sim.messages import Header, Point, Pose, Quaternion, Time
from divo_sim.messages import JointState as PlainJointState
from divo_sim.messages import PoseStamped as PlainPoseStamped
from divo_sim.ros_messages import RosError, copy_message, ros_class


def test_copies_every_field_of_a_plain_message():
    header = Header(Time(1, 2), "panda_link0")
    pose = copy_message(
        PlainPoseStamped(header, Pose(Point(1.0, 2.0, 3.0), Quaternion(0.0, 0.0, 0.0, 1.0))), PoseStamped()
    )
    state = copy_message(PlainJointState(header, ["a"], [0.5], [0.1]), JointState())

    assert (pose.header.stamp.sec, pose.header.stamp.nanosec, pose.header.frame_id) == (1, 2, "panda_link0")
    assert (pose.pose.position.y, pose.pose.orientation.w) == (2.0, 1.0)
    assert (list(state.name), list(state.position), list(state.velocity), list(state.effort)) == (
        ["a"],
        [0.5],
        [0.1],
        [],
    )


def test_names_the_missing_package():
    with pytest.raises(RosError, match="'my_msgs'"):
        ros_class("my_msgs/msg/Thing")


@pytest.mark.ros
def test_the_controller_drives_an_episode_on_the_simulated_robot(start, robot, write_tiny_bundle, tmp_path):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String
    from std_srvs.srv import Trigger

    robot.publishing = False  # the simulated robot speaks instead
    bundle = write_tiny_bundle(tmp_path, arm_reach_contract(), [0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    start("divo_sim.robot_node", "--seed", "1", "--ros-args=--log-level warn")
    start("divo_controller.main", "--bundle", str(bundle))
    episodes, poses = [], []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.subscribe(String, "divo_robot/episode", lambda m: episodes.append(json.loads(m.data)), latched)
    robot.subscribe(PoseStamped, "tool_pose", poses.append)
    robot.wait_for(lambda: poses, "the tool pose")
    assert poses[0].header.frame_id == "panda_link0"

    set_parameters = robot.node.create_client(SetParameters, "divo_robot/set_parameters")
    request = SetParameters.Request(parameters=[Parameter("seed", value=5).to_parameter_msg()])
    assert robot.call(set_parameters, request).results[0].successful
    assert robot.call(robot.node.create_client(Trigger, "divo_robot/reset"), Trigger.Request()).success

    robot.start_policy()
    robot.wait_for(lambda: episodes, "the end of the episode")
    (episode,) = episodes
    assert episode["seed"] == 5
    assert 0 < episode["steps"] <= 120
    assert len(episode["path"]) == len(episode["joints"]) == episode["steps"]
    assert episode["bad_commands"] == 0
    assert episode["joints"][-1][0] > episode["joints"][0][0]

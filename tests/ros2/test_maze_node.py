"""`divo-sim robot --task base_maze` over DDS: scan and odometry out, twists in, driven by the controller node."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy")

from divo_sim.contracts import base_maze_contract


@pytest.mark.ros
def test_the_controller_drives_the_simulated_base_by_twists(start, robot, write_tiny_bundle, tmp_path):
    from nav_msgs.msg import Odometry
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import LaserScan
    from std_msgs.msg import String

    robot.publishing = False  # the simulated robot speaks instead
    bundle = write_tiny_bundle(tmp_path, base_maze_contract(), [0.0, 1.0])
    start("divo_sim.robot_node", "--task", "base_maze", "--map", "umaze", "--seed", "3", "--ros-args=--log-level warn")
    start("divo_controller.main", "--bundle", str(bundle))
    episodes, scans, odometry = [], [], []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.subscribe(String, "divo_robot/episode", lambda m: episodes.append(json.loads(m.data)), latched)
    robot.subscribe(LaserScan, "scan", scans.append)
    robot.subscribe(Odometry, "odom", odometry.append)
    robot.wait_for(lambda: scans and odometry, "scan and odometry")
    assert len(scans[0].ranges) == 24
    assert max(scans[0].ranges) < scans[0].range_max
    assert (odometry[0].header.frame_id, odometry[0].child_frame_id) == ("map", "base_link")

    robot.start_policy()
    robot.wait_for(lambda: odometry[-1].twist.twist.angular.z > 0.9, "the base to turn")
    robot.wait_for(lambda: episodes, "the end of the episode", timeout_s=40.0)
    (episode,) = episodes
    assert (episode["seed"], episode["steps"], episode["success"]) == (3, 150, False)  # turning on the spot: time is up
    assert episode["bad_commands"] == 0
    assert len(episode["path"]) == 150

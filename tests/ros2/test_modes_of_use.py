"""Other ways to use the node: shadow, `auto`, several robots, an emergency stop for all, another QoS."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytestmark = pytest.mark.ros


def test_a_shadow_publishes_what_it_would_do_and_never_commands(start, bundle, robot):
    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Bool, Float64MultiArray

    shadow, divergences, active, levels = [], [], [], []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.subscribe(Float64MultiArray, "divo_controller/shadow_command", lambda m: shadow.append(list(m.data)))
    robot.subscribe(Float64MultiArray, "divo_controller/divergence", divergences.append)
    robot.subscribe(Bool, "divo_controller/is_active", lambda m: active.append(m.data), latched)
    robot.subscribe(DiagnosticStatus, "divo_controller/status", lambda m: levels.append((m.level, m.message)))
    robot.message.velocity = [0.9, 0.9]  # another controller moves it; a shadow is in nobody's way
    start("divo_controller.main", "--bundle", str(bundle), "--shadow", "true")
    robot.start_policy()
    robot.wait_for(lambda: shadow and shadow[-1] == pytest.approx([0.3, -0.2]), "the shadow's command")
    assert robot.commands == []
    assert divergences == []  # there is nothing to compare with yet
    robot.wait_for(lambda: any("no active controller" in text for _, text in levels), "the warning")

    other = robot.node.create_publisher(Float64MultiArray, "commands", 1)
    robot.act = lambda: other.publish(Float64MultiArray(data=[0.1, -0.2]))  # the active controller
    robot.wait_for(lambda: divergences and divergences[-1].data[0] == pytest.approx(0.2, abs=1e-6), "a divergence")

    newest = divergences[-1]
    assert newest.layout.dim[0].label == "left,right,rms,largest"
    assert newest.data == pytest.approx([0.2, 0.0, 0.02**0.5, 0.2], abs=1e-6)
    robot.wait_for(lambda: float(robot.values.get("divergence_largest", 0)) > 0, "the divergence in the status")
    assert not any(active)
    assert np.array(robot.commands) == pytest.approx(np.tile([0.1, -0.2], (len(robot.commands), 1)))
    robot.act = lambda: None
    assert robot.change_state("deactivate")
    robot.commands.clear()  # they were the other controller's


def test_auto_uses_a_sampler_while_there_is_time_and_says_so(start, bundle, robot):
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String

    metadata = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.subscribe(String, "divo_controller/policy_metadata", lambda m: metadata.append(json.loads(m.data)), latched)
    start("divo_controller.main", "--bundle", str(bundle), "--policy", "auto")
    robot.start_policy()
    robot.wait_for(lambda: len(robot.timings) > 30 and metadata, "30 cycles")

    assert metadata[-1]["policies"] == ["actor", "sampler"]
    index = robot.timing_fields.index("policy")
    assert {timing[index] for timing in robot.timings} <= {0.0, 1.0}
    assert robot.timings[-1][index] == 1.0  # a tiny network in 20 ms
    robot.wait_for(lambda: robot.values.get("policy_in_use") == "sampler", "the policy in the status")
    assert robot.values["policy"] == "auto"
    assert float(robot.values["policy_p99_ms.sampler"]) < 14.0


@pytest.mark.parametrize("remap", [False, True])
def test_an_emergency_stop_by_topic_stops_the_robots_that_listen_to_it(start, bundle, robots, remap):
    from std_msgs.msg import Empty

    left, right = robots
    extra = ["-r", "emergency_stop:=/emergency_stop"] if remap else []
    for name in ("left_arm", "right_arm"):
        start("divo_controller.main", "--bundle", str(bundle), "--ros-args", "-r", f"__ns:=/{name}", *extra)
    for robot in robots:
        robot.start_policy()
        robot.wait_for_commands(20)
        assert robot.commands[-1] == pytest.approx([0.3, -0.2])

    topic = "/emergency_stop" if remap else "/left_arm/emergency_stop"
    publisher = left.node.create_publisher(Empty, topic, 10)
    left.wait_for(lambda: publisher.get_subscription_count() == (2 if remap else 1), "the listeners")
    publisher.publish(Empty())

    left.wait_for_mode("fault")
    assert "emergency stop" in left.values["reasons"]
    left.wait_for(lambda: not left.commands[-1].any(), "rest")
    if remap:
        right.wait_for_mode("fault")
    else:
        right.wait_for_commands(20)
        assert right.commands[-1] == pytest.approx([0.3, -0.2])
        assert right.values["mode"] == "running"


def test_the_qos_of_an_input_can_be_overridden_and_is_shown(start, bundle, robot):
    from rcl_interfaces.srv import GetParameters

    name = "qos_overrides./joint_states.subscription.reliability"
    start("divo_controller.main", "--bundle", str(bundle), "--ros-args", "-p", f"{name}:=reliable")
    robot.start_policy()
    robot.wait_for_commands(5)

    client = robot.node.create_client(GetParameters, "divo_controller/get_parameters")
    values = robot.call(client, GetParameters.Request(names=[name, "qos_overrides./commands.publisher.depth"])).values
    assert [values[0].string_value, values[1].integer_value] == ["reliable", 1]
    found = robot.node.get_subscriptions_info_by_topic("joint_states")
    assert {info.qos_profile.reliability.name for info in found} == {"RELIABLE"}

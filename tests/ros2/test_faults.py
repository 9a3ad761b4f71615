"""What the node does when the robot's messages or the process itself go wrong. Limits are checked in the fixture."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

pytestmark = pytest.mark.ros


def test_finds_joints_by_name_in_any_order_among_others(controller, robot):
    robot.message.name = ["gripper", "right", "extra", "left"]
    robot.message.position = [9.0, -0.2, 9.0, 0.3]
    robot.message.velocity = [0.0] * 4

    robot.start_policy()
    robot.wait_for_commands(20)

    assert robot.commands[-1] == pytest.approx([0.3, -0.2])


def test_holds_and_then_latches_a_fault_when_a_joint_disappears(controller, robot):
    robot.start_policy()
    robot.wait_for_commands(15)

    robot.message.name, robot.message.position, robot.message.velocity = ["left"], [0.3], [0.0]
    robot.wait_for_mode("holding")
    robot.wait_for_mode("fault")
    robot.wait_for_commands(20)

    assert "right" in robot.values["reasons"]
    assert robot.commands[-1] == pytest.approx([0.0, 0.0])


def test_a_stale_input_becomes_a_fault_that_is_reset_only_when_input_is_back(controller, robot):
    robot.start_policy()
    robot.wait_for_commands(15)

    robot.publishing = False
    robot.wait_for_mode("holding")
    robot.wait_for_mode("fault")
    assert "stale" in robot.values["reasons"]
    refused = robot.trigger("reset_fault")
    assert not refused.success
    assert "stale" in refused.message

    robot.publishing = True
    robot.wait_for_commands(20)
    assert robot.values["mode"] == "fault"
    assert robot.commands[-1] == pytest.approx([0.0, 0.0])
    assert robot.trigger("reset_fault").success
    robot.wait_for_mode("running")
    robot.wait_for_commands(20)
    assert robot.commands[-1] == pytest.approx([0.3, -0.2])


def test_holds_while_a_message_is_not_finite_and_goes_on_afterwards(controller, robot):
    robot.start_policy()
    robot.wait_for_commands(15)

    robot.message.position = [float("nan"), -0.2]
    robot.wait_for(lambda: any("not finite" in reason for reason in [robot.status.message]), "the hold")
    robot.message.position = [0.3, -0.2]
    robot.wait_for(lambda: robot.values["mode"] in ("running", "fault"), "the end of the hold")

    assert int(robot.values["count.holds"]) >= 1


def test_an_emergency_stop_is_latched_and_outlives_deactivation_and_cleanup(controller, robot):
    robot.start_policy()
    robot.wait_for_commands(15)

    assert robot.trigger("emergency_stop").success
    robot.wait_for_mode("fault")
    robot.wait_for_commands(10)
    assert robot.commands[-1] == pytest.approx([0.0, 0.0])

    assert robot.change_state("deactivate")
    assert not robot.change_state("activate")
    assert robot.change_state("cleanup")
    assert robot.change_state("configure")
    robot.wait_for(lambda: "emergency stop" in robot.status.message, "the latched fault in the status")
    assert not robot.change_state("activate")
    assert robot.trigger("reset_fault").success
    assert robot.change_state("activate")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_brakes_the_robot_before_the_process_ends_cleanly(controller, robot, number):
    robot.start_policy()
    robot.wait_for(lambda: robot.commands and robot.commands[-1] == pytest.approx([0.3, -0.2]), "full speed")

    controller.interrupt(number)
    robot.wait_for(lambda: controller.exit_code is not None, "the end of the process")

    assert controller.exit_code == 0
    # 0.3 rad/s at 5 rad/s^2 and 20 ms: steps of 0.1; 0.2 rad/s at 2.5 rad/s^2: steps of 0.05
    robot.wait_for(lambda: not robot.commands[-1].any(), "rest")
    moving = [command for command in robot.commands if np.abs(command).max() > 1e-6]  # a float32 is no multiple of 0.05
    assert [command[0] for command in moving[-4:]] == pytest.approx([0.3, 0.2, 0.1, 0.0], abs=1e-6)
    assert [command[1] for command in moving[-4:]] == pytest.approx([-0.2, -0.15, -0.1, -0.05], abs=1e-6)


def test_publishes_the_times_of_every_cycle(controller, robot):
    from divo_controller.diagnostics import TIMING_FIELDS

    robot.start_policy()
    robot.wait_for(lambda: len(robot.timings) >= 30, "30 cycles")

    cycles = [timing[TIMING_FIELDS.index("cycle")] for timing in robot.timings]
    assert cycles == [float(number) for number in range(1, len(cycles) + 1)]
    total = TIMING_FIELDS.index("total_us")
    parts = [TIMING_FIELDS.index(f"{part}_us") for part in ("observation", "policy", "gate", "publish")]
    assert all(sum(timing[part] for part in parts) <= timing[total] for timing in robot.timings)
    robot.wait_for(lambda: "compute_p99_us" in robot.values, "percentiles in the status")
    assert json.dumps(robot.values["mode"]) in ('"running"', '"blending"')


@pytest.fixture
def node_without_executor(bundle, domain):
    """Return a controller node in this process whose executor never runs, as if a callback of it hung."""
    import gc
    import sys

    import rclpy
    from rclpy.context import Context
    from rclpy.parameter import Parameter

    from divo_controller.node import ControllerNode

    interval_s, context = sys.getswitchinterval(), Context()
    rclpy.init(context=context, domain_id=domain)
    given = {"bundle": str(bundle), "realtime_priority": 0}
    node = ControllerNode(context=context, parameter_overrides=[Parameter(k, value=v) for k, v in given.items()])
    yield node
    node.stop()
    node.destroy_node()
    rclpy.shutdown(context=context)
    sys.setswitchinterval(interval_s)
    gc.unfreeze()
    gc.enable()


def test_a_stuck_executor_delays_neither_commands_nor_status_nor_an_emergency_stop(node_without_executor, robot):
    from rclpy.lifecycle import TransitionCallbackReturn
    from std_msgs.msg import Empty

    node = node_without_executor
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    robot.wait_for(lambda: node.trigger_activate() == TransitionCallbackReturn.SUCCESS, "activation")
    robot.wait_for(lambda: robot.commands and robot.commands[-1] == pytest.approx([0.3, -0.2]), "full speed")
    robot.wait_for_mode("running")

    stop = robot.node.create_publisher(Empty, "emergency_stop", 10)
    robot.wait_for(lambda: stop.get_subscription_count() == 1, "the listener")
    before = len(robot.commands)
    stop.publish(Empty())

    robot.wait_for(lambda: not robot.commands[-1].any(), "rest")
    # on its way: a few commands; then 0.3 rad/s at 5 rad/s^2 and 20 ms takes three, 0.2 rad/s at 2.5 rad/s^2 four
    assert len(robot.commands) - before <= 4 + 10
    robot.wait_for_mode("fault")

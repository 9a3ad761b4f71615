"""Transitions of the node, driven from another process."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.ros


def test_goes_through_every_state_and_sends_commands_only_while_active(controller, robot):
    assert robot.state() == "unconfigured"
    assert robot.change_state("configure")
    assert robot.state() == "inactive"
    assert robot.commands == []

    robot.wait_for(lambda: robot.change_state("activate"), "activation")
    assert robot.state() == "active"
    robot.wait_for_commands(20)
    assert robot.commands[-1] == pytest.approx([0.3, -0.2])

    assert robot.change_state("deactivate")
    sent = len(robot.commands)
    robot.wait_for(lambda: len(robot.commands) == sent and not robot.commands[-1].any(), "rest")
    assert robot.change_state("activate")
    robot.wait_for_commands(3)
    assert robot.change_state("deactivate")

    assert robot.change_state("cleanup")
    assert robot.state() == "unconfigured"
    assert robot.change_state("configure")
    assert robot.change_state("shutdown")
    assert robot.state() == "finalized"
    assert controller.exit_code is None
    assert controller.end() == 0


def test_stays_alive_and_names_the_file_when_the_bundle_is_damaged(controller, bundle, robot):
    with (bundle / "actor.onnx").open("ab") as network:
        network.write(b"\0")

    assert not robot.change_state("configure")
    assert robot.state() == "unconfigured"
    assert controller.exit_code is None
    assert "actor.onnx" in controller.text
    assert "[ERROR]" in controller.text


def test_refuses_to_activate_without_input(controller, robot):
    robot.publishing = False

    assert robot.change_state("configure")
    assert not robot.change_state("activate")
    assert robot.state() == "inactive"
    assert "no message on 'joint_states' yet" in controller.text
    robot.wait_for(lambda: "joint_states" in robot.values.get("reasons", ""), "the reason in the status")


def test_refuses_to_activate_while_the_robot_moves(controller, robot):
    robot.message.velocity = [0.0, 0.9]
    assert robot.change_state("configure")
    assert not robot.change_state("activate")
    robot.wait_for(lambda: "right moves at 0.9" in robot.values.get("reasons", ""), "the reason in the status")
    robot.message.velocity = [0.0, 0.0]
    robot.wait_for(lambda: robot.change_state("activate"), "activation")


def test_an_emergency_stop_before_there_is_anything_to_stop_keeps_the_node_from_activating(controller, robot):
    assert robot.trigger("emergency_stop").success
    assert robot.change_state("configure")
    robot.wait_for(lambda: robot.values.get("mode"), "a status")
    assert not robot.change_state("activate")
    assert "a fault is latched (emergency stop)" in controller.text
    robot.wait_for(lambda: robot.trigger("reset_fault").success, "the reset")
    robot.wait_for(lambda: robot.change_state("activate"), "activation")


def test_autostart_waits_for_input_and_then_activates(start, bundle, robot):
    robot.publishing = False
    process = start("divo_controller.main", "--bundle", str(bundle), "--autostart", "true")
    robot.wait_for(lambda: "Activation refused" in process.text, "the first attempt")

    robot.publishing = True
    robot.wait_for_commands(5)
    assert robot.state() == "active"


def test_tells_late_subscribers_what_is_loaded_and_whether_it_is_active(controller, robot):
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Bool, String

    robot.start_policy()
    robot.wait_for_commands(3)

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    seen: dict[str, object] = {}
    robot.subscribe(String, "divo_controller/policy_metadata", lambda m: seen.update(policy=m.data), latched)
    robot.subscribe(Bool, "divo_controller/is_active", lambda m: seen.update(active=m.data), latched)
    robot.wait_for(lambda: len(seen) == 2, "both latched messages")

    metadata = json.loads(seen["policy"])
    assert seen["active"] is True
    assert metadata["action"]["names"] == ["left", "right"]
    assert metadata["observation"] == ["position.left", "position.right", "velocity.left", "velocity.right"]
    assert set(metadata["sha256"]) >= {"actor.onnx", "sampler.onnx", "critic.onnx", "parity.json"}


def test_follows_simulated_time_and_can_be_stopped_while_it_stands_still(start, bundle, robot):
    start("divo_controller.main", "--ros-args", "-p", f"bundle:={bundle}", "-p", "use_sim_time:=true")
    robot.simulated_s = 100.0
    robot.start_policy()
    begun_s, before = robot.simulated_s, len(robot.commands)
    robot.wait_for_commands(20)
    # 20 commands at 50 Hz take 0.4 s of simulated time, give or take what is on its way
    assert robot.simulated_s - begun_s == pytest.approx(0.4, abs=0.1)
    assert len(robot.commands) >= before + 20

    robot.publishing = False
    assert robot.change_state("deactivate")
    robot.wait_for(lambda: not robot.commands[-1].any(), "rest")


def test_reloads_another_bundle_while_inactive(start, bundle, robot, write_tiny_bundle, contract, tmp_path):
    other = write_tiny_bundle(tmp_path / "other", contract, 0.1)
    process = start("divo_controller.main", "--bundle", str(bundle))
    assert "not configured" in robot.trigger("reload").message
    assert robot.change_state("configure")
    assert robot.set_parameter("bundle", str(other)).successful
    reloaded = robot.trigger("reload")
    assert reloaded.success, reloaded.message
    robot.wait_for(lambda: robot.change_state("activate"), "activation")
    robot.wait_for_commands(20)
    assert robot.commands[-1] == pytest.approx([0.1, 0.1])
    assert str(other) in process.text


def test_refuses_parameters_that_make_no_sense(controller, robot):
    for name, value, reason in [
        ("policy", "two words", "'policy' expects auto or the name of a policy, got 'two words'"),
        ("bundle", "/no/such/folder", "'bundle' expects an existing folder, got '/no/such/folder'"),
        ("trial_cycles", 0, "out of range. Min: 1"),
        ("realtime_priority", 10, "read-only"),
    ]:
        result = robot.set_parameter(name, value)
        assert not result.successful
        assert reason in result.reason

    assert robot.change_state("configure")
    result = robot.set_parameter("use_sim_time", True)
    assert "cannot change while the node is configured" in result.reason

"""What the robot's measurements say of its limits, and how it must stand when a controller begins.

10 Hz, 0.2 rad/s of change per period, positions usable for 150 ms.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from divo_runtime.contract import Contract
from divo_runtime.controller import Controller, Mode
from divo_runtime.observation import Measurement
from divo_runtime.schema import parse_yaml
from steady_policy import Steady

MS = 1_000_000

HARD = """
schema: 1
name: hard
rate_hz: 10
observation:
  - {name: position, topic: joints, type: sensor_msgs/msg/JointState, field: position, joints: [b, a], unit: rad,
     max_age_ms: 150}
  - {name: velocity, topic: joints, type: sensor_msgs/msg/JointState, field: velocity, joints: [a, b], unit: rad/s,
     max_age_ms: 150}
action: {kind: joint_velocity, names: [a, b], unit: rad/s, lower: [-0.8, -0.8], upper: [0.8, 0.8], topic: commands,
         type: std_msgs/msg/Float64MultiArray}
safety:
  measured_position: position
  measured_velocity: velocity
  blend_s: 0.0
  limits:
    - {name: a, velocity: 1.0, acceleration: 2.0, position: [-1, 1], hard_position: [-1.2, 1.1], hard_velocity: 1.5}
    - {name: b, velocity: 1.0, acceleration: 2.0}
"""


@pytest.fixture
def hard():
    return parse_yaml(HARD, Contract, "hard.yaml")


def joints(ms, a=0.0, b=0.0, speed_a=0.0, speed_b=0.0):
    message = SimpleNamespace(name=["a", "b"], position=[a, b], velocity=[speed_a, speed_b])
    return {"joints": Measurement(message, ms * MS)}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"a": 1.15}, "a: measured position 1.15, allowed -1.2 to 1.1"),
        ({"a": -1.25}, "a: measured position -1.25, allowed -1.2 to 1.1"),
        ({"speed_a": -1.6}, "a: measured velocity -1.6, allowed -1.5 to 1.5"),
    ],
)
def test_a_measurement_beyond_a_hard_limit_latches_a_fault_at_once(hard, state, reason):
    controller = Controller(hard, Steady(), 0, lambda: 0)
    assert controller.activate(0, joints(0)) == ()
    assert controller.step(100 * MS, joints(100)).mode is Mode.RUNNING
    output = controller.step(200 * MS, joints(200, **state))
    assert (output.mode, output.reasons) == (Mode.FAULT, (reason,))
    np.testing.assert_array_equal(output.command, [0.0, 0.0])
    assert controller.reset_fault(300 * MS, joints(300, **state)) == (reason,)
    assert controller.reset_fault(400 * MS, joints(400)) == ()


def test_a_doubt_does_not_hide_a_measurement_beyond_a_hard_limit(hard):
    controller = Controller(hard, Steady(), 0, lambda: 0)
    assert controller.activate(0, joints(0)) == ()
    controller.hold("the cycle is late")
    output = controller.step(100 * MS, joints(100, a=9.0))
    assert output.mode is Mode.FAULT
    assert "the cycle is late" not in output.reasons


def test_an_input_that_is_missing_does_not_hide_a_measurement_beyond_a_hard_limit():
    goal = (
        "  - {name: goal, topic: goal, type: geometry_msgs/msg/PointStamped, field: point, components: xy, unit: m,\n"
    )
    text = HARD.replace("action: {", goal + "     max_age_ms: 150}\naction: {")
    controller = Controller(parse_yaml(text, Contract, "hard.yaml"), Steady(), 0, lambda: 0)
    point = Measurement(SimpleNamespace(point=SimpleNamespace(x=0.0, y=0.0, z=0.0)), 0)
    assert controller.activate(0, {**joints(0), "goal": point}) == ()
    assert controller.step(200 * MS, {**joints(200), "goal": point}).mode is Mode.HOLDING
    output = controller.step(300 * MS, {**joints(300, a=9.0), "goal": point})
    assert (output.mode, output.reasons) == (Mode.FAULT, ("a: measured position 9, allowed -1.2 to 1.1",))
    refusal = controller.reset_fault(400 * MS, {**joints(400, a=9.0), "goal": point})
    assert len(refusal) == 2  # the goal, and where it stands


def test_activation_is_refused_while_the_robot_moves(hard):
    controller = Controller(hard, Steady(), 0, lambda: 0)
    # 2 rad/s^2 for 0.1 s
    assert controller.activate(0, joints(0, speed_a=0.19)) == ()
    controller.deactivate()
    assert controller.activate(0, joints(0, speed_a=-0.9)) == ("a moves at -0.9; bring it to rest first",)


def test_soft_limits_and_joints_without_hard_ones_do_not_stop(hard):
    controller = Controller(hard, Steady(), 0, lambda: 0)
    controller.activate(0, joints(0))
    output = controller.step(100 * MS, joints(100, a=1.05, b=50.0, speed_b=50.0))
    assert output.mode is Mode.RUNNING
    np.testing.assert_allclose(output.command, [0.0, 0.2])  # a is beyond its soft limit and may only come back
    assert "a: position" in output.clips


def test_activation_is_refused_beyond_a_hard_limit(hard):
    controller = Controller(hard, Steady(), 0, lambda: 0)
    assert controller.activate(0, joints(0, a=1.15)) == ("a: measured position 1.15, allowed -1.2 to 1.1",)

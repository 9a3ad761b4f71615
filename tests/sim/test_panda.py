from __future__ import annotations

import numpy as np
import pytest

from divo_sim.bullet import pybullet
from divo_sim.panda import HOME_RAD, Panda, resolve_velocity


@pytest.fixture
def panda():
    client = pybullet.connect(pybullet.DIRECT)
    yield Panda(client)
    pybullet.disconnect(client)


def test_joints_have_the_names_of_the_urdf_and_the_fingers_come_last(panda):
    assert panda.joint_names[:7] == [f"panda_joint{number}" for number in range(1, 8)]
    assert panda.joint_names[7:] == ["panda_finger_joint1", "panda_finger_joint2"]


def test_the_jacobian_is_the_derivative_of_the_tool_position(panda):
    home, step = np.array(HOME_RAD), 1e-2
    panda.reset(home)
    jacobian = panda.tool_jacobian()
    for joint in range(7):
        ends = []
        for sign in (-1.0, 1.0):
            moved = home.copy()
            moved[joint] += sign * step
            panda.reset(moved)
            ends.append(np.array(panda.tool_pose()[0]))
        # PyBullet reports positions in float32: 3e-8 m / 2e-2 rad; the difference itself errs by 1e-4 / 6 * .5 m
        np.testing.assert_allclose(jacobian[:, joint], (ends[1] - ends[0]) / (2 * step), atol=2e-5)


def test_the_start_posture_puts_the_tool_where_it_is_asked_for(panda):
    panda.reset(panda.reach(np.array([0.53, -0.28, 0.13])))
    np.testing.assert_allclose(panda.tool_pose()[0], [0.53, -0.28, 0.13], atol=1e-3)


def test_a_joint_that_does_not_move_the_tool_follows_the_posture_alone():
    jacobian = np.array([[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    # J# = 2 / (4 + .05^2) per moving joint = .499688; the fourth joint is free
    velocity = resolve_velocity(jacobian, np.array([1.0, 0.0, -1.0]), np.array([0.0, 0.0, 0.0, 0.3]), damping=0.05)
    np.testing.assert_allclose(velocity, [0.499688, 0.0, -0.499688, 0.3], atol=1e-6)


def test_the_posture_does_not_move_the_tool():
    jacobian = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    velocity = resolve_velocity(jacobian, np.zeros(3), np.array([1.0, 0.0, 5.0, 0.0]), damping=0.0)
    np.testing.assert_allclose(velocity, [0.5, -0.5, 0.0, 0.0], atol=1e-12)

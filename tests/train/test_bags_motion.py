"""The motion that a robot measured, as the action: in the action's order, and only where it is observed."""

from __future__ import annotations

import numpy as np
import pytest

import bag_maker as make
from bag_maker import MS
from divo_runtime.errors import DatasetError
from divo_train.data.bags.motion import measured_actions


@pytest.mark.parametrize(
    ("kind", "expected"), [("joint_position", [[0.2, -0.2], [0.5, -0.5]]), ("joint_velocity", [[2, -2], [6, -6]])]
)
def test_the_measured_motion_of_joints_is_in_the_action_s_order(kind, expected):
    def change(tree):
        tree["action"].update(kind=kind, names=["b", "a"], unit="rad" if kind == "joint_position" else "rad/s")

    observations = np.array([[0, 0, 9, 9, 0, 0], [-0.2, 0.2, 9, 9, 0, 0], [-0.5, 0.5, 9, 9, 0, 0]], np.float32)
    times = np.array([0, 100, 150]) * MS
    np.testing.assert_allclose(measured_actions(make.contract(change)[0], observations, times), expected, atol=1e-5)


def test_a_motion_that_is_not_observed_cannot_be_the_action():
    def change(tree):
        names = ["linear.x", "angular.z"]
        tree["action"].update(kind="twist", names=names, unit="m/s", type="geometry_msgs/msg/TwistStamped")
        tree["safety"] = {"limits": [{"name": name, "velocity": 2.0, "acceleration": 20.0} for name in names]}

    with pytest.raises(DatasetError, match=r"does not observe[\s\S]*linear\.x, angular\.z"):
        measured_actions(make.contract(change)[0], np.zeros((3, 6), np.float32), np.arange(3))

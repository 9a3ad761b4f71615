from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from divo_runtime.contract import ObservationTerm
from divo_runtime.fields import heading, reader


def quaternion(x=0.0, y=0.0, z=0.0, w=0.0):
    return SimpleNamespace(x=x, y=y, z=z, w=w)


@pytest.mark.parametrize("yaw", [0.0, 0.4, math.pi / 2, 3.1, math.pi, -2.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_heading_is_cosine_and_sine_of_the_yaw_whatever_the_quaternions_sign(yaw, sign):
    turned = quaternion(z=sign * math.sin(yaw / 2), w=sign * math.cos(yaw / 2))
    np.testing.assert_allclose(heading(turned), [math.cos(yaw), math.sin(yaw)], atol=1e-12)


def test_rolling_does_not_change_the_heading():
    # Yaw a quarter turn after a roll of 60 degrees: (w, z) (w', x') = (w w', w x', z x', z w')
    roll, yaw = math.radians(30), math.radians(45)
    both = quaternion(
        x=math.cos(yaw) * math.sin(roll),
        y=math.sin(yaw) * math.sin(roll),
        z=math.sin(yaw) * math.cos(roll),
        w=math.cos(yaw) * math.cos(roll),
    )
    np.testing.assert_allclose(heading(both), [0.0, 1.0], atol=1e-12)


def test_no_rotation_at_all_is_not_a_number_so_that_the_controller_holds():
    assert np.isnan(heading(quaternion())).all()


def test_a_term_reads_the_heading_out_of_odometry_as_two_named_numbers():
    term = ObservationTerm(
        name="heading",
        topic="odom",
        type="nav_msgs/msg/Odometry",
        field="pose.pose.orientation.heading",
        unit="1",
        max_age_ms=100,
    )
    assert (term.width, term.element_names) == (2, ("heading.cos", "heading.sin"))
    message = SimpleNamespace(pose=SimpleNamespace(pose=SimpleNamespace(orientation=quaternion(z=1.0))))
    np.testing.assert_allclose(reader(term.field, term.layout)(message), [-1.0, 0.0], atol=1e-12)


def test_a_heading_has_no_components_to_choose_from():
    with pytest.raises(ValueError, match="components out of 'heading'"):
        ObservationTerm(
            name="heading",
            topic="odom",
            type="nav_msgs/msg/Odometry",
            field="pose.pose.orientation.heading",
            components="z",
            unit="1",
            max_age_ms=100,
        )

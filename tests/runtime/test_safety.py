"""Joint a, b: 2 rad/s^2, period 0.1 s; so braking from v takes 0.1 v + v^2 / 4."""

import numpy as np
import pytest

from divo_runtime.safety.clamping import brake_before_limits, clamp, decelerate, limit_change, stopping_speed

ACCELERATION = np.array([2.0, 2.0])
PERIOD_S = 0.1
ONE = np.ones(2)
ZERO = np.zeros(2)


def brake(velocity, position, travel=ZERO):
    nearest = [np.array(position), np.array(position) + travel]
    return brake_before_limits(
        np.array(velocity), ONE - np.max(nearest, 0), np.min(nearest, 0) + ONE, ACCELERATION, PERIOD_S
    )


def test_clamp_moves_to_the_nearest_bound():
    np.testing.assert_array_equal(clamp(np.array([-3.0, 0.5]), -ONE, ONE), [-1.0, 0.5])


def test_the_stopping_speed_leaves_one_period_and_the_braking_way():
    # 0.4: 0.04 + 0.04 = 0.08; 1.0: 0.1 + 0.25 = 0.35
    np.testing.assert_allclose(stopping_speed(np.array([0.08, 0.35]), ACCELERATION, PERIOD_S), [0.4, 1.0], rtol=1e-12)


def test_the_stopping_speed_is_below_the_textbook_bound_and_below_one_step():
    distance = np.geomspace(1e-9, 1e3, 50)
    speed = stopping_speed(distance, np.full(50, 2.0), PERIOD_S)
    assert (speed <= np.sqrt(2 * 2.0 * distance)).all()
    assert (speed <= distance / PERIOD_S).all()
    assert speed[0] == pytest.approx(distance[0] / PERIOD_S, rel=1e-6)  # no cancellation near the limit


def test_no_way_left_means_no_speed_and_no_limit_means_any_speed():
    np.testing.assert_array_equal(stopping_speed(np.array([-0.1, np.inf]), ACCELERATION, PERIOD_S), [0.0, np.inf])


def test_a_joint_near_its_limit_is_slowed_towards_it_and_free_away_from_it():
    np.testing.assert_allclose(brake([0.9, 0.9], [0.92, -0.92]), [0.4, 0.9], rtol=1e-12)
    np.testing.assert_allclose(brake([-0.9, -0.9], [0.92, -0.92]), [-0.9, -0.4], rtol=1e-12)


def test_the_way_gone_since_the_measurement_counts_only_towards_a_limit():
    # 0.88 and 0.04 on the way to 1 leave 0.08
    np.testing.assert_allclose(brake([0.9, 0.9], [0.88, 0.92], np.array([0.04, -0.5])), [0.4, 0.4], rtol=1e-12)


def test_a_joint_beyond_its_limit_may_only_come_back():
    np.testing.assert_array_equal(brake([0.5, 0.5], [1.1, -1.1]), [0.0, 0.5])
    np.testing.assert_array_equal(brake([-0.5, -0.5], [1.1, -1.1]), [-0.5, 0.0])


def test_a_change_is_limited_around_what_was_sent():
    step = ACCELERATION * PERIOD_S
    np.testing.assert_allclose(limit_change(np.array([1.0, 0.1]), np.array([0.5, 0.0]), step), [0.7, 0.1])


def test_deceleration_ends_at_exactly_zero_and_never_reverses():
    np.testing.assert_allclose(decelerate(np.array([0.5, -0.3]), ACCELERATION, PERIOD_S), [0.3, -0.1])
    np.testing.assert_array_equal(decelerate(np.array([0.1, -0.15]), ACCELERATION, PERIOD_S), [0.0, 0.0])


def test_a_joint_that_keeps_the_braking_rule_can_always_keep_it_without_braking_harder():
    """The claim of the module's docstring, driven at full speed into the limit."""
    position, velocity = np.array([0.0, -0.9]), np.zeros(2)
    for _ in range(200):
        wanted = brake([2.0, -2.0], position)
        following = limit_change(wanted, velocity, ACCELERATION * PERIOD_S)
        assert (following * [1, -1] <= wanted * [1, -1] + 1e-12).all()  # the acceleration limit never overrules it
        velocity = following
        position = position + velocity * PERIOD_S
    assert (np.abs(position) <= 1.0).all()
    np.testing.assert_allclose(position, [1.0, -1.0], atol=1e-6)

"""2 rad/s^2, 8 rad/s^3, 0.1 s: the acceleration takes 0.25 s from 0 to its limit, and gives 0.25 rad/s on the way."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divo_runtime.safety.scurve import JointLimits, approach, limited_step, stopping_way

LIMITS = JointLimits(velocity=1.0, acceleration=2.0, jerk=8.0, period_s=0.1)
FREE = float("inf")


def course(velocity, acceleration, wanted, periods, limits=LIMITS):
    """Return velocity and acceleration after each period."""
    states = [(velocity, acceleration)]
    for _ in range(periods):
        states.append(approach(*states[-1], wanted, limits))
    return states[1:]


def test_a_velocity_is_approached_on_an_s_curve_and_met_exactly():
    # up to 0.25 s the acceleration grows, up to 0.40 s it stays at 2, up to 0.65 s it falls: 0.25 + 0.3 + 0.25 rad/s
    states = course(0.0, 0.0, 0.8, 8)
    assert [v for v, _ in states] == pytest.approx([0.04, 0.16, 0.35, 0.55, 0.71, 0.79, 0.8, 0.8])
    assert [a for _, a in states] == pytest.approx([0.8, 1.6, 2.0, 2.0, 1.2, 0.4, 0.0, 0.0])
    assert states[-1] == (0.8, 0.0)


def test_a_small_change_never_reaches_the_acceleration_limit():
    # 0.08 rad/s: up for sqrt(0.08 / 8) = 0.1 s and down for as long
    assert course(0.0, 0.0, 0.08, 2) == [pytest.approx((0.04, 0.8)), pytest.approx((0.08, 0.0))]


def test_up_and_down_are_alike():
    for (up, rising), (down, falling) in zip(course(0.3, 0.5, 0.9, 6), course(-0.3, -0.5, -0.9, 6), strict=True):
        assert (up, rising) == (-down, -falling)


def test_an_acceleration_that_goes_too_far_is_taken_back_first():
    # at 2 rad/s^2 the velocity grows by 0.25 before the acceleration is gone, beyond the wanted 0.1
    velocity, acceleration = approach(0.0, 2.0, 0.1, LIMITS)
    assert (velocity, acceleration) == pytest.approx((0.16, 1.2))


@pytest.mark.parametrize(
    ("velocity", "acceleration", "way"),
    [
        (0.8, 0.0, 0.26),  # 0.65 s at 0.4 rad/s on average
        (0.2, 0.0, 0.2 * 0.025**0.5),  # never at full braking: t = 2 sqrt(0.2 / 8)
        (0.25, -2.0, 8 / 384),  # the last ramp: a^3 / (6 J^2)
        (0.25, 2.0, 0.1041667 + 0.125 + 0.025),  # up to 0.5 rad/s, from there 0.125, and 0.1 s at the gain of 0.25
        (-1.0, 0.0, 0.0),
        (-0.1, 0.8, 0.0),  # the acceleration gives 0.04 rad/s before it is gone
        (0.0, 0.0, 0.0),
    ],
)
def test_the_stopping_way(velocity, acceleration, way):
    assert stopping_way(velocity, acceleration, LIMITS) == pytest.approx(way, abs=1e-7)


def test_a_joint_that_brakes_too_hard_goes_less_far_than_one_that_brakes_just_right():
    just_right = stopping_way(0.1, -((2 * 8 * 0.1) ** 0.5), LIMITS)
    assert stopping_way(0.1, -2.0, LIMITS) == pytest.approx(just_right)


def test_without_position_limits_the_step_is_the_approach():
    assert limited_step(0.2, 0.4, 0.9, FREE, FREE, LIMITS) == (*approach(0.2, 0.4, 0.9, LIMITS), False)


def test_a_joint_beyond_its_limit_may_only_come_back():
    velocity, acceleration, limited = limited_step(0.0, 0.0, 0.5, -0.1, 2.1, LIMITS)
    assert (velocity, acceleration, limited) == (0.0, 0.0, True)
    assert limited_step(0.0, 0.0, -0.5, -0.1, 2.1, LIMITS) == (*approach(0.0, 0.0, -0.5, LIMITS), False)
    assert limited_step(0.5, 0.0, 0.5, -0.1, 2.1, LIMITS)[0] < 0.5


def test_a_limit_is_reached_closely_and_not_crossed():
    position, velocity, acceleration = 0.0, 0.0, 0.0
    for _ in range(60):
        velocity, acceleration, _ = limited_step(velocity, acceleration, 1.0, 1.0 - position, 9.0, LIMITS)
        position += 0.1 * velocity
    assert 0.999 < position <= 1.0


shares = st.floats(0.0, 1.0)
wishes = st.lists(
    st.tuples(st.sampled_from([-1.0, 1.0, 0.0, 0.3]) | st.floats(-1.0, 1.0), st.integers(1, 30)), min_size=1
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    acceleration=st.floats(0.2, 30.0),
    ramp_periods=st.floats(0.5, 200.0),
    speed_periods=st.floats(1.0, 200.0),
    room=st.floats(0.01, 20.0),
    start=shares,
    wishes=wishes,
)
def test_no_wish_breaks_any_limit_and_a_stop_is_always_possible(
    acceleration, ramp_periods, speed_periods, room, start, wishes
):
    """The three facts of the module's docstring, for any proportion of the limits to the period."""
    period_s = 0.01
    limits = JointLimits(
        velocity=acceleration * speed_periods * period_s,
        acceleration=acceleration,
        jerk=acceleration / (ramp_periods * period_s),
        period_s=period_s,
    )
    span = room * stopping_way(limits.velocity, 0.0, limits)
    states, position = [(0.0, 0.0)] * 2, span * start

    def follow(state):
        nonlocal position
        states.append(state)
        position += state[0] * period_s
        assert -1e-9 * span <= position <= span * (1 + 1e-9)

    for wish, periods in wishes:
        for _ in range(periods):
            below, above = position, span - position
            follow(limited_step(*states[-1], wish * limits.velocity, above, below, limits)[:2])
    while states[-1] != (0.0, 0.0):
        follow(approach(*states[-1], 0.0, limits))
    velocities = [velocity for velocity, _ in states]
    mean_accelerations = [(after - before) / period_s for before, after in pairwise(velocities)]
    jerks = [(after - before) / period_s for before, after in pairwise(mean_accelerations)]
    assert max(map(abs, velocities)) <= limits.velocity * (1 + 1e-9)
    assert max(map(abs, mean_accelerations)) <= limits.acceleration * (1 + 1e-9)
    assert max(map(abs, jerks)) <= limits.jerk * (1 + 1e-6)

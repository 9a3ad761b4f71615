"""10 Hz, 1 rad/s, 2 rad/s^2, position within 1 rad: a velocity changes by at most 0.2 per period."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divo_runtime.safety.gate import Motion, SafetyGate

ORIGIN = np.zeros(2)
wishes = st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=60)


def moving(*velocity):
    return Motion(*[np.array(velocity)] * 3)


def following(position, velocity):
    """A position command that has kept up with its target."""
    return Motion(np.array(position), np.array(velocity), np.array(position))


@pytest.fixture
def gate(arm):
    return SafetyGate(arm)


@pytest.fixture
def position_gate(position_arm):
    return SafetyGate(position_arm)


def test_an_action_outside_its_range_is_clamped_and_named(gate):
    action, clips = gate.clamp_action(np.array([0.9, -0.5]))
    np.testing.assert_array_equal(action, [0.8, -0.5])
    assert clips == ("a: range",)


def test_float32_rounding_of_the_range_is_no_clip(gate):
    action, clips = gate.clamp_action(np.float32([0.8, -0.8]).astype(float))  # 0.8 in float32 is 0.800000012
    np.testing.assert_array_equal(action, [0.8, -0.8])
    assert clips == ()


def test_a_wish_within_all_limits_is_sent_as_it_is(gate):
    motion, clips = gate.apply(np.array([0.6, -0.1]), moving(0.5, 0.0), ORIGIN, 0.0)
    np.testing.assert_array_equal(motion.command, [0.6, -0.1])
    assert clips == ()


def test_velocity_grows_by_the_acceleration_limit_from_what_was_sent(gate):
    motion, clips = gate.apply(np.array([0.8, 0.8]), moving(0.0, 0.5), ORIGIN, 0.0)
    np.testing.assert_allclose(motion.command, [0.2, 0.7])
    assert clips == ("a: acceleration", "b: acceleration")


def test_velocity_is_braked_before_the_position_limit(gate):
    motion, clips = gate.apply(np.array([0.8, 0.8]), moving(0.5, 0.7), np.array([0.92, 0.0]), 0.0)
    np.testing.assert_allclose(motion.command, [0.4, 0.8])  # 0.4 stops within 0.08
    assert clips == ("a: position",)


def test_an_old_measurement_brakes_earlier(gate):
    # 0.4 rad/s for 0.1 s may have gone from 0.88 to 0.92, where 0.4 rad/s is the most; at 0.88 it would be 0.52
    motion, clips = gate.apply(np.array([0.8, 0.0]), moving(0.4, 0.0), np.array([0.88, 0.0]), np.array([0.04, 0.0]))
    np.testing.assert_allclose(motion.command, [0.4, 0.0])
    assert clips == ("a: position",)


def test_a_limit_that_comes_too_near_is_met_with_full_braking_and_no_more(gate):
    motion, clips = gate.apply(np.array([0.8, 0.0]), moving(0.8, 0.0), np.array([0.92, 0.0]), 0.0)
    np.testing.assert_allclose(motion.command, [0.6, 0.0])
    assert clips == ("a: position", "a: acceleration")


def test_rest_brakes_with_full_deceleration_to_zero(gate):
    motion = gate.rest(moving(0.3, -0.1))
    np.testing.assert_allclose(motion.command, [0.1, 0.0])
    np.testing.assert_array_equal(gate.rest(motion).command, [0.0, 0.0])


def test_a_position_target_out_of_reach_is_approached_with_growing_speed(position_gate):
    motion = position_gate.start(ORIGIN)
    path = []
    for _ in range(3):
        motion, clips = position_gate.apply(np.array([0.5, 0.0]), motion, ORIGIN, 0.0)
        path.append(motion.command[0])
    np.testing.assert_allclose(path, [0.02, 0.06, 0.12])  # 0.2, 0.4, 0.6 rad/s
    assert clips == ("a: velocity", "a: acceleration")  # the rest of the way would take 4.4 rad/s


def test_a_position_target_within_reach_is_sent_as_it_is(position_gate):
    sent = following([0.3, 0.1], [0.5, 0.0])
    motion, clips = position_gate.apply(np.array([0.36, 0.11]), sent, ORIGIN, 0.0)
    np.testing.assert_array_equal(motion.command, [0.36, 0.11])
    np.testing.assert_allclose(motion.velocity, [0.6, 0.1])
    assert clips == ()


def test_a_position_command_settles_on_its_target_without_swinging(position_gate):
    motion, target = position_gate.start(ORIGIN), np.array([0.5, -0.3])
    path = []
    for _ in range(40):
        motion, _ = position_gate.apply(target, motion, ORIGIN, 0.0)
        path.append(motion.command)
    np.testing.assert_allclose(path[-1], target, atol=1e-12)
    np.testing.assert_allclose(motion.velocity, [0.0, 0.0], atol=1e-12)
    assert (np.diff(np.abs(path), axis=0) >= -1e-15).all()  # never back, so never beyond


def test_a_position_command_that_fell_behind_catches_up_with_a_moving_target(position_gate):
    motion, target = position_gate.start(np.array([-0.9, 0.0])), np.array([-0.7, 0.0])
    for _ in range(30):
        target = target + np.array([0.05, 0.0])  # 0.5 rad/s
        motion, clips = position_gate.apply(target, motion, ORIGIN, 0.0)
    np.testing.assert_allclose(motion.command, target, atol=1e-9)
    assert clips == ()


def test_a_position_target_beyond_the_limit_becomes_the_limit(position_gate):
    motion, clips = position_gate.apply(np.array([7.0, 0.0]), following([1.0, 0.0], [0.0, 0.0]), ORIGIN, 0.0)
    np.testing.assert_array_equal(motion.command, [1.0, 0.0])
    assert clips == ("a: position",)


def test_a_position_command_coasts_to_a_standstill(position_gate):
    sent = following([0.5, 0.0], [0.4, 0.0])
    first = position_gate.rest(sent)
    second = position_gate.rest(first)
    np.testing.assert_allclose([first.command[0], second.command[0]], [0.52, 0.52])  # 0.2 rad/s, then 0


def test_only_joints_too_far_beyond_their_limits_refuse_to_start(position_gate):
    # the first period may move 2 * 0.1^2 = 0.02 rad
    (text,) = position_gate.outside(np.array([1.01, -1.03]))
    assert text.startswith("b stands outside")
    np.testing.assert_array_equal(position_gate.start(np.array([1.01, 0.5])).command, [1.0, 0.5])


@pytest.fixture
def smooth_gate(make_arm):
    """8 rad/s^3: from rest to 0.04 rad/s in the first period, and 0.25 s to the full acceleration."""
    return SafetyGate(make_arm("joint_velocity", ", jerk: 8.0"))


def test_a_jerk_limit_lets_the_velocity_grow_on_an_s_curve(smooth_gate):
    motion = smooth_gate.start(None)
    velocities = []
    for _ in range(4):
        motion, clips = smooth_gate.apply(np.array([0.8, 0.01]), motion, ORIGIN, 0.0)
        velocities.append(motion.command[0])
    np.testing.assert_allclose(velocities, [0.04, 0.16, 0.35, 0.55])
    assert motion.command[1] == 0.01
    assert clips == ("a: acceleration",)  # 0.45 rad/s are left, more than 2 rad/s^2 can give


def test_what_only_the_jerk_limit_forbids_is_named_so(smooth_gate):
    motion, clips = smooth_gate.apply(np.array([0.15, 0.0]), smooth_gate.start(None), ORIGIN, 0.0)
    np.testing.assert_allclose(motion.command, [0.04, 0.0])
    assert clips == ("a: jerk",)


def test_a_jerk_limit_that_cannot_bind_changes_nothing(arm, make_arm):
    plain, high = SafetyGate(arm), SafetyGate(make_arm("joint_velocity", ", jerk: 40.0"))  # 40 * 0.1 = 2 * 2
    for sent in (moving(0.0, 0.5), moving(0.8, -0.8)):
        expected, clips = plain.apply(np.array([0.8, -0.1]), sent, ORIGIN, 0.0)
        motion, same_clips = high.apply(np.array([0.8, -0.1]), sent, ORIGIN, 0.0)
        np.testing.assert_array_equal(motion.command, expected.command)
        assert same_clips == clips


def test_rest_with_a_jerk_limit_eases_into_braking_and_out_of_it(smooth_gate):
    motion, commands = moving(0.8, 0.0), []
    while not motion.at_rest:
        motion = smooth_gate.rest(motion)
        commands.append(motion.command[0])
    np.testing.assert_allclose(commands, [0.76, 0.64, 0.45, 0.25, 0.09, 0.01, 0.0], atol=1e-12)


def test_a_position_command_with_a_jerk_limit_settles_on_its_target(make_arm):
    gate = SafetyGate(make_arm("joint_position", ", jerk: 8.0"))
    motion, target = gate.start(ORIGIN), np.array([0.5, -0.3])
    path = [motion.command]
    for _ in range(60):
        motion, _ = gate.apply(target, motion, ORIGIN, 0.0)
        path.append(motion.command)
    np.testing.assert_allclose(path[-1], target, atol=1e-3)
    assert (np.abs(path) <= np.abs(target) + 1e-12).all()


def test_only_joints_beyond_what_the_jerk_allows_at_once_refuse_to_start(make_arm):
    gate = SafetyGate(make_arm("joint_position", ", jerk: 8.0"))  # 0.04 rad/s for 0.1 s
    (text,) = gate.outside(np.array([1.003, -1.005]))
    assert text.startswith("b stands outside")


def test_a_base_has_no_position_to_keep(base):
    gate = SafetyGate(base)
    assert not gate.needs_position
    motion, clips = gate.apply(np.array([0.5, 1.0]), moving(0.45, 0.9), None, 0.0)
    np.testing.assert_array_equal(motion.command, [0.5, 1.0])
    assert clips == ()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(wishes=wishes)
def test_no_wish_drives_a_joint_out_of_its_limits(make_arm, wishes):
    gate = SafetyGate(make_arm("joint_velocity"))
    motion, position = gate.start(None), np.array([0.0, 0.9])
    for wish in wishes:
        after, _ = gate.apply(np.array(wish), motion, position, 0.0)
        assert (np.abs(after.command) <= 1.0).all()
        assert (np.abs(after.command - motion.command) <= 0.2 + 1e-12).all()
        motion, position = after, position + after.velocity * 0.1  # a robot that does as it is told
        assert (np.abs(position) <= 1.0 + 1e-12).all()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(wishes=wishes)
def test_no_wish_makes_a_position_command_jump(make_arm, wishes):
    gate = SafetyGate(make_arm("joint_position"))
    motion, velocity = gate.start(np.array([0.0, 0.9])), np.zeros(2)
    for wish in wishes:
        after, _ = gate.apply(np.array(wish), motion, ORIGIN, 0.0)
        assert (np.abs(after.command) <= 1.0).all()
        moved = (after.command - motion.command) / 0.1
        assert (np.abs(moved) <= 1.0 + 1e-9).all()
        assert (np.abs(moved - velocity) <= 0.2 + 1e-9).all()
        motion, velocity = after, moved


@settings(derandomize=True, deadline=None, max_examples=40)
@given(wishes=wishes)
@pytest.mark.parametrize("kind", ["joint_velocity", "joint_position"])
def test_no_wish_breaks_a_jerk_limit(make_arm, kind, wishes):
    gate = SafetyGate(make_arm(kind, ", jerk: 8.0"))
    position = np.array([0.0, 0.9])
    motion, velocity, acceleration = gate.start(position), np.zeros(2), np.zeros(2)
    for wish in [*wishes, *[None] * 12]:  # whatever happens, then a stop
        before = motion.command
        if wish is None:
            motion = gate.rest(motion)
        else:
            motion, _ = gate.apply(np.clip(wish, -1e6, 1e6), motion, position, 0.0)
        moved = motion.command if kind == "joint_velocity" else (motion.command - before) / 0.1
        change = (moved - velocity) / 0.1
        assert (np.abs(moved) <= 1.0 + 1e-9).all()
        assert (np.abs(change) <= 2.0 + 1e-9).all()
        assert (np.abs(change - acceleration) / 0.1 <= 8.0 + 1e-6).all()
        velocity, acceleration, position = moved, change, position + moved * 0.1
        assert (np.abs(position) <= 1.0 + 1e-9).all()
    assert motion.at_rest

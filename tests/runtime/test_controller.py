"""10 Hz, 0.4 s of blending, a fault after 300 ms, 0.2 rad/s of change per period, positions usable for 150 ms."""

import itertools

import numpy as np
import pytest

from divo_runtime.controller import Controller, Mode
from divo_runtime.interfaces import PolicyAction

MS = 1_000_000


@pytest.fixture
def control(script_policy):
    def control(contract, *actions):
        ticks = itertools.count(step=10)
        return Controller(contract, script_policy(contract, *actions), 0, lambda: next(ticks))

    return control


@pytest.fixture
def running(arm, control, measure):
    """Return a controller that has blended in to 0.8 rad/s at 400 ms, and what is needed to go on."""

    def running(*actions):
        controller = control(arm, *[0.8] * 5, *(actions or (0.8,)))
        assert controller.activate(0, measure(0)) == ()
        for ms in range(0, 500, 100):
            output = controller.step(ms * MS, measure(ms * MS))
        assert output.mode is Mode.RUNNING
        return controller

    return running


def step_at(controller, measure, ms, stamp_ms=None, **message):
    stamp_ms = ms if stamp_ms is None else stamp_ms
    return controller.step(ms * MS, measure(stamp_ms * MS, **message))


def test_it_sends_nothing_before_it_is_active(arm, control, measure):
    controller = control(arm, 0.8)
    output = step_at(controller, measure, 0)
    assert (output.command, output.mode) == (None, Mode.INACTIVE)
    assert controller.stop_commands() == []


def test_authority_grows_from_zero_to_one_and_then_it_runs(arm, control, measure):
    controller = control(arm, 0.8)
    assert controller.activate(0, measure()) == ()
    outputs = [step_at(controller, measure, ms) for ms in range(0, 600, 100)]
    np.testing.assert_allclose([output.command[0] for output in outputs], [0.0, 0.2, 0.4, 0.6, 0.8, 0.8])
    assert [output.mode for output in outputs] == [Mode.BLENDING] * 4 + [Mode.RUNNING] * 2
    assert controller.mode is Mode.RUNNING
    assert all(output.clips == () for output in outputs)


def test_position_commands_start_at_the_measured_pose(position_arm, control, measure):
    controller = control(position_arm, 0.5)
    assert controller.activate(0, measure(position=(0.3, -0.2))) == ()
    output = step_at(controller, measure, 0, position=(0.3, -0.2))
    np.testing.assert_allclose(output.command, [0.3, -0.2], atol=1e-7)
    # a quarter of the way to 0.5 is 0.05 and 0.175; the first period may move 0.02
    output = step_at(controller, measure, 100, position=(0.3, -0.2))
    np.testing.assert_allclose(output.command, [0.32, -0.18], atol=1e-7)
    assert "b: acceleration" in output.clips


def test_output_tells_what_was_seen_answered_and_how_long_it_took(running, measure):
    output = step_at(running(), measure, 500, position=(0.25, -0.5))
    np.testing.assert_array_equal(output.observation.vector, np.float32([0.25, -0.5, 0.5, 0.25]))
    np.testing.assert_array_equal(output.action, np.float32([0.8, 0.8]))
    assert (output.timings.observation_ns, output.timings.policy_ns, output.timings.gate_ns) == (10, 10, 10)
    assert output.command.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        output.command[0] = 7.0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"names": ("a", "c")}, "joint missing"),
        ({"position": (0.0, np.nan)}, "not finite"),
        ({"stamp_ns": -1000 * MS}, "stale"),
    ],
)
def test_activation_is_refused_with_the_reason_while_the_robot_is_not_seen(arm, control, measure, message, reason):
    controller = control(arm, 0.8)
    (refusal,) = controller.activate(0, measure(**message))
    assert reason in refusal
    assert controller.mode is Mode.INACTIVE


def test_activation_is_refused_twice_and_outside_of_the_position_limits(arm, position_arm, control, measure):
    controller = control(arm, 0.8)
    controller.activate(0, measure())
    assert controller.activate(0, measure()) == ("it is active already",)
    (refusal,) = control(position_arm, 0.5).activate(0, measure(position=(0.0, 1.5)))
    assert "b stands outside its position limits" in refusal


def test_stale_input_holds_at_once_and_brakes_within_the_limits(running, measure):
    controller = running()
    assert step_at(controller, measure, 500, stamp_ms=400).mode is Mode.RUNNING
    output = step_at(controller, measure, 600, stamp_ms=400)  # 200 ms old, 150 allowed
    assert output.mode is Mode.HOLDING
    assert output.reasons == ("joint_position: stale (200 ms old, allowed 150 ms)",)
    np.testing.assert_allclose(output.command, [0.6, 0.6])
    assert controller.counters["holds"] == 1
    assert output.action is None  # the policy never sees it


def test_input_that_stays_unusable_latches_a_fault_that_rests_but_is_not_silent(running, measure):
    controller = running()
    outputs = [step_at(controller, measure, ms, stamp_ms=400) for ms in range(600, 1100, 100)]
    assert [output.mode for output in outputs] == [Mode.HOLDING] * 3 + [Mode.FAULT] * 2
    np.testing.assert_allclose([output.command[0] for output in outputs], [0.6, 0.4, 0.2, 0.0, 0.0], atol=1e-12)
    assert "unusable for 300 ms: joint_position: stale" in outputs[-1].reasons[0]
    assert controller.counters["trips"] == 1
    output = step_at(controller, measure, 1100)  # fresh again, but latched
    assert output.mode is Mode.FAULT
    np.testing.assert_array_equal(output.command, [0.0, 0.0])


def test_a_hold_that_ends_blends_in_again_from_zero_authority(running, measure):
    controller = running()
    step_at(controller, measure, 600, stamp_ms=400)
    outputs = [step_at(controller, measure, ms) for ms in range(700, 1200, 100)]
    assert [output.mode for output in outputs] == [Mode.BLENDING] * 4 + [Mode.RUNNING]
    # authority 0, 1/4, 1/2 of 0.8 asks for 0.0, 0.2, 0.4, but braking from 0.6 takes its time
    np.testing.assert_allclose([output.command[0] for output in outputs], [0.4, 0.2, 0.4, 0.6, 0.8])
    assert outputs[0].clips == ("a: acceleration", "b: acceleration")


def test_holds_apart_do_not_add_up_to_a_fault(running, measure):
    controller = running()
    for ms in range(600, 3600, 300):
        assert step_at(controller, measure, ms, stamp_ms=ms - 200).mode is Mode.HOLDING
        assert step_at(controller, measure, ms + 100).mode is Mode.BLENDING
    assert (controller.counters["holds"], controller.counters["trips"]) == (10, 0)


def test_a_clock_that_is_set_back_does_not_postpone_the_fault(running, measure):
    controller = running()
    step_at(controller, measure, 1_000_000, stamp_ms=0)
    modes = [step_at(controller, measure, ms, stamp_ms=-1000).mode for ms in range(0, 400, 100)]
    assert modes == [Mode.HOLDING] * 3 + [Mode.FAULT]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, [0.1, np.nan]])
def test_an_action_that_is_not_finite_holds_at_once_and_faults_in_time(running, measure, bad):
    controller = running(bad)
    outputs = [step_at(controller, measure, ms) for ms in range(500, 900, 100)]
    assert [output.mode for output in outputs] == [Mode.HOLDING] * 3 + [Mode.FAULT]
    np.testing.assert_allclose([output.command[0] for output in outputs], [0.6, 0.4, 0.2, 0.0], atol=1e-12)
    assert "policy's action is not finite" in outputs[0].reasons[0]
    assert controller.counters["nonfinite"] == 4
    assert outputs[0].action is not None  # what it answered, for the record


def test_a_policy_that_raises_holds_with_its_message(running, measure):
    controller = running(ArithmeticError("no answer\nsecond line"), 0.8)
    output = step_at(controller, measure, 500)
    assert output.mode is Mode.HOLDING
    assert output.reasons == ("policy failed: ArithmeticError: no answer",)
    assert controller.counters["policy_errors"] == 1
    assert step_at(controller, measure, 600).mode is Mode.BLENDING


def test_a_policy_with_an_action_of_another_size_holds(arm, measure):
    class Stranger:
        noise_shape = (1, 2)

        def act(self, observation, noise):
            return PolicyAction(np.zeros(3, np.float32), 0.0)

    controller = Controller(arm, Stranger(), 0, lambda: 0)
    controller.activate(0, measure())
    output = step_at(controller, measure, 0)
    assert output.mode is Mode.HOLDING
    assert "action of shape (3,), expected (2,)" in output.reasons[0]


def test_a_clip_is_named_and_counted(running, measure):
    controller = running(7.0)
    output = step_at(controller, measure, 500)
    np.testing.assert_allclose(output.command, [0.8, 0.8])
    assert output.clips == ("a: range", "b: range")
    assert controller.counters["clips"] == 2
    assert controller.counters["a: range"] == 1


def test_stop_commands_brake_to_rest_and_change_nothing(running):
    controller = running()
    for _ in range(2):
        np.testing.assert_allclose([c[0] for c in controller.stop_commands()], [0.6, 0.4, 0.2, 0.0], atol=1e-12)
    controller.deactivate()
    assert controller.mode is Mode.INACTIVE
    assert controller.stop_commands() == []


def test_stop_commands_of_a_robot_at_rest_are_one(arm, control, measure):
    controller = control(arm, 0.8)
    controller.activate(0, measure())
    np.testing.assert_array_equal(controller.stop_commands(), [[0.0, 0.0]])


def test_stop_commands_for_positions_come_to_a_standstill(position_arm, control, measure):
    controller = control(position_arm, 0.5)
    controller.activate(0, measure())
    for ms in range(0, 300, 100):
        last = step_at(controller, measure, ms).command[0]  # 0, 0.02, 0.06: now 0.4 rad/s
    assert last == pytest.approx(0.06)
    np.testing.assert_allclose([c[0] for c in controller.stop_commands()], [0.08, 0.08])


def test_an_emergency_stop_is_a_fault_that_brakes(running, measure):
    controller = running()
    controller.emergency_stop()
    assert controller.mode is Mode.FAULT
    output = step_at(controller, measure, 500)
    assert (output.mode, output.reasons) == (Mode.FAULT, ("emergency stop",))
    np.testing.assert_allclose(output.command, [0.6, 0.6])


@pytest.mark.parametrize("answer", [0.8, np.nan])
def test_an_emergency_stop_in_the_middle_of_a_step_is_kept(arm, measure, answer):
    class Interrupted:
        noise_shape = (1, 2)

        def act(self, observation, noise):
            controller.emergency_stop()
            return PolicyAction(np.float32([0.8, answer]), 0.0)

    controller = Controller(arm, Interrupted(), 0, lambda: 0)
    controller.activate(0, measure())
    step_at(controller, measure, 0)
    output = step_at(controller, measure, 100)
    assert (output.mode, output.reasons) == (Mode.FAULT, ("emergency stop",))


def test_a_fault_outlives_deactivation(running, measure):
    controller = running()
    controller.emergency_stop()
    controller.deactivate()
    assert controller.activate(500 * MS, measure(500 * MS)) == ("a fault is latched (emergency stop); reset it first",)
    assert controller.reset_fault(500 * MS, measure(500 * MS)) == ()
    assert controller.mode is Mode.INACTIVE
    assert controller.activate(500 * MS, measure(500 * MS)) == ()


def test_a_reset_is_refused_while_the_cause_stands(running, measure):
    controller = running(np.nan, np.nan, np.nan, np.nan, np.nan, 0.8)
    for ms in range(500, 900, 100):
        output = step_at(controller, measure, ms)
    assert output.mode is Mode.FAULT
    assert "stale" in controller.reset_fault(1000 * MS, measure(800 * MS))[0]
    assert "not finite" in controller.reset_fault(1000 * MS, measure(1000 * MS))[0]
    assert controller.mode is Mode.FAULT
    assert controller.reset_fault(1100 * MS, measure(1100 * MS)) == ()
    outputs = [step_at(controller, measure, ms) for ms in (1100, 1200)]
    np.testing.assert_allclose([output.command[0] for output in outputs], [0.0, 0.2], atol=1e-12)
    assert outputs[0].mode is Mode.BLENDING
    assert controller.reset_fault(1200 * MS, measure(1200 * MS)) == ("no fault is latched",)


def test_the_same_generator_gives_the_same_noise(arm, script_policy, measure):
    seen = []
    for _ in range(2):
        policy = script_policy(arm, 0.1)
        controller = Controller(arm, policy, 7, lambda: 0)
        controller.activate(0, measure())
        step_at(controller, measure, 0)
        seen.append(policy._backend.feeds[0]["noise"])
    np.testing.assert_array_equal(*seen)


def test_no_blending_time_means_full_authority_at_once(base, control):
    from types import SimpleNamespace

    from divo_runtime.observation import Measurement

    scan = {"scan": Measurement(SimpleNamespace(ranges=[1.0, 2.0, 3.0]), 0)}
    controller = control(base, [0.1, 0.2])
    assert controller.activate(0, scan) == ()
    output = controller.step(0, scan)
    assert output.mode is Mode.RUNNING
    np.testing.assert_allclose(output.command, [0.1, 0.2], rtol=1e-6)

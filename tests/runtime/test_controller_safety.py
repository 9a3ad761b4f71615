"""What stops a controller besides stale input: stamps, clocks, guards, faults from outside.

10 Hz, a fault after 300 ms, 0.2 rad/s of change per period, positions usable for 150 ms.
"""

import numpy as np
import pytest

from divo_runtime.controller import Controller, Mode
from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import Measurement
from divo_runtime.safety.guards import Guard, Trip
from steady_policy import Steady

MS = 1_000_000


class Objector:
    """A guard that objects when the policy's value is below zero, in the given way."""

    def __init__(self, reaction, cycles=1):
        self._reaction, self._cycles, self._streak = reaction, cycles, 0

    def forget(self):
        self._streak = 0

    def judge(self, observation, value):
        return (Trip("value", self._reaction, value, 0.0),) if value < 0.0 else ()

    def check(self, observation, value):
        trips = self.judge(observation, value)
        self._streak = self._streak + 1 if trips else 0
        return trips if self._streak >= self._cycles else ()


@pytest.fixture
def running(arm, measure):
    """Return a function that makes a controller which runs at 0.8 rad/s after its step at 400 ms."""

    def running(policy=None, guard=None, contract=arm):
        controller = Controller(contract, policy or Steady(), 0, lambda: 0, guard)
        assert controller.activate(0, measure()) == ()
        for ms in range(0, 500, 100):
            output = controller.step(ms * MS, measure(ms * MS))
        assert output.mode is Mode.RUNNING
        return controller

    return running


def step_at(controller, measure, ms, stamp_ms=None, **message):
    return controller.step(ms * MS, measure((ms if stamp_ms is None else stamp_ms) * MS, **message))


def test_a_message_that_was_overtaken_is_not_used(running, measure):
    controller = running()
    output = step_at(controller, measure, 500, stamp_ms=350, position=(0.9, 0.9))
    assert output.mode is Mode.RUNNING
    np.testing.assert_array_equal(output.observation.vector[:2], [0.0, 0.0])  # still the one of 400 ms
    assert output.observation.ages_ns[0] == 100 * MS
    assert controller.counters["out_of_order"] == 2  # joint states and goal


def test_a_message_that_keeps_arriving_with_its_old_stamp_gets_old(running, measure):
    controller = running()
    modes = []
    for ms in range(500, 1000, 100):
        frozen = {topic: Measurement(m.message, 400 * MS, ms * MS) for topic, m in measure().items()}
        modes.append(controller.step(ms * MS, frozen).mode)
    assert modes == [Mode.RUNNING, *[Mode.HOLDING] * 3, Mode.FAULT]
    assert controller.counters["repeated_stamps"] == 10


def test_a_clock_set_back_holds_until_messages_are_stamped_anew(running, measure):
    controller = running()
    output = step_at(controller, measure, 310, stamp_ms=400)
    assert output.mode is Mode.HOLDING
    assert output.reasons[0] == "joint_position: from the future (stamped 90 ms ahead of now)"
    output = step_at(controller, measure, 410, stamp_ms=400)  # 10 ms old by its stamp, in truth 100 ms
    assert output.mode is Mode.HOLDING
    assert output.reasons[0] == "joint_position: cannot be dated (waiting for a newer message)"
    assert step_at(controller, measure, 510).mode is Mode.BLENDING
    assert controller.counters["clock_set_back"] == 1


def test_a_clock_set_forward_holds_until_messages_are_stamped_anew(running, measure):
    controller = running()
    assert step_at(controller, measure, 60_000, stamp_ms=500).mode is Mode.HOLDING
    assert step_at(controller, measure, 60_100).mode is Mode.BLENDING


def test_a_robot_whose_clock_jumps_ahead_and_back_recovers(running, measure):
    controller = running()
    assert step_at(controller, measure, 500, stamp_ms=9000).mode is Mode.HOLDING
    assert step_at(controller, measure, 600).mode is Mode.BLENDING


def test_each_activation_keeps_its_own_account_of_time(running, measure):
    controller = running()
    controller.deactivate()
    assert controller.activate(50 * MS, measure(40 * MS)) == ()  # such as a simulation that was reset
    assert step_at(controller, measure, 60, stamp_ms=50).mode is Mode.BLENDING
    assert controller.counters["clock_set_back"] == 0


def test_a_position_fault_is_not_reset_where_the_robot_does_not_follow(position_arm, measure):
    controller = Controller(position_arm, Steady(), 0, lambda: 0)
    assert controller.activate(0, measure()) == ()
    controller.emergency_stop()
    controller.step(0, measure())
    moved = measure(100 * MS, position=(0.0, 0.3))  # by hand, with the drive off; 1 rad/s for 0.1 s are allowed
    (refusal,) = controller.reset_fault(100 * MS, moved)
    assert refusal.startswith("b is not where it was sent")
    controller.deactivate()
    assert controller.reset_fault(100 * MS, moved) == ()
    assert controller.activate(100 * MS, moved) == ()
    np.testing.assert_allclose(controller.step(100 * MS, moved).command, [0.0, 0.3], atol=1e-7)


def test_a_clock_set_forward_gives_no_authority(arm, measure):
    controller = Controller(arm, Steady(), 0, lambda: 0)
    assert controller.activate(0, measure()) == ()
    controller.step(0, measure())
    output = controller.step(9_000 * MS, measure(9_000 * MS))
    assert output.mode is Mode.BLENDING
    np.testing.assert_allclose(output.command, [0.2, 0.2])
    assert controller.step(9_100 * MS, measure(9_100 * MS)).mode is Mode.BLENDING  # 0.3 of 0.4 s


def test_an_emergency_stop_is_named_beside_the_fault_that_is_latched(running, measure):
    controller = running()
    controller.latch("goal stale")
    controller.emergency_stop()
    controller.emergency_stop()
    assert controller.fault == "emergency stop; goal stale"
    assert step_at(controller, measure, 500).reasons == ("emergency stop; goal stale",)


def test_a_warning_is_told_and_counted_and_changes_nothing(running, measure):
    policy = Steady()
    controller = running(policy, Objector("warn"))
    policy.value = -1.0
    output = step_at(controller, measure, 500)
    assert (output.mode, output.reasons) == (Mode.RUNNING, ())
    assert output.warnings == ("value: the critic gives -1, bound 0",)
    np.testing.assert_allclose(output.command, [0.8, 0.8])
    assert (controller.counters["warnings"], controller.counters["value"]) == (1, 1)


def test_a_guard_that_holds_lets_go_by_itself_or_becomes_a_fault(running, measure):
    policy = Steady()
    controller = running(policy, Objector("hold", cycles=2))
    policy.value = -1.0
    outputs = [step_at(controller, measure, ms) for ms in (500, 600, 700)]
    assert [output.mode for output in outputs] == [Mode.RUNNING, Mode.HOLDING, Mode.HOLDING]
    assert outputs[1].reasons == ("value: the critic gives -1, bound 0",)
    assert outputs[1].warnings == ()
    np.testing.assert_allclose([output.command[0] for output in outputs], [0.8, 0.6, 0.4])
    assert outputs[1].action is not None  # what the policy would have done, for the record
    policy.value = 0.0
    assert step_at(controller, measure, 800).mode is Mode.BLENDING
    policy.value = -1.0
    modes = [step_at(controller, measure, ms).mode for ms in range(900, 1500, 100)]
    assert modes == [Mode.BLENDING, *[Mode.HOLDING] * 3, *[Mode.FAULT] * 2]


def test_a_guard_that_faults_latches_and_its_reset_is_refused_while_it_objects(running, measure):
    policy = Steady()
    controller = running(policy, Objector("fault", cycles=2))
    policy.value = -1.0
    assert [step_at(controller, measure, ms).mode for ms in (500, 600)] == [Mode.RUNNING, Mode.FAULT]
    assert controller.fault == "value: the critic gives -1, bound 0"
    assert controller.reset_fault(700 * MS, measure(700 * MS)) == ("value: the critic gives -1, bound 0",)
    policy.value = 0.0
    assert controller.reset_fault(800 * MS, measure(800 * MS)) == ()
    assert controller.mode is Mode.BLENDING


def test_a_fault_from_outside_brakes_and_keeps_its_first_reason(running, measure):
    controller = running()
    controller.latch("the monitor missed a heartbeat")
    controller.latch("something later")
    output = step_at(controller, measure, 500)
    assert (output.mode, output.reasons) == (Mode.FAULT, ("the monitor missed a heartbeat",))
    np.testing.assert_allclose(output.command, [0.6, 0.6])
    assert controller.counters["trips"] == 1


def test_a_doubt_from_outside_brakes_for_one_step_without_asking_the_policy(running, measure):
    controller = running()
    controller.hold("the cycle is late")
    output = step_at(controller, measure, 500)
    assert (output.mode, output.reasons, output.noise) == (Mode.HOLDING, ("the cycle is late",), None)
    assert controller.counters["holds"] == 1
    assert step_at(controller, measure, 600).mode is Mode.BLENDING


def test_a_fault_that_is_latched_before_activation_refuses_it(arm, measure):
    controller = Controller(arm, Steady(), 0, lambda: 0)
    controller.latch("the reload failed")
    assert controller.mode is Mode.INACTIVE
    assert controller.activate(0, measure()) == ("a fault is latched (the reload failed); reset it first",)


def test_another_policy_takes_over_from_the_last_command_sent_and_back(running, measure):
    class Reverse(Steady):
        noise_shape = (3, 2)

        def act(self, observation, noise):
            assert noise.shape == (3, 2)
            return PolicyAction(np.full(2, -0.8, np.float32), -1.0)

    controller = running()
    before = controller.policy, controller.guard
    controller.adopt(Reverse(), Objector("warn"))
    output = step_at(controller, measure, 500)
    np.testing.assert_allclose(output.command, [0.6, 0.6])  # one period of braking from 0.8
    assert output.mode is Mode.RUNNING
    assert len(output.warnings) == 1
    controller.adopt(*before)
    output = step_at(controller, measure, 600)
    np.testing.assert_allclose(output.command, [0.8, 0.8])
    assert output.warnings == ()


def test_a_policy_adopted_alone_keeps_the_guard(running, arm):
    guard = Guard(arm.safety)
    controller = running(guard=guard)
    controller.adopt(Steady(1.0))
    assert controller.guard is guard
    assert controller.policy.value == 1.0


def test_hold_and_stop_commands_keep_the_jerk_limit(running, make_arm, measure):
    controller = running(contract=make_arm("joint_velocity", ", jerk: 8.0"))
    for ms in range(500, 1200, 100):
        output = step_at(controller, measure, ms)
    np.testing.assert_allclose(output.command, [0.8, 0.8])
    easing = [0.76, 0.64, 0.45, 0.25, 0.09, 0.01, 0.0]
    np.testing.assert_allclose([c[0] for c in controller.stop_commands()], easing, atol=1e-12)
    controller.emergency_stop()
    sent = [step_at(controller, measure, ms).command[0] for ms in range(1200, 2000, 100)]
    np.testing.assert_allclose(sent, [*easing, 0.0], atol=1e-12)

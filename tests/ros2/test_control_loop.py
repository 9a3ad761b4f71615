"""The control thread, without ROS: a robot in memory and a period of a millisecond."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from divo_controller.control_loop import ControlLoop
from divo_controller.cycle import Cycle
from divo_runtime.controller import Controller, Mode
from divo_runtime.timing.loop import MonotonicClock
from loop_in_memory import FULL_SPEED, PATIENCE_S, ConstantPolicy, Notes, RobotInMemory, wait_until


@pytest.fixture
def make_loop(with_rate) -> Callable[..., tuple[ControlLoop, Controller, list[Cycle]]]:
    def make(robot: RobotInMemory, rehearsal_ns: int = 0):
        contract = with_rate(1000.0)
        controller = Controller(contract, ConstantPolicy(), 0, time.perf_counter_ns)
        assert controller.activate(robot.now_ns(), robot.measurements()) == ()
        crew = Notes()
        loop = ControlLoop(controller, robot, contract.period_ns, MonotonicClock(), crew, rehearsal_ns=rehearsal_ns)
        return loop, controller, crew.cycles

    return make


def test_brakes_and_falls_silent_when_stopped(make_loop):
    robot = RobotInMemory()
    loop, controller, cycles = make_loop(robot)
    loop.start()
    wait_until(lambda: robot.commands and robot.commands[-1] == pytest.approx(FULL_SPEED))

    assert loop.stop(PATIENCE_S)

    # 1 ms at 5 and 2.5 rad/s^2: steps of 0.005 and 0.0025, so 0.02 takes 4 and 8 commands
    assert [right for _, right in robot.commands[-9:-1]] == pytest.approx(
        [-0.02, -0.0175, -0.015, -0.0125, -0.01, -0.0075, -0.005, -0.0025], abs=1e-6
    )
    assert loop.failure is None
    assert controller.mode is Mode.INACTIVE
    assert [cycle.number for cycle in cycles] == list(range(1, len(cycles) + 1))


def test_an_exception_in_the_thread_brakes_the_robot_before_it_is_reported(make_loop):
    robot = RobotInMemory(fails_at=300)
    loop, controller, _ = make_loop(robot)
    loop.start()

    wait_until(lambda: loop.failure is not None)

    assert str(loop.failure) == "the cable is gone"
    assert robot.commands[298] == pytest.approx(FULL_SPEED)
    assert robot.commands[-1] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert controller.mode is Mode.INACTIVE
    assert loop.braked


def test_answers_requests_between_cycles_and_after_its_end(make_loop):
    robot = RobotInMemory()
    loop, controller, _ = make_loop(robot)
    loop.start()

    loop.ask(controller.emergency_stop)
    assert loop.ask(lambda: controller.mode) is Mode.FAULT
    with pytest.raises(ZeroDivisionError):
        loop.ask(lambda: 1 / 0)
    assert loop.stop(PATIENCE_S)

    assert loop.ask(lambda: 42) == 42
    assert loop.failure is None


def test_a_request_that_was_not_answered_in_time_is_not_done_later_unless_it_says_so(with_rate, monkeypatch):
    class Slow(ConstantPolicy):
        waits, goes_on = threading.Event(), threading.Event()

        def act(self, observation, noise):
            self.waits.set()
            self.goes_on.wait()
            return super().act(observation, noise)

    robot, policy, contract = RobotInMemory(), Slow(), with_rate(1000.0)
    controller = Controller(contract, policy, 0, time.perf_counter_ns)
    assert controller.activate(robot.now_ns(), robot.measurements()) == ()
    loop = ControlLoop(controller, robot, contract.period_ns, MonotonicClock(), Notes())
    loop.start()
    wait_until(policy.waits.is_set)
    monkeypatch.setattr("divo_controller.control_loop.ANSWER_TIMEOUT_S", 0.02)
    done: list[str] = []
    with pytest.raises(TimeoutError, match=r"within 0.02 s\.$"):
        loop.ask(lambda: done.append("dropped"))
    with pytest.raises(TimeoutError, match="still to be done"):
        loop.ask(lambda: done.append("late"), late=True)
    policy.goes_on.set()

    assert loop.stop(PATIENCE_S)
    assert done == ["late"]


def test_says_before_each_step_when_its_command_is_due(make_loop):
    robot = RobotInMemory()
    loop, _, cycles = make_loop(robot)
    crew = loop._crew
    loop.start()
    wait_until(lambda: len(cycles) >= 50)
    assert loop.stop(PATIENCE_S)

    steps = np.diff(crew.deadlines[: len(cycles)])
    missed = np.diff([cycle.missed for cycle in cycles])
    # one period per cycle, and one more for each deadline skipped; the time between two clock readings may pass
    assert np.abs(steps - 1_000_000 * (1 + missed)).max() < 1_000_000


def test_says_how_late_a_cycle_began_and_how_much_time_it_left(make_loop):
    robot = RobotInMemory()
    loop, _, cycles = make_loop(robot)
    loop.start()
    wait_until(lambda: len(cycles) >= 20)
    assert loop.stop(PATIENCE_S)

    for cycle in cycles:
        assert cycle.lateness_ns >= 0
        assert cycle.lateness_ns + cycle.total_ns + cycle.slack_ns <= 1_000_000


@pytest.mark.parametrize(("rehearsal_ns", "before"), [(300_000, 1), (0, 0)])
def test_the_first_cycle_is_rehearsed_before_the_clock_starts(make_loop, rehearsal_ns, before):
    loop, _, cycles = make_loop(RobotInMemory(), rehearsal_ns=rehearsal_ns)
    rehearsed, rehearsed_before = loop._crew.rehearsed, []
    loop._crew.begin = lambda deadline_ns: rehearsed_before.append(len(rehearsed))
    loop.start()
    wait_until(lambda: cycles)
    assert loop.stop(PATIENCE_S)
    assert rehearsed_before[0] == before


def test_a_cycle_is_rehearsed_with_what_has_come_while_the_policy_is_followed(make_loop):
    robot = RobotInMemory()
    loop, controller, cycles = make_loop(robot, rehearsal_ns=300_000)
    rehearsed = loop._crew.rehearsed
    loop.start()
    wait_until(lambda: len(rehearsed) >= 5)
    loop.ask(controller.emergency_stop)
    wait_until(lambda: cycles[-1].output.mode is Mode.FAULT)
    begun, stopped = len(rehearsed), len(cycles)
    wait_until(lambda: len(cycles) >= stopped + 20)
    assert loop.stop(PATIENCE_S)

    assert len(rehearsed) <= begun + 1
    for now_ns, measurements in rehearsed:
        assert 0 <= now_ns - measurements["joint_states"].stamp_ns < 1_000_000_000


def test_after_a_rehearsal_that_took_long_the_cycle_brakes_instead_of_asking_the_policy(make_loop):
    robot, slow = RobotInMemory(), threading.Event()
    loop, _, cycles = make_loop(robot, rehearsal_ns=300_000)
    loop._crew.rehearse = lambda now_ns, measurements: slow.is_set() and (slow.clear(), time.sleep(0.1))
    loop.start()
    wait_until(lambda: robot.commands and robot.commands[-1] == pytest.approx(FULL_SPEED))
    slow.set()
    wait_until(lambda: any("rehearsal" in " ".join(cycle.output.reasons) for cycle in cycles))
    wait_until(lambda: robot.commands[-1] == pytest.approx(FULL_SPEED))
    assert loop.stop(PATIENCE_S)

    late = [cycle for cycle in cycles if cycle.output.reasons]
    assert [cycle.output.mode for cycle in late] == [Mode.HOLDING]
    assert late[0].output.noise is None  # nobody asked the policy
    assert late[0].lateness_ns > 90_000_000
    assert loop.failure is None

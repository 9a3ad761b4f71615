"""The control thread, without ROS: a robot in memory and a period of a millisecond."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from divo_controller.control_loop import ControlLoop
from divo_controller.cycle import Cycle
from divo_controller.watchdog import Watchdog
from divo_runtime.controller import Controller, Mode
from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import Measurement
from divo_runtime.timing.loop import MonotonicClock

FULL_SPEED = [0.02, -0.02]
PATIENCE_S = 10.0


class ConstantPolicy:
    noise_shape = (1, 2)

    def act(self, observation, noise):
        return PolicyAction(np.array(FULL_SPEED, np.float32), 0.0)


class Notes:
    """A crew that keeps the cycles."""

    def __init__(self) -> None:
        self.cycles: list[Cycle] = []
        self.report = self.cycles.append
        self.deadlines: list[int] = []
        self.begin = self.deadlines.append
        self.rehearsed: list[tuple[int, Mapping[str, Measurement]]] = []

    def rehearse(self, now_ns, measurements) -> None:
        self.rehearsed.append((now_ns, measurements))

    def prepare(self) -> None:
        """Nothing to prepare."""

    def policy_name(self) -> str:
        return "constant"


class RobotInMemory:
    """Records commands; raises once, at the command of the given number."""

    def __init__(self, fails_at: int = 0) -> None:
        self.commands: list[list[float]] = []
        self.fails_at = fails_at
        message = SimpleNamespace(name=["left", "right"], position=[0.0, 0.0], velocity=[0.0, 0.0])
        self._measurements = {"joint_states": message}

    def measurements(self):
        return {topic: Measurement(message, self.now_ns()) for topic, message in self._measurements.items()}

    def now_ns(self) -> int:
        return time.time_ns()

    def publish(self, command, now_ns) -> None:
        if len(self.commands) + 1 == self.fails_at:
            self.fails_at = 0
            raise RuntimeError("the cable is gone")
        self.commands.append(command.tolist())


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


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


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


def test_a_robot_that_takes_no_more_commands_is_not_said_to_be_at_rest(slow_loop):
    robot = RobotInMemory()
    loop = slow_loop(robot)
    robot.fails_at = len(robot.commands) + 200
    wait_until(lambda: robot.fails_at == 0)  # the loop's command; then one while it brakes
    robot.fails_at = len(robot.commands) + 50

    wait_until(lambda: loop.over)
    assert str(loop.failure) == "the cable is gone"
    assert not loop.braked


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


def test_a_policy_that_hangs_loses_the_robot(with_rate):
    class HangingPolicy(ConstantPolicy):
        calls = 0
        released = threading.Event()

        def act(self, observation, noise):
            self.calls += 1
            if self.calls > 100:
                self.released.wait()
            return super().act(observation, noise)

    robot, policy = RobotInMemory(), HangingPolicy()
    contract = with_rate(1000.0)
    controller = Controller(contract, policy, 0, time.perf_counter_ns)
    assert controller.activate(robot.now_ns(), robot.measurements()) == ()
    loop = ControlLoop(controller, robot, contract.period_ns, MonotonicClock(), Notes())
    loop.start()
    wait_until(lambda: policy.calls == 101)

    watchdog = Watchdog(loop, silence_ns=20_000_000)
    watchdog.start()
    wait_until(lambda: loop.failure)

    assert "sent nothing for 20 ms" in str(loop.failure)
    assert robot.commands[-1] == pytest.approx([0.0, 0.0], abs=1e-6)
    sent = len(robot.commands)
    policy.released.set()
    assert loop.stop(PATIENCE_S)
    watchdog.stop()
    assert len(robot.commands) == sent
    assert controller.mode is Mode.INACTIVE
    assert "sent nothing" in controller.fault


def test_a_watchdog_leaves_a_loop_alone_that_keeps_sending(make_loop):
    robot = RobotInMemory()
    loop, _, cycles = make_loop(robot)
    loop.start()
    watchdog = Watchdog(loop, silence_ns=2_000_000_000)
    watchdog.start()
    wait_until(lambda: len(cycles) >= 50)
    watchdog.stop()

    assert loop.failure is None
    assert loop.stop(PATIENCE_S)


def test_a_rescue_does_not_wait_for_a_command_that_hangs_on_its_way(with_rate):
    class StuckRobot(RobotInMemory):
        stuck, released = threading.Event(), threading.Event()

        def publish(self, command, now_ns):
            if len(self.commands) == 100 and not self.stuck.is_set():
                self.stuck.set()
                self.released.wait()
            super().publish(command, now_ns)

    robot = StuckRobot()
    contract = with_rate(1000.0)
    controller = Controller(contract, ConstantPolicy(), 0, time.perf_counter_ns)
    assert controller.activate(robot.now_ns(), robot.measurements()) == ()
    loop = ControlLoop(controller, robot, contract.period_ns, MonotonicClock(), Notes())
    loop.start()
    wait_until(robot.stuck.is_set)

    wait_until(lambda: loop.rescue(silence_ns=20_000_000))

    assert robot.commands[-1] == pytest.approx([0.0, 0.0], abs=1e-6)
    robot.released.set()
    assert loop.stop(PATIENCE_S)


@pytest.fixture
def slow_loop(with_rate):
    """Return a function that makes a loop of 1000 Hz whose robot takes 0.4 s to brake, and what it commands."""

    def make(robot: RobotInMemory) -> ControlLoop:
        contract = with_rate(1000.0)
        limits = tuple(msgspec.structs.replace(one, acceleration=0.05) for one in contract.safety.limits)
        safety = msgspec.structs.replace(contract.safety, limits=limits)
        contract = msgspec.structs.replace(contract, safety=safety)
        controller = Controller(contract, ConstantPolicy(), 0, time.perf_counter_ns)
        assert controller.activate(robot.now_ns(), robot.measurements()) == ()
        loop = ControlLoop(controller, robot, contract.period_ns, MonotonicClock(), Notes())
        loop.start()
        wait_until(lambda: robot.commands and robot.commands[-1] == pytest.approx(FULL_SPEED))
        return loop

    return make


def speeds_after(robot: RobotInMemory, sent: int) -> np.ndarray:
    return np.array([left for left, _ in robot.commands[sent:]])


def test_braking_that_takes_longer_than_the_watchdog_s_patience_is_left_alone(slow_loop):
    robot = RobotInMemory()
    loop = slow_loop(robot)
    watchdog = Watchdog(loop, silence_ns=150_000_000)
    watchdog.start()
    sent = len(robot.commands)
    assert loop.stop(0.2)  # which is patience with silence, not with braking
    watchdog.stop()

    assert loop.failure is None
    speeds = speeds_after(robot, sent)
    assert speeds[-1] == 0.0
    assert (np.diff(speeds) <= 0.0).all()


def test_a_rescue_from_a_loop_that_hangs_while_it_brakes_goes_on_from_there(slow_loop):
    class StuckRobot(RobotInMemory):
        stuck, released = threading.Event(), threading.Event()

        def publish(self, command, now_ns):
            if 0.0 < command[0] < 0.01 and not self.stuck.is_set():
                self.stuck.set()
                self.released.wait()
            super().publish(command, now_ns)

    robot = StuckRobot()
    robot.stuck.set()  # not on the way up
    loop = slow_loop(robot)
    robot.stuck.clear()
    sent = len(robot.commands)
    stopping = threading.Thread(target=loop.stop, args=(PATIENCE_S,))
    stopping.start()
    wait_until(robot.stuck.is_set)
    wait_until(lambda: loop.rescue(silence_ns=20_000_000))

    speeds = speeds_after(robot, sent)
    assert speeds[-1] == 0.0
    assert (np.diff(speeds) <= 0.0).all()
    robot.released.set()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()


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

"""The control thread and its watchdog, without ROS: who brakes the robot, how long that may take, and what hangs."""

from __future__ import annotations

import threading
import time

import msgspec
import numpy as np
import pytest

from divo_controller.control_loop import ControlLoop
from divo_controller.watchdog import Watchdog
from divo_runtime.controller import Controller, Mode
from divo_runtime.timing.loop import MonotonicClock
from loop_in_memory import FULL_SPEED, PATIENCE_S, ConstantPolicy, Notes, RobotInMemory, wait_until


def speeds_after(robot: RobotInMemory, sent: int) -> np.ndarray:
    return np.array([left for left, _ in robot.commands[sent:]])


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


def test_a_robot_that_takes_no_more_commands_is_not_said_to_be_at_rest(slow_loop):
    robot = RobotInMemory()
    loop = slow_loop(robot)
    robot.fails_at = len(robot.commands) + 200
    wait_until(lambda: robot.fails_at == 0)  # the loop's command; then one while it brakes
    robot.fails_at = len(robot.commands) + 50

    wait_until(lambda: loop.over)
    assert str(loop.failure) == "the cable is gone"
    assert not loop.braked


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


def test_a_watchdog_leaves_a_loop_alone_that_keeps_sending(slow_loop):
    robot = RobotInMemory()
    loop = slow_loop(robot)
    sent = len(robot.commands)
    watchdog = Watchdog(loop, silence_ns=2_000_000_000)
    watchdog.start()
    wait_until(lambda: len(robot.commands) >= sent + 50)
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

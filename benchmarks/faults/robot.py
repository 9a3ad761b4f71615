"""The robot of the fault table as a process: sends its states, spoiled as ordered, and moves as it is commanded.

Started as `python -m benchmarks.faults.robot`; takes orders on stdin. On the topic `truth` it says how it really moves,
which is for the observer alone.
"""

from __future__ import annotations

import signal
import sys
from time import monotonic, time_ns
from typing import Any

import numpy as np

from benchmarks.faults.child import Orders
from benchmarks.faults.contract import fault_contract
from benchmarks.faults.fault import Fault
from benchmarks.faults.messages import Message, copy_fields, robot_messages
from benchmarks.faults.plant import Plant
from benchmarks.faults.spoilers import Spoil, leave_alone
from benchmarks.faults.table import fault_named
from divo_runtime.timing.loop import MonotonicClock, run_loop
from divo_runtime.timing.realtime import freeze_garbage, prepare_thread, raise_other_threads
from divo_sim.ros_messages import ros_class

DETUNING = 1.037
"""States per control cycle; not 1, so that the phase between robot and controller passes through every value."""

SLOW = ("goal",)
SLOW_EVERY = 10
PRIORITY = 50
"""SCHED_FIFO priority where it is permitted: that of ros2_control's controller manager."""

TRUTH = "truth"
MOST_COMMANDS = 100


class Robot:
    """Plant, topics and orders.

    Args:
        node: A ROS node.
        simulated: Publish `/clock` and stamp by it.
    """

    def __init__(self, node: Any, simulated: bool) -> None:
        contract = fault_contract()
        self._plant = Plant(contract.action.names, monotonic())
        self._spoil: Spoil = leave_alone(np.random.default_rng())
        self._kinds = {topic: ros_class(kind) for topic, kind in contract.topics.items()}
        self._out = {topic: node.create_publisher(kind, topic, 1) for topic, kind in self._kinds.items()}
        joint_states = ros_class("sensor_msgs/msg/JointState")
        self._truth, self._truth_kind = node.create_publisher(joint_states, TRUTH, 100), joint_states
        self._stop = node.create_publisher(ros_class("std_msgs/msg/Empty"), "emergency_stop", 10)
        self._command_kind = ros_class(contract.action.type)
        self._commands = node.create_subscription(self._command_kind, contract.action.topic, _ignore, MOST_COMMANDS)
        self._clock_kind = ros_class("rosgraph_msgs/msg/Clock") if simulated else None
        self._clock = node.create_publisher(self._clock_kind, "/clock", 10) if simulated else None
        self._shift_ns = 0
        self._ticks, self._sent = 0, 0
        self._ends_ns = 0
        self._ticked_s, self._late_s = monotonic(), 0.0
        self.orders = Orders()

    def tick(self, now_ns: int) -> None:
        """Obey, move, speak."""
        for order in self.orders.take():
            self._obey(order)
        if self._ends_ns and time_ns() >= self._ends_ns:
            self._end()
        now_s = monotonic()
        self._late_s = max(self._late_s, now_s - self._ticked_s)
        self._ticked_s = now_s
        with self._commands.handle:
            while taken := self._commands.handle.take_message(self._command_kind, False):
                self._plant.command(list(taken[0].data), now_s)
        self._plant.advance(now_s)
        self._ticks += 1
        self._speak(now_s)

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "inject":
            fault, rng = fault_named(order["fault"]), np.random.default_rng(order["seed"])
            injected_ns = time_ns()
            self._inject(fault, rng)
            self._ends_ns = injected_ns + round(order["ends_ms"] * 1e6) if order["ends_ms"] else 0
            self.orders.answer(injected_ns=injected_ns)
        elif order["do"] == "end":
            self._end()
            self.orders.answer(ended_ns=time_ns())
        else:
            self.orders.answer(late_ms=self._late_s * 1e3, sent=self._sent)
            self._late_s, self._sent = 0.0, 0

    def _inject(self, fault: Fault, rng: np.random.Generator) -> None:
        self._spoil = fault.spoil(rng)
        self._plant.held = {self._plant.names.index(joint): value for joint, value in fault.hold.items()}
        self._plant.spinning = {self._plant.names.index(joint): value for joint, value in fault.spin.items()}
        if fault.act in ("clock back", "clock ahead"):
            self._shift_ns += -5_000_000_000 if fault.act == "clock back" else 5_000_000_000
        if fault.act == "emergency stop":
            self._stop.publish(ros_class("std_msgs/msg/Empty")())

    def _end(self) -> None:
        self._spoil, self._ends_ns = leave_alone(np.random.default_rng()), 0
        for joint in self._plant.held:
            self._plant.positions[joint] = 0.0
        self._plant.held, self._plant.spinning = {}, {}

    def _speak(self, now_s: float) -> None:
        stamp_ns = time_ns() + self._shift_ns
        if self._clock and self._clock_kind:
            clock = self._clock_kind()
            clock.clock.sec, clock.clock.nanosec = divmod(stamp_ns, 1_000_000_000)
            self._clock.publish(clock)
        for topic, message in robot_messages(self._plant, stamp_ns, now_s).items():
            if topic in SLOW and self._ticks % SLOW_EVERY:
                continue
            last: tuple[Message, Any] | None = None
            for sent in self._spoil(topic, message, stamp_ns):
                if last is None or sent is not last[0]:
                    last = sent, copy_fields(sent, self._kinds[topic]())
                self._out[topic].publish(last[1])
                self._sent += topic == "joint_states"
        truth = self._truth_kind(position=self._plant.positions, velocity=self._plant.velocities)
        self._truth.publish(truth)


def main() -> None:
    """Run until the orders end or SIGINT comes."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    robot = Robot(rclpy.create_node("faulty_robot"), "--simulated" in sys.argv)
    period_ns = round(fault_contract().period_ns / DETUNING)
    freeze_garbage()  # before it has priority: this is long enough to keep a controller on the same core from its work
    refused = raise_other_threads(PRIORITY) + prepare_thread(PRIORITY)
    sys.stderr.write("".join(f"{warning}\n" for warning in refused))
    run_loop(period_ns, MonotonicClock(), robot.tick, lambda: robot.orders.over)
    rclpy.shutdown()


def _ignore(message: Any) -> None:
    """Stand for the callback that rclpy asks for; messages are taken by `tick`."""


if __name__ == "__main__":
    main()

"""A simulated robot on ROS 2 topics, in real time, as ros2_control or a base's driver would offer the physical one.

Publishes the contract's inputs and takes commands on the contract's command topic. Physics runs in a thread of
its own on absolute deadlines; callbacks only leave commands and requests for it.
"""

from __future__ import annotations

import json
import shlex
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from threading import Event, Thread
from time import time_ns
from typing import Any, Literal

import tyro

from divo_runtime.contract import Contract
from divo_runtime.timing.loop import MonotonicClock, run_loop
from divo_sim import arm_scene, maze_scene
from divo_sim.arm_body import simulated_arm
from divo_sim.base_body import simulated_base
from divo_sim.contracts import arm_reach_contract, base_maze_contract
from divo_sim.maze_map import MapName
from divo_sim.robot_recorder import RobotRecorder
from divo_sim.ros_messages import RosError, copy_message, ros_class
from divo_sim.simulated_robot import EpisodeRecord, SimulatedRobot

SLOW_TOPICS_HZ = {"goal": 20.0, "post": 20.0, "scan": 40.0}
"""How often a camera or a laser scanner publishes [Hz]."""
ANSWER_TIMEOUT_S = 2.0
CATCH_UP_S = 0.05
"""Most time made up at once after the machine was busy; more is dropped, and simulated time with it."""


@dataclass(frozen=True, slots=True)
class RobotCommand:
    """Run a simulated robot on ROS 2 topics, until Ctrl-C: the Panda, or the base in a maze.

    An episode is set up with the node's parameter `seed` and its service `~/reset` (std_srvs/Trigger). It begins with
    the first command after that and ends on arrival or at the task's limit of control periods (120 for the arm);
    `~/episode` then holds it as JSON.
    """

    task: Literal["arm_reach", "base_maze"] = "arm_reach"
    """Simulated task."""
    map: MapName = "medium"
    """Map of base_maze; episodes go over its far pairs."""

    seed: int = 0
    """Seed of the first episode."""
    state_rate_hz: float = 120.0
    """Rate of joint states and tool pose, or of odometry [Hz]; a divisor of 240, for base_maze of 120."""
    timeout_s: float = 0.2
    """Without commands for longer than this, the robot brakes to rest [s]."""
    record: Path | None = None
    """Record the robot's topics and the commands to this .mcap file, or to a new file in this folder."""
    ros_args: str = ""
    """Arguments for ROS in one text, such as --ros-args="-r __ns:=/left"."""

    def run(self) -> None:
        """Run until SIGINT or SIGTERM.

        Raises:
            RosError: If rclpy or a message package cannot be imported.
            ValueError: If the rate is no divisor of the physics' rate.
        """
        if self.state_rate_hz <= 0 or self.physics_hz % self.state_rate_hz:
            raise ValueError(f"Expected state_rate_hz to divide {self.physics_hz}, got {self.state_rate_hz:g}")
        try:
            import rclpy
            from rclpy.executors import SingleThreadedExecutor
            from rclpy.signals import SignalHandlerOptions
        except ImportError as error:
            raise RosError(
                "The simulated robot needs rclpy.",
                got=str(error),
                fix='source /opt/ros/<distribution>/setup.bash, or without a distribution: pip install "divo[ros]"',
            ) from error
        stop_signals = {signal.SIGINT, signal.SIGTERM}
        for number in stop_signals:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
        arguments = ["--ros-args", *shlex.split(self.ros_args)] if self.ros_args else []
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node("divo_robot")
        contract = base_maze_contract() if self.task == "base_maze" else arm_reach_contract()
        robot = RobotNode(node, contract, self)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        stopping = Event()

        def move_messages() -> None:
            while not stopping.is_set():
                executor.spin_once()

        messages = Thread(target=move_messages, name="executor", daemon=True)
        messages.start()
        while messages.is_alive() and robot.alive and signal.sigtimedwait(stop_signals, 0.5) is None:
            pass
        failed = not (messages.is_alive() and robot.alive)
        executor.create_task(stopping.set)  # a callback, since waking alone does not end `spin_once`
        messages.join()
        robot.stop()
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
        if failed:
            raise SystemExit(1)

    @property
    def physics_hz(self) -> int:
        """Rate of the task's physics."""
        return maze_scene.PHYSICS_HZ if self.task == "base_maze" else arm_scene.PHYSICS_HZ

    def make_robot(self, contract: Contract) -> SimulatedRobot:
        """Return the robot of the task, set up with the first episode."""
        if self.task == "base_maze":
            return simulated_base(contract, self.map, self.seed, self.timeout_s)
        return simulated_arm(contract, self.seed, self.timeout_s)


class RobotNode:
    """Topics and services of a simulated robot.

    Args:
        node: A ROS node.
        contract: Contract of the task.
        settings: The task, rates and timeouts.
    """

    def __init__(self, node: Any, contract: Contract, settings: RobotCommand) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
        from std_msgs.msg import String
        from std_srvs.srv import Trigger

        self._node = node
        self._robot = settings.make_robot(contract)
        self._hz = settings.physics_hz
        self._catch_up = round(CATCH_UP_S * self._hz)
        twist = contract.action.type == "geometry_msgs/msg/TwistStamped"
        parts = [attrgetter(f"twist.{name}") for name in contract.action.names]
        self._values: Callable[[Any], Any] = (
            (lambda message: [part(message) for part in parts]) if twist else attrgetter("data")
        )
        self._commands: deque[Any] = deque()
        self._requests: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stop = Event()
        self._steps = 0
        self._begun_ns = 0
        self._published: EpisodeRecord | None = None
        self._string = String
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self._episodes = node.create_publisher(String, "~/episode", latched)
        self._publishers = {
            topic: (
                node.create_publisher(ros_class(kind), topic, 10),
                round(self._hz / SLOW_TOPICS_HZ.get(topic, settings.state_rate_hz)),
                ros_class(kind)(),
            )
            for topic, kind in contract.topics.items()
        }
        node.declare_parameter("seed", settings.seed)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        node.create_subscription(ros_class(contract.action.type), contract.action.topic, self._on_command, newest)
        node.create_service(Trigger, "~/reset", self._on_reset)
        self._recorder = RobotRecorder(settings.record, contract, node.resolve_topic_name) if settings.record else None
        self._command_topic = contract.action.topic
        self._thread = Thread(target=self._run, name="physics", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether physics still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the physics thread."""
        self._stop.set()
        self._thread.join()
        if self._recorder:
            self._recorder.close()
            if self._recorder.problem:
                self._node.get_logger().error(f"The recording is not complete: {self._recorder.problem}")
        self._robot.close()

    def _run(self) -> None:
        self._begun_ns = MonotonicClock().now_ns()
        run_loop(round(1e9 / self._hz), MonotonicClock(), self._tick, self._stop.is_set)

    def _tick(self, now_ns: int) -> None:
        """Bring physics up to the wall clock, taking in what has arrived and publishing what is due."""
        while self._requests:
            action, answer = self._requests.popleft()
            answer.set_result(action())
        while self._commands:
            self._robot.command(self._values(self._commands.popleft()))
        due = (now_ns - self._begun_ns) * self._hz // 1_000_000_000 + 1
        behind = due - self._steps
        if behind > self._catch_up:
            self._begun_ns += (behind - 1) * 1_000_000_000 // self._hz
            self._node.get_logger().warning(f"{behind - 1} physics steps dropped: the machine is too busy.")
            behind = 1
        before = self._steps
        for _ in range(behind):
            self._robot.advance()
        self._steps += behind
        self._publish(before)
        if self._robot.record is not self._published and self._robot.record is not None:
            self._published = self._robot.record
            told = self._string(data=json.dumps(asdict(self._published)))
            self._episodes.publish(told)
            self._record("~/episode", told)

    def _publish(self, before: int) -> None:
        """Publish each topic whose turn came since step number `before`."""
        due = [topic for topic, (_, every, _) in self._publishers.items() if self._steps // every > before // every]
        if not due:
            return
        plain = self._robot.messages(self._node.get_clock().now().nanoseconds)
        for topic in due:
            publisher, _, message = self._publishers[topic]
            publisher.publish(copy_message(plain[topic], message))
            self._record(topic, plain[topic])

    def _record(self, topic: str, message: Any) -> None:
        if self._recorder:
            self._recorder.add(topic, message, time_ns())

    def _on_command(self, message: Any) -> None:
        self._record(self._command_topic, message)
        self._commands.append(message)

    def _on_reset(self, request: Any, response: Any) -> Any:
        seed = int(self._node.get_parameter("seed").value)
        answer: Future[Any] = Future()
        self._requests.append((lambda: self._reset(seed), answer))
        answer.result(ANSWER_TIMEOUT_S)
        response.success, response.message = True, f"Seed {seed}; the episode begins with the first command."
        return response

    def _reset(self, seed: int) -> None:
        self._commands.clear()
        self._robot.reset(seed)


if __name__ == "__main__":
    tyro.cli(RobotCommand).run()

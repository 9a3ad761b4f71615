"""A robot with two joints on real ROS topics, in the test's own process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from divo_runtime.contract import Contract
from divo_sim.ros_client import SETTLE_S

CONTRACT = """
schema: 1
name: two_joints
rate_hz: 50
observation:
  - {name: position, topic: joint_states, type: sensor_msgs/msg/JointState, field: position, joints: [left, right],
     unit: rad, max_age_ms: 200}
  - {name: velocity, topic: joint_states, type: sensor_msgs/msg/JointState, field: velocity, joints: [left, right],
     unit: rad/s, max_age_ms: 200}
action:
  kind: joint_velocity
  names: [left, right]
  unit: rad/s
  lower: [-0.8, -0.8]
  upper: [0.8, 0.8]
  topic: commands
  type: std_msgs/msg/Float64MultiArray
safety:
  measured_position: position
  measured_velocity: velocity
  blend_s: 0.1
  fault_after_ms: 400
  limits:
    - {name: left, position: [-3.0, 3.0], velocity: 1.0, acceleration: 5.0}
    - {name: right, position: [-3.0, 3.0], velocity: 1.0, acceleration: 2.5}
"""
STATE_PERIOD_S = 0.01
PATIENCE_S = 20.0
"""Far longer than anything takes; a test that waits this long has failed."""


class Robot:
    """Two joints on ROS topics, and an observer of everything the controller says.

    Nothing runs by itself: `wait_for` publishes states and takes in messages until a condition holds.
    """

    def __init__(self, node, executor, contract: Contract) -> None:
        from diagnostic_msgs.msg import DiagnosticStatus
        from rclpy.qos import QoSProfile
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray

        self.node, self._executor, self._contract = node, executor, contract
        self._controller = "divo_controller"
        self.message = JointState(name=["left", "right"], position=[0.3, -0.2], velocity=[0.0, 0.0])
        self.publishing = True
        self.others: list[Robot] = []
        """Robots on the same executor, which speak whenever this one does."""
        self.act: Callable[[], object] = lambda: None
        """Called at every state."""
        self._settled: set[object] = set()
        self.commands: list[np.ndarray] = []
        self.timings: list[list[float]] = []
        self.status = DiagnosticStatus()
        self.simulated_s: float | None = None
        """Time to publish on `/clock` and to stamp with; it advances with every state."""
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._states = node.create_publisher(JointState, "joint_states", 10)
        self._clients: dict[str, object] = {}
        self.subscribe(Float64MultiArray, contract.action.topic, lambda m: self.commands.append(np.array(m.data)))
        deep = QoSProfile(depth=1000)
        self.subscribe(
            Float64MultiArray, f"{self._controller}/timing", lambda m: self.timings.append(list(m.data)), deep
        )
        self.subscribe(DiagnosticStatus, f"{self._controller}/status", lambda m: setattr(self, "status", m))

    def subscribe(self, kind, topic: str, take: Callable, qos=100) -> None:
        self.node.create_subscription(kind, topic, take, qos)

    def wait_for(self, condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
        deadline, due = time.monotonic() + timeout_s, 0.0
        while not condition():
            now = time.monotonic()
            assert now < deadline, f"waited {timeout_s:g} s in vain for: {what}; status {self.status.message!r}"
            if now >= due:
                for robot in (self, *self.others):
                    robot.speak()
                due = now + STATE_PERIOD_S
            self._executor.spin_once(timeout_sec=0.002)

    def speak(self) -> None:
        """Publish the state, and whatever the test does beside."""
        if self.publishing:
            self.message.header.stamp = self._now()
            self._states.publish(self.message)
        self.act()

    def _now(self):
        from rclpy.time import Time
        from rosgraph_msgs.msg import Clock

        if self.simulated_s is None:
            return self.node.get_clock().now().to_msg()
        self.simulated_s += STATE_PERIOD_S
        stamp = Time(nanoseconds=round(self.simulated_s * 1e9)).to_msg()
        self._clock.publish(Clock(clock=stamp))
        return stamp

    def wait_for_commands(self, count: int) -> None:
        wanted = len(self.commands) + count
        self.wait_for(lambda: len(self.commands) >= wanted, f"{count} more commands")

    def wait_for_mode(self, mode: str) -> None:
        self.wait_for(lambda: self.values.get("mode") == mode, f"mode {mode}")

    @property
    def values(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self.status.values}

    def client(self, kind, service: str):
        """A client of one of the controller's own services, made once."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, f"{self._controller}/{service}")
        return self._clients[service]

    def call(self, client, request):
        self.wait_for(client.service_is_ready, f"service {client.srv_name}")
        if client not in self._settled:
            self._settled.add(client)
            settled = time.monotonic() + SETTLE_S
            self.wait_for(lambda: time.monotonic() >= settled, "the other side of the service")
        future = client.call_async(request)
        self.wait_for(future.done, f"answer of {client.srv_name}")
        return future.result()

    def change_state(self, transition: str) -> bool:
        """Request `configure`, `activate`, `deactivate`, `cleanup` or `shutdown`; return whether it succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        prefix = f"{self.state().upper()}_" if transition == "shutdown" else ""
        number = getattr(Transition, f"TRANSITION_{prefix}{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(self.client(ChangeState, "change_state"), request).success

    def state(self) -> str:
        from lifecycle_msgs.srv import GetState

        return self.call(self.client(GetState, "get_state"), GetState.Request()).current_state.label

    def trigger(self, name: str):
        from std_srvs.srv import Trigger

        return self.call(self.client(Trigger, name), Trigger.Request())

    def set_parameter(self, name: str, value: object):
        """Set a parameter of the controller; return rcl_interfaces/SetParametersResult."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(self.client(SetParameters, "set_parameters"), request).results[0]

    @property
    def timing_fields(self) -> tuple[str, ...]:
        """Names of the numbers in `timings`."""
        from divo_controller.diagnostics import TIMING_FIELDS

        return TIMING_FIELDS

    def start_policy(self) -> None:
        assert self.change_state("configure")
        self.wait_for(lambda: self.change_state("activate"), "activation")

    def check_commands(self) -> None:
        """Finite, inside the velocity limits, and never changing faster than the acceleration limits, from rest on."""
        limits = self._contract.limits()
        velocity = np.array([limit.velocity for limit in limits])
        step = np.array([limit.acceleration for limit in limits]) * self._contract.period_s
        previous = np.zeros(len(limits))
        for number, command in enumerate(self.commands):
            assert np.isfinite(command).all(), f"command {number}: {command}"
            assert (np.abs(command) <= velocity).all(), f"command {number}: {command}"
            assert (np.abs(command - previous) <= step + 1e-12).all(), f"command {number}: {previous} to {command}"
            previous = command


@contextmanager
def robots_on(domain: int, contract: Contract, namespaces: tuple[str, ...]) -> Iterator[list[Robot]]:
    """Give robots; afterwards, every command that they have seen is checked against the contract's limits."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    context = Context()
    rclpy.init(context=context, domain_id=domain)
    executor = SingleThreadedExecutor(context=context)
    nodes = [rclpy.create_node("robot", namespace=namespace, context=context) for namespace in namespaces]
    robots = [Robot(node, executor, contract) for node in nodes]
    for node in nodes:
        executor.add_node(node)
    for robot in robots:
        robot.others = [other for other in robots if other is not robot]
    yield robots
    executor.shutdown()
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)
    for robot in robots:
        robot.check_commands()

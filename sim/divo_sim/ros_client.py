"""A ROS node that asks others and waits for their answers, with deadlines; nothing runs between its calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from divo_runtime.errors import DivoError
from divo_sim.ros_messages import RosError

SPIN_S = 0.02
"""Longest time between two looks at a condition that no message announces [s]."""

SETTLE_S = 0.3
"""A service is ready for this side before its own side knows where to answer. It waits 0.1 s for that, then drops the
answer for good (ros2/rmw_fastrtps issue 842), so the first request of each service waits a little longer [s]."""


class NoAnswerError(DivoError):
    """Something that was waited for did not come in time."""


class RosClient:
    """A node with its own context and executor. Call `close` when done.

    Args:
        name: Name of the node.
        domain: ROS domain.
        watch: Called while waiting; raises if waiting further makes no sense.

    Raises:
        RosError: If rclpy cannot be imported.
    """

    def __init__(self, name: str, domain: int, watch: Callable[[], None]) -> None:
        try:
            import rclpy
            from rclpy.context import Context
            from rclpy.executors import SingleThreadedExecutor
            from rclpy.signals import SignalHandlerOptions
        except ImportError as error:
            raise RosError(
                "Validation over ROS 2 topics needs rclpy.",
                got=str(error),
                fix='source /opt/ros/<distribution>/setup.bash, or without a distribution: pip install "divo[ros]"',
            ) from error
        self._watch = watch
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._clients: dict[str, Any] = {}

    def now_ns(self) -> int:
        """Return the time in which messages are stamped [ns]."""
        return int(self._node.get_clock().now().nanoseconds)

    def subscribe(self, kind: type[Any], topic: str, take: Callable[[Any], None], qos: Any) -> None:
        """Call `take` with every message of a topic."""
        self._node.create_subscription(kind, topic, take, qos)

    def call(self, kind: type[Any], service: str, request: Any, timeout_s: float) -> Any:
        """Return the answer of a service.

        Raises:
            NoAnswerError: If the service does not appear or does not answer in time.
        """
        new = service not in self._clients
        if new:
            self._clients[service] = self._node.create_client(kind, service)
        client = self._clients[service]
        self.wait_for(client.service_is_ready, f"the service {service}", timeout_s)
        if new:
            self.take_in(SETTLE_S)
        answer = client.call_async(request)
        self.wait_for(answer.done, f"the answer of {service}", timeout_s)
        return answer.result()

    def wait_for(self, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        """Take in messages until `condition` holds.

        Raises:
            NoAnswerError: If it does not within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._watch()
            if time.monotonic() > deadline:
                raise NoAnswerError(f"Waited {timeout_s:g} s in vain for {what}.")
            self._executor.spin_once(timeout_sec=SPIN_S)

    def take_in(self, duration_s: float) -> None:
        """Take in messages for a while."""
        deadline = time.monotonic() + duration_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

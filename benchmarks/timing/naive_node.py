"""The control arm: a policy node as it is usually written, an rclpy timer that runs onnxruntime in its callback.

Newest message kept by subscription callbacks, one timer at the control rate, default executor, default session, and no
safety gate at all. The only addition is that it publishes the times of each cycle as our node does.
"""

from __future__ import annotations

import signal
from array import array
from pathlib import Path
from time import perf_counter_ns, time_ns
from typing import Any

import numpy as np
import tyro

from benchmarks.timing.robot_messages import stamp_ns
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.contract import Contract
from divo_runtime.fields import reader
from divo_sim.ros_messages import ros_class

FIELDS = (
    "cycle",
    "missed",
    "lateness_us",
    "observation_us",
    "policy_us",
    "publish_us",
    "total_us",
    "time_s",
    "input_age_ms",
    "newest_age_ms",
)

TIMING_DEPTH = 1000


class TimerSchedule:
    """When the calls of an rclpy timer were due; missed deadlines are counted as in `timing.loop`.

    The timer keeps to an absolute schedule and skips whole periods when it is late, so what was due is what it said at
    the last call would be next.

    Args:
        period_ns: Period [ns], > 0.
    """

    def __init__(self, period_ns: int) -> None:
        self.missed = 0
        """Deadlines that passed before the call due by then was over."""
        self._period_ns = period_ns
        self._due_ns: int | None = None
        self._next_ns: int | None = None

    def begin(self, now_ns: int, until_next_ns: int) -> int:
        """Note that a call begins and return how late it is [ns].

        Args:
            now_ns: Steady time [ns].
            until_next_ns: What the timer says is left until its next call [ns].
        """
        following_ns = now_ns + until_next_ns
        self._due_ns = following_ns - self._period_ns if self._next_ns is None else self._next_ns
        self._next_ns = following_ns
        return now_ns - self._due_ns

    def end(self, now_ns: int) -> None:
        """Note that the call is over."""
        assert self._due_ns is not None, "a call ends after it began"
        self.missed += max((now_ns - self._due_ns - 1) // self._period_ns, 0)


class NaiveNode:
    """One node of the usual kind.

    Args:
        node: A ROS node.
        contract: Names topics and order; joints are taken in the order in which they come.
        session: ONNX Runtime session of the policy.
        noise_shape: What the session wants as noise.
    """

    def __init__(self, node: Any, contract: Contract, session: Any, noise_shape: list[int]) -> None:
        self._contract, self._session, self._noise_shape = contract, session, noise_shape
        self._terms = [(term, reader(term.field, term.layout, term.components)) for term in contract.observation]
        self._newest: dict[str, Any] = {}
        self._rng = np.random.default_rng(0)
        self._command_type = ros_class("std_msgs/msg/Float64MultiArray")
        self._command = node.create_publisher(self._command_type, contract.action.topic, 10)
        self._timing = node.create_publisher(self._command_type, "divo_controller/timing", TIMING_DEPTH)
        dimension = ros_class("std_msgs/msg/MultiArrayDimension")
        self._timing_message = self._command_type()
        self._timing_message.layout.dim = [dimension(label=",".join(FIELDS), size=len(FIELDS), stride=len(FIELDS))]
        for topic, kind in contract.topics.items():
            node.create_subscription(ros_class(kind), topic, lambda m, t=topic: self._newest.__setitem__(t, m), 10)
        self._cycle = 0
        self._schedule = TimerSchedule(contract.period_ns)
        self._timer = node.create_timer(contract.period_s, self._on_timer)

    def _on_timer(self) -> None:
        begun_ns, now_ns = perf_counter_ns(), time_ns()
        late_ns = self._schedule.begin(begun_ns, self._timer.time_until_next_call())
        if len(self._newest) < len(self._contract.topics):
            return
        values: dict[str, Any] = {}
        for term, read in self._terms:
            value = read(self._newest[term.topic])
            values[term.name] = value - values[term.relative_to] if term.relative_to else value
        observation = np.concatenate(list(values.values())).astype(np.float32)[None]
        observed_ns = perf_counter_ns()
        noise = self._rng.standard_normal(self._noise_shape, dtype=np.float32)
        action = self._session.run(["action"], {"observation": observation, "noise": noise})[0][0]
        decided_ns = perf_counter_ns()
        self._command.publish(self._command_type(data=action.tolist()))
        end_ns = perf_counter_ns()

        self._cycle += 1
        ages_ms = [(now_ns - stamp_ns(message)) / 1e6 for message in self._newest.values()]
        times_ns = (late_ns, observed_ns - begun_ns, decided_ns - observed_ns, end_ns - decided_ns)
        row = [self._cycle, self._schedule.missed, *(ns / 1e3 for ns in times_ns), (end_ns - begun_ns) / 1e3]
        self._timing_message.data = array("d", [*row, now_ns / 1e9, max(ages_ms), min(ages_ms)])
        self._timing.publish(self._timing_message)
        self._schedule.end(perf_counter_ns())


def main(bundle: Path, policy: str = "actor") -> None:
    """Run the node until it is interrupted.

    Args:
        bundle: Bundle folder.
        policy: Which of its networks.
    """
    import onnxruntime
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    with load_bundle(bundle) as loaded:
        contract = loaded.contract
    session = onnxruntime.InferenceSession(str(bundle / f"{policy}.onnx"))
    (noise,) = (node for node in session.get_inputs() if node.name == "noise")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell has started this in the background
    # rclpy's own handler would take the context away in the middle of a callback that still publishes
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("naive_controller")
    NaiveNode(node, contract, session, noise.shape)
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    tyro.cli(main)

"""A robot that only talks: publishes stamped states, takes in commands and `~/timing`, and writes down their times.

One thread does everything: it publishes on absolute deadlines and then empties the queues of what has arrived. When a
message arrived is noted by the middleware's own thread, so this process's slowness is not part of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

import numpy as np
import tyro

from benchmarks.timing.robot_messages import observation_messages, stamp
from divo_runtime.bundle.loading import load_bundle
from divo_runtime.errors import DivoError
from divo_runtime.timing.loop import LoopStats, MonotonicClock, run_loop
from divo_runtime.timing.realtime import freeze_garbage, prepare_thread, raise_other_threads
from divo_sim.ros_messages import ros_class

DETUNING = 1.037
"""States per control cycle. Not 1, so that the phase between robot and controller passes through every value, instead
of staying where the accident of the start put it; at 200 Hz it does so seven times a second."""
SLOW_PERIOD_NS = 50_000_000
SLOW_MS = 500.0
"""Inputs that may be older than this, such as a goal, are sent every `SLOW_PERIOD_NS`; the others with every state."""
TAKE_AT_ONCE = 8
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
DEPTH = 10_000
ROBOT_PRIORITY = 50
"""SCHED_FIFO priority of this process where it is permitted: that of ros2_control's controller manager."""


class SilenceError(DivoError):
    """The node under test did not do enough cycles in time."""


@dataclass(frozen=True)
class StandIn:
    """Talk to the node under test until it has done enough cycles; then write the times to a file."""

    bundle: Path
    """Bundle that the node runs; its contract names the topics."""
    out: Path
    """File of times to write (npz)."""
    cycles: int
    """Cycles to wait for, the warm-up included."""
    patience_s: float = 30.0
    """How long to wait beyond the cycles' own time [s]."""

    def run(self) -> None:
        """Entry point.

        Raises:
            SilenceError: If the cycles do not come in time.
        """
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        with load_bundle(self.bundle) as bundle:
            contract, observation = bundle.contract, bundle.typical_observation
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node("stand_in")
        messages = observation_messages(contract, observation)
        ages_ms = {t: min(o.max_age_ms for o in contract.observation if o.topic == t) for t in messages}
        out = {topic: node.create_publisher(type(message), topic, 1) for topic, message in messages.items()}
        command_type, timing_type = ros_class(contract.action.type), ros_class("std_msgs/msg/Float64MultiArray")
        status_type = ros_class("diagnostic_msgs/msg/DiagnosticStatus")
        commands = _Inbox(node, command_type, contract.action.topic)
        timings = _Inbox(node, timing_type, "divo_controller/timing")
        status = _Inbox(node, status_type, "divo_controller/status")
        slow_due_ns = 0

        def tick(now_ns: int) -> None:
            nonlocal slow_due_ns
            slow = now_ns >= slow_due_ns
            slow_due_ns = now_ns + SLOW_PERIOD_NS if slow else slow_due_ns
            taken_ns = time_ns()  # one instant for all topics: they are one state
            for topic, message in messages.items():
                if slow or ages_ms[topic] <= SLOW_MS:
                    stamp(message, taken_ns)
                    out[topic].publish(message)
            for inbox in (commands, timings, status):
                inbox.take(TAKE_AT_ONCE)

        def enough() -> bool:
            return timings.rows >= self.cycles or monotonic() > deadline

        # What is measured is the node: its robot is as punctual as the machine permits, as ros2_control's would be.
        refused = raise_other_threads(ROBOT_PRIORITY) + prepare_thread(ROBOT_PRIORITY)
        freeze_garbage()
        deadline = monotonic() + self.cycles * contract.period_s + self.patience_s
        stats = run_loop(round(contract.period_ns / DETUNING), MonotonicClock(), tick, enough)
        if timings.rows < self.cycles:
            raise SilenceError("The node under test is too slow or silent.", got=f"{timings.rows} cycles")
        for inbox in (commands, timings, status):
            inbox.take(DEPTH)
        sys.stderr.write("".join(f"{warning}\n" for warning in refused))
        self._write(commands, timings, status, stats)
        signal.sigtimedwait(STOP_SIGNALS, self.patience_s)  # whoever started this ends the node first
        node.destroy_node()
        rclpy.shutdown()

    def _write(self, commands: _Inbox, timings: _Inbox, status: _Inbox, stats: LoopStats) -> None:
        decoded = timings.decode()
        fields = decoded[0].layout.dim[-1].label
        last = status.decode()[-1:]
        writing = self.out.with_suffix(".writing.npz")
        np.savez_compressed(
            writing,
            fields=np.array(fields),
            timing=np.concatenate([np.reshape(message.data, (-1, fields.count(",") + 1)) for message in decoded]),
            command_sequence=np.array(commands.sequence, np.int64),
            command_sent_ns=np.array(commands.sent_ns, np.int64),
            command_received_ns=np.array(commands.received_ns, np.int64),
            status=np.array(json.dumps({pair.key: pair.value for message in last for pair in message.values})),
            robot_states=stats.cycles,
            robot_missed=stats.missed,
        )
        os.replace(writing, self.out)


@dataclass
class _Inbox:
    """What arrives on a topic, kept as bytes until the measurement is over."""

    node: Any
    kind: type[Any]
    topic: str
    rows: int = 0
    raw: list[bytes] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # No executor: `take` asks the subscription itself, as rclpy's own `wait_for_message` does.
        self._subscription = self.node.create_subscription(self.kind, self.topic, lambda message: None, DEPTH, raw=True)

    def take(self, most: int) -> None:
        for _ in range(most):
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self.kind, True)
            if taken is None:
                return
            data, info = taken
            self.raw.append(data)
            self.rows += 1
            self.sequence.append(info["publication_sequence_number"])
            self.sent_ns.append(info["source_timestamp"])
            self.received_ns.append(info["received_timestamp"])

    def decode(self) -> list[Any]:
        from rclpy.serialization import deserialize_message

        return [deserialize_message(data, self.kind) for data in self.raw]


if __name__ == "__main__":
    try:
        tyro.cli(StandIn).run()
    except DivoError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)

"""The observer: a process that sees what a robot would see, and judges every command by its own arithmetic.

Started as `python -m benchmarks.faults.observer`; takes orders on stdin. It imports nothing of the controller: limits
come from the contract's plain text, the check from `benchmarks.faults.limits`, and where the joints are from the
robot's own word on `truth`.
"""

from __future__ import annotations

import importlib
import signal
import sys
import time
from collections import deque
from typing import Any

from benchmarks.faults.child import Orders
from benchmarks.faults.contract import plain_contract
from benchmarks.faults.limits import CommandCheck, read_limits

DEPTH = 2000
STATES = 400
"""States of the robot that are kept, two seconds of them."""

POLL_S = 0.001
TRUTH_AGE_NS = 50_000_000
"""An older word on where the joints are is not compared with a command."""

FASTEST, JUMP = 1.0, 0.02
"""A joint that has gone farther than its speed limit [rad/s] and this [rad] allow was not moved by a command."""

GRACE_NS = 250_000_000
"""After somebody has put a joint elsewhere, its commands are not compared with where it is until it can have braked."""

KEPT = 20
"""Unsafe commands that are described; all are counted."""


class Observer:
    """What was seen since it began, and since the last `begin`."""

    def __init__(self, node: Any) -> None:
        contract = plain_contract()
        action = contract["action"]
        assert isinstance(action, dict), "the contract has an action"
        status = _kind("diagnostic_msgs", "DiagnosticStatus")
        self._inboxes = [
            (_subscribe(node, _kind("sensor_msgs", "JointState"), "truth"), self._on_truth),
            (_subscribe(node, _kind("std_msgs", "Float64MultiArray"), action["topic"]), self._on_command),
            (_subscribe(node, status, "divo_controller/status"), self._on_status),
        ]
        self._check = CommandCheck(*read_limits(contract))
        self._truth: deque[tuple[int, list[float]]] = deque(maxlen=STATES)
        self._sequence, self._sent_ns = 0, 0
        self._commands, self._unseen, self._unsafe_count = 0, 0, 0
        self._mode, self._reasons, self._status_ns = "", "", 0
        self._values: dict[str, str] = {}
        self._message = ""
        self.orders = Orders()
        self._pushed_ns = 0
        self._begin()

    def run(self) -> None:
        """Look until the orders end."""
        while not self.orders.over:
            for handle, take in self._inboxes:
                with handle.handle:
                    while taken := handle.handle.take_message(handle.msg_type, False):
                        take(*taken)
            for order in self.orders.take():
                if order["do"] == "begin":
                    self._begin()
                self.orders.answer(**self._look())
            time.sleep(POLL_S)

    def _begin(self) -> None:
        self._seen: list[tuple[int, str, str]] = []
        self._unsafe: deque[str] = deque(maxlen=KEPT)
        self._unsafe_since, self._gap_ns = 0, 0
        self._rest_ns, self._truth_rest_ns = 0, 0

    def _look(self) -> dict[str, object]:
        return {
            "seen": self._seen,
            "rest_ns": self._rest_ns,
            "truth_rest_ns": self._truth_rest_ns,
            "gap_ns": self._gap_ns,
            "unsafe": list(self._unsafe),
            "unsafe_since": self._unsafe_since,
            "unsafe_count": self._unsafe_count,
            "commands": self._commands,
            "unseen": self._unseen,
            "sent_ns": self._sent_ns,
            "mode": self._mode,
            "status_ns": self._status_ns,
            "message": self._message,
            "values": self._values,
        }

    def _on_truth(self, message: Any, info: dict[str, Any]) -> None:
        at_ns, positions = int(info["source_timestamp"]), list(message.position)
        if self._truth:
            before_ns, before = self._truth[-1]
            reach = JUMP + FASTEST * (at_ns - before_ns) / 1e9
            if any(abs(now - then) > reach for now, then in zip(positions, before, strict=True)):
                self._pushed_ns = at_ns
        self._truth.append((at_ns, positions))
        if any(message.velocity):
            self._truth_rest_ns = 0
        elif not self._truth_rest_ns:
            self._truth_rest_ns = info["source_timestamp"]

    def _on_command(self, message: Any, info: dict[str, Any]) -> None:
        sequence, sent_ns = info["publication_sequence_number"], info["source_timestamp"]
        unseen, silence_ns = 0, 0
        if sequence <= self._sequence or not self._sent_ns:  # another publisher, which begins at rest
            self._check.restart()
            hidden = sequence - 1  # sent before this one was discovered
        else:
            hidden = unseen = sequence - self._sequence - 1
            silence_ns = sent_ns - self._sent_ns
            self._gap_ns = max(self._gap_ns, silence_ns)
        self._sequence, self._sent_ns = sequence, sent_ns
        self._commands += 1
        self._unseen += unseen
        command = list(message.data)
        # this process may be late and have newer states waiting already: what counts is the state at the command's time
        at_ns, positions = self._state_at(sent_ns)
        if sent_ns - at_ns > TRUTH_AGE_NS or 0 <= sent_ns - self._pushed_ns < GRACE_NS:
            positions = None
        if wrong := self._check.check(command, hidden, positions, silence_ns / 1e9):
            self._unsafe_count += 1
            self._unsafe_since += 1
            line = f"command {sequence}: {'; '.join(wrong)}"
            self._unsafe.append(line)
            truth_ms = (sent_ns - at_ns) / 1e6
            sys.stderr.write(f"{line} (silence {silence_ns / 1e6:.1f} ms, state {truth_ms:.1f} ms old, {self._mode})\n")
        if not any(command) and not self._rest_ns:
            self._rest_ns = sent_ns

    def _state_at(self, time_ns: int) -> tuple[int, list[float] | None]:
        """Return the newest state that is not newer than a time, and when that was."""
        return next((state for state in reversed(self._truth) if state[0] <= time_ns), (0, None))

    def _on_status(self, message: Any, info: dict[str, Any]) -> None:
        values = {pair.key: pair.value for pair in message.values}
        self._status_ns = info["source_timestamp"]
        self._message, self._values = message.message, values
        now = values.get("mode", ""), values.get("reasons", "")
        if now != (self._mode, self._reasons) or not self._seen:
            self._mode, self._reasons = now
            self._seen.append((self._status_ns, *now))


def _kind(package: str, name: str) -> type[Any]:
    found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), name)
    return found


def _subscribe(node: Any, kind: type[Any], topic: str) -> Any:
    return node.create_subscription(kind, topic, lambda message: None, DEPTH)


def main() -> None:
    """Run until the orders end or SIGINT comes."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    Observer(rclpy.create_node("observer")).run()
    rclpy.shutdown()


if __name__ == "__main__":
    sys.exit(main())

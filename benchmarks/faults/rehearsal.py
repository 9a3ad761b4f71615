"""The table against the pure controller: robot, network and time in one thread, and no time passes but on paper.

The controller, its gate, the network and the robot's messages are the real ones; what is missing is the middleware, the
node around the controller, and the clock. One period of waiting is one addition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.faults.contract import fault_contract, plain_contract
from benchmarks.faults.fault import Fault, Reaction
from benchmarks.faults.judge import Evidence, Seen
from benchmarks.faults.limits import CommandCheck, read_limits
from benchmarks.faults.messages import robot_messages, stamp_of
from benchmarks.faults.plant import Plant
from benchmarks.faults.spoilers import Spoil, leave_alone
from divo_runtime.controller import Controller
from divo_runtime.interfaces import Policy
from divo_runtime.observation import Measurement

START_NS = 1_800_000_000_000_000_000
TRANSPORT_NS = 300_000
WARM_UP = 160
"""Cycles before the injection: the robot moves with full authority then."""

AFTERWARDS = 40
"""Cycles between the end of a cause and the reset: the latched fault stays."""

MOST_CYCLES = 400
SLOW_EVERY = 10
SLOW_TOPICS = ("goal",)
MS = 1_000_000


class Rehearsal:
    """One controller and one robot.

    Args:
        policy: What the controller asks.
        seed: Of what a fault hits, and of the policy's noise.
    """

    def __init__(self, policy: Policy, seed: int) -> None:
        self._contract = fault_contract()
        self._controller = Controller(self._contract, policy, seed, lambda: 0)
        self._rng = np.random.default_rng(seed)
        self._plant = Plant(self._contract.action.names, 0.0)
        self._check = CommandCheck(*read_limits(plain_contract()))
        self._spoil: Spoil = leave_alone(self._rng)
        self._newest: Mapping[str, Measurement] = {}
        self._cycle, self._clock_ns = 0, START_NS
        self._grace = 0
        self._seen: list[Seen] = []
        self._unsafe: list[str] = []
        self._rest_ms: float | None = None
        self._injected = 0
        self._joint_states, self._stood_ms = 0, 0.0

    def run(self, fault: Fault) -> Evidence:
        """Run until the policy commands, inject, end, recover; return what was seen."""
        self._step_robot()
        assert self._controller.activate(self._clock_ns, self._newest) == ()
        for _ in range(WARM_UP):
            self._step()
        assert self._controller.mode.value == "running"
        before = self._count(fault)
        self._injected, self._seen, self._rest_ms, self._joint_states = self._cycle, [], None, 0
        self._inject(fault)
        refused = self._let_stand(fault)
        seen, grown = tuple(self._seen), self._count(fault) - before
        self._stood_ms = self._since_ms()
        seen = tuple(self._seen)
        self._end(fault)
        latched: bool | None = None
        remains: tuple[str, ...] = ()
        if fault.reaction in (Reaction.LATCH, Reaction.TRIP, Reaction.STOP):
            for _ in range(AFTERWARDS):
                self._step()
            latched = self._controller.mode.value == "fault"
            remains = self._controller.reset_fault(self._clock_ns, self._newest)
        back_ms = None if remains else self._wait_for_return()
        return Evidence(
            seen=seen,
            rest_ms=self._rest_ms,
            unsafe=tuple(self._unsafe),
            grown=grown,
            refused=refused,
            latched_after=latched,
            messages_hz=self._joint_states / (self._stood_ms / 1e3),
            back_ms=back_ms,
        )

    def _inject(self, fault: Fault) -> None:
        self._spoil = fault.spoil(self._rng)
        names = self._contract.action.names
        self._plant.held = {names.index(joint): value for joint, value in fault.hold.items()}
        self._plant.spinning = {names.index(joint): value for joint, value in fault.spin.items()}
        if fault.hold:
            self._grace = 50  # cycles in which a joint that was put outside may brake
        if fault.act == "clock back":
            self._clock_ns -= 5_000 * MS
        if fault.act == "emergency stop":
            self._controller.emergency_stop()

    def _let_stand(self, fault: Fault) -> bool | None:
        """Let it stand for its time or until it is latched; ask for a reset then."""
        must_latch = fault.latched_within_ms is not None
        for _ in range(MOST_CYCLES):
            self._step()
            latched = self._controller.mode.value == "fault" and self._rest_ms is not None
            if self._since_ms() >= fault.lasts_ms and (latched or not must_latch):
                break
        if fault.reaction not in (Reaction.LATCH, Reaction.TRIP):
            return None
        refusals = []
        for _ in range(10 if fault.act == "insist" else 1):
            refusals.append(self._controller.reset_fault(self._clock_ns, self._newest))
            self._step()
        return all(refusals) and self._controller.mode.value == "fault"

    def _end(self, fault: Fault) -> None:
        self._spoil = leave_alone(self._rng)
        for joint in self._plant.held:
            self._plant.positions[joint] = 0.0
        self._plant.held, self._plant.spinning = {}, {}
        self._seen = []

    def _wait_for_return(self) -> float | None:
        begun = self._cycle
        for _ in range(MOST_CYCLES):
            self._step()
            if self._controller.mode.value == "running":
                return (self._cycle - begun) * self._contract.period_s * 1e3
        return None

    def _step_robot(self) -> None:
        """Let a period pass and the robot speak."""
        self._cycle += 1
        self._clock_ns += self._contract.period_ns
        now_s = self._cycle * self._contract.period_s
        self._plant.advance(now_s)
        newest = dict(self._newest)
        for topic, message in robot_messages(self._plant, self._clock_ns - TRANSPORT_NS, now_s).items():
            if topic in SLOW_TOPICS and self._cycle % SLOW_EVERY != 1:
                continue
            for sent in self._spoil(topic, message, self._clock_ns):
                arrival_ns = self._clock_ns
                self._joint_states += topic == "joint_states"
                newest[topic] = Measurement(sent, stamp_of(sent) or arrival_ns, arrival_ns)
        self._newest = newest

    def _step(self) -> None:
        """Let a period pass; the controller answers the robot."""
        self._step_robot()
        output = self._controller.step(self._clock_ns, self._newest)
        assert output.command is not None
        command = output.command.tolist()
        self._grace -= 1
        positions = self._plant.positions if self._grace < 0 else None
        self._unsafe += [f"cycle {self._cycle}: {line}" for line in self._check.check(command, 0, positions)]
        self._plant.command(command, self._cycle * self._contract.period_s)
        reasons = "; ".join(output.reasons)
        last = self._seen[-1] if self._seen else None
        if last is None or (last.mode, last.reasons) != (output.mode.value, reasons):
            self._seen.append(Seen(self._since_ms(), output.mode.value, reasons))
        if self._rest_ms is None and not any(command):
            self._rest_ms = self._since_ms()

    def _since_ms(self) -> float:
        return (self._cycle - self._injected) * self._contract.period_s * 1e3

    def _count(self, fault: Fault) -> float:
        return float(self._controller.counters.get(fault.counter.removeprefix("count."), 0))

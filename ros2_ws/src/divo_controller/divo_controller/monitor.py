"""What the node remembers of its control loop, for status and diagnostics.

The control thread only replaces references here (`add`); everything else is called by the executor.
"""

from __future__ import annotations

import time

from divo_controller.cycle import Cycle
from divo_controller.diagnostics import Report
from divo_controller.robot_topics import RobotTopics
from divo_controller.session import Session
from divo_runtime.output import Mode
from divo_runtime.timing.latency import LatencyRing

RING = 2000
"""Cycles that the published percentiles look back on."""

NO_ACTIVE_COMMAND = "shadow mode: no active controller publishes on the contract's command topic"


class Monitor:
    """Collects what `Report` needs.

    Args:
        name: Full name of the node.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._running = False
        self._begun_ns = 0
        self._last: tuple[int, Cycle] | None = None
        self._total = LatencyRing(RING)
        self._refusals: tuple[str, ...] = ()
        self._failure = ""
        self._lasting: dict[str, tuple[str, ...]] = {}
        self._notes: dict[str, str] = {}

    def begin(self) -> None:
        """Start anew at activation."""
        self._running, self._begun_ns = True, time.monotonic_ns()
        self._last, self._total = None, LatencyRing(RING)
        self._refusals, self._failure = (), ""

    def end(self) -> None:
        """Note that the loop has ended."""
        self._running = False

    def failed(self, reason: str) -> None:
        """Note why the loop ended by itself."""
        self._failure = reason

    def refused(self, reasons: tuple[str, ...]) -> None:
        """Note why the last activation was refused."""
        self._refusals = reasons

    def warn(self, about: str, warnings: tuple[str, ...]) -> None:
        """Note what stays wrong about something until it is said again; nothing if `warnings` is empty."""
        self._lasting = {**self._lasting, about: warnings}

    def note(self, about: str, text: str) -> None:
        """Note a fact about the node that the status shows without judging it."""
        self._notes = {**self._notes, about: text}

    def add(self, cycle: Cycle) -> None:
        """Note a cycle; called by the control thread."""
        self._total.add(cycle.total_ns)
        self._last = (time.monotonic_ns(), cycle)

    def report(self, session: Session | None, robot: RobotTopics | None) -> Report:
        """Return the state now.

        Args:
            session: What is configured, if anything is.
            robot: Its topics.
        """
        lasting = tuple(warning for warnings in self._lasting.values() for warning in warnings)
        if session is None or robot is None:
            return Report(self._name, warnings=lasting, notes=self._notes, failure=self._failure)
        controller, contract = session.controller, session.contract
        last_ns, cycle = self._last or (self._begun_ns, None)
        output = cycle.output if cycle and self._running else None
        if output and controller.fault and output.mode is not Mode.FAULT:
            output = None  # latched since that cycle; when the control thread hangs, no other will follow
        idle_reasons = (controller.fault,) if controller.fault else self._refusals
        alone = (NO_ACTIVE_COMMAND,) if robot.shadow and self._running and robot.divergence is None else ()
        return Report(
            self._name,
            mode=output.mode if output else controller.mode,
            reasons=output.reasons if output else idle_reasons,
            clips=output.clips if output else (),
            counters=dict(controller.counters),
            warnings=(*lasting, *alone, *(output.warnings if output else ())),
            notes=self._notes,
            contract=contract.name,
            policy=session.choice,
            policy_in_use=session.policy_name,
            policy_switches=session.switches,
            p99_ms=session.p99_now_ms,
            divergence=robot.divergences.summary() if robot.shadow else None,
            rate_hz=contract.rate_hz,
            cycles=cycle.number if cycle else 0,
            missed=cycle.missed if cycle else 0,
            total=self._total.percentiles() if cycle else None,
            silent_s=(time.monotonic_ns() - last_ns) / 1e9 if self._running else 0.0,
            failure=self._failure,
        )

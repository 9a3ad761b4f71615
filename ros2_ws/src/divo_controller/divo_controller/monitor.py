"""What the node remembers of its control loop, for status and diagnostics.

The control thread only replaces references here (`add`); everything else is called by the executor.
"""

from __future__ import annotations

import time

from divo_controller.control_loop import Cycle
from divo_controller.diagnostics import Report
from divo_controller.session import Session
from divo_runtime.latency import LatencyRing

RING = 2000
"""Cycles that the published percentiles look back on."""


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

    def add(self, cycle: Cycle) -> None:
        """Note a cycle; called by the control thread."""
        self._total.add(cycle.total_ns)
        self._last = (time.monotonic_ns(), cycle)

    def report(self, session: Session | None, policy: str) -> Report:
        """Return the state now.

        Args:
            session: What is configured, if anything is.
            policy: Name of the policy in use.
        """
        if session is None:
            return Report(self._name, failure=self._failure)
        controller, contract = session.controller, session.contract
        last_ns, cycle = self._last or (self._begun_ns, None)
        output = cycle.output if cycle and self._running else None
        idle_reasons = (controller.fault,) if controller.fault else self._refusals
        return Report(
            self._name,
            mode=output.mode if output else controller.mode,
            reasons=output.reasons if output else idle_reasons,
            clips=output.clips if output else (),
            counters=dict(controller.counters),
            contract=contract.name,
            policy=policy,
            rate_hz=contract.rate_hz,
            cycles=cycle.number if cycle else 0,
            missed=cycle.missed if cycle else 0,
            total=self._total.percentiles() if cycle else None,
            silent_s=(time.monotonic_ns() - last_ns) / 1e9 if self._running else 0.0,
            failure=self._failure,
        )

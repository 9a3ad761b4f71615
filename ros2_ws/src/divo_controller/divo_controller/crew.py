"""What the node does in the control thread around each cycle."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic_ns

from divo_controller.assembly import Assembly
from divo_controller.cycle import Cycle
from divo_controller.parameters import Parameters
from divo_controller.recorder import NodeRecorder
from divo_controller.reporter import Reporter
from divo_runtime.output import Measurements
from divo_runtime.timing.realtime import keep_core, prepare_thread, raise_other_threads

OWN_CORE = -1
"""Value of the parameter `cpu` that keeps the control thread on the core where it begins."""

COLLECT_PERIOD_NS = 10_000_000_000
"""How often garbage is collected, after a cycle that left time for it. Cycles leave none behind; callbacks may."""

COLLECT_SLACK_NS = 500_000
"""Time that a collection may take. It takes about half: what was there at activation is frozen and not looked at."""

COLLECT_ANYWAY_NS = 6 * COLLECT_PERIOD_NS
"""After so long it is collected even if no cycle has left time."""


class NodeCrew:
    """The `Crew` of the node's control loop.

    Args:
        assembly: What the node has put together.
        settings: The node's parameters.
        reporter: Is told of each cycle.
        recorder: Is told of each cycle too.
        poll_emergency_stop: Looks whether an emergency stop was sent.
        note: Called with the scheduling that was asked for, and with what the operating system refused.
    """

    def __init__(
        self,
        assembly: Assembly,
        settings: Parameters,
        reporter: Reporter,
        recorder: NodeRecorder,
        poll_emergency_stop: Callable[[], None],
        note: Callable[[str, tuple[str, ...]], None],
    ) -> None:
        self._assembly, self._settings, self._reporter = assembly, settings, reporter
        self._recorder = recorder
        self._poll_emergency_stop, self._note = poll_emergency_stop, note
        self._collected_ns = monotonic_ns()

    def prepare(self) -> None:
        """Make the thread punctual, and keep the others from standing in its way."""
        priority, cores = self._settings.realtime_priority, () if self._settings.cpu < 0 else (self._settings.cpu,)
        warnings = raise_other_threads(priority - 1) if priority > 1 else ()
        granted = f"SCHED_FIFO {priority}" if priority else "normal"
        warnings = (*warnings, *prepare_thread(priority, cores))
        if self._settings.cpu == OWN_CORE:
            warnings = (*warnings, *keep_core())
        self._note(granted, warnings)

    def begin(self, deadline_ns: int) -> None:
        """Look for an emergency stop, and tell the policy how much time it has."""
        self._poll_emergency_stop()
        if self._assembly.session:
            self._assembly.session.set_deadline(deadline_ns)

    def policy_name(self) -> str:
        """Return the name of the policy that acted last."""
        return self._assembly.session.policy_name if self._assembly.session else ""

    def rehearse(self, now_ns: int, measurements: Measurements) -> None:
        """Let the understudy play the coming cycle, up to the message that is not sent."""
        session, robot = self._assembly.session, self._assembly.robot
        if session and robot:
            command = session.understudy.play(now_ns, measurements)
            if command is not None:
                robot.rehearse(command, now_ns)

    def report(self, cycle: Cycle) -> None:
        """Publish the cycle's times, judge a policy on trial, and tidy up when there is time."""
        self._reporter.add(cycle)
        self._recorder.add(cycle)
        if trial := self._assembly.trial:
            trial.judge(cycle)
        waited_ns = monotonic_ns() - self._collected_ns
        if waited_ns > COLLECT_ANYWAY_NS or (waited_ns > COLLECT_PERIOD_NS and cycle.slack_ns > COLLECT_SLACK_NS):
            self._collected_ns += waited_ns
            gc.collect()

"""The control thread: newest measurements in, one command out, once per period, and never silence without a safe stop.

Nothing here knows ROS: measurements, time and publishing enter as functions. While the thread lives it is the only one
that touches the controller; others leave a request, which is answered between two cycles. Should it hang in the policy,
`rescue` takes the robot away from it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from threading import Event, Lock, Thread
from time import monotonic_ns, perf_counter_ns
from typing import Any, TypeVar

from divo_controller.cycle import describe_cycle
from divo_controller.interfaces import Crew, Robot
from divo_controller.rehearsal import SHORTEST_PERIOD, RehearsingClock
from divo_runtime.controller import Controller, Mode
from divo_runtime.fields import JointArray
from divo_runtime.timing.loop import Clock, LoopStats, MonotonicClock, run_loop

T = TypeVar("T")

ANSWER_TIMEOUT_S = 1.0
"""How long a request waits for a cycle boundary; many periods of any controller."""

OVERRUN_NS = 25_000_000
"""By how much a rehearsal may make a cycle late that still asks the policy, which might take as long once more."""

LOOK_AGAIN_S = 0.1
"""How often a thread that brakes is looked at."""

LOCK_TIMEOUT_S = 0.05
"""How long a rescue waits for a command that is just being sent; sending takes far less unless it hangs."""


class RevokedError(RuntimeError):
    """The control thread may send nothing more: it hung, and the robot was brought to rest without it."""


class ControlLoop:
    """Runs an activated controller in a thread of its own until stopped, then decelerates and falls silent.

    Args:
        controller: Already activated.
        robot: Where measurements come from and commands go.
        period_ns: Control period.
        clock: Paces the cycles.
        crew: What else happens around a cycle.
        ended: Called once when the loop is over, by the thread that ended it.
        rehearsal_ns: How long before each deadline the cycle is rehearsed, at first; 0: never.
    """

    def __init__(
        self,
        controller: Controller,
        robot: Robot,
        period_ns: int,
        clock: Clock,
        crew: Crew,
        ended: Callable[[], object] = lambda: None,
        rehearsal_ns: int = 0,
    ) -> None:
        self._controller = controller
        self._robot = robot
        self._period_ns = period_ns
        self._clock = RehearsingClock(clock, rehearsal_ns, self._rehearse, period_ns // SHORTEST_PERIOD)
        self._rehearses, self._mode = rehearsal_ns > 0, Mode.INACTIVE
        self._stats = LoopStats()
        self._crew, self._ended = crew, ended
        self._requests: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stop = Event()
        self._over = Event()
        self._sending = Lock()
        self._revoked = False
        self._braking: deque[JointArray] | None = None
        self._sent_ns = 0
        self._failure: Exception | None = None
        self._cycles = 0
        self._thread = Thread(target=self._run, name="divo_control", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._sent_ns = monotonic_ns()
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether the loop was told to stop."""
        return self._stop.is_set()

    @property
    def over(self) -> bool:
        """Whether nothing more will be sent, by the thread itself or by a rescue."""
        return self._over.is_set()

    @property
    def braked(self) -> bool:
        """Whether every stop command was sent."""
        return self._over.is_set() and not self._braking

    @property
    def failure(self) -> Exception | None:
        """What ended the loop by itself, once nothing more will be sent."""
        return self._failure if self._over.is_set() else None

    @property
    def stats(self) -> LoopStats:
        """The loop's counters; may be read while it runs."""
        return self._stats

    def rescue(self, silence_ns: int) -> bool:
        """Bring the robot to rest if the thread has sent nothing for `silence_ns`; return whether that was so.

        Called by another thread, regularly. The loop is over then: should its thread come back, it sends nothing more.
        """
        if self._over.is_set() or not self._sent_ns or monotonic_ns() - self._sent_ns < silence_ns:
            return False
        free = self._sending.acquire(timeout=LOCK_TIMEOUT_S)
        self._revoked = True
        if free:
            self._sending.release()
        silence_ms = silence_ns / 1e6
        self._failure = TimeoutError(
            f"The control thread sent nothing for {silence_ms:.0f} ms; it hangs{self._place()}."
        )
        self._controller.latch(str(self._failure))
        self._brake(self._robot.publish)
        self._over.set()
        self._ended()
        return True

    def stop(self, timeout_s: float) -> bool:
        """Stop at a cycle boundary, decelerate, end the thread.

        Braking takes the time that it takes, however long.

        Args:
            timeout_s: How long the thread may send nothing.

        Returns:
            Whether it ended.
        """
        self._stop.set()
        begun_ns = monotonic_ns()
        while self._thread.is_alive() and monotonic_ns() - max(begun_ns, self._sent_ns) < timeout_s * 1e9:
            self._thread.join(LOOK_AGAIN_S)
        return not self._thread.is_alive()

    def ask(self, action: Callable[[], T], late: bool = False) -> T:
        """Run `action` between two cycles and return its result.

        Args:
            action: What to do.
            late: Whether it is still to be done when it could not be done in time.

        Raises:
            TimeoutError: If no cycle boundary came in time.
        """
        answer: Future[T] = Future()
        self._requests.append((action, answer))
        if self._over.is_set():
            self._answer_requests()
        try:
            return answer.result(ANSWER_TIMEOUT_S)
        except NoAnswerError as error:
            rest = "" if not late and answer.cancel() else "; it is still to be done"
            raise TimeoutError(f"The control thread did not answer within {ANSWER_TIMEOUT_S:g} s{rest}.") from error

    def _run(self) -> None:
        try:
            self._crew.prepare()
            if self._rehearses:  # the first cycle finds the coldest caches
                self._mode = self._controller.mode
                self._rehearse()
            run_loop(self._period_ns, self._clock, self._tick, self._stop.is_set, self._stats)
        except Exception as error:  # whatever it is, the robot must be stopped; the node reports it
            self._failure = self._failure or error
        if not self._revoked:
            self._brake(self._send)
        self._controller.deactivate()
        if not self._revoked:  # else whoever took the robot away says when it is at rest
            self._over.set()
        self._answer_requests()
        if not self._revoked:
            self._ended()

    def _tick(self, started_ns: int) -> None:
        self._answer_requests()
        lateness_ns = started_ns - self._clock.deadline_ns
        self._crew.begin(monotonic_ns() + self._period_ns - lateness_ns)
        start_ns = perf_counter_ns()
        measurements = self._robot.measurements()
        now_ns = self._robot.now_ns()
        if self._clock.overran_ns > OVERRUN_NS:
            self._controller.hold(f"its rehearsal made the cycle {self._clock.overran_ns / 1e6:.0f} ms late")
        taken_ns = perf_counter_ns()
        output = self._controller.step(now_ns, measurements)
        self._mode = output.mode
        decided_ns = perf_counter_ns()
        if output.command is not None:
            self._send(output.command, now_ns)
        end_ns = perf_counter_ns()
        self._cycles += 1
        slack_ns = self._clock.deadline_ns + self._period_ns - self._clock.now_ns()
        self._crew.report(
            describe_cycle(
                self._cycles,
                output,
                measurements,
                now_ns,
                (start_ns, taken_ns, decided_ns, end_ns),
                lateness_ns,
                slack_ns,
                self._stats.missed,
                self._crew.policy_name(),
            )
        )

    def _rehearse(self) -> None:
        """Take what has come, which then need not be taken in the cycle itself, and let it be played with that."""
        if self._mode in (Mode.BLENDING, Mode.RUNNING) and not self._revoked:
            measurements = self._robot.measurements()
            self._crew.rehearse(self._robot.now_ns(), measurements)

    def _place(self) -> str:
        """Say which line of Python the thread is at; in a sleep, it may be the interpreter's lock that it waits for."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return f" in {frame.f_code.co_name}, {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""

    def _send(self, command: JointArray, now_ns: int) -> None:
        """Publish from the control thread, as long as the robot is its own."""
        with self._sending:
            if self._revoked:
                raise RevokedError("the robot was taken away from this thread")
            self._robot.publish(command, now_ns)
        self._sent_ns = monotonic_ns()

    def _brake(self, send: Callable[[JointArray, int], None]) -> None:
        """Send the stop commands at the period, on the steady clock, because a simulated one may stand still.

        A rescue in the middle of it goes on where the control thread came to.
        """
        if self._braking is None:
            self._braking = deque(self._controller.stop_commands())
        clock = MonotonicClock()
        due_ns = clock.now_ns()
        try:
            while self._braking:
                due_ns += self._period_ns
                clock.sleep_until_ns(due_ns)
                send(self._braking.popleft(), self._robot.now_ns())
        except RevokedError:
            pass  # the rescue brakes
        except Exception as error:  # nothing more can be sent; the node reports it
            error.__context__ = self._failure
            self._failure = error

    def _answer_requests(self) -> None:
        while self._requests:
            action, answer = self._requests.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(action())
            except Exception as error:  # it belongs to whoever asked
                answer.set_exception(error)

"""The control thread: newest measurements in, one command out, once per period, and never silence without a safe stop.

Nothing here knows ROS: measurements, time and publishing enter as functions. While the thread lives it is the only one
that touches the controller; others leave a request, which is answered between two cycles. Should it hang in the policy,
`rescue` takes the robot away from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic_ns, perf_counter_ns
from typing import Any, Protocol, TypeVar

from divo_runtime.controller import Controller, ControllerOutput
from divo_runtime.fields import JointArray
from divo_runtime.loop import Clock, LoopStats, MonotonicClock, run_loop
from divo_runtime.observation import Measurement

T = TypeVar("T")

ANSWER_TIMEOUT_S = 1.0
"""How long a request waits for a cycle boundary; many periods of any controller."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one control cycle did and how long its parts took."""

    number: int
    """Counts from 1 at activation."""
    output: ControllerOutput
    input_age_ns: int
    """Age of the oldest input used; -1 if one was missing."""
    publish_ns: int
    total_ns: int
    """From taking the newest measurements to the command published."""
    lateness_ns: int
    """How long after its deadline the cycle began."""
    slack_ns: int
    """Time left until the next deadline when the command was published; negative when it was missed."""
    missed: int
    """Deadlines missed since activation."""


class Robot(Protocol):
    """What the loop needs of the node around it."""

    def measurements(self) -> Mapping[str, Measurement]:
        """Return the newest measurement of each topic."""

    def now_ns(self) -> int:
        """Return the time in the clock of the measurements' stamps [ns]."""

    def publish(self, command: JointArray, now_ns: int) -> None:
        """Send a command (act_dim,)."""


class ControlLoop:
    """Runs an activated controller in a thread of its own until stopped, then decelerates and falls silent.

    Args:
        controller: Already activated.
        robot: Where measurements come from and commands go.
        period_ns: Control period.
        clock: Paces the cycles.
        report: Called after each cycle's command was published.
        prepare: Called once in the new thread, such as to raise its priority.
    """

    def __init__(
        self,
        controller: Controller,
        robot: Robot,
        period_ns: int,
        clock: Clock,
        report: Callable[[Cycle], None],
        prepare: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._robot = robot
        self._period_ns = period_ns
        self._clock = _DeadlineClock(clock)
        self._stats = LoopStats()
        self._report = report
        self._prepare = prepare
        self._requests: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stop = Event()
        self._over = Event()
        self._sending = Lock()
        self._revoked = False
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
    def failure(self) -> Exception | None:
        """What ended the loop by itself, once the robot was brought to rest."""
        return self._failure if self._over.is_set() else None

    def rescue(self, silence_ns: int) -> bool:
        """Bring the robot to rest if the thread has sent nothing for `silence_ns`; return whether that was so.

        Called by another thread, regularly. The loop is over then: should its thread come back, it sends nothing more.
        """
        if self._over.is_set() or not self._sent_ns or monotonic_ns() - self._sent_ns < silence_ns:
            return False
        with self._sending:
            self._revoked = True
        self._failure = TimeoutError(
            f"The control thread sent nothing for {silence_ns / 1e6:.0f} ms; the policy hangs."
        )
        self._decelerate()
        self._over.set()
        return True

    def stop(self, timeout_s: float) -> bool:
        """Stop at a cycle boundary, decelerate, end the thread; return whether it ended in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def ask(self, action: Callable[[], T]) -> T:
        """Run `action` between two cycles and return its result.

        Raises:
            TimeoutError: If no cycle boundary came in time; the action is still done at the next one.
        """
        answer: Future[T] = Future()
        self._requests.append((action, answer))
        if self._over.is_set():
            self._answer_requests()
        try:
            return answer.result(ANSWER_TIMEOUT_S)
        except NoAnswerError as error:
            raise TimeoutError(f"The control thread did not answer within {ANSWER_TIMEOUT_S:g} s.") from error

    def _run(self) -> None:
        try:
            self._prepare()
            run_loop(self._period_ns, self._clock, self._tick, self._stop.is_set, self._stats)
        except Exception as error:  # whatever it is, the robot must be stopped; the node reports it
            self._failure = self._failure or error
        if self._revoked:
            return
        try:
            self._decelerate()
        except Exception as error:  # nothing more can be sent; the node reports it
            error.__context__ = self._failure
            self._failure = error
        finally:
            self._controller.deactivate()
            self._over.set()
            self._answer_requests()

    def _tick(self, started_ns: int) -> None:
        self._answer_requests()
        start_ns = perf_counter_ns()
        now_ns = self._robot.now_ns()
        output = self._controller.step(now_ns, self._robot.measurements())
        decided_ns = perf_counter_ns()
        if output.command is not None:
            with self._sending:
                if self._revoked:
                    raise TimeoutError("the robot was taken away from this thread")
                self._robot.publish(output.command, now_ns)
            self._sent_ns = monotonic_ns()
        end_ns = perf_counter_ns()

        self._cycles += 1
        slack_ns = self._clock.deadline_ns + self._period_ns - self._clock.now_ns()
        lateness_ns = started_ns - self._clock.deadline_ns
        ages_ns = output.observation.ages_ns if output.observation else (-1,)
        age_ns = -1 if -1 in ages_ns else max(ages_ns)
        total_ns = end_ns - start_ns
        publish_ns = end_ns - decided_ns
        missed = self._stats.missed
        self._report(Cycle(self._cycles, output, age_ns, publish_ns, total_ns, lateness_ns, slack_ns, missed))

    def _decelerate(self) -> None:
        """Send the stop commands at the period, on the steady clock, because a simulated one may stand still."""
        clock = MonotonicClock()
        due_ns = clock.now_ns()
        for command in self._controller.stop_commands():
            due_ns += self._period_ns
            clock.sleep_until_ns(due_ns)
            self._robot.publish(command, self._robot.now_ns())

    def _answer_requests(self) -> None:
        while self._requests:
            action, answer = self._requests.popleft()
            try:
                answer.set_result(action())
            except Exception as error:  # it belongs to whoever asked
                answer.set_exception(error)


class _DeadlineClock:
    """A clock that remembers the deadline it was last asked for, so that a cycle can tell how late it began."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now_ns = clock.now_ns
        self.deadline_ns = 0

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self._clock.sleep_until_ns(deadline_ns)

"""Messages to observation vector: the one place where order, unit and age are decided.

Training data, simulator, importer and robot all build their observations here. Joints are matched by name, in any
order, among any number of others. A problem is a result, not an exception: the controller turns it into a hold.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from divo_runtime.contract import Contract, ObservationTerm
from divo_runtime.errors import ObservationError
from divo_runtime.fields import JointArray, reader

FloatArray = NDArray[np.float32]

LARGEST = 1e30
"""A number beyond this is no measurement, and squares of it would overflow float32."""

FUTURE_TOLERANCE_NS = 20_000_000
"""Clocks of two computers differ a little; a stamp further ahead than this is not believed."""


class Fault(str, Enum):
    """What can be wrong with an input."""

    MISSING = "missing"
    STALE = "stale"
    FUTURE = "from the future"
    UNDATED = "cannot be dated"
    JOINT_MISSING = "joint missing"
    JOINT_DUPLICATE = "joint twice"
    WRONG_SIZE = "wrong size"
    NOT_FINITE = "not finite"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A message and its times, both in nanoseconds of the same clock as the controller's `now_ns`."""

    message: Any
    """Anything with the fields of the ROS message type."""
    stamp_ns: int
    """When it was true: the header's stamp, or the arrival where there is none."""
    received_ns: int = 0
    """When it arrived; 0 if nobody noted it."""

    def time_ns(self, clock: Literal["header", "receive"]) -> int:
        """Return the time that its age counts from: its stamp, or for `receive` its arrival where that was noted."""
        return self.received_ns if clock == "receive" and self.received_ns else self.stamp_ns


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one term of the observation cannot be used."""

    term: str
    fault: Fault
    detail: str

    def __str__(self) -> str:
        """Return one line for status topics and logs."""
        return f"{self.term}: {self.fault.value} ({self.detail})"


@dataclass(frozen=True, slots=True)
class Observation:
    """What the policy sees at one instant."""

    vector: FloatArray
    """(obs_dim,) float32; terms with a problem are NaN."""
    ages_ns: tuple[int, ...]
    """Age of each term of the contract, in its order; -1 where there is no message."""
    problems: tuple[Problem, ...] = ()

    def usable(self) -> FloatArray:
        """Return the vector, or raise if any term has a problem.

        Raises:
            ObservationError: Naming every problem.
        """
        if self.problems:
            raise ObservationError(
                "The messages do not make an observation.",
                got="; ".join(str(problem) for problem in self.problems),
                expected="every term of the contract, finite and fresh",
                fix="Compare the robot's topics with the contract (names, joints, rates).",
            )
        return self.vector


class ObservationBuilder:
    """Builds observations of one contract; remembers where the joints stand in the last message's name list."""

    def __init__(self, contract: Contract) -> None:
        self._clock: Literal["header", "receive"] = contract.clock
        self._raw = np.full(contract.observation_size, np.nan)  # reused; what is handed out is a copy
        ends = np.cumsum([term.width for term in contract.observation])
        self._slices = {
            term.name: slice(int(end) - term.width, int(end))
            for term, end in zip(contract.observation, ends, strict=True)
        }
        self._readers = [_TermReader(term, self._raw[self._slices[term.name]]) for term in contract.observation]
        self._relative = [
            (self._slices[term.name], self._slices[term.relative_to])
            for term in contract.observation
            if term.relative_to
        ]

    def slice_of(self, term: str) -> slice:
        """Return where a term stands in the vector."""
        return self._slices[term]

    def build(
        self, measurements: Mapping[str, Measurement], now_ns: int, doubted: Container[str] = frozenset()
    ) -> Observation:
        """Build the observation at `now_ns` from the newest measurement of each topic.

        The age of a message counts from its stamp, or from its arrival if the contract's clock is `receive` (its stamp
        again where no arrival was noted).

        Args:
            measurements: Topic -> newest measurement; other topics are ignored.
            now_ns: Time of the observation [ns].
            doubted: Topics whose measurement cannot be dated.
        """
        ages: list[int] = []
        problems: list[Problem] = []
        raw = self._raw
        for read in self._readers:
            topic = read.term.topic
            measurement = measurements.get(topic)
            if measurement is None:
                ages.append(-1)
                problems.append(Problem(read.term.name, Fault.MISSING, f"no message on '{topic}' yet"))
                continue
            age_ns = now_ns - measurement.time_ns(self._clock)
            ages.append(age_ns)
            if not -FUTURE_TOLERANCE_NS <= age_ns <= read.max_age_ns:
                problems.append(_age_problem(read.term, age_ns))
            elif topic in doubted:
                problems.append(Problem(read.term.name, Fault.UNDATED, "waiting for a newer message"))
            if problem := read(measurement.message):
                problems.append(problem)
        if problems or not (np.abs(raw) <= LARGEST).all():  # false for NaN too
            return self._build_with_gaps(ages, problems)
        vector = raw.astype(np.float32)
        for own, other in self._relative:
            vector[own] = raw[own] - raw[other]
        return Observation(vector, tuple(ages))

    def _build_with_gaps(self, ages: list[int], problems: list[Problem]) -> Observation:
        """Find the numbers that are not finite, and leave out every term with a problem and what refers to it."""
        found = {read.term.name: [p for p in problems if p.term == read.term.name] for read in self._readers}
        vector = np.full(self._raw.shape, np.nan, np.float32)
        for read in self._readers:
            name, other = read.term.name, read.term.relative_to
            values = self._raw[self._slices[name]]
            unread = {Fault.MISSING, Fault.UNREADABLE, Fault.WRONG_SIZE, Fault.JOINT_MISSING, Fault.JOINT_DUPLICATE}
            if not unread & {p.fault for p in found[name]} and not (np.abs(values) <= LARGEST).all():
                found[name].append(Problem(name, Fault.NOT_FINITE, f"{values.tolist()}"))
            if not found[name] and not (other and found[other]):
                vector[self._slices[name]] = values - self._raw[self._slices[other]] if other else values
        return Observation(vector, tuple(ages), tuple(p for several in found.values() for p in several))


class _TermReader:
    """Reads one term out of its message: the numbers in contract order into `out`, or the problem with them."""

    def __init__(self, term: ObservationTerm, out: JointArray) -> None:
        self.term = term
        self.max_age_ns = term.max_age_ms * 1e6
        self._out = out
        self._has_joints = term.layout == "joints"
        self._read: Callable[[Any], JointArray] = reader(term.field, term.layout, term.components)
        self._names: Sequence[str] = ()
        self._order: NDArray[np.intp] = np.empty(0, np.intp)

    def __call__(self, message: Any) -> Problem | None:
        try:
            values = self._read(message)
            names = message.name if self._has_joints else ()
        except (AttributeError, TypeError, ValueError) as error:
            return self._problem(Fault.UNREADABLE, f"not a {self.term.type}: {error}")
        if self._has_joints:
            if values.shape != (len(names),):
                return self._problem(
                    Fault.WRONG_SIZE, f"{len(names)} names but {values.size} values in '{self.term.field}'"
                )
            if names != self._names and (problem := self._learn_order(names)):
                return problem
            values.take(self._order, out=self._out, mode="clip")  # `clip` because any other mode makes a copy first
        elif values.shape != self._out.shape:
            return self._problem(Fault.WRONG_SIZE, f"expected {self.term.width} values, got {values.size}")
        else:
            self._out[:] = values
        return None

    def _learn_order(self, names: Sequence[str]) -> Problem | None:
        listed = list(names)
        if absent := [joint for joint in self.term.joints if joint not in listed]:
            detail = f"{', '.join(absent)} not among {', '.join(listed) or 'no names'}"
            return self._problem(Fault.JOINT_MISSING, detail)
        if twice := [joint for joint in self.term.joints if listed.count(joint) > 1]:
            return self._problem(Fault.JOINT_DUPLICATE, ", ".join(twice))
        self._names = listed
        self._order = np.array([listed.index(joint) for joint in self.term.joints], dtype=np.intp)
        return None

    def _problem(self, fault: Fault, detail: str) -> Problem:
        return Problem(self.term.name, fault, detail)


def _age_problem(term: ObservationTerm, age_ns: int) -> Problem:
    if age_ns < 0:
        return Problem(term.name, Fault.FUTURE, f"stamped {-age_ns / 1e6:.0f} ms ahead of now")
    return Problem(term.name, Fault.STALE, f"{age_ns / 1e6:.0f} ms old, allowed {term.max_age_ms:g} ms")

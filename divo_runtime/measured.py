"""What the robot reports about the action's joints, found in an observation by name."""

from __future__ import annotations

import math

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray, Observation, ObservationBuilder

NOISE = 0.02
"""Share of a joint's velocity limit that a measured velocity may be off at rest."""


class MeasuredJoints:
    """The values of one term for the joints of the action, in the order of the action's names."""

    def __init__(self, contract: Contract, builder: ObservationBuilder, term_name: str) -> None:
        term = contract.term(term_name)
        begin = builder.slice_of(term.name).start
        self.columns = np.array([begin + term.joints.index(name) for name in contract.action.names])
        self._term = contract.observation.index(term)

    def read(self, observation: Observation) -> JointArray:
        """Return (act_dim,) float64 values [rad, rad/s or m, m/s]."""
        return observation.vector.take(self.columns).astype(np.float64)

    def age_s(self, observation: Observation) -> float:
        """Return how old they are [s]."""
        return observation.ages_ns[self._term] / 1e9


class Travel:
    """How far the commands sent have moved the joints since a measurement that is some periods old.

    A joint that brakes before a limit was faster a moment ago than it is told to be now. What it has gone since it was
    measured is the sum of the commands since then, one period each, not the newest command times the age.

    Args:
        contract: The robot task.
    """

    def __init__(self, contract: Contract) -> None:
        self._period_s = contract.period_s
        name = contract.safety.measured_position
        oldest_s = contract.term(name).max_age_ms / 1e3 if name else 0.0
        self._sent = np.zeros((math.ceil(oldest_s / self._period_s) + 1, contract.action_size))

    def forget(self) -> None:
        """Begin with joints that have not moved, as at activation."""
        self._sent[:] = 0.0

    def add(self, velocity: JointArray) -> None:
        """Note the velocity (act_dim,) of the command sent in this period [rad/s or m/s]."""
        self._sent[1:] = self._sent[:-1]
        self._sent[0] = velocity

    def since(self, age_s: float) -> JointArray:
        """Return (act_dim,) how far the joints have gone in the last `age_s` seconds [rad or m]."""
        periods = min(int(age_s / self._period_s), len(self._sent) - 1)
        way: JointArray
        if periods < 1:
            way = self._sent[0] * max(age_s, 0.0)
        else:
            way = self._sent[:periods].sum(axis=0) * self._period_s
            way += self._sent[periods] * (age_s - periods * self._period_s)
        return way


class HardLimits:
    """Limits on measurements: what stands or moves beyond them must stop, whatever was commanded."""

    def __init__(self, contract: Contract, builder: ObservationBuilder) -> None:
        columns: list[int] = []
        self._lower: list[float] = []
        self._upper: list[float] = []
        self._texts: list[str] = []
        for field, term in (
            ("position", contract.safety.measured_position),
            ("velocity", contract.safety.measured_velocity),
        ):
            if not term or not any(getattr(limit, f"hard_{field}") for limit in contract.limits()):
                continue
            for limit, column in zip(contract.limits(), MeasuredJoints(contract, builder, term).columns, strict=True):
                reach = limit.hard_position
                if field == "velocity":
                    reach = (-limit.hard_velocity, limit.hard_velocity) if limit.hard_velocity else None
                if reach:
                    columns.append(int(column))
                    self._lower.append(reach[0])
                    self._upper.append(reach[1])
                    self._texts.append(f"{limit.name}: measured {field}")
        self._columns = np.array(columns, dtype=np.intp)
        self._bounds = np.array([self._lower, self._upper]).reshape(2, -1)

    def beyond(self, vector: FloatArray) -> tuple[str, ...]:
        """Name what is beyond a hard limit, such as `panda_joint2: measured position 1.9, allowed -1.8 to 1.8`.

        Args:
            vector: (obs_dim,) observation; what is unknown in it (NaN) is beyond nothing.
        """
        if not self._texts:
            return ()
        values = vector.take(self._columns)
        if not ((values < self._bounds[0]) | (values > self._bounds[1])).any():
            return ()
        rows = zip(self._texts, values.tolist(), self._lower, self._upper, strict=True)
        return tuple(f"{t} {v:.4g}, allowed {lo:g} to {hi:g}" for t, v, lo, hi in rows if v < lo or v > hi)


class Standstill:
    """Whether the joints stand still, as far as a contract lets it be measured; commands begin at rest."""

    def __init__(self, contract: Contract, builder: ObservationBuilder) -> None:
        term, limits = contract.safety.measured_velocity, contract.limits()
        self._measured = MeasuredJoints(contract, builder, term) if term else None
        self._slowest = np.array([max(one.acceleration * contract.period_s, NOISE * one.velocity) for one in limits])
        self._names = contract.action.names

    def missing(self, observation: Observation) -> tuple[str, ...]:
        """Name the joints that move faster than one period of their acceleration limit would make them."""
        if self._measured is None:
            return ()
        velocity = self._measured.read(observation)
        rows = zip(self._names, velocity.tolist(), (np.abs(velocity) > self._slowest).tolist(), strict=True)
        return tuple(f"{name} moves at {v:.3g}; bring it to rest first" for name, v, moves in rows if moves)

"""A policy that takes the time it has: the best of several that still fits this cycle, the cheapest if none does.

Which one is chosen depends on times and nothing else, and times are arguments, so the choice is tested without a clock.
Going down is immediate. Going up waits until the better policy would have fitted for a while; where going up keeps
failing, that while doubles. So a machine at its limit settles instead of flapping.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from divo_runtime.interfaces import Policy, PolicyAction
from divo_runtime.observation import FloatArray

WINDOW = 200
"""Calls that a policy's p99 looks back on; two slow ones in it raise the p99, one does not."""

MAX_PATIENCE = 64
"""How many times its first value the wait before going up can become."""


class RunningP99:
    """The nearest-rank 99th percentile of the last calls of one policy.

    Args:
        first_ns: Durations to begin with, as measured beforehand [ns]; not empty. Only the newest `WINDOW` count.
    """

    def __init__(self, first_ns: Sequence[int]) -> None:
        if not first_ns:
            raise ValueError("first_ns must not be empty")
        self._first = tuple(first_ns)[-WINDOW:]
        self.restart()

    @property
    def value_ns(self) -> int:
        """The percentile [ns]."""
        return self._sorted[math.ceil(0.99 * len(self._sorted)) - 1]

    def add(self, duration_ns: int) -> None:
        """Count one more call."""
        if len(self._order) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(duration_ns)
        insort(self._sorted, duration_ns)

    def restart(self) -> None:
        """Forget what was added, as a policy that is not called learns nothing new."""
        self._order = deque(self._first)
        self._sorted = sorted(self._first)


class DeadlineChooser:
    """Chooses among policies ordered from the cheapest to the best.

    Args:
        measured_ns: One sequence of durations per policy, measured beforehand [ns].
        patience: Cycles in a row that a better policy must have fitted before it is taken, >= 1.
    """

    def __init__(self, measured_ns: Sequence[Sequence[int]], patience: int) -> None:
        if patience < 1:
            raise ValueError(f"patience must be >= 1, got {patience}")
        self._costs = [RunningP99(durations) for durations in measured_ns]
        self._base = self._patience = patience
        self._current = len(self._costs) - 1
        self._fitted = 0
        self._since_up: int | None = None
        self.switches = 0

    @property
    def p99s_ns(self) -> tuple[int, ...]:
        """What a call of each policy is taken to cost [ns]."""
        return tuple(cost.value_ns for cost in self._costs)

    def choose(self, budget_ns: int) -> int:
        """Return the index of the policy for this cycle.

        Args:
            budget_ns: Time that the policy may take [ns]; may be negative.
        """
        best = max((i for i, cost in enumerate(self._costs) if cost.value_ns <= budget_ns), default=0)
        if self._since_up is not None:
            self._since_up += 1
            if self._since_up > 2 * self._patience:  # going up has lasted
                self._since_up, self._patience = None, self._base
        if best < self._current:
            self._go_down(best)
        elif best == self._current:
            self._fitted = 0
        else:
            self._fitted += 1
            if self._fitted >= self._patience:
                self._switch(best)
                self._since_up = 0
        return self._current

    def add(self, index: int, duration_ns: int) -> None:
        """Learn how long a call took [ns]."""
        self._costs[index].add(duration_ns)

    def _go_down(self, best: int) -> None:
        if self._since_up is not None:
            self._patience = min(2 * self._patience, MAX_PATIENCE * self._base)
        self._since_up = None
        for cost in self._costs[best + 1 :]:
            cost.restart()
        self._switch(best)

    def _switch(self, index: int) -> None:
        self._current, self._fitted = index, 0
        self.switches += 1


class DeadlinePolicy:
    """Acts by the best of several policies that fits the time left until a deadline.

    The deadline is set by the control loop before each step. The noise is as large as the hungriest policy wants; each
    takes the first rows, so a recording of noise and name is enough to repeat an action.

    Args:
        policies: Name -> policy, from the cheapest to the best; all with the same act_dim.
        chooser: Decides; made for as many policies.
        reserve_ns: Time that gate and publishing need after the policy [ns].
        now_ns: Returns the time in the clock of the deadlines [ns].
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        chooser: DeadlineChooser,
        reserve_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        self._names, self._policies = tuple(policies), tuple(policies.values())
        self._chooser, self._reserve_ns, self._now_ns = chooser, reserve_ns, now_ns
        rows = max(policy.noise_shape[0] for policy in self._policies)
        self._noise_shape = (rows, self._policies[0].noise_shape[1])
        self._current = len(self._policies) - 1
        self.deadline_ns = 0

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(most candidates of any policy, act_dim)."""
        return self._noise_shape

    @property
    def name(self) -> str:
        """Name of the policy that acted last."""
        return self._names[self._current]

    @property
    def current(self) -> Policy:
        """The policy that acted last."""
        return self._policies[self._current]

    @property
    def switches(self) -> int:
        """How often the policy was changed."""
        return self._chooser.switches

    @property
    def p99s_ns(self) -> dict[str, int]:
        """Name -> what a call is taken to cost [ns]."""
        return dict(zip(self._names, self._chooser.p99s_ns, strict=True))

    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """Choose an action with the policy that fits; see `Policy.act`."""
        begun_ns = self._now_ns()
        index = self._current = self._chooser.choose(self.deadline_ns - self._reserve_ns - begun_ns)
        policy = self._policies[index]
        chosen = policy.act(observation, noise[: policy.noise_shape[0]])
        self._chooser.add(index, self._now_ns() - begun_ns)
        return chosen

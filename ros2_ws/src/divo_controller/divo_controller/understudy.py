"""A second controller that plays the coming cycle shortly before it is due, for nothing.

What a cycle needs is in the caches then: the weights of the networks, but also the code and the objects of observation,
guards and gate, which a pause of some milliseconds leaves to be fetched again (docs/timing.md has the rounds). The
understudy has counters, noise, limits and faults of its own, so nothing that it does is seen on the stage.
"""

from __future__ import annotations

import time

from divo_runtime.contract import Contract
from divo_runtime.controller import Controller, Mode
from divo_runtime.fields import JointArray
from divo_runtime.interfaces import Policy, PolicyAction
from divo_runtime.observation import FloatArray
from divo_runtime.output import Measurements
from divo_runtime.safety.guards import Guard
from divo_runtime.timing.deadline import DeadlinePolicy


class Understudy:
    """Plays cycles of a contract with a policy that another controller uses. Use it from that one's thread.

    Args:
        contract: The robot task.
        policy: Shared with the controller that commands; of a `DeadlinePolicy`, the policy that acted last is asked, so
            that it learns and switches nothing.
        guard: Of its own.
    """

    def __init__(self, contract: Contract, policy: Policy, guard: Guard) -> None:
        asked: Policy = _Current(policy) if isinstance(policy, DeadlinePolicy) else policy
        self._controller = Controller(contract, asked, seed=0, timer=time.perf_counter_ns, guard=guard)

    def play(self, now_ns: int, measurements: Measurements) -> JointArray | None:
        """Return the command (act_dim,) of a cycle that begins now, never to be sent; None if it would begin none.

        Args:
            now_ns: Time, of the same clock as the measurements [ns].
            measurements: Topic -> newest measurement.
        """
        if self._controller.fault:
            self._controller.deactivate()
            self._controller.reset_fault(now_ns, measurements)
        if self._controller.mode is Mode.INACTIVE:  # the robot may move by then, as after a reload
            self._controller.activate(now_ns, measurements, moving=True)
        return self._controller.step(now_ns, measurements).command


class _Current:
    """The policy that a `DeadlinePolicy` used last."""

    def __init__(self, policy: DeadlinePolicy) -> None:
        self._policy = policy

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(candidates, act_dim) of the noise that `act` wants."""
        return self._policy.current.noise_shape

    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """Choose an action; see `Policy.act`."""
        return self._policy.current.act(observation, noise)

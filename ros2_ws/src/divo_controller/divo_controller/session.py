"""What `configure` makes and `cleanup` frees: a verified bundle, its policy warmed up, a controller around it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from divo_controller.parameters import Parameters
from divo_runtime.bundle import Bundle, load_bundle
from divo_runtime.contract import Contract
from divo_runtime.controller import Controller
from divo_runtime.errors import BackendError, BundleError, DivoError
from divo_runtime.policy import NetworkPolicy, warm_up

TIMED_CALLS = 11
"""Calls after warm-up whose median is taken for the speed of the policy."""


@dataclass(frozen=True, slots=True)
class Session:
    """A policy ready to control."""

    bundle: Bundle
    policy: NetworkPolicy
    controller: Controller
    policy_ms: float
    """Median time of a policy call after warm-up [ms]."""

    @property
    def contract(self) -> Contract:
        """The robot task that the policy was trained for."""
        return self.bundle.contract

    def close(self) -> None:
        """Free the networks."""
        self.bundle.close()


def open_session(parameters: Parameters) -> Session:
    """Load, verify, open and warm up.

    Raises:
        DivoError: If the bundle is not given, damaged or foreign, if its network cannot be opened, does not give finite
            actions, or is too slow for the contract's rate.
    """
    if not parameters.bundle:
        raise BundleError(
            "No bundle is given.",
            where="parameter 'bundle'",
            expected="the folder that `make export` wrote",
            fix="divo-controller --bundle FOLDER, or --ros-args -p bundle:=FOLDER",
        )
    bundle = load_bundle(Path(parameters.bundle))
    try:
        kind = cast(Literal["actor", "sampler"], parameters.policy)
        policy = bundle.open_policy(kind, parameters.backend, parameters.threads)
        warm_up(policy, bundle.typical_observation, np.random.default_rng(parameters.seed), parameters.warmup_calls)
        policy_ms = _measure_policy(policy, bundle)
    except DivoError:
        bundle.close()
        raise
    controller = Controller(bundle.contract, policy, parameters.seed, time.perf_counter_ns)
    return Session(bundle, policy, controller, policy_ms)


def _measure_policy(policy: NetworkPolicy, bundle: Bundle) -> float:
    """Return the median time of a call [ms]; a policy slower than its period is an error."""
    observation = bundle.typical_observation
    noise = np.zeros(policy.noise_shape, np.float32)
    durations_ns: list[int] = []
    for _ in range(TIMED_CALLS):
        start_ns = time.perf_counter_ns()
        policy.act(observation, noise)
        durations_ns.append(time.perf_counter_ns() - start_ns)
    policy_ms = float(np.median(durations_ns)) / 1e6
    period_ms = bundle.contract.period_s * 1e3
    if policy_ms > period_ms:
        raise BackendError(
            "The policy is too slow for the contract's rate.",
            where=str(bundle.folder),
            got=f"{policy_ms:.1f} ms per call (median of {TIMED_CALLS})",
            expected=f"less than the period of {period_ms:g} ms",
            fix="Use the actor, or export a sampler with fewer candidates or steps, or use a faster backend.",
        )
    return policy_ms

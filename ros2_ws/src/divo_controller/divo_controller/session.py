"""What `configure` makes and `cleanup` frees: a verified bundle, its policies warmed up, a controller around them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from divo_controller.parameters import Parameters
from divo_controller.understudy import Understudy
from divo_runtime.bundle.loading import Bundle, load_bundle
from divo_runtime.contract import Contract
from divo_runtime.controller import Controller
from divo_runtime.errors import BackendError, BundleError, DivoError
from divo_runtime.interfaces import Policy
from divo_runtime.policy import NetworkPolicy, warm_up
from divo_runtime.safety.guards import Guard, open_guard
from divo_runtime.timing.deadline import DeadlineChooser, DeadlinePolicy, RunningP99

AUTO = "auto"
"""Value of the parameter `policy` that leaves the choice to the time there is."""

TIMED_CALLS = 200
TIMED_S = 1.0
"""A policy is timed for so many calls after warm-up, or for so long if it is slow [s]."""

RESERVE = 0.3
"""Share of a period that `policy: auto` keeps for gate, publishing and a late begin of the next cycle."""

PATIENCE_S = 1.0
"""How long a better policy must have fitted before `policy: auto` takes it [s]."""


@dataclass(frozen=True, slots=True)
class Session:
    """A policy ready to control."""

    bundle: Bundle
    policy: Policy
    guard: Guard
    controller: Controller
    understudy: Understudy
    """Plays cycles ahead of time with this policy."""
    choice: str
    """Name of the policy, or `auto`."""
    median_ms: Mapping[str, float]
    """Name -> median time of a call after warm-up [ms], of each policy that may be used."""
    p99_ms: Mapping[str, float]
    """Name -> 99th percentile of the same calls [ms]."""

    @property
    def contract(self) -> Contract:
        """The robot task that the policy was trained for."""
        return self.bundle.contract

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the policies that may be used, from the cheapest to the best."""
        return tuple(self.p99_ms)

    @property
    def policy_name(self) -> str:
        """Name of the policy that acted last."""
        return self.policy.name if isinstance(self.policy, DeadlinePolicy) else self.choice

    @property
    def switches(self) -> int:
        """How often `auto` changed the policy."""
        return self.policy.switches if isinstance(self.policy, DeadlinePolicy) else 0

    @property
    def p99_now_ms(self) -> dict[str, float]:
        """Name -> what a call is taken to cost now [ms]; learned while running if `auto` chooses."""
        if isinstance(self.policy, DeadlinePolicy):
            return {name: p99_ns / 1e6 for name, p99_ns in self.policy.p99s_ns.items()}
        return dict(self.p99_ms)

    def set_deadline(self, deadline_ns: int) -> None:
        """Say when this cycle's command is due, in `time.monotonic_ns`."""
        if isinstance(self.policy, DeadlinePolicy):
            self.policy.deadline_ns = deadline_ns

    def close(self) -> None:
        """Free the networks."""
        self.bundle.close()


def open_session(parameters: Parameters) -> Session:
    """Load, verify, open, warm up and time.

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
        policies, durations_ns = _open_policies(bundle, parameters)
    except DivoError:
        bundle.close()
        raise
    first = next(iter(policies.values()))
    policy: Policy = first if parameters.policy != AUTO else _choosing(policies, durations_ns, bundle.contract)
    guard = open_guard(bundle)
    return Session(
        bundle,
        policy,
        guard,
        Controller(bundle.contract, policy, parameters.seed, time.perf_counter_ns, guard),
        Understudy(bundle.contract, policy, open_guard(bundle)),
        parameters.policy,
        {name: float(np.median(values)) / 1e6 for name, values in durations_ns.items()},
        {name: RunningP99(values).value_ns / 1e6 for name, values in durations_ns.items()},
    )


def policy_names(bundle: Bundle, choice: str) -> tuple[str, ...]:
    """Return the policies of a bundle that a choice may use, from the cheapest to the best.

    Args:
        bundle: The bundle.
        choice: Name of a policy, or `auto`: the actor and every sampler in float32.
    """
    if choice != AUTO:
        return (choice,)
    settings = bundle.manifest.x_divo.policies
    samplers = [name for name in settings if settings[name].kind == "sampler" and settings[name].precision == "float32"]
    ordered = sorted(samplers, key=lambda name: (settings[name].steps, settings[name].candidates))
    return ("actor", *ordered)


def _open_policies(bundle: Bundle, parameters: Parameters) -> tuple[dict[str, NetworkPolicy], dict[str, list[int]]]:
    """Open what the parameters choose; return the policies and how long their calls took [ns], by name.

    Raises:
        DivoError: If one cannot be opened or used, or the cheapest is slower than the period.
    """
    policies: dict[str, NetworkPolicy] = {}
    durations_ns: dict[str, list[int]] = {}
    for name in policy_names(bundle, parameters.policy):
        policy = bundle.open_policy(name, parameters.backend, parameters.threads)
        warm_up(policy, bundle.typical_observation, np.random.default_rng(parameters.seed), parameters.warmup_calls)
        policies[name], durations_ns[name] = policy, _time_calls(policy, bundle)
    name, cheapest = next(iter(durations_ns.items()))
    policy_ms, period_ms = float(np.median(cheapest)) / 1e6, bundle.contract.period_s * 1e3
    if policy_ms > period_ms:
        raise BackendError(
            f"The policy '{name}' is too slow for the contract's rate.",
            where=str(bundle.folder),
            got=f"{policy_ms:.1f} ms per call (median of {len(cheapest)})",
            expected=f"less than the period of {period_ms:g} ms",
            fix="Use the actor, or export a sampler with fewer candidates or steps, or use a faster backend.",
        )
    return policies, durations_ns


def _time_calls(policy: NetworkPolicy, bundle: Bundle) -> list[int]:
    """Return how long calls of a warm policy take [ns]."""
    observation = bundle.typical_observation
    noise = np.zeros(policy.noise_shape, np.float32)
    durations_ns: list[int] = []
    begun_s = time.monotonic()
    while len(durations_ns) < TIMED_CALLS and (not durations_ns or time.monotonic() - begun_s < TIMED_S):
        start_ns = time.perf_counter_ns()
        policy.act(observation, noise)
        durations_ns.append(time.perf_counter_ns() - start_ns)
    return durations_ns


def _choosing(
    policies: Mapping[str, NetworkPolicy], durations_ns: Mapping[str, Sequence[int]], contract: Contract
) -> DeadlinePolicy:
    patience = max(1, round(PATIENCE_S * contract.rate_hz))
    chooser = DeadlineChooser(list(durations_ns.values()), patience)
    return DeadlinePolicy(policies, chooser, round(RESERVE * contract.period_ns), time.monotonic_ns)

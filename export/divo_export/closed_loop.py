"""The same seeded episodes twice: once with the trained networks, once with the exported ones.

Errors that are too small to see in one action may add up over an episode, and reduced precision may tip choices; the
return says what that costs. Only meant where the contract names a gymnasium environment that is installed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import gymnasium
import numpy as np

from divo_export.graphs import sampler_config
from divo_runtime.bundle.manifest import PolicySettings
from divo_runtime.interfaces import Policy
from divo_runtime.parity.judgement import ParityError
from divo_runtime.parity.report import ClosedLoop
from divo_train.policies import TorchPolicy, torch_policy
from divo_train.trained import TrainedNetworks

FIRST_SEED = 20_000
"""Far from the seeds of data collection and of evaluation."""
LOSS = 0.05
"""The mean return may fall by this share of the returns' standard deviation, beyond twice the standard error."""


def open_environment(name: str) -> gymnasium.Env | str:
    """Return the contract's environment, or why there is none."""
    if not name:
        return "the contract names no environment"
    try:
        return gymnasium.make(name)
    except (gymnasium.error.Error, ImportError) as error:
        return f"{name} cannot be made here: {error}"


def deployed_in_torch(networks: TrainedNetworks, settings: PolicySettings) -> TorchPolicy:
    """Return the trained networks as the policy that was exported with these settings."""
    config = dataclasses.replace(networks.config, sampler=sampler_config(networks, settings.steps))
    chosen = networks if settings.kind == "actor" else dataclasses.replace(networks, config=config)
    return torch_policy(chosen, settings.kind, settings.candidates)


def compare_closed_loop(
    environment: gymnasium.Env, trained: Policy, exported: Policy, episodes: int, labels: tuple[str, str, str]
) -> ClosedLoop:
    """Play the same seeds with both policies, with the same noise.

    Args:
        environment: The task.
        trained: The policy in torch.
        exported: The policy in an engine.
        episodes: How many, >= 1.
        labels: Network, backend and environment, for the report.
    """
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + episodes))
    returns = [[play_return(environment, policy, seed) for seed in seeds] for policy in (trained, exported)]
    return judged_returns(returns[0], returns[1], seeds, labels)


def judged_returns(
    trained: Sequence[float], exported: Sequence[float], seeds: Sequence[int], labels: tuple[str, str, str]
) -> ClosedLoop:
    """Compare two lists of returns, episode by episode."""
    difference = np.subtract(exported, trained)
    error = float(difference.std(ddof=1) / math.sqrt(len(seeds))) if len(seeds) > 1 else 0.0
    return ClosedLoop(
        network=labels[0],
        backend=labels[1],
        environment=labels[2],
        seeds=tuple(seeds),
        returns_torch=tuple(trained),
        returns_exported=tuple(exported),
        mean_difference=float(difference.mean()),
        standard_error=error,
        allowed_loss=LOSS * float(np.std(trained)),
    )


def play_return(environment: gymnasium.Env, policy: Policy, seed: int) -> float:
    """Return the undiscounted return of one episode; environment and noise are functions of `seed`."""
    observation, _ = environment.reset(seed=seed)
    rng = np.random.default_rng([seed, 1])
    total, over = 0.0, False
    while not over:
        noise = rng.standard_normal(policy.noise_shape, dtype=np.float32)
        observation, reward, terminated, truncated, _ = environment.step(policy.act(observation, noise).action)
        total, over = total + float(reward), terminated or truncated
    return total


def require_return(loop: ClosedLoop, fix: str) -> None:
    """Refuse a network that earns less than the trained one by more than chance and `LOSS` explain.

    Raises:
        ParityError: Naming the network, the returns and the episode that differs most.
    """
    lowest = -loop.allowed_loss - 2 * loop.standard_error
    if not loop.mean_difference >= lowest:
        worst = int(np.argmin(np.subtract(loop.returns_exported, loop.returns_torch)))
        raise ParityError(
            "An exported network earns less than the trained one.",
            where=f"{loop.network} in {loop.backend}, {loop.environment}; most in the episode of seed "
            f"{loop.seeds[worst]}: {loop.returns_exported[worst]:.4g} instead of {loop.returns_torch[worst]:.4g}",
            got=f"a mean return lower by {-loop.mean_difference:.4g} over {len(loop.seeds)} episodes",
            expected=f"at most {-lowest:.4g} lower",
            fix=fix,
        )

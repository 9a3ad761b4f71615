"""One episode of a scripted behaviour, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divo_sim.arm_reach import ArmReach
from divo_sim.behaviours import BEHAVIOURS


@dataclass(frozen=True, slots=True)
class Rollout:
    """T steps of one episode in the order of Minari: T + 1 observations and infos, T of everything else."""

    seed: int
    """Seed of the environment's reset."""
    observations: NDArray[np.float32]
    """(T + 1, obs_dim)."""
    actions: NDArray[np.float32]
    """(T, act_dim) in robot units."""
    rewards: NDArray[np.float64]
    """(T,)."""
    terminations: NDArray[np.bool_]
    """(T,), true where the task ended."""
    truncations: NDArray[np.bool_]
    """(T,), true where the time was up."""
    infos: dict[str, NDArray[np.generic]]
    """Arrays of length T + 1: behaviour, success, contact, route."""

    def __len__(self) -> int:
        return len(self.rewards)


def roll_out(
    environment: ArmReach, behaviour: str, seed: int, watch: Callable[[ArmReach], None] | None = None
) -> Rollout:
    """Run one episode.

    Args:
        environment: Where to run it; its state before does not matter.
        behaviour: A name out of `BEHAVIOURS`.
        seed: Seed of the environment and of the behaviour's noise.
        watch: Called after reset and after every step, for pictures.
    """
    observation, info = environment.reset(seed=seed)
    pilot = BEHAVIOURS[behaviour](environment.contract, environment.scene, np.random.default_rng([seed, 1]))
    observations, infos = [observation], [info]
    actions, rewards, terminations, truncations = [], [], [], []
    over = False
    while not over:
        if watch:
            watch(environment)
        action = pilot.act(environment.scene).astype(np.float32)
        observation, reward, terminated, truncated, info = environment.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        terminations.append(terminated)
        truncations.append(truncated)
        infos.append(info)
        over = terminated or truncated
    if watch:
        watch(environment)
    return Rollout(
        seed=seed,
        observations=np.array(observations),
        actions=np.array(actions),
        rewards=np.array(rewards),
        terminations=np.array(terminations),
        truncations=np.array(truncations),
        infos={
            "behaviour": np.full(len(infos), list(BEHAVIOURS).index(behaviour), np.int8),
            "success": np.array([info["success"] for info in infos]),
            "contact": np.array([info["contact"] for info in infos]),
            "route": np.array([info["route"] for info in infos], np.int8),
        },
    )

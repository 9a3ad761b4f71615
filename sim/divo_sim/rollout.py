"""One episode of a scripted behaviour, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray

Act = Callable[[], JointArray]
"""Gives the action (act_dim,) for the next control period, in robot units."""


class Scripted(Protocol):
    """A simulated task that scripted behaviours can be run in."""

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Names of the behaviours; the place in the tuple is the label in datasets."""
        ...

    def begin(self, behaviour: str, seed: int) -> tuple[FloatArray, dict[str, Any], Act]:
        """Begin an episode; return its first observation and info, and what acts in it."""
        ...

    def step(self, action: FloatArray, /) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Let one control period pass, as gymnasium has it."""
        ...

    def close(self) -> None:
        """End the physics client."""
        ...


S = TypeVar("S", bound=Scripted)


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


def roll_out(task: S, behaviour: str, seed: int, watch: Callable[[S], None] | None = None) -> Rollout:
    """Run one episode.

    Args:
        task: Where to run it; its state before does not matter.
        behaviour: One of the task's behaviours.
        seed: Seed of the environment and of the behaviour's noise.
        watch: Called after reset and after every step, for pictures.
    """
    observation, info, act = task.begin(behaviour, seed)
    observations, infos = [observation], [info]
    actions, rewards, terminations, truncations = [], [], [], []
    over = False
    while not over:
        if watch:
            watch(task)
        action = act().astype(np.float32)
        observation, reward, terminated, truncated, info = task.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        terminations.append(terminated)
        truncations.append(truncated)
        infos.append(info)
        over = terminated or truncated
    if watch:
        watch(task)
    return Rollout(
        seed=seed,
        observations=np.array(observations),
        actions=np.array(actions),
        rewards=np.array(rewards),
        terminations=np.array(terminations),
        truncations=np.array(truncations),
        infos={
            "behaviour": np.full(len(infos), task.behaviours.index(behaviour), np.int8),
            "success": np.array([info["success"] for info in infos]),
            "contact": np.array([info["contact"] for info in infos]),
            "route": np.array([info["route"] for info in infos], np.int8),
        },
    )

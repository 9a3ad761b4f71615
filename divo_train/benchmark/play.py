"""Play several episodes at a time, so that small networks are called once for all of them.

Each episode has the environment and the noise that `divo_train.evaluate.play_episode` gives it for its seed; the sums
inside a network may round differently for a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np
from numpy.typing import NDArray

from divo_runtime.observation import FloatArray
from divo_train.evaluate import Episode
from divo_train.policies import TorchPolicy, draw_noise


class _Player:
    """One episode under way."""

    def __init__(self, world: gymnasium.Env, seed: int) -> None:
        self.world, self.seed = world, seed
        self.rng = np.random.default_rng([seed, 1])
        self.observation: FloatArray = world.reset(seed=seed)[0]
        self._total, self._steps = 0.0, 0

    def step(self, action: NDArray[np.float32]) -> Episode | None:
        """Act, and return the episode if it is over."""
        self.observation, reward, terminated, truncated, info = self.world.step(action)
        self._total, self._steps = self._total + float(reward), self._steps + 1
        if not (terminated or truncated):
            return None
        success, free, route = bool(info["success"]), bool(info["collision_free"]), int(info["route"])
        return Episode(self.seed, success, free, route, self._total, self._steps)


def play_together(worlds: Sequence[gymnasium.Env], policy: TorchPolicy, seeds: Sequence[int]) -> list[Episode]:
    """Play one episode per seed, as many at a time as there are worlds.

    Returns:
        The episodes, in the order of the seeds and without their paths.
    """
    waiting = list(reversed(seeds))
    playing = [_Player(world, waiting.pop()) for world in worlds[: len(seeds)]]
    found: dict[int, Episode] = {}
    while playing:
        observations = np.stack([player.observation for player in playing])
        actions = policy.act_together(observations, np.stack([draw_noise(policy, player.rng) for player in playing]))
        for number, (player, action) in enumerate(zip(tuple(playing), actions, strict=True)):
            episode = player.step(action)
            if episode is not None:
                found[episode.seed] = episode
                playing[number] = _Player(player.world, waiting.pop()) if waiting else player
        playing = [player for player in playing if player.seed not in found]
    return [found[seed] for seed in seeds]

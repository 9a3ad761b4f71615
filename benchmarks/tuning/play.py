"""Play many episodes in lockstep, so that the networks are called once for all of them.

Each episode's environment and noise are those of `divo_train.evaluate.play_episode` with the same seed; the sums inside
a network may round differently for a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np
import torch
from torch import Tensor

from divo_train.evaluate import Episode
from divo_train.policies import TorchPolicy, draw_noise


class _Player:
    """One episode under way."""

    def __init__(self, environment: str, policy: TorchPolicy, seed: int) -> None:
        self._world = gymnasium.make(environment, disable_env_checker=True)
        self._policy, self._seed = policy, seed
        self._rng = np.random.default_rng([seed, 1])
        self.observation, _ = self._world.reset(seed=seed)
        self._total, self._steps = 0.0, 0
        self.episode: Episode | None = None

    def noise(self) -> Tensor:
        """Return (N, act_dim) standard normal."""
        return torch.from_numpy(draw_noise(self._policy, self._rng))

    def step(self, action: Tensor) -> None:
        """Act; when the episode is over it is in `episode`."""
        self.observation, reward, terminated, truncated, info = self._world.step(action.numpy())
        self._total, self._steps = self._total + float(reward), self._steps + 1
        if terminated or truncated:
            free, route = bool(info["collision_free"]), int(info["route"])
            self.episode = Episode(self._seed, bool(info["success"]), free, route, self._total, self._steps)
            self._world.close()


def play(policy: TorchPolicy, environment: str, seeds: Sequence[int], together: int = 25) -> list[Episode]:
    """Play one episode per seed, `together` at a time.

    Args:
        policy: Of one training seed.
        environment: Gymnasium id.
        seeds: Of the episodes.
        together: Environments in this process.
    """
    episodes: list[Episode] = []
    for start in range(0, len(seeds), together):
        players = [_Player(environment, policy, seed) for seed in seeds[start : start + together]]
        while playing := [player for player in players if player.episode is None]:
            observations = torch.from_numpy(np.stack([player.observation for player in playing]))
            actions = act(policy, observations, torch.stack([player.noise() for player in playing]))
            for player, action in zip(playing, actions, strict=True):
                player.step(action)
        episodes += [player.episode for player in players if player.episode is not None]
    return episodes


@torch.no_grad()
def act(policy: TorchPolicy, observations: Tensor, noise: Tensor) -> Tensor:
    """(B, obs_dim) in contract units and (B, N, act_dim) noise -> (B, act_dim) in robot units."""
    networks, proposer = policy.networks, policy.proposer
    count, candidates, _ = noise.shape
    repeated = networks.normalizer(observations).repeat_interleave(candidates, dim=0)
    proposed = proposer.propose(repeated, noise.flatten(0, 1))
    chosen = proposed.view(noise.shape)[:, 0]
    if proposer.score is not None and candidates > 1:
        best = proposer.score(repeated, proposed).view(count, candidates).argmax(dim=1)
        chosen = proposed.view(noise.shape)[torch.arange(count), best]
    return networks.robot_units(chosen)

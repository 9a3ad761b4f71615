"""Episodes played side by side: the same as one at a time, each with its own noise, whatever ends first."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

from divo_train.benchmark.play import play_together


class Counting(gymnasium.Env):
    """Ends after as many steps as the seed's last digit says; returns the sum of the actions."""

    def __init__(self):
        self.episodes = []

    def reset(self, *, seed=None, options=None):
        self.episodes.append(seed)
        self.left = seed % 10
        return np.array([seed], np.float32), {}

    def step(self, action):
        self.left -= 1
        info = {"success": self.left == 0, "collision_free": False, "route": 0}
        return np.array([self.left], np.float32), float(action[0]), self.left == 0, False, info


def policy_that_shows_its_noise(batches):
    def act_together(observations, noise):
        batches.append(len(observations))
        return noise[:, 0]

    return SimpleNamespace(noise_shape=(1, 1), act_together=act_together)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_episodes_are_the_same_with_any_number_of_worlds(count):
    seeds, batches = range(11, 16), []
    worlds = [Counting() for _ in range(count)]
    episodes = play_together(worlds, policy_that_shows_its_noise(batches), seeds)
    assert [(episode.seed, episode.steps) for episode in episodes] == [(seed, seed % 10) for seed in seeds]
    for episode in episodes:
        noise = np.random.default_rng([episode.seed, 1])
        drawn = sum(noise.standard_normal((1, 1), dtype=np.float32)[0, 0].item() for _ in range(episode.steps))
        assert episode.return_ == pytest.approx(drawn)
    assert sum(batches) == 1 + 2 + 3 + 4 + 5
    assert max(batches) == min(count, 5)
    assert sorted(seed for world in worlds for seed in world.episodes) == list(seeds)

from __future__ import annotations

import numpy as np
import pytest
import torch

from divo_train.advantage import advantage_threshold, binary_weights, multi_step_advantage
from divo_train.data.nstep import multi_step_backups
from divo_train.data.training_set import TrainingSet
from divo_train.networks import Normalizer
from divo_train.value_learning import reward_scale


@pytest.fixture
def data(two_episodes):
    """The observations as they are, so that a value function can be read off them."""
    return TrainingSet(
        dataset=two_episodes,
        normalizer=Normalizer(torch.zeros(2), torch.ones(2)),
        observations=torch.from_numpy(two_episodes.observations),
        actions=torch.from_numpy(two_episodes.actions),
        rows=torch.from_numpy(two_episodes.rows),
    )


def test_the_advantage_is_what_came_in_m_steps_and_the_value_after_less_the_value_before(data):
    backups = multi_step_backups(data.dataset, steps=2, discount=0.5)
    advantage = multi_step_advantage(data, lambda rows: rows[:, 0], backups, reward_scale=2.0)
    # V(row) = row. 2*2 + 2/4 - 0, 2*3.5 + 0 - 1, 2*3 + 0 - 2, 2*20 + 6/4 - 4, 2*20 + 6/2 - 5
    np.testing.assert_allclose(advantage.numpy(), [4.5, 6.0, 4.0, 37.5, 38.0])


def test_rewards_are_scaled_by_the_spread_of_the_returns(data):
    # With discount 0 the returns are the rewards 1, 2, 3, 10, 20: mean 7.2, variance 50.96.
    assert reward_scale(data, 0.0) == pytest.approx(1 / 50.96**0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("fractions", "threshold"),
    [
        ((0.0, 1.0), 0.0),  # nothing binds
        ((0.5, 0.6), 0.0),  # 5 of the 10 are above 0 already
        ((0.7, 0.8), -1.3),  # too few: the 0.3 quantile of -4..5
        ((0.1, 0.2), 3.2),  # too many: the 0.8 quantile
    ],
)
def test_the_threshold_is_zero_or_as_near_to_it_as_the_wanted_share_allows(fractions, threshold):
    advantage = torch.arange(-4.0, 6.0)
    assert advantage_threshold(advantage, fractions) == pytest.approx(threshold)
    share = float((advantage > threshold).float().mean())
    assert fractions[0] - 1e-6 <= share <= fractions[1] + 1e-6


def test_weights_are_one_above_the_threshold_and_low_elsewhere():
    advantage = torch.tensor([-1.0, 0.5, 0.6, 3.0])
    np.testing.assert_allclose(binary_weights(advantage, 0.5, 0.1).numpy(), [0.1, 0.1, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("low_weight", [0.1, 0.5, 1.0])
def test_no_action_becomes_likelier_than_one_over_the_low_weight(low_weight):
    weights = binary_weights(torch.tensor([1.0] + [-1.0] * 99), 0.0, low_weight)  # the worst case: one good of many
    assert float((weights / weights.mean()).max()) <= 1 / low_weight + 1e-6

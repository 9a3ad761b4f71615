from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from divo_train.data.nstep import lambda_returns, multi_step_backups


def test_a_window_stops_at_its_episode_and_bootstraps_only_where_nothing_has_ended(two_episodes):
    backups = multi_step_backups(two_episodes, steps=2, discount=0.5)
    # 1 + 2/2, then 2 + 3/2 and 3 up to the termination; 10 + 20/2 and 20 up to the end of the recording.
    np.testing.assert_allclose(backups.returns, [2.0, 3.5, 3.0, 20.0, 20.0])
    np.testing.assert_allclose(backups.discounts, [0.25, 0.0, 0.0, 0.25, 0.5])
    np.testing.assert_array_equal(backups.rows, [2, 3, 3, 6, 6])


def test_one_step_is_the_reward_and_the_next_observation(two_episodes):
    backups = multi_step_backups(two_episodes, steps=1, discount=0.9)
    np.testing.assert_allclose(backups.returns, two_episodes.rewards)
    np.testing.assert_allclose(backups.discounts, [0.9, 0.9, 0.0, 0.9, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(backups.rows, two_episodes.rows + 1)


def test_a_window_longer_than_every_episode_gives_the_whole_return(two_episodes):
    backups = multi_step_backups(two_episodes, steps=100, discount=1.0)
    np.testing.assert_allclose(backups.returns, [6, 5, 3, 30, 20])
    np.testing.assert_allclose(backups.discounts, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(backups.rows, [3, 3, 3, 6, 6])


def test_windows_of_no_step_are_refused(two_episodes):
    with pytest.raises(ValueError, match="steps >= 1, got 0"):
        multi_step_backups(two_episodes, steps=0, discount=0.9)


def test_nothing_that_follows_a_termination_inside_an_episode_counts(two_episodes):
    ended = replace(two_episodes, terminated=np.array([False, True, False, False, False]))
    backups = multi_step_backups(ended, steps=3, discount=1.0)
    np.testing.assert_allclose(backups.returns, [3, 2, 3, 30, 20])
    np.testing.assert_allclose(backups.discounts, [0, 0, 1, 1, 1])
    returns = lambda_returns(ended, np.full(7, 5, np.float32), discount=1.0, decay=1.0)
    np.testing.assert_allclose(returns, [3, 2, 8, 35, 25])

from __future__ import annotations

import numpy as np
import pytest

from divo_sim.behaviours import BEHAVIOURS, CorrelatedNoise, RateLimit
from divo_sim.contracts import arm_reach_contract
from divo_sim.mixtures import MIXTURES
from divo_sim.rollout import roll_out

ROUTE = {"inner": -1, "outer": 1}


def clean(episode):
    return bool(episode.infos["success"][-1]) and not episode.infos["contact"].any()


@pytest.mark.parametrize("behaviour", ["inner", "outer"])
def test_the_expert_reaches_the_goal_by_its_route_without_contact(environment, behaviour):
    episodes = [roll_out(environment, behaviour, seed) for seed in range(20)]
    # benchmarks/expert_success.py: 200 of 200; one miss is left to other processors' rounding
    assert sum(map(clean, episodes)) >= 19
    assert all(episode.infos["route"][-1] == ROUTE[behaviour] for episode in episodes)
    assert 28 <= np.mean([len(episode) for episode in episodes]) <= 45


def test_the_straight_way_leads_through_the_post(environment):
    episodes = [roll_out(environment, "straight", seed) for seed in range(8)]
    assert sum(map(clean, episodes)) <= 1
    assert sum(bool(episode.infos["success"][-1]) for episode in episodes) >= 6


@pytest.mark.parametrize("behaviour", ["random", "wrong"])
def test_the_aimless_do_not_arrive(environment, behaviour):
    assert sum(bool(roll_out(environment, behaviour, seed).infos["success"][-1]) for seed in range(4)) <= 1


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_actions_keep_the_contracts_range_and_acceleration(environment, behaviour):
    contract = arm_reach_contract()
    actions = roll_out(environment, behaviour, 11).actions
    lower, upper = contract.action_range()
    change = np.diff(np.vstack([np.zeros(7), actions]), axis=0) / contract.period_s
    assert (actions >= lower - 1e-6).all()
    assert (actions <= upper + 1e-6).all()
    assert (np.abs(change) <= [limit.acceleration + 1e-4 for limit in contract.limits()]).all()  # float32 actions


def test_the_same_seed_gives_the_same_episode(environment):
    first = roll_out(environment, "sloppy", 5)
    roll_out(environment, "straight", 6)
    again = roll_out(environment, "sloppy", 5)
    assert first.observations.tobytes() == again.observations.tobytes()
    assert first.actions.tobytes() == again.actions.tobytes()


def test_an_episode_has_one_observation_and_one_info_more_than_steps(environment):
    episode = roll_out(environment, "inner", 0)
    assert episode.observations.shape == (len(episode) + 1, 23)
    assert episode.actions.shape == (len(episode), 7)
    assert {len(array) for array in episode.infos.values()} == {len(episode) + 1}
    assert episode.terminations.tolist() == [False] * (len(episode) - 1) + [True]
    assert not episode.truncations.any()


def test_the_rate_limit_lets_a_command_change_by_acceleration_times_period():
    gate = RateLimit(arm_reach_contract())
    # 20 Hz: joint 1 may change by 15 / 20 = .75 rad/s per step, joint 2 by 7.5 / 20 = .375
    np.testing.assert_allclose(gate.pass_on(np.array([1, 1, 0, 0, 0, 0, 0.0]))[:2], [0.75, 0.375])
    np.testing.assert_allclose(gate.pass_on(np.array([1, 1, 0, 0, 0, 0, 0.0]))[:2], [1.0, 0.75])
    np.testing.assert_allclose(gate.pass_on(np.array([9, -1, 0, 0, 0, 0, 0.0]))[:2], [1.5, 0.375])


def test_correlated_noise_keeps_its_deviation_and_its_memory():
    noise = CorrelatedNoise(deviation=0.3, memory=0.8, size=20_000, rng=np.random.default_rng(0))
    before, after = noise.draw(), noise.draw()
    # standard errors with 20 000 samples: about .0015 for the deviation, .003 for the correlation
    assert after.std() == pytest.approx(0.3, abs=0.006)
    assert np.corrcoef(before, after)[0, 1] == pytest.approx(0.8, abs=0.012)


def test_the_shares_of_every_mixture_sum_to_one_over_known_behaviours():
    for mixture, shares in MIXTURES.items():
        assert sum(shares.values()) == pytest.approx(1.0), mixture
        assert set(shares) <= set(BEHAVIOURS)
    assert MIXTURES["mixed-5"]["inner"] + MIXTURES["mixed-5"]["outer"] == pytest.approx(0.05)

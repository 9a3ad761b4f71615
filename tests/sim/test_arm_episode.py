from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from divo_sim.arm_episode import INNER, OUTER, UNDECIDED, Episode, advance_episode, begin_episode, step_reward

POST = np.array([0.53, 0.0, 0.0])
GOAL = np.array([0.53, 0.28, 0.13])
FAR = np.array([0.53, -0.28, 0.13])


def play(contacts: Sequence[bool], arrives: bool = True) -> list[float]:
    """Rewards of an episode that stays far and, if it arrives, does so in its last step."""
    episode, rewards = begin_episode(FAR), []
    for index, contact in enumerate(contacts):
        there = arrives and index == len(contacts) - 1
        after = advance_episode(episode, GOAL if there else FAR, GOAL, POST, contact)
        rewards.append(step_reward(episode, after))
        episode = after
    return rewards


def discounted(rewards: Sequence[float], discount: float) -> float:
    return float(np.sum(np.array(rewards) * discount ** np.arange(len(rewards))))


def test_a_step_costs_a_little_and_arriving_pays_ten():
    assert play([False, False, False]) == pytest.approx([-0.05, -0.05, 9.95])


def test_beginning_a_contact_costs_six_and_each_further_step_a_quarter():
    assert play([True, True, True, False, True], arrives=False) == pytest.approx([-6.05, -0.3, -0.3, -0.05, -6.05])


def test_arriving_in_contact_pays_ten_less_six():
    assert play([False, True]) == pytest.approx([-0.05, 3.95])


@pytest.mark.parametrize("discount", [1.0, 0.99])
def test_no_way_through_the_post_beats_the_slowest_clean_expert(discount):
    slowest_expert = discounted(play([False] * 47), discount)  # 47 steps: longest of 400 (benchmarks/expert_success.py)
    for steps in range(1, 121):
        # One step of contact is the least there can be, and it costs least in the last step; all else only costs more.
        once = discounted(play([False] * (steps - 1) + [True]), discount)
        assert once < slowest_expert


def test_the_slowest_clean_expert_earns_by_hand():
    # 10 - 47 * .05; discounted: 10 * .99^46 - .05 * (1 - .99^47) / .01 = 6.2983 - 1.8823
    assert discounted(play([False] * 47), 1.0) == pytest.approx(7.65)
    assert discounted(play([False] * 47), 0.99) == pytest.approx(4.4159, abs=1e-4)


def test_the_goal_counts_as_reached_closer_than_four_centimetres_only():
    near, at_edge = GOAL + np.array([0.039, 0.0, 0.0]), GOAL + np.array([0.0401, 0.0, 0.0])
    assert advance_episode(begin_episode(FAR), near, GOAL, POST, False).success
    assert not advance_episode(begin_episode(FAR), at_edge, GOAL, POST, False).success


def test_arriving_in_the_last_step_terminates_and_does_not_truncate():
    last = Episode(steps=119, tool=FAR)
    arrived = advance_episode(last, GOAL, GOAL, POST, False)
    late = advance_episode(last, FAR, GOAL, POST, False)
    assert (arrived.terminated, arrived.truncated) == (True, False)
    assert (late.terminated, late.truncated) == (False, True)


def test_contact_ends_nothing_but_an_arrival_after_it_is_not_collision_free():
    touched = advance_episode(begin_episode(FAR), FAR, GOAL, POST, True)
    assert not touched.terminated
    assert not touched.truncated
    arrived = advance_episode(touched, GOAL, GOAL, POST, False)
    assert (arrived.success, arrived.collision_free, arrived.contacts) == (True, False, 1)


def test_the_route_is_the_side_on_which_the_tool_last_passed_the_post():
    before, nearer, beyond = np.array([0.4, -0.1, 0.1]), np.array([0.4, 0.1, 0.1]), np.array([0.7, 0.1, 0.1])
    inner = advance_episode(begin_episode(before), nearer, GOAL, POST, False)
    still_inner = advance_episode(inner, beyond, GOAL, POST, False)
    back = advance_episode(still_inner, before, GOAL, POST, False)
    outer = advance_episode(back, beyond, GOAL, POST, False)
    assert [episode.route for episode in (inner, still_inner, back, outer)] == [INNER, INNER, UNDECIDED, OUTER]

from __future__ import annotations

import numpy as np

from divo_sim.maze_episode import Episode, advance_episode, begin_episode, cell_at, step_reward
from divo_sim.maze_map import MAPS

MEDIUM = MAPS["medium"]
START, GOAL = np.array([1.0, 5.0]), np.array([7.0, 5.0])


def test_only_arriving_pays_and_it_pays_one():
    nearly = advance_episode(begin_episode(MEDIUM, START), GOAL - [0.401, 0.0], GOAL, contact=False)
    there = advance_episode(nearly, GOAL - [0.399, 0.0], GOAL, contact=False)
    assert (nearly.success, step_reward(nearly)) == (False, 0.0)
    assert (there.success, step_reward(there)) == (True, 1.0)


def test_arriving_in_the_last_step_terminates_and_does_not_truncate():
    last = Episode(MEDIUM, steps=MEDIUM.step_limit - 1, position=START)
    arrived = advance_episode(last, GOAL, GOAL, contact=False)
    late = advance_episode(last, START, GOAL, contact=False)
    assert (arrived.terminated, arrived.truncated) == (True, False)
    assert (late.terminated, late.truncated) == (False, True)


def test_a_touched_wall_ends_nothing_but_is_remembered():
    touched = advance_episode(begin_episode(MEDIUM, START), START, GOAL, contact=True)
    assert not touched.terminated
    arrived = advance_episode(touched, GOAL, GOAL, contact=False)
    assert (arrived.success, arrived.collision_free, arrived.contacts, arrived.contact) == (True, False, 1, False)


def test_the_route_is_the_gate_that_was_entered_last():
    middle, below, elsewhere = np.array([3.6, 3.2]), np.array([4.4, 0.8]), np.array([5.0, 3.0])
    first = advance_episode(begin_episode(MEDIUM, START), middle, GOAL, contact=False)
    still = advance_episode(first, elsewhere, GOAL, contact=False)
    second = advance_episode(still, below, GOAL, contact=False)
    assert [one.route for one in (first, still, second)] == [-1, -1, 1]


def test_a_map_with_one_way_has_no_routes():
    umaze = MAPS["umaze"]
    passed = advance_episode(begin_episode(umaze, np.array([3.0, 1.0])), np.array([3.0, 2.0]), START, contact=False)
    assert passed.route == 0


def test_a_point_belongs_to_the_cell_whose_centre_is_nearest():
    assert cell_at(np.array([2.49, 0.51])) == (2, 1)

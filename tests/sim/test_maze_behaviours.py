from __future__ import annotations

import math

import numpy as np
import pytest

from divo_sim.base_maze import BaseMaze
from divo_sim.maze_behaviours import MAZE_BEHAVIOURS, steer
from divo_sim.maze_map import MAPS
from divo_sim.maze_pairs import data_pair
from divo_sim.mixtures import MAZE_MIXTURES
from divo_sim.rollout import roll_out
from divo_sim.scripted_maze import ScriptedMaze

EVERY_MAP = pytest.mark.parametrize("name", MAPS)


@pytest.fixture(scope="module")
def scripted():
    """The medium map with the goals of `diverse` data, for all tests."""
    scripted = ScriptedMaze("medium", "diverse")
    yield scripted
    scripted.close()


def drive_expert(environment, seed):
    """The info at the end of an expert's episode, and its steps."""
    environment.reset(seed=seed)
    scene = environment.scene
    pilot = MAZE_BEHAVIOURS["expert"](environment.contract, scene, np.random.default_rng([seed, 1]))
    over = False
    while not over:
        _, _, terminated, truncated, info = environment.step(pilot.act(scene).astype(np.float32))
        over = terminated or truncated
    return info, environment.episode.steps


@EVERY_MAP
def test_the_expert_drives_every_far_pair_untouched_in_half_the_time(name):
    environment = BaseMaze(name)
    played = [drive_expert(environment, seed) for seed in range(8)]
    environment.close()
    assert all(info["collision_free"] for info, _ in played)
    limit = MAPS[name].step_limit
    assert 0.4 * limit < np.mean([steps for _, steps in played]) < 0.6 * limit  # 0.5, and the draw of pairs


def test_straight_ahead_is_full_speed_and_a_target_behind_is_turned_to_on_the_spot():
    np.testing.assert_allclose(steer((0.0, 0.0, 0.0), np.array([1.0, 0.0]), 0.8), [0.8, 0.0])
    np.testing.assert_allclose(steer((0.0, 0.0, 0.0), np.array([0.0, 1.0]), 0.8), [0.0, 1.5 * math.pi], atol=1e-9)
    # facing just below -x, a target just above: a small turn clockwise, not nearly a whole one the other way
    _, turn = steer((0.0, 0.0, -math.pi + 0.1), np.array([-1.0, 0.0]), 0.8)
    assert turn == pytest.approx(-0.3)


def test_purposeful_episodes_arrive_and_are_never_longer_than_the_map_allows(scripted):
    maze = MAPS["medium"]
    for seed in range(6):
        episode = roll_out(scripted, "purposeful", seed)
        start, goal = (tuple(episode.observations[0][at].round().astype(int)) for at in (slice(24, 26), slice(30, 32)))
        assert 2 <= maze.distances(goal)[start] <= 6
        assert episode.terminations[-1]
        assert episode.rewards.sum() == 1.0


def test_wrong_turns_never_arrive_and_never_enter_the_goals_cell(scripted):
    for seed in range(6):
        episode = roll_out(scripted, "wrong", seed)
        positions, goal = episode.observations[:, 24:26].round(), episode.observations[0][30:32].round()
        assert not (positions == goal).all(axis=1).any()
        assert episode.truncations[-1]
        assert len(np.unique(positions, axis=0)) >= 6  # it does drive about


def test_random_driving_touches_walls(scripted):
    assert roll_out(scripted, "random", 0).infos["contact"].mean() > 0.1


@pytest.mark.parametrize("behaviour", MAZE_BEHAVIOURS)
def test_actions_keep_the_contracts_range_and_acceleration(scripted, behaviour):
    contract = scripted.environment.contract
    actions = roll_out(scripted, behaviour, 11).actions
    lower, upper = contract.action_range()
    change = np.diff(np.vstack([np.zeros(2), actions]), axis=0) / contract.period_s
    assert (actions >= lower - 1e-6).all()
    assert (actions <= upper + 1e-6).all()
    assert (np.abs(change) <= [limit.acceleration + 1e-4 for limit in contract.limits()]).all()  # float32 actions


def test_the_same_seed_gives_the_same_episode(scripted):
    first = roll_out(scripted, "wrong", 5)
    roll_out(scripted, "random", 6)
    again = roll_out(scripted, "wrong", 5)
    assert first.observations.tobytes() == again.observations.tobytes()
    assert first.actions.tobytes() == again.actions.tobytes()


@EVERY_MAP
def test_play_has_few_goals_and_diverse_has_any(name):
    maze, rng = MAPS[name], np.random.default_rng(0)
    play = {data_pair(maze, "play", "wrong", rng)[1] for _ in range(600)}
    diverse = {data_pair(maze, "diverse", "wrong", rng)[1] for _ in range(600)}
    assert play == set(maze.play_goals)
    assert diverse == set(maze.cells)


def test_the_shares_of_every_mixture_sum_to_one_over_known_behaviours():
    for mixture, shares in MAZE_MIXTURES.items():
        assert sum(shares.values()) == pytest.approx(1.0), mixture
        assert set(shares) <= set(MAZE_BEHAVIOURS)
    assert MAZE_MIXTURES["mixed-20"] == {"purposeful": 0.2, "wrong": 0.5, "random": 0.3}

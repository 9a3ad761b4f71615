from __future__ import annotations

import math
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from divo_runtime.errors import DivoError
from divo_runtime.observation import Measurement, ObservationBuilder
from divo_sim.base_maze import BaseMaze
from divo_sim.contracts import arm_reach_text, base_maze_contract, name_environment
from divo_sim.environments import base_maze_id
from divo_sim.maze_map import MAPS
from divo_sim.maze_scene import BASE_RADIUS_M

STILL, AHEAD = np.zeros(2, np.float32), np.array([1.0, 0.0], np.float32)
FAR_AWAY = np.array([7.0, 5.0])


@pytest.fixture(scope="module")
def maze():
    """One environment for all tests: what a test left behind must not matter after a reset."""
    maze = BaseMaze("medium")
    yield maze
    maze.close()


def place(maze, x, y, yaw, goal=FAR_AWAY):
    """Begin an episode from a given pose."""
    maze.reset(seed=0)
    maze.scene.place((x, y, yaw), goal)


def drive(maze, action, steps):
    """The last result of a constant action."""
    for _ in range(steps):
        result = maze.step(np.asarray(action, np.float32))
    return result


@pytest.mark.filterwarnings("ignore:.*Box (action|observation) space:UserWarning")
@pytest.mark.parametrize("pairs", ["far", "random"])
def test_gymnasium_accepts_the_environment(pairs):
    environment = gymnasium.make(base_maze_id("umaze", pairs))
    check_env(environment.unwrapped)
    environment.close()


def test_the_contract_names_an_environment_that_a_process_without_this_package_can_make():
    program = (
        "import gymnasium, sys; assert 'divo_sim' not in sys.modules;"
        f"print(gymnasium.make('{base_maze_contract().environment}').reset(seed=0)[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("(32,)")


def test_another_environment_in_a_contract_changes_that_line_only():
    before = arm_reach_text().splitlines()
    after = name_environment(arm_reach_text(), "module:Other-v0").splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][1].startswith("environment: module:Other-v0 ")


def test_the_observation_is_built_from_scan_odometry_and_goal(maze):
    place(maze, 1.0, 5.0, math.pi / 2, goal=np.array([7.0, 3.0]))
    observation = maze.step(STILL)[0]
    # At the centre of the upper left cell, facing up: ahead and left are walls half a metre away. To the right is a
    # corridor of three cells, 2.5 m; behind one of five cells, 4.5 m.
    ahead, left, behind, right = observation[[0, 6, 12, 18]]
    np.testing.assert_allclose([ahead, left, behind, right], [0.5, 0.5, 4.5, 2.5], atol=1e-3)
    # x, y, cosine and sine of the yaw, speed, turn rate, goal
    np.testing.assert_allclose(observation[24:], [1.0, 5.0, 0.0, 1.0, 0.0, 0.0, 7.0, 3.0], atol=1e-4)


def test_the_scan_looks_counter_clockwise_every_fifteen_degrees(maze):
    place(maze, 3.0, 1.0, 0.0)
    ranges = maze.step(STILL)[0][:24]
    # Ray 2 is 30 degrees to the left of ahead and meets the upper wall, 0.5 m away, after 0.5 / sin 30 = 1 m.
    assert ranges[2] == pytest.approx(1.0, abs=2e-3)
    assert ranges[0] == pytest.approx(4.5, abs=2e-3)  # cells 4 to 7, and half the own one


@pytest.mark.parametrize("yaw", [math.pi - 0.01, -math.pi + 0.01])
def test_facing_left_the_heading_does_not_jump(maze, yaw):
    place(maze, 3.0, 1.0, yaw)
    assert maze.step(STILL)[0][26:28] == pytest.approx([-1.0, 0.0], abs=0.02)


def test_the_same_messages_make_the_same_observation_elsewhere(maze):
    observation, _ = maze.reset(seed=3)
    measurements = {topic: Measurement(message, 0, 0) for topic, message in maze.scene.messages(0).items()}
    again = ObservationBuilder(base_maze_contract()).build(measurements, now_ns=0)
    np.testing.assert_array_equal(again.usable(), observation)


def test_the_drives_follow_a_command_with_a_lag_of_a_seventh_of_a_second(maze):
    place(maze, 1.0, 1.0, 0.0)
    speeds = [maze.step(AHEAD)[0][28] for _ in range(10)]
    assert speeds[0] == pytest.approx(1.0 - math.exp(-0.1 / 0.15), abs=0.01)  # 0.487
    assert speeds[9] == pytest.approx(1.0 - math.exp(-1.0 / 0.15), abs=0.01)  # 0.999
    # Way of a first-order lag: t - tau (1 - exp(-t / tau)) = 1 - 0.15 * 0.9987 = 0.850
    assert maze.episode.position[0] - 1.0 == pytest.approx(0.850, abs=0.01)


def test_the_base_turns_on_the_spot(maze):
    place(maze, 1.0, 5.0, 0.0)
    observation = drive(maze, [0.0, 1.0], 10)[0]
    assert math.atan2(observation[27], observation[26]) == pytest.approx(0.850, abs=0.01)
    np.testing.assert_allclose(maze.episode.position, [1.0, 5.0], atol=1e-3)


def test_a_wall_stops_the_base_and_the_contact_is_counted(maze):
    place(maze, 1.0, 5.0, math.pi)
    info = drive(maze, AHEAD, 20)[4]
    # The wall's face is at x = 0.5, and the base's radius 0.2 m.
    assert info["position"][0] == pytest.approx(0.5 + BASE_RADIUS_M, abs=2e-3)
    assert info["contact"]
    assert 10 <= info["contacts"] <= 20
    assert not info["success"]


def test_driving_obliquely_into_a_wall_the_base_slides_along_it_past_every_seam(maze):
    place(maze, 1.0, 1.0, -0.5)
    info = drive(maze, [0.8, 0.0], 70)[4]
    assert info["position"][1] == pytest.approx(0.5 + BASE_RADIUS_M, abs=3e-3)
    assert info["position"][0] > 4.0  # it would have stuck at x = 1.5 + radius if a seam between cells caught it


def test_backing_away_frees_the_base(maze):
    place(maze, 1.0, 5.0, math.pi)
    drive(maze, AHEAD, 20)
    info = drive(maze, [-0.4, 0.0], 15)[4]
    assert info["position"][0] > 0.9
    assert not info["contact"]


def test_an_episode_depends_on_its_seed_and_on_nothing_before_it(maze):
    def play(environment, seed):
        first, _ = environment.reset(seed=seed)
        return np.array([first, *(environment.step(np.array([0.6, 0.4], np.float32))[0] for _ in range(40))])

    first, other, again = play(maze, 7), play(maze, 8), play(maze, 7)
    fresh = BaseMaze("medium")
    elsewhere = play(fresh, 7)
    fresh.close()
    assert first.tobytes() == again.tobytes() == elsewhere.tobytes()
    assert not np.array_equal(first, other)


def test_far_episodes_begin_at_the_maps_far_pairs_and_an_option_chooses_one(maze):
    pairs = MAPS["medium"].far_pairs
    begun = set()
    for seed in range(40):
        maze.reset(seed=seed)
        begun.add((tuple(maze.episode.position.round().astype(int)), tuple(maze.scene.goal.round().astype(int))))
    assert begun == set(pairs)
    maze.reset(seed=0, options={"pair": 2})
    np.testing.assert_allclose(maze.episode.position, pairs[2][0], atol=0.1)
    np.testing.assert_allclose(maze.scene.goal, pairs[2][1], atol=0.1)


def test_random_pairs_are_at_least_two_cells_apart():
    environment = BaseMaze("umaze", "random")
    apart = []
    for seed in range(50):
        environment.reset(seed=seed)
        start, goal = (tuple(np.round(x).astype(int)) for x in (environment.episode.position, environment.scene.goal))
        apart.append(MAPS["umaze"].distances(goal)[start])
    environment.close()
    assert (min(apart), max(apart)) == (2, 6)


@pytest.mark.parametrize("options", [{"pair": 99}, {"start": (0, 0), "goal": (1, 1)}, {"goal": (1, 1)}, {"seed": 1}])
def test_options_that_name_no_free_cells_are_refused(maze, options):
    with pytest.raises(DivoError, match="free cells"):
        maze.reset(seed=0, options=options)


@pytest.mark.parametrize("action", [np.full(2, np.nan), np.zeros(3)])
def test_an_action_that_is_not_two_finite_numbers_is_refused(maze, action):
    maze.reset(seed=0)
    with pytest.raises(DivoError, match="2 finite numbers"):
        maze.step(action)


def test_actions_beyond_the_contract_are_clipped_to_it(maze):
    place(maze, 1.0, 1.0, 0.0)
    beyond = drive(maze, [9.0, 0.0], 5)[0]
    place(maze, 1.0, 1.0, 0.0)
    np.testing.assert_array_equal(drive(maze, [1.0, 0.0], 5)[0], beyond)


def test_standing_still_is_truncated_at_the_maps_limit_and_never_terminated(maze):
    maze.reset(seed=0)
    ends = [maze.step(STILL)[2:4] for _ in range(MAPS["medium"].step_limit)]
    assert ends == [(False, False)] * (len(ends) - 1) + [(False, True)]


def test_arriving_terminates_with_reward_one(maze):
    place(maze, 6.0, 5.0, 0.0, goal=np.array([7.0, 5.0]))
    rewards, over = [], False
    while not over:
        _, reward, terminated, truncated, info = maze.step(AHEAD)
        rewards.append(reward)
        over = terminated or truncated
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    assert (terminated, truncated, info["success"], info["collision_free"]) == (True, False, True, True)


def test_infos_have_the_same_keys_at_reset_and_at_every_step(maze):
    _, at_reset = maze.reset(seed=0)
    assert list(at_reset) == list(maze.step(STILL)[4])
    assert {"success", "collision_free", "route", "position"} <= set(at_reset)

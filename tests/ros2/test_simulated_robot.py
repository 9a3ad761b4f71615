"""The simulated robot without ROS: the same episodes as in the gymnasium task, and a watchdog over the commands."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pybullet")

from divo_sim.arm_body import simulated_arm
from divo_sim.arm_reach import ArmReach
from divo_sim.contracts import arm_reach_contract
from divo_sim.simulated_robot import SimulatedRobot

SUBSTEPS = 12
TIMEOUT = 48
"""0.2 s at 240 Hz."""


@pytest.fixture
def robot():
    robot = simulated_arm(arm_reach_contract())
    yield robot
    robot.close()


def joint_velocity(robot: SimulatedRobot) -> np.ndarray:
    return np.array(robot.messages(0)["joint_states"].velocity[:7])


def test_plays_and_scores_an_episode_exactly_as_the_gymnasium_task(robot):
    environment = ArmReach()
    environment.reset(seed=7)
    rng = np.random.default_rng(1)
    rewards, path, over = [], [], False
    robot.reset(7)
    while not over:
        action = rng.uniform(-0.5, 1.7, 7).astype(np.float32)  # beyond the range, so that clipping is compared too
        _, reward, terminated, truncated, info = environment.step(action)
        over = terminated or truncated
        rewards.append(reward)
        path.append(tuple(info["tool_position"].tolist()))
        assert robot.command(action.tolist())
        for _ in range(SUBSTEPS):
            robot.advance()
    environment.close()

    record = robot.record
    assert record is not None
    assert record.path == tuple(path)
    assert record.return_ == pytest.approx(sum(rewards), abs=1e-9)
    assert (record.contacts, record.route, record.success) == (info["contacts"], info["route"], info["success"])
    assert record.contacts > 0
    assert record.steps == record.commands == len(record.joints) == len(path)
    assert (record.seed, record.bad_commands, record.command_gaps) == (7, 0, 0)
    assert record.longest_gap_s == pytest.approx(0.05)


def test_the_clock_of_an_episode_starts_with_the_first_command(robot):
    for _ in range(100 * SUBSTEPS):
        robot.advance()
    assert not robot.begun

    robot.command([0.0] * 7)
    for _ in range(120 * SUBSTEPS - 1):
        robot.advance()
    assert robot.record is None
    robot.advance()
    assert robot.record is not None
    assert robot.record.steps == 120
    assert not robot.record.success
    # nothing touched, nothing reached: 120 times the cost of a step, or more if a limb leans on the post
    assert robot.record.return_ == pytest.approx(120 * -0.05)


def test_brakes_when_commands_stay_away_and_counts_the_gap_once(robot):
    robot.command([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.6])
    for _ in range(TIMEOUT):
        robot.advance()
    assert joint_velocity(robot)[6] == pytest.approx(0.6, abs=0.02)

    for _ in range(8):  # 0.6 rad/s at 20 rad/s^2 takes 7.2 steps of 1/240 s
        robot.advance()
    assert joint_velocity(robot)[6] == pytest.approx(0.0, abs=0.02)

    robot.command([0.0] * 7)
    while robot.record is None:
        robot.advance()
    assert robot.record.command_gaps == 2
    assert robot.record.longest_gap_s > 5.0


@pytest.mark.parametrize("bad", [[0.1] * 6, [0.1] * 8, [], [float("nan")] + [0.0] * 6, [float("inf")] * 7])
def test_ignores_and_counts_commands_of_a_wrong_size_or_not_finite(robot, bad):
    robot.command([0.0] * 7)

    assert not robot.command(bad)
    while robot.record is None:
        robot.advance()
    assert robot.record.bad_commands == 1
    assert robot.record.commands == 1


def test_holds_still_after_the_end_until_the_next_reset(robot):
    robot.command([0.0] * 7)
    while robot.record is None:
        robot.advance()
    before = robot.messages(0)["joint_states"].position

    assert not robot.command([1.0] * 7)
    for _ in range(SUBSTEPS):
        robot.advance()
    assert robot.messages(0)["joint_states"].position == pytest.approx(before, abs=1e-3)

    robot.reset(3)
    assert robot.record is None
    assert robot.command([1.0] * 7)

from __future__ import annotations

import math

import numpy as np
import pytest

from divo_sim.base_body import simulated_base
from divo_sim.base_maze import BaseMaze
from divo_sim.contracts import base_maze_contract
from divo_sim.maze_behaviours import MAZE_BEHAVIOURS

STEPS_PER_PERIOD = 12  # 120 Hz of physics, 10 Hz of control


@pytest.fixture(scope="module")
def base():
    """One simulated base for all tests: what a test left behind must not matter after a reset."""
    base = simulated_base(base_maze_contract(), "medium")
    yield base
    base.close()


def advance(base, steps):
    for _ in range(steps):
        base.advance()


def speed(base):
    return base.messages(0)["odom"].twist.twist.linear.x


def test_the_same_seed_and_commands_give_the_episode_of_the_gymnasium_task(base):
    environment = BaseMaze("medium")
    environment.reset(seed=4)
    base.reset(4)
    pilot = MAZE_BEHAVIOURS["expert"](environment.contract, environment.scene, np.random.default_rng(0))
    path = []
    while base.record is None:
        action = pilot.act(environment.scene).astype(np.float32)
        info = environment.step(action)[4]
        path.append(info["position"])
        base.command(action.astype(float).tolist())
        advance(base, STEPS_PER_PERIOD)
    environment.close()
    record = base.record
    assert (record.success, record.collision_free, record.return_) == (True, True, 1.0)
    assert record.steps == len(path) == record.commands
    np.testing.assert_array_equal(record.path, path)


def test_an_episode_waits_for_its_first_command(base):
    base.reset(0)
    advance(base, 500 * STEPS_PER_PERIOD)
    assert base.record is None
    assert not base.begun


def test_without_commands_the_base_brakes_and_the_gap_is_told(base):
    base.reset(0)
    for _ in range(3):  # turning on the spot touches nothing
        base.command([0.0, 2.0])
        advance(base, STEPS_PER_PERIOD)
    # 0.2 s of patience, 2 rad/s at 10 rad/s^2: 0.2 s, and the drive's lag of 0.15 s dies away
    advance(base, 150)
    assert abs(base.messages(0)["odom"].twist.twist.angular.z) < 0.02
    while base.record is None:
        base.command([0.0, 0.0])
        advance(base, STEPS_PER_PERIOD)
    assert base.record.command_gaps == 1
    assert base.record.longest_gap_s == pytest.approx((150 + 12) / 120)
    assert (base.record.success, base.record.steps) == (False, 270)


@pytest.mark.parametrize("values", [[0.1], [math.nan, 0.0]])
def test_commands_that_are_none_are_ignored_and_counted(base, values):
    base.reset(0)
    assert not base.command(values)
    assert not base.begun
    assert base.command([0.0, 0.0])


def test_a_command_beyond_the_contract_is_clipped(base):
    base.reset(0)
    base.command([-9.0, 0.0])
    advance(base, STEPS_PER_PERIOD)
    assert speed(base) >= -0.4

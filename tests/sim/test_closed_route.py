"""One way round the post closed: who takes the open one arrives, who takes the other is stopped, or begins again."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from divo_sim.arm_episode import INNER, OUTER
from divo_sim.arm_reach import ArmReach
from divo_sim.behaviours import BEHAVIOURS
from divo_sim.closed_route import ClosedRoute
from divo_sim.environments import ATTEMPTS, closed_route_id, qualified

SEED = 3


@pytest.fixture(params=["inner", "outer"])
def closed(request):
    return request.param


def other(side):
    return {"inner": "outer", "outer": "inner"}[side]


def drive(environment, ways, seed=SEED):
    """Play one episode by the scripted experts: `ways` says which one for each attempt."""
    observation, info = environment.reset(seed=seed)
    arm: ArmReach = environment.unwrapped
    attempt, begun, over, rewards = 0, [observation], False, []
    while not over:
        if info["attempts"] != attempt:
            attempt = info["attempts"]
            begun.append(observation)
            pilot = BEHAVIOURS[ways[attempt - 1]](arm.contract, arm.scene, np.random.default_rng([seed, attempt]))
        observation, reward, terminated, truncated, info = environment.step(pilot.act(arm.scene).astype(np.float32))
        rewards.append(reward)
        over = terminated or truncated
    environment.close()
    return info, begun[1:], terminated, rewards


def test_the_expert_of_the_open_way_arrives_as_ever(closed):
    successes = []
    for seed in range(5):
        info, _, terminated, rewards = drive(ClosedRoute(closed), [other(closed)], seed)
        successes.append(info["success"] and info["collision_free"] and terminated)
        assert info["route"] == {"inner": OUTER, "outer": INNER}[closed]
        assert sum(rewards) > 7
    assert all(successes)


def test_the_expert_of_the_closed_way_is_stopped_where_it_passes_the_post(closed):
    info, _, terminated, rewards = drive(ClosedRoute(closed), [closed])
    assert (info["success"], info["collision_free"], info["attempts"], terminated) == (False, False, 1, False)
    assert 5 < len(rewards) < 40
    assert max(rewards) < 0


def test_after_a_stop_the_robot_begins_again_in_the_same_scene_while_attempts_are_left(closed):
    environment = gymnasium.make(qualified(closed_route_id(closed, retry=True)))
    info, begun, terminated, _ = drive(environment, [closed, closed, other(closed)])
    assert (info["success"], info["attempts"], terminated) == (True, 3, True)
    assert len(begun) == 3
    assert np.array_equal(begun[0], begun[1])
    assert np.array_equal(begun[0], begun[2])


def test_a_driver_who_insists_is_stopped_for_good_after_the_last_attempt(closed):
    environment = gymnasium.make(qualified(closed_route_id(closed, retry=True)))
    info, _, terminated, _ = drive(environment, [closed] * ATTEMPTS)
    assert (info["success"], info["attempts"], terminated) == (False, ATTEMPTS, False)


def test_nothing_that_a_policy_sees_tells_that_a_way_is_closed(closed):
    open_world, closed_world = ArmReach(), ClosedRoute(closed)
    seen, _ = open_world.reset(seed=SEED)
    seen_closed, _ = closed_world.reset(seed=SEED)
    assert np.array_equal(seen, seen_closed)
    assert closed_world.observation_space == open_world.observation_space
    assert closed_world.action_space == open_world.action_space
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-0.3, 0.3, 7).astype(np.float32)
        assert np.array_equal(open_world.step(action)[0], closed_world.step(action)[0])
    open_world.close()
    closed_world.close()

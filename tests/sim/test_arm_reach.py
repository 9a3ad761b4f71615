from __future__ import annotations

import dataclasses
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from divo_runtime.errors import DivoError
from divo_runtime.observation import Measurement, ObservationBuilder
from divo_sim.arm_reach import ArmReach
from divo_sim.contracts import arm_reach_contract
from divo_sim.environments import ARM_REACH_ID


def play(environment, seed, action, steps):
    """Observations of an episode with one constant action."""
    first, _ = environment.reset(seed=seed)
    return np.array([first, *(environment.step(np.array(action, np.float32))[0] for _ in range(steps))])


SWEEP = [0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
"""Joint velocities that swing the arm into the post."""


@pytest.mark.filterwarnings("ignore:.*Box (action|observation) space:UserWarning")
def test_gymnasium_accepts_the_environment():
    environment = gymnasium.make(ARM_REACH_ID, render_mode="rgb_array")
    check_env(environment.unwrapped)
    environment.close()


def test_the_contract_names_an_environment_that_a_process_without_this_package_can_make():
    program = (
        "import gymnasium, sys; assert 'divo_sim' not in sys.modules;"
        f"print(gymnasium.make('{arm_reach_contract().environment}').reset(seed=0)[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("(23,)")


def test_an_episode_depends_on_its_seed_and_on_nothing_before_it(environment):
    first = play(environment, 7, SWEEP, 40)
    other = play(environment, 8, SWEEP, 25)
    again = play(environment, 7, SWEEP, 40)
    fresh = ArmReach()
    elsewhere = play(fresh, 7, SWEEP, 40)
    fresh.close()
    assert first.tobytes() == again.tobytes() == elsewhere.tobytes()
    assert not np.array_equal(first[:26], other)


def test_the_observation_holds_the_offsets_from_the_tool_to_goal_and_post(environment):
    observation, info = environment.reset(seed=3)
    tool = info["tool_position"]
    np.testing.assert_allclose(observation[14:17], tool, atol=1e-6)
    np.testing.assert_allclose(observation[17:20], environment.scene.goal - tool, atol=1e-6)
    np.testing.assert_allclose(observation[20:23], environment.scene.post - tool, atol=1e-6)


def test_the_observation_is_built_by_joint_names_whatever_their_order_and_company(environment):
    observation, _ = environment.reset(seed=3)
    messages = environment.scene.messages(stamp_ns=0)
    joints = messages["joint_states"]
    order = [8, 3, 0, 6, 7, 2, 5, 1, 4]
    assert [joints.name[index] for index in order[:2]] == ["panda_finger_joint2", "panda_joint4"]
    messages["joint_states"] = dataclasses.replace(
        joints,
        name=[joints.name[index] for index in order],
        position=[joints.position[index] for index in order],
        velocity=[joints.velocity[index] for index in order],
    )
    measurements = {topic: Measurement(message, 0, 0) for topic, message in messages.items()}
    permuted = ObservationBuilder(arm_reach_contract()).build(measurements, now_ns=0)
    np.testing.assert_array_equal(permuted.usable(), observation)


def test_messages_carry_their_stamp_as_ros_does(environment):
    stamp = environment.scene.messages(stamp_ns=2_500_000_001)["tool_pose"].header.stamp
    assert (stamp.sec, stamp.nanosec) == (2, 500_000_001)


def test_doing_nothing_is_truncated_after_120_steps_and_never_terminated(environment):
    environment.reset(seed=0)
    ends = [environment.step(np.zeros(7, np.float32))[2:4] for _ in range(120)]
    assert ends == [(False, False)] * 119 + [(False, True)]


def test_the_arm_follows_the_commanded_joint_velocity(environment):
    observations = play(environment, 0, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5], 20)
    assert observations[-1][13] == pytest.approx(0.5, abs=0.01)
    assert observations[-1][6] - observations[0][6] == pytest.approx(0.5, abs=0.02)  # 20 steps of .05 s at .5 rad/s


def test_actions_beyond_the_contract_are_clipped_to_it(environment):
    beyond = play(environment, 0, [0, 0, 0, 0, 0, 0, -9.0], 5)
    at_limit = play(environment, 0, [0, 0, 0, 0, 0, 0, -1.5], 5)
    np.testing.assert_array_equal(beyond, at_limit)


@pytest.mark.parametrize("action", [np.full(7, np.nan), np.zeros(6)])
def test_an_action_that_is_not_seven_finite_numbers_is_refused(environment, action):
    environment.reset(seed=0)
    with pytest.raises(DivoError, match="7 finite joint velocities"):
        environment.step(action)


def test_touching_the_post_is_seen_and_counted(environment):
    environment.reset(seed=7)
    contact = [environment.step(np.array(SWEEP, np.float32))[4]["contact"] for _ in range(40)]
    info = environment.step(np.array(SWEEP, np.float32))[4]
    assert any(contact)
    assert info["contacts"] == sum(contact) + info["contact"]
    assert not info["collision_free"]


def test_infos_have_the_same_keys_at_reset_and_at_every_step(environment):
    _, at_reset = environment.reset(seed=0)
    at_step = environment.step(np.zeros(7, np.float32))[4]
    assert list(at_reset) == list(at_step)


def test_a_picture_is_made_only_when_asked_for(environment):
    assert environment.render() is None
    shown = ArmReach(render_mode="rgb_array")
    shown.reset(seed=0)
    picture = shown.render()
    shown.close()
    assert picture.shape == (360, 480, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100  # a scene, not a blank


def test_closing_twice_does_no_harm():
    environment = ArmReach()
    environment.close()
    environment.close()

"""The closed loop compares returns of the same seeds, and judges them with numbers worked out by hand."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from divo_export.closed_loop import (
    compare_closed_loop,
    deployed_in_torch,
    judged_returns,
    open_environment,
    play_return,
    require_return,
)
from divo_export.graphs import load_trained
from divo_runtime.interfaces import PolicyAction
from divo_runtime.parity.judgement import ParityError
from divo_train.policies import torch_policy

LABELS = ("actor", "onnxruntime", "Walk-v0")
SEEDS = tuple(range(4))


class Walk(gymnasium.Env):
    """Two steps; the reward of each is the action plus a number that belongs to the seed."""

    def reset(self, *, seed=None, options=None):
        self.bonus, self.steps = seed % 10, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), self.bonus + float(action[0]), self.steps == 2, False, {}


class Constant:
    noise_shape = (1, 1)

    def __init__(self, action, gain=0.0):
        self.action, self.gain = action, gain

    def act(self, observation, noise):
        return PolicyAction(np.float32([self.action]) + self.gain * noise[0], 0.0)


def test_both_policies_play_the_same_seeds_with_the_same_noise():
    loop = compare_closed_loop(Walk(), Constant(1.0, gain=1.0), Constant(1.5, gain=1.0), 3, LABELS)
    assert loop.seeds == (20_000, 20_001, 20_002)
    np.testing.assert_allclose(np.subtract(loop.returns_exported, loop.returns_torch), 1.0, atol=1e-5)
    assert play_return(Walk(), Constant(2.0), 20_003) == 10  # 2 steps of 3 + 2
    require_return(loop, "")


def test_the_mean_may_fall_by_a_twentieth_of_the_spread_beyond_twice_its_error():
    trained = [0.0, 10.0, 0.0, 10.0]  # standard deviation 5: a loss of 0.25 is allowed
    steady = judged_returns(trained, [value - 0.2 for value in trained], SEEDS, LABELS)
    assert (steady.mean_difference, steady.allowed_loss) == pytest.approx((-0.2, 0.25))
    assert steady.standard_error == pytest.approx(0, abs=1e-9)
    require_return(steady, "")
    with pytest.raises(ParityError, match=r"a mean return lower by 0\.3 over 4 episodes"):
        require_return(judged_returns(trained, [value - 0.3 for value in trained], SEEDS, LABELS), "")


def test_a_difference_that_chance_explains_passes():
    """Differences of -8, 4, 4, -4: mean -1, standard error sqrt(36 / 4) = 3; -1 is above -0.25 - 6."""
    loop = judged_returns([0.0, 10.0, 0.0, 10.0], [-8.0, 14.0, 4.0, 6.0], SEEDS, LABELS)
    assert (loop.mean_difference, loop.standard_error) == pytest.approx((-1.0, 3.0))
    require_return(loop, "")


def test_a_refusal_names_the_episode_that_lost_most():
    loop = judged_returns([5.0, 5.0, 5.0, 5.0], [0.0, 1.0, -2.0, 0.5], SEEDS, LABELS)
    with pytest.raises(ParityError, match="seed 2: -2 instead of 5"):
        require_return(loop, "")


def test_a_return_that_is_no_number_is_refused():
    with pytest.raises(ParityError):
        require_return(judged_returns([1.0, 1.0], [float("nan"), 1.0], SEEDS[:2], LABELS), "")


@pytest.mark.parametrize(
    ("name", "reason"), [("", "names no environment"), ("NoSuch-v0", "cannot be made"), ("no_module:X-v0", "cannot")]
)
def test_a_task_without_simulator_is_left_out_with_its_reason(name, reason):
    assert reason in open_environment(name)


def test_the_torch_policy_has_the_steps_and_candidates_that_were_exported(exported, arm_dataset):
    run, bundle = exported
    networks = load_trained(run).networks
    settings = bundle.manifest.x_divo.policies["sampler_k2"]
    policy = deployed_in_torch(networks, settings)
    assert policy.noise_shape == (settings.candidates, 7)
    assert policy.networks.config.sampler.steps == 2
    observation = np.zeros(23, np.float32)
    noise = np.ones(policy.noise_shape, np.float32)
    five = torch_policy(networks, "sampler").act(observation, noise).action
    assert np.abs(policy.act(observation, noise).action - five).max() > 1e-6

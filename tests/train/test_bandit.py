"""On a one-step task with a known answer: what each part of DIVO does to the probability of good and bad actions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from divo_train.advantage import label_advantages, label_weights
from divo_train.candidates import filter_candidates
from divo_train.config import (
    ActorConfig,
    DiffusionConfig,
    FitConfig,
    LabelConfig,
    NetworkConfig,
    OptimizerConfig,
    SamplerConfig,
    ValueConfig,
)
from divo_train.data.training_set import training_set
from divo_train.diffusion import draw_actions, load_denoiser
from divo_train.methods import stages_of
from divo_train.networks import OneStepActor
from divo_train.replicas import Replicas
from divo_train.training import train
from divo_train.value_learning import load_critic

DRAWS = 4000


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return FitConfig(
        out=str(tmp_path_factory.mktemp("bandit")),
        network=NetworkConfig(width=96, depth=3),
        optimizer=dataclasses.replace(OptimizerConfig(), batch_size=256),
        value=ValueConfig(updates=600, members=2),
        labels=LabelConfig(low_weight=0.0),
        diffusion=DiffusionConfig(updates=2600, ema_rate=0.01),
        sampler=SamplerConfig(steps=10),
        actor=ActorConfig(width=96, updates=1200, cached_candidates=16, keep=1),
    )


@pytest.fixture(scope="module")
def data(bandit):
    return training_set(bandit.bandit_dataset(), "cpu")


def run(stage, data, config, upstream, low_weight=None):
    """Train one real stage, with a run folder of its own for other label weights."""
    torch.set_num_threads(1)
    if low_weight is not None:
        labels = dataclasses.replace(config.labels, low_weight=low_weight)
        config = dataclasses.replace(config, labels=labels, out=f"{config.out}/low-{low_weight}")
    torch.manual_seed(0)
    stage = next(each for each in stages_of(["divo"]) if each.name == stage)
    learners = Replicas([stage.build(data, config, upstream)])
    return train(learners, stage.updates(config), config, stage.name, lambda *_: None)


@pytest.fixture(scope="module")
def critic(data, config):
    return run("value", data, config, {})


@pytest.fixture(scope="module")
def diffusion(data, config, critic):
    return run("diffusion", data, config, {"value": critic})


def share_of_modes(actions, bandit):
    return np.bincount(bandit.mode_of(actions.numpy()), minlength=8) / len(actions)


def drawn(tensors, data, config):
    generator = torch.Generator().manual_seed(7)
    observation = torch.randn(DRAWS, 2, generator=generator)
    return draw_actions(
        load_denoiser(tensors, data, config), observation, torch.randn(DRAWS, 2, generator=generator), config.sampler
    )


def test_labels_separate_good_modes_from_bad(data, config, critic, bandit):
    good = bandit.mode_of(data.actions.numpy()) % 2 == 0
    weights = label_weights(data, config, {"value": critic}, "binary").numpy()
    assert set(np.unique(weights)) == {0.0, 1.0}
    # The rewards are 0, 1 and 2 without noise, so all that a label can get wrong is where the threshold cuts a mode.
    assert (weights == good).mean() > 0.97
    advantage = label_advantages(data, config, critic).numpy()
    rewards = data.dataset.rewards
    assert advantage[rewards == 2].min() > advantage[rewards == 1].max() > advantage[rewards == 1].min()
    assert advantage[rewards == 1].min() > advantage[rewards == 0].max()


def test_positive_advantage_diffusion_puts_its_mass_on_the_good_modes(data, config, diffusion, bandit):
    share = share_of_modes(drawn(diffusion, data, config), bandit)
    assert share[::2].sum() > 0.95
    assert share[::2].min() > 0.1  # each good mode has a quarter in the weighted data: none may be lost


def test_diffusion_of_all_actions_alike_puts_half_of_it_there(data, config, critic, bandit):
    plain = run("diffusion", data, config, {"value": critic}, low_weight=1.0)
    share = share_of_modes(drawn(plain, data, config), bandit)
    assert 0.4 < share[::2].sum() < 0.6
    assert share.min() > 0.05


def test_actions_lie_on_the_modes_and_not_between_them(data, config, diffusion, bandit):
    actions = drawn(diffusion, data, config).numpy()
    distance = np.linalg.norm(actions[:, None] - bandit.MODES, axis=2).min(axis=1)
    assert (distance < 0.2).mean() > 0.93  # modes have width 0.05 and stand 0.54 apart


def test_the_density_ratio_to_the_data_stays_below_one_over_the_low_weight(data, config, critic, bandit):
    # p_w / beta = w / E[w] <= 1 / w_lo. With half of the data good and w_lo = 0.25: 1 / 0.625 = 1.6 on good actions.
    half = run("diffusion", data, config, {"value": critic}, low_weight=0.25)
    ratio = share_of_modes(drawn(half, data, config), bandit) / share_of_modes(data.actions, bandit)
    assert ratio.max() < 1 / 0.25
    assert ratio[::2].mean() == pytest.approx(1.6, abs=0.15)
    assert ratio[1::2].mean() == pytest.approx(0.4, abs=0.15)


def test_the_one_step_actor_lands_in_the_best_mode(data, config, critic, diffusion, bandit):
    upstream = {"value": critic, "selector": critic, "diffusion": diffusion}
    tensors = run("actor", data, config, upstream)
    actor = OneStepActor(2, 2, config.actor.width, config.network.depth)
    own = {key.removeprefix("actor."): tensor for key, tensor in tensors.items() if key.startswith("actor.")}
    actor.load_state_dict(own)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        actions = actor(torch.randn(DRAWS, 2, generator=generator), torch.randn(DRAWS, 2, generator=generator))
    assert share_of_modes(actions, bandit)[bandit.BEST] > 0.9


def test_the_critic_chooses_the_best_of_the_good_modes(data, config, critic, bandit):
    q_networks, _ = load_critic(critic, data, config)
    candidates = torch.from_numpy(bandit.MODES.astype(np.float32)).expand(50, 8, 2)
    observation = torch.randn(50, 2, generator=torch.Generator().manual_seed(9))
    q = q_networks(observation.repeat_interleave(8, dim=0), candidates.flatten(0, 1)).mean(dim=0).view(50, 8)
    targets, _ = filter_candidates(candidates, q, keep=1)
    assert set(bandit.mode_of(targets[:, 0].numpy())) == {bandit.BEST}

"""Seeds trained side by side learn what they would learn alone, and resume as one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from divo_train.config import ActorConfig, FitConfig, NetworkConfig, OptimizerConfig
from divo_train.data.training_set import training_set
from divo_train.methods import METHODS, stages_of
from divo_train.replicas import Replicas, replica_of
from divo_train.training import train

UPDATES = 12
STAGES = {stage.name: stage for stage in stages_of(tuple(METHODS))}


@pytest.fixture(scope="module")
def data(bandit):
    return training_set(bandit.bandit_dataset(200), "cpu")


@pytest.fixture
def config(tmp_path):
    return FitConfig(
        out=str(tmp_path / "run"),
        network=NetworkConfig(width=8, depth=2),
        optimizer=dataclasses.replace(OptimizerConfig(), batch_size=16),
        actor=dataclasses.replace(ActorConfig(), cached_candidates=4, keep=2),
        checkpoint_every=5,
        log_every=4,
    )


def learner_of(name, data, config, seed):
    """Build a stage's learner of one seed, on untrained upstream networks of the same seed."""
    torch.manual_seed(100 + seed)
    value = STAGES["value"].build(data, config, {}).networks.state_dict()
    upstream = {"value": value, "selector": value}
    upstream |= {
        key: STAGES["diffusion"].build(data, config, upstream).networks.state_dict()
        for key in STAGES
        if key.startswith("diffusion")
    }
    torch.manual_seed(seed)
    return STAGES[name].build(data, dataclasses.replace(config, seed=seed), upstream)


@pytest.mark.parametrize("name", STAGES)
def test_a_seed_among_others_learns_what_it_learns_alone(name, data, config):
    def trained(*seeds):
        out = dataclasses.replace(config, out=f"{config.out}-{seeds}")
        replicas = Replicas([learner_of(name, data, config, seed) for seed in seeds])
        return train(replicas, UPDATES, out, name, lambda *_: None)

    together = trained(3, 4)
    for number, seed in enumerate((3, 4)):
        alone, own = trained(seed), replica_of(together, number, 2)
        assert alone.keys() == own.keys()
        for key, tensor in alone.items():
            torch.testing.assert_close(own[key], tensor, rtol=2e-3, atol=2e-4)


def test_seeds_side_by_side_resume_where_they_were(data, config):
    steady = dataclasses.replace(config.optimizer, final_fraction=1.0)  # else the step size depends on the last step

    def trained(updates, folder):
        settings = dataclasses.replace(config, optimizer=steady, out=f"{config.out}-{folder}")
        replicas = Replicas([learner_of("td3bc", data, config, seed) for seed in (0, 1, 2)])
        return train(replicas, updates, settings, "td3bc", lambda *_: None)

    unbroken = trained(UPDATES, "unbroken")
    halfway = trained(10, "resumed")
    resumed = trained(UPDATES, "resumed")
    assert any(not torch.equal(halfway[key], resumed[key]) for key in resumed)
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)

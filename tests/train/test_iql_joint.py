"""IQL with critic and policy together: its likelihood by hand, whose gradient goes where, and what it learns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from divo_train.baseline_config import IqlConfig
from divo_train.config import FitConfig, NetworkConfig, OptimizerConfig, ValueConfig
from divo_train.data.training_set import training_set
from divo_train.methods.iql_joint import IQL_JOINT, JointIqlLearner, Width, weighted_likelihood_loss
from divo_train.replicas import Replicas
from divo_train.training import train


class Constant(nn.Module):
    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = torch.tensor(answer)

    def forward(self, *_):
        return self.answer


@pytest.fixture(scope="module")
def data(bandit):
    return training_set(bandit.bandit_dataset(4000), "cpu")


@pytest.fixture
def config(tmp_path):
    return FitConfig(
        out=str(tmp_path),
        network=NetworkConfig(width=32, depth=2),
        optimizer=dataclasses.replace(OptimizerConfig(), learning_rate=2e-3),
        value=ValueConfig(updates=800, members=2),
        iql=IqlConfig(temperature=10.0, layer_norm=False),
    )


def test_the_likelihood_is_a_gaussian_s_weighted():
    policy, action = Constant([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    loss, metrics = weighted_likelihood_loss(policy, Constant([0.0, 0.0]), action, action, torch.tensor([1.0, 0.5]))
    # -log pi: 1/2 + 1/2 + log 2 pi, and 0 + 2 + log 2 pi
    assert loss.item() == pytest.approx((1 + math.log(2 * math.pi) + 0.5 * (2 + math.log(2 * math.pi))) / 2)
    assert metrics["width"].item() == 1


def test_the_width_begins_in_the_middle_of_its_range_on_a_logarithmic_scale():
    assert Width(2)().tolist() == [-1.5, -1.5]


def test_no_loss_has_a_gradient_in_another_s_networks(data, config):
    torch.manual_seed(0)
    learner = JointIqlLearner(data, config, "iql_joint")
    batch = learner.draw(1)
    learner.loss(batch, 1)[0].backward()
    together = {
        name: weight.grad.clone() for name, weight in learner.networks.named_parameters() if weight.requires_grad
    }
    assert all(gradient.abs().sum() > 0 for gradient in together.values())
    assert {name.split(".")[0] for name in together} == {"q", "value", "policy", "width"}
    hotter = dataclasses.replace(config, iql=dataclasses.replace(config.iql, temperature=0.0))
    torch.manual_seed(0)
    other = JointIqlLearner(data, hotter, "iql_joint")
    other.loss(batch, 1)[0].backward()
    for name, weight in other.networks.named_parameters():
        if name.startswith(("q.", "value.")):  # the critic does not notice what the policy makes of it
            assert torch.equal(weight.grad, together[name])


def test_at_a_high_temperature_the_policy_finds_the_best_action(data, config, bandit):
    torch.manual_seed(0)
    stage = IQL_JOINT.stages[0]
    learner = stage.build(data, config, {})
    train(Replicas([learner]), stage.updates(config), config, stage.name, lambda *_: None)
    with torch.no_grad():
        actions = learner.networks["policy"](torch.randn(200, 2, generator=torch.Generator().manual_seed(1))).numpy()
    assert (bandit.mode_of(actions) == bandit.BEST).mean() > 0.95
    assert np.linalg.norm(actions - bandit.MODES[bandit.BEST], axis=1).mean() < 0.15
    assert learner.networks["width"]().exp().max() < 0.22

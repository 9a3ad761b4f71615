from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from divo_train.candidates import draw_candidates, filter_candidates
from divo_train.cloning import cloning_loss
from divo_train.config import DiffusionConfig, FitConfig, NetworkConfig, SamplerConfig
from divo_train.data.training_set import training_set
from divo_train.diffusion import draw_actions, load_denoiser, positive_advantage_diffusion_loss, training_levels
from divo_train.improvement import actor_loss
from divo_train.methods import stages_of
from divo_train.networks import Denoiser, OneStepActor, frozen_copy
from divo_train.replicas import Replicas
from divo_train.value_learning import load_critic, q_loss, value_loss

OBSERVATION = torch.zeros(2, 2)


class Constant(nn.Module):
    """A network whose answer is its only parameter."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.tensor(answer))
        self.seen = ()
        self.register_buffer("sigma_data", torch.tensor(1.0))

    def forward(self, *inputs):
        self.seen = inputs
        return self.answer


def numbers(metrics):
    return {name: round(value.item(), 5) for name, value in metrics.items()}


def test_value_loss_weighs_actions_better_than_expected_more():
    # u = -1 and 2: (0.1 * 1 + 0.9 * 4) / 2
    loss, metrics = value_loss(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 4.0]), expectile=0.9)
    assert loss.item() == pytest.approx(1.85)
    assert numbers(metrics)["v"] == 2.0
    symmetric, _ = value_loss(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 4.0]), expectile=0.5)
    assert symmetric.item() == pytest.approx(0.5 * 2.5)


def test_q_loss_sums_the_members_so_that_each_learns_as_if_alone():
    # Targets 1, 1. First member (0 + 1) / 2, second (4 + 9) / 2.
    q_networks = Constant([[1.0, 2.0], [3.0, 4.0]])
    loss, metrics = q_loss(q_networks, OBSERVATION, OBSERVATION, torch.ones(2))
    assert loss.item() == pytest.approx(7.0)
    assert numbers(metrics) == {"q_loss": 3.5, "q": 2.5, "q_disagreement": round(2**0.5, 5)}


def test_diffusion_loss_is_the_weighted_mean_of_scaled_errors():
    denoiser = Constant([[0.0, 0.0], [0.0, 0.0]])
    action, noise = torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, -1.0], [0.5, 0.5]])
    sigma, weight = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    loss, metrics = positive_advantage_diffusion_loss(denoiser, OBSERVATION, action, weight, sigma, noise)
    # Scales (1 + 1) / 1 and (4 + 1) / 4, squared errors 1 and 2: (1 * 2 + 0.5 * 2.5) / 1.5
    assert loss.item() == pytest.approx(3.25 / 1.5)
    assert numbers(metrics)["unweighted_loss"] == 2.25
    np.testing.assert_allclose(denoiser.seen[0].numpy(), [[2.0, 0.0], [3.0, 1.0]])
    rescaled, _ = positive_advantage_diffusion_loss(denoiser, OBSERVATION, action, 7 * weight, sigma, noise)
    assert rescaled.item() == pytest.approx(loss.item())


def test_training_levels_lie_around_the_spread_of_the_data_and_inside_the_range():
    levels = training_levels(
        20_000, 0.5, DiffusionConfig(sigma_min=0.1, sigma_max=4.0), torch.Generator().manual_seed(0)
    )
    assert float(levels.median()) == pytest.approx(0.5, rel=0.03)
    assert float(levels.min()) == pytest.approx(0.05)
    assert float(levels.max()) == pytest.approx(2.0)


def test_cloning_loss_is_the_mean_squared_error():
    loss, _ = cloning_loss(Constant([[0.0, 0.0]]), OBSERVATION[:1], torch.tensor([[1.0, 3.0]]))
    assert loss.item() == pytest.approx(5.0)


def test_actor_loss_is_the_weighted_regression_and_the_scaled_value():
    actor, critic = Constant([[0.0, 0.0], [0.0, 0.0]]), Constant([[2.0, -1.0], [4.0, -1.0]])
    target, weight = torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([1.0, 0.5])
    arguments = (actor, critic, OBSERVATION, OBSERVATION, target, weight)
    plain, metrics = actor_loss(*arguments, q_weight=0.0)
    assert plain.item() == pytest.approx((1 * 1 + 0.5 * 2) / 1.5)
    assert set(metrics) == {"actor_regression"}
    # Mean Q 3 and -1: the mean is 1, the mean size 2.
    climbing, _ = actor_loss(*arguments, q_weight=0.4)
    assert climbing.item() == pytest.approx(plain.item() - 0.4 * 1 / 2)


def test_the_target_is_the_nearest_to_its_own_among_the_best():
    candidates = torch.tensor([[[0.0], [1.0], [2.0], [3.0]], [[5.0], [5.5], [9.0], [6.0]]])
    advantages = torch.tensor([[9.0, 1.0, 8.0, 7.0], [1.0, 4.0, 2.0, 3.0]])
    # The best three of the first are 0, 2 and 3. Its 1 is as far from 0 as from 2: the better wins. The others stay.
    targets, gained = filter_candidates(candidates, advantages, keep=3)
    np.testing.assert_allclose(targets.squeeze(-1).numpy(), [[0.0, 0.0, 2.0, 3.0], [5.5, 5.5, 9.0, 6.0]])
    np.testing.assert_allclose(gained.numpy(), [[9.0, 9.0, 8.0, 7.0], [4.0, 4.0, 2.0, 3.0]])
    best, _ = filter_candidates(candidates, advantages, keep=1)
    np.testing.assert_allclose(best.squeeze(-1).numpy(), [[0.0] * 4, [5.5] * 4])
    unfiltered, _ = filter_candidates(candidates, advantages, keep=4)
    assert torch.equal(unfiltered, candidates)


def test_the_actor_loss_moves_the_actor_alone(bandit, tmp_path):
    config = FitConfig(out=str(tmp_path), network=NetworkConfig(8, 2))
    data = training_set(bandit.bandit_dataset(64), "cpu")
    stages = {stage.name: stage for stage in stages_of(["divo"])}
    value = stages["value"].build(data, config, {}).networks.state_dict()
    diffusion = stages["diffusion"].build(data, config, {"value": value})
    denoiser = load_denoiser(diffusion.networks.state_dict(), data, config)
    q_networks, v = load_critic(value, data, config)
    generator = torch.Generator().manual_seed(0)
    noise, actions, advantage = draw_candidates(
        data.observations, data.rows, config, denoiser, q_networks, v, generator
    )
    assert noise.shape == actions.shape == (64, config.actor.cached_candidates, 2)
    assert not actions.requires_grad
    assert not advantage.requires_grad
    actor = OneStepActor(2, 2, 8, 2)
    observation = data.observations[data.rows]
    actor_loss(actor, q_networks, observation, noise[:, 0], actions[:, 0], torch.ones(64), q_weight=1.0)[0].backward()
    assert all(parameter.grad is not None for parameter in actor.parameters())
    frozen = [*denoiser.parameters(), *q_networks.parameters(), *v.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in frozen)


def test_many_candidates_of_one_observation_are_drawn_as_one_by_one():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    denoiser = Denoiser(3, 2, 16, 2, sigma_data=0.5)
    observation, noise = torch.randn(5, 3, generator=generator), torch.randn(5, 4, 2, generator=generator)
    with torch.no_grad():
        together = draw_actions(denoiser, observation, noise, SamplerConfig())
        alone = torch.stack([draw_actions(denoiser, observation, noise[:, i], SamplerConfig()) for i in range(4)], 1)
    assert float(together.abs().max()) <= 1
    np.testing.assert_allclose(together.numpy(), alone.numpy(), atol=1e-6)


class Following:
    """A network and its running average."""

    def __init__(self, start):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, start)
        self.networks = nn.ModuleDict({"net": network, "net_average": frozen_copy(network)})
        self.averages = {"net_average": ("net", 0.25)}
        self.period = 1

    def draw(self, step):
        return {"x": torch.ones(1, 1)}

    def loss(self, batch, step):
        loss = self.networks["net"](batch["x"]).square().mean()
        return loss, {"loss": loss}


@pytest.mark.parametrize("seeds", [1, 2])
def test_an_average_follows_its_network_by_the_rate(seeds):
    replicas = Replicas([Following(0.0) for _ in range(seeds)])
    network, average = replicas.tensors["net.weight"], replicas.tensors["net_average.weight"]
    assert replicas.trainable == [network]
    with torch.no_grad():
        network += 1.0
    replicas.follow()
    assert average.flatten().tolist() == [0.25] * seeds
    replicas.follow()
    assert average.flatten().tolist() == [0.4375] * seeds
    assert network.flatten().tolist() == [1.0] * seeds


def test_the_gradient_of_one_seed_is_its_own():
    replicas = Replicas([Following(1.0), Following(3.0)])
    loss, metrics = replicas.loss(replicas.draw(1), 1)
    loss.backward()
    assert metrics["loss"].tolist() == [1.0, 9.0]
    assert replicas.tensors["net.weight"].grad.flatten().tolist() == [2.0, 6.0]  # d(w^2)/dw

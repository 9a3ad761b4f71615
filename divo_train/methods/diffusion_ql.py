"""Diffusion-QL (Wang et al. 2023, arXiv:2208.06193): a diffusion policy that climbs Q through its own sampler.

The Q gradient goes back through every step of the sampler, which is what makes it slow and what DIVO avoids.
"""

from __future__ import annotations

import torch
from torch import Tensor

from divo_train.actor_critic import ActorCriticLearner, critic_loss, normalised_q
from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.diffusion import draw_actions, log_logistic_levels, new_denoiser, positive_advantage_diffusion_loss
from divo_train.learner import Batch, Learner, Metrics, Networks
from divo_train.methods.method import Method, Proposer
from divo_train.networks import Denoiser
from divo_train.stage import Stage, Upstream
from divo_train.trained import TrainedNetworks


def diffusion_ql_loss(networks: Networks, batch: Batch, step: int, config: FitConfig) -> tuple[Tensor, Metrics]:
    """Return the critic's loss, and on its turn L_diffusion - q_weight * Q(s, sample(s)) / mean |Q| (eq. 3).

    The critic's target takes an action of the running average of the policy, as the paper's code does.
    """
    with torch.no_grad():
        target = draw_actions(networks["policy_target"], batch["following"], batch["target_noise"], config.sampler)
        following = networks["q_target"](batch["following"], target).amin(dim=0)
    loss, metrics = critic_loss(networks["q"], batch, following)
    if step % config.actor_critic.policy_every == 0:
        policy: Denoiser = networks["policy"]
        observation, action = batch["observation"], batch["action"]
        sigma = log_logistic_levels(batch["uniform"], policy.spread, config.diffusion)
        ones = torch.ones_like(sigma)
        imitation, _ = positive_advantage_diffusion_loss(policy, observation, action, ones, sigma, batch["noise"])
        drawn = draw_actions(policy, observation, batch["noise"], config.sampler)
        gain = normalised_q(networks["q"], observation, drawn).mean()
        loss = loss + imitation - config.diffusion_ql.q_weight * gain
        metrics = {**metrics, "imitation": imitation, "policy_q": gain}
    return loss, metrics


def _build(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    return ActorCriticLearner(data, config, "diffusion_ql", new_denoiser(data, config), diffusion_ql_loss)


def _policy(networks: TrainedNetworks) -> Proposer:
    network = networks.config.network
    shape = Denoiser(*networks.sizes, network.width, network.depth, 1.0)
    denoiser = networks.load("diffusion_ql", "policy_target", shape)

    def propose(observation: Tensor, noise: Tensor) -> Tensor:
        return draw_actions(denoiser, observation, noise, networks.config.sampler)

    return Proposer(propose)


DIFFUSION_QL = Method(
    "Diffusion-QL",
    (
        Stage(
            "diffusion_ql",
            "q_loss",
            lambda config: config.diffusion_ql.updates,
            _build,
            learning_rate=lambda config: config.actor_critic.learning_rate,
        ),
    ),
    {"diffusion_ql": _policy},
)

"""TD3+BC (Fujimoto and Gu 2021, arXiv:2106.06860): climb Q, and stay near the logged action."""

from __future__ import annotations

import torch
from torch import Tensor

from divo_train.actor_critic import actor_critic_stage, critic_loss, normalised_q, smoothed
from divo_train.config import FitConfig
from divo_train.learner import Batch, Metrics, Networks
from divo_train.methods.method import Method
from divo_train.methods.squared_error import regressor_policy


def td3bc_loss(networks: Networks, batch: Batch, step: int, config: FitConfig) -> tuple[Tensor, Metrics]:
    """Return TD3's critic loss, and on its turn -alpha * Q(s, pi(s)) / mean |Q| + (pi(s) - a)^2 (TD3+BC, eq. 5)."""
    settings = config.actor_critic
    with torch.no_grad():
        target = smoothed(networks["policy_target"](batch["following"]), batch["target_noise"], settings)
        following = networks["q_target"](batch["following"], target).amin(dim=0)
    loss, metrics = critic_loss(networks["q"], batch, following)
    if step % settings.policy_every == 0:
        own = networks["policy"](batch["observation"])
        imitation = (own - batch["action"]).square().mean()
        gain = normalised_q(networks["q"], batch["observation"], own).mean()
        loss = loss + imitation - config.td3bc.alpha * gain
        metrics = {**metrics, "imitation": imitation, "policy_q": gain}
    return loss, metrics


TD3BC = Method(
    "TD3+BC",
    (actor_critic_stage("td3bc", td3bc_loss),),
    {"td3bc": lambda networks: regressor_policy(networks, "td3bc")},
)

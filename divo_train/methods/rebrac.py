"""ReBRAC (Tarasov et al. 2023, arXiv:2305.09836): TD3+BC with a penalty in the critic too, each with its own weight."""

from __future__ import annotations

import torch
from torch import Tensor

from divo_train.actor_critic import actor_critic_stage, critic_loss, normalised_q, smoothed
from divo_train.config import FitConfig
from divo_train.learner import Batch, Metrics, Networks
from divo_train.methods.method import Method
from divo_train.methods.squared_error import regressor_policy


def rebrac_loss(networks: Networks, batch: Batch, step: int, config: FitConfig) -> tuple[Tensor, Metrics]:
    """Return the critic's loss, and on its turn the policy's (ReBRAC, eq. 4 and 5).

    Penalties are squared distances summed over dimensions; the target has none where the log has no next action.
    """
    settings = config.actor_critic
    with torch.no_grad():
        target = smoothed(networks["policy_target"](batch["following"]), batch["target_noise"], settings)
        distance = (target - batch["next_action"]).square().sum(dim=-1) * batch["has_next"]
        following = networks["q_target"](batch["following"], target).amin(dim=0)
    loss, metrics = critic_loss(networks["q"], batch, following - config.rebrac.critic_penalty * distance)
    if step % settings.policy_every == 0:
        own = networks["policy"](batch["observation"])
        imitation = (own - batch["action"]).square().sum(dim=-1).mean()
        gain = normalised_q(networks["q"], batch["observation"], own, config.rebrac.lowest).mean()
        loss = loss + config.rebrac.actor_penalty * imitation - gain
        metrics = {**metrics, "imitation": imitation, "policy_q": gain}
    return loss, metrics


REBRAC = Method(
    "ReBRAC",
    (actor_critic_stage("rebrac", rebrac_loss),),
    {"rebrac": lambda networks: regressor_policy(networks, "rebrac")},
)

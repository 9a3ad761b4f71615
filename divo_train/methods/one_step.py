"""One-step distillation in the manner of FQL (Park et al. 2025, arXiv:2502.02538), on a diffusion teacher.

A student imitates, for each noise, what the plain behaviour model's sampler makes of it, and climbs the critic of its
own actions. FQL's teacher is a flow; ours is the denoiser that Diffusion-BC and IDQL use.
"""

from __future__ import annotations

import torch
from torch import Tensor

from divo_train.actor_critic import ActorCriticLearner, critic_loss, normalised_q
from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.diffusion import draw_actions, load_denoiser
from divo_train.improvement import new_actor
from divo_train.learner import Batch, Learner, Metrics, Networks
from divo_train.methods.diffusion_bc import BEHAVIOUR
from divo_train.methods.method import Method, Proposer
from divo_train.stage import Stage, Upstream
from divo_train.trained import TrainedNetworks


def one_step_loss(networks: Networks, batch: Batch, step: int, config: FitConfig) -> tuple[Tensor, Metrics]:
    """Return the critic's loss, and on its turn distillation * (mu(s, z) - sampler(s, z))^2 - Q / mean |Q|.

    Source: FQL, eq. 8; the normalisation of Q is TD3+BC's.
    """
    with torch.no_grad():
        target = networks["policy_target"](batch["following"], batch["target_noise"])
        following = networks["q_target"](batch["following"], target).mean(dim=0)
    loss, metrics = critic_loss(networks["q"], batch, following)
    if step % config.actor_critic.policy_every == 0:
        observation, noise = batch["observation"], batch["noise"]
        with torch.no_grad():
            taught = draw_actions(networks["teacher"], observation, noise, config.sampler)
        own = networks["policy"](observation, noise)
        imitation = (own - taught).square().mean()
        gain = normalised_q(networks["q"], observation, own).mean()
        loss = loss + config.one_step.distillation * imitation - gain
        metrics = {**metrics, "imitation": imitation, "policy_q": gain}
    return loss, metrics


def _build(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    teacher = load_denoiser(upstream[BEHAVIOUR.name], data, config)
    return ActorCriticLearner(data, config, "one_step", new_actor(data, config), one_step_loss, {"teacher": teacher})


def _policy(networks: TrainedNetworks) -> Proposer:
    return Proposer(networks.load_actor("one_step", "policy"))


ONE_STEP = Method(
    "one-step distillation",
    (
        Stage(
            "one_step",
            "q_loss",
            lambda config: config.one_step.updates,
            _build,
            (BEHAVIOUR,),
            lambda config: config.actor_critic.learning_rate,
        ),
    ),
    {"one_step": _policy},
)

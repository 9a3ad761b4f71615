"""Advantage-filtered policy improvement (ADPO): sampled actions that the critic finds good guide a one-step actor.

The Q gradient never crosses the sampler: candidates are drawn, filtered, and used as targets. The actor takes
noise and answers for each noise with the good candidate nearest to what the sampler made of the same noise, so that
it keeps the modes apart; a deterministic actor pulled to the best candidate would average or overrate them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from divo_train.candidates import Candidates
from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Metrics
from divo_train.networks import Denoiser, OneStepActor, QEnsemble, Value, frozen_copy
from divo_train.randomness import stream


def actor_loss(
    actor: OneStepActor,
    q_networks: QEnsemble,
    observation: Tensor,
    noise: Tensor,
    target: Tensor,
    weight: Tensor,
    q_weight: float,
) -> tuple[Tensor, Metrics]:
    """Regress to the filtered target, and optionally climb Q.

    Args:
        actor: One-step actor.
        q_networks: Critic; frozen.
        observation: (B, obs_dim) normalised.
        noise: (B, act_dim) the noise that belongs to `target`.
        target: (B, act_dim) filtered candidate.
        weight: (B,) 1 where the logged action had a positive advantage, less elsewhere: the mask keeps the network for
            the states that good behaviour visits.
        q_weight: Weight of -Q / mean|Q|; 0 leaves the critic's choice to the filter alone.

    Source: A2PR's masked TD3+BC objective (arXiv:2405.19909), of which DIVO is the diffusion form.
    """
    action = actor(observation, noise)
    regression = (weight * (action - target).square().mean(dim=-1)).sum() / weight.sum()
    loss, metrics = regression, {"actor_regression": regression}
    if q_weight > 0:
        q = q_networks(observation, action).mean(dim=0)
        loss = loss - q_weight * q.mean() / q.abs().mean().detach()
        metrics["actor_q"] = q.mean()
    return loss, metrics


class ActorLearner:
    """Trains the one-step actor on filtered candidates."""

    def __init__(
        self,
        data: TrainingSet,
        config: FitConfig,
        name: str,
        weights: Tensor,
        denoiser: Denoiser,
        q_networks: QEnsemble,
        value: Value,
    ) -> None:
        actor = new_actor(data, config)
        critic = frozen_copy(q_networks)  # a copy, whose weights may be replaced by those of other seeds
        self.networks = nn.ModuleDict({"actor": actor, "critic": critic}).to(data.device)
        self.period = 1
        self.averages: Averages = {}
        self._data, self._config, self._name, self._weights = data, config, name, weights
        self._candidates = Candidates(data, config, denoiser, q_networks, value)

    def draw(self, step: int) -> Batch:
        """Return states, noise, and for each the filtered candidate that belongs to it."""
        data, settings = self._data, self._config.actor
        generator = stream(self._config.seed, self._name, step)
        picked = data.draw(self._config.optimizer.batch_size, generator)
        own = torch.randint(settings.cached_candidates, (len(picked),), generator=generator).to(data.device)
        drawn = self._candidates.of(picked, own, step)
        return {
            "observation": data.observations[data.rows[picked]],
            "noise": drawn.noise,
            "target": drawn.targets,
            "advantage": drawn.advantages,
            "weight": self._weights[picked],
        }

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the regression to the targets, with a little of the critic's gradient."""
        loss, metrics = actor_loss(
            self.networks["actor"],  # type: ignore[arg-type]
            self.networks["critic"],  # type: ignore[arg-type]
            batch["observation"],
            batch["noise"],
            batch["target"],
            batch["weight"],
            self._config.actor.q_weight,
        )
        return loss, {**metrics, "filtered_positive": (batch["advantage"] > 0).float().mean()}


def new_actor(data: TrainingSet, config: FitConfig) -> OneStepActor:
    """Return an untrained one-step actor."""
    contract = data.contract
    return OneStepActor(contract.observation_size, contract.action_size, config.actor.width, config.network.depth)

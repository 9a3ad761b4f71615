"""IQL as published (arXiv:2110.06169): critic and policy learn together, the policy's width too, on the raw advantage.

`iql` takes the shared critic instead, so that in a table the critic is no difference between methods. This form is
there to be compared with other people's IQL (benchmarks/referee.py).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from divo_train.actor_critic import LoggedSteps, new_regressor
from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Learner, Metrics
from divo_train.methods.method import Method
from divo_train.methods.squared_error import regressor_policy
from divo_train.networks import QEnsemble, Regressor, Value, frozen_copy
from divo_train.stage import Stage, Upstream
from divo_train.value_learning import aggregate, q_loss, value_loss

LOG_WIDTH = (-5.0, 2.0)
"""Range of the logarithm of the policy's standard deviation, the published code's."""


class Width(nn.Module):
    """Standard deviation of a Gaussian policy, the same for every observation."""

    def __init__(self, action: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(action))

    def forward(self) -> Tensor:
        """Return (act_dim,) the logarithm of the standard deviation, in LOG_WIDTH."""
        low, high = LOG_WIDTH
        return low + (high - low) * torch.sigmoid(self.raw)


def weighted_likelihood_loss(
    policy: Regressor, width: Width, observation: Tensor, action: Tensor, weight: Tensor
) -> tuple[Tensor, Metrics]:
    """Return -E[weight * log pi(a|s)] of a Gaussian around the policy's action (IQL, eq. 7).

    Args:
        policy: Mean.
        width: Standard deviation.
        observation: (B, obs_dim) normalised.
        action: (B, act_dim) in [-1, 1].
        weight: (B,) exp(temperature * A), cut; no gradient.
    """
    log_width = width()
    error = (action - policy(observation)) / log_width.exp()
    likelihood = -(0.5 * error.square() + log_width + 0.5 * math.log(2 * math.pi)).sum(dim=-1)
    loss = -(weight * likelihood).mean()
    return loss, {"policy_loss": loss, "weight": weight.mean(), "width": log_width.exp().mean()}


class JointIqlLearner:
    """Trains Q, V and the policy in every step."""

    def __init__(self, data: TrainingSet, config: FitConfig, name: str) -> None:
        contract, network, layer_norm = data.contract, config.network, config.iql.layer_norm
        observation, action = contract.observation_size, contract.action_size
        q_networks = QEnsemble(observation, action, network.width, network.depth, config.value.members, layer_norm)
        self._parts = (
            q_networks,
            frozen_copy(q_networks),
            Value(observation, network.width, network.depth, layer_norm),
            new_regressor(data, config),
            Width(action),
        )
        names = ("q", "q_target", "value", "policy", "width")
        self.networks = nn.ModuleDict(dict(zip(names, self._parts, strict=True))).to(data.device)
        self.period = 1
        self.averages: Averages = {"q_target": ("q", config.value.target_rate)}
        self.draw = LoggedSteps(data, config, name).draw
        self._config = config

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the sum of the three losses; none has a gradient in another's networks."""
        q_networks, q_target, value, policy, width = self._parts
        observation, action, settings = batch["observation"], batch["action"], self._config.iql
        with torch.no_grad():
            target = batch["returns"] + batch["discount"] * value(batch["following"])
            logged_q = aggregate(q_target(observation, action), self._config.value.aggregate)
        v = value(observation)
        advantage = logged_q - v.detach()
        weight = (settings.temperature * advantage).exp().clamp(max=settings.largest_weight)
        v_loss, v_metrics = value_loss(v, logged_q, self._config.value.expectile)
        critic_loss, q_metrics = q_loss(q_networks, observation, action, target)
        policy_loss, metrics = weighted_likelihood_loss(policy, width, observation, action, weight)
        return v_loss + critic_loss + policy_loss, {**v_metrics, **q_metrics, **metrics}


def _build(data: TrainingSet, config: FitConfig, _: Upstream) -> Learner:
    return JointIqlLearner(data, config, "iql_joint")


IQL_JOINT = Method(
    "IQL, joint",
    (
        Stage(
            "iql_joint",
            "q_loss",
            lambda config: config.value.updates,
            _build,
            learning_rate=lambda config: config.value.learning_rate,
        ),
    ),
    {"iql_joint": lambda networks: regressor_policy(networks, "iql_joint")},
)

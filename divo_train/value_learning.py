"""Value learning: an ensemble of Q and an expectile V, from logged actions alone.

Implicit Q-learning (Kostrikov et al. 2021, arXiv:2110.06169) with n-step backups: no action outside the data is ever
evaluated, so the labels do not chase a moving actor. `docs/algorithm.md` says why this and not TD3's critic.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from divo_train.config import FitConfig
from divo_train.data.nstep import multi_step_backups
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Metrics
from divo_train.networks import QEnsemble, Value, frozen_copy
from divo_train.randomness import stream


def value_loss(v: Tensor, q: Tensor, expectile: float) -> tuple[Tensor, Metrics]:
    """Pull V(s) to the expectile of Q(s, a) over logged actions.

    Args:
        v: (B,) V(s).
        q: (B,) target networks' Q of the logged actions; no gradient.
        expectile: 0.5 is the mean; towards 1 the best logged action.

    Source: IQL, eq. 5: E[|expectile - 1(u < 0)| u^2], u = Q(s, a) - V(s).
    """
    error = q - v
    loss = (torch.where(error < 0, 1 - expectile, expectile) * error.square()).mean()
    return loss, {"value_loss": loss, "v": v.mean(), "advantage_std": error.std()}


def q_loss(q_networks: QEnsemble, observation: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Metrics]:
    """Pull every member's Q(s, a) to the n-step target R_n + discount^n V(s_n).

    Args:
        q_networks: Q ensemble.
        observation: (B, obs_dim) normalised.
        action: (B, act_dim) in [-1, 1].
        target: (B,) no gradient.

    Source: IQL, eq. 6, with the n-step return of Sutton and Barto 2018, eq. 7.1.
    """
    q = q_networks(observation, action)
    loss = (q - target).square().mean(dim=1).sum()
    return loss, {"q_loss": loss / len(q), "q": q.mean(), "q_disagreement": q.std(dim=0).mean()}


class ValueLearner:
    """Trains Q and V of one critic. Rewards are scaled so that returns have unit variance."""

    def __init__(self, data: TrainingSet, config: FitConfig, name: str) -> None:
        sizes = data.contract.observation_size, data.contract.action_size
        width, depth = config.network.width, config.network.depth
        self._q_networks = QEnsemble(*sizes, width, depth, config.value.members)
        self._value = Value(sizes[0], width, depth)
        self.networks = nn.ModuleDict(
            {"q": self._q_networks, "q_target": frozen_copy(self._q_networks), "value": self._value}
        ).to(data.device)
        self.period = 1
        self.averages: Averages = {"q_target": ("q", config.value.target_rate)}
        self._data, self._config, self._name = data, config, name
        steps = max(1, round(config.value.backup_s * data.contract.rate_hz))
        backups = multi_step_backups(data.dataset, steps, config.value.discount)
        scale = reward_scale(data, config.value.discount)
        self._returns = torch.from_numpy(backups.returns * scale).to(data.device)
        self._discounts = torch.from_numpy(backups.discounts).to(data.device)
        self._final_rows = torch.from_numpy(backups.rows).to(data.device)

    def draw(self, step: int) -> Batch:
        """Return logged transitions with their n-step returns."""
        data = self._data
        picked = data.draw(self._config.optimizer.batch_size, stream(self._config.seed, self._name, step))
        return {
            "observation": data.observations[data.rows[picked]],
            "action": data.actions[picked],
            "returns": self._returns[picked],
            "discount": self._discounts[picked],
            "following": data.observations[self._final_rows[picked]],
        }

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the loss of V and of every Q."""
        q_networks, value = self._q_networks, self._value
        observation, action = batch["observation"], batch["action"]
        with torch.no_grad():
            target = batch["returns"] + batch["discount"] * value(batch["following"])
            logged_q = aggregate(self.networks["q_target"](observation, action), self._config.value.aggregate)
        v_loss, v_metrics = value_loss(value(observation), logged_q, self._config.value.expectile)
        loss, q_metrics = q_loss(q_networks, observation, action, target)
        return v_loss + loss, {**v_metrics, **q_metrics}


def aggregate(q: Tensor, how: str) -> Tensor:
    """(members, B) -> (B,): the mean, which ranks best, or the lowest, which is careful."""
    return q.mean(dim=0) if how == "mean" else q.amin(dim=0)


@torch.no_grad()
def one_step_advantage(data: TrainingSet, q_networks: QEnsemble, value: Value, how: str) -> Tensor:
    """Return (transitions,) A = Q(s, a) - V(s) of the logged actions (IQL, section 4.3)."""
    parts = [
        aggregate(q_networks(data.observations[rows], actions), how) - value(data.observations[rows])
        for rows, actions in zip(data.rows.split(65_536), data.actions.split(65_536), strict=True)
    ]
    return torch.cat(parts)


def reward_scale(data: TrainingSet, discount: float) -> float:
    """Return 1 / standard deviation of the dataset's discounted returns: one step size serves every task."""
    longest = int(np.bincount(data.dataset.episodes).max())
    whole = multi_step_backups(data.dataset, longest, discount)
    return float(1 / max(whole.returns.std(), 1e-6))


def load_critic(tensors: Mapping[str, Tensor], data: TrainingSet, config: FitConfig) -> tuple[QEnsemble, Value]:
    """Rebuild the Q and V that a `ValueLearner` has trained."""
    sizes = data.contract.observation_size, data.contract.action_size
    width, depth = config.network.width, config.network.depth
    networks = nn.ModuleDict(
        {"q": QEnsemble(*sizes, width, depth, config.value.members), "value": Value(sizes[0], width, depth)}
    )
    networks.load_state_dict({key: tensor for key, tensor in tensors.items() if not key.startswith("q_target.")})
    networks.to(data.device).requires_grad_(False)
    return networks["q"], networks["value"]  # type: ignore[return-value]

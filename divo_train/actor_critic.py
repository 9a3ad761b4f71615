"""What the methods with a critic of their own policy share: TD3's target, a normalised Q, their batches.

Every method gets the same n-step backups as DIVO's critic, because backup length decides more than the method does
(docs/algorithm.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from divo_train.baseline_config import ActorCriticConfig
from divo_train.config import FitConfig
from divo_train.data.nstep import multi_step_backups, next_actions
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Metrics, Networks
from divo_train.networks import QEnsemble, Regressor, frozen_copy
from divo_train.randomness import stream
from divo_train.stage import Stage
from divo_train.value_learning import reward_scale

Loss = Callable[[Networks, Batch, int, FitConfig], tuple[Tensor, Metrics]]
"""(networks `policy`, `q` and their targets, batch, step, settings) -> loss and metrics."""


class ActorCriticLearner:
    """Trains a policy and the critic of that policy together; the loss is what methods differ in.

    Args:
        data: The training set.
        config: Settings.
        name: Stage.
        policy: Untrained policy.
        loss: Of critic and policy.
        extra: Further networks, such as a frozen teacher.
    """

    def __init__(
        self,
        data: TrainingSet,
        config: FitConfig,
        name: str,
        policy: nn.Module,
        loss: Loss,
        extra: Mapping[str, nn.Module] = MappingProxyType({}),
    ) -> None:
        critic = new_critic(data, config)
        targets = {"policy_target": frozen_copy(policy), "q_target": frozen_copy(critic)}
        self.networks = nn.ModuleDict({"policy": policy, "q": critic, **targets, **extra}).to(data.device)
        rate = config.actor_critic.target_rate
        self.period = config.actor_critic.policy_every
        self.averages: Averages = {"policy_target": ("policy", rate), "q_target": ("q", rate)}
        self.draw = LoggedSteps(data, config, name).draw
        self._config, self._loss = config, loss

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the critic's loss, and on its turn the policy's."""
        return self._loss(self.networks, batch, step, self._config)


class LoggedSteps:
    """Random logged transitions with n-step returns, and the noise that a critic's target needs.

    Args:
        data: The training set.
        config: Settings; `config.seed` and the stage's name choose the random numbers.
        name: Stage.
    """

    def __init__(self, data: TrainingSet, config: FitConfig, name: str) -> None:
        self._data, self._config, self._name = data, config, name
        steps = max(1, round(config.value.backup_s * data.contract.rate_hz))
        backups = multi_step_backups(data.dataset, steps, config.value.discount)
        scale = reward_scale(data, config.value.discount)
        self._returns = torch.from_numpy(backups.returns * scale).to(data.device)
        self._discounts = torch.from_numpy(backups.discounts).to(data.device)
        self._final_rows = torch.from_numpy(backups.rows).to(data.device)
        following = torch.from_numpy(next_actions(data.dataset, backups.rows)).to(data.device)
        self._has_next = (following >= 0).float()
        self._next = following.clamp(min=0)

    def draw(self, step: int) -> Batch:
        """Return a batch; `noise` and `target_noise` are standard normal, `uniform` in [0, 1)."""
        data, size = self._data, self._config.optimizer.batch_size
        generator = stream(self._config.seed, self._name, step)
        picked = data.draw(size, generator)
        noise, target_noise = torch.randn(2, size, data.actions.shape[1], generator=generator).to(data.device)
        uniform = torch.rand(size, generator=generator).to(data.device)
        return {
            "observation": data.observations[data.rows[picked]],
            "action": data.actions[picked],
            "returns": self._returns[picked],
            "discount": self._discounts[picked],
            "following": data.observations[self._final_rows[picked]],
            "next_action": data.actions[self._next[picked]],
            "has_next": self._has_next[picked],
            "noise": noise,
            "target_noise": target_noise,
            "uniform": uniform,
        }


def new_critic(data: TrainingSet, config: FitConfig) -> QEnsemble:
    """Return an untrained twin Q."""
    contract, network, settings = data.contract, config.network, config.actor_critic
    return QEnsemble(
        contract.observation_size, contract.action_size, network.width, network.depth, settings.members,
        settings.layer_norm,
    )  # fmt: skip


def new_regressor(data: TrainingSet, config: FitConfig) -> Regressor:
    """Return an untrained deterministic policy."""
    contract, network = data.contract, config.network
    sizes = contract.observation_size, contract.action_size, network.width, network.depth
    return Regressor(*sizes, network.regressor)


def actor_critic_stage(
    name: str, loss: Loss, policy: Callable[[TrainingSet, FitConfig], nn.Module] = new_regressor
) -> Stage:
    """Return the stage of a method that needs nothing but its own policy and critic."""
    return Stage(
        name,
        "q_loss",
        lambda config: config.actor_critic.updates,
        lambda data, config, _: ActorCriticLearner(data, config, name, policy(data, config), loss),
        learning_rate=lambda config: config.actor_critic.learning_rate,
    )


def smoothed(action: Tensor, noise: Tensor, config: ActorCriticConfig) -> Tensor:
    """Add clipped noise to a target action, (B, act_dim) in [-1, 1] (TD3, arXiv:1802.09477, eq. 14)."""
    limit = config.smoothing_limit
    return (action + (config.smoothing * noise).clamp(-limit, limit)).clamp(-1, 1)


def critic_loss(q_networks: QEnsemble, batch: Batch, following: Tensor) -> tuple[Tensor, Metrics]:
    """Pull every Q to the n-step return plus the value that follows.

    Args:
        q_networks: Q ensemble.
        batch: From `LoggedSteps`.
        following: (B,) value of the state after n steps, no gradient.

    Source: TD3 (arXiv:1802.09477), eq. 13, with the n-step return of Sutton and Barto 2018, eq. 7.1.
    """
    target = batch["returns"] + batch["discount"] * following
    q = q_networks(batch["observation"], batch["action"])
    loss = (q - target).square().mean(dim=1).sum()
    return loss, {"q_loss": loss / len(q), "q": q.mean()}


def normalised_q(q_networks: QEnsemble, observation: Tensor, action: Tensor, lowest: bool = False) -> Tensor:
    """Return (B,) Q / mean |Q| of actions, whose gradient reaches the actions but not the critic.

    Args:
        q_networks: Q ensemble.
        observation: (B, obs_dim) normalised.
        action: (B, act_dim) in [-1, 1].
        lowest: Each action's lowest Q; else the first member's.

    Source: TD3+BC (Fujimoto and Gu 2021, arXiv:2106.06860), eq. 5, which takes the first member.
    """
    q = q_networks.lowest(observation, action) if lowest else q_networks.first(observation, action)
    return q / q.abs().mean().detach()

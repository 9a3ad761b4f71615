"""IQL (Kostrikov et al. 2021, arXiv:2110.06169): advantage-weighted regression on the critic that DIVO selects with."""

from __future__ import annotations

from torch import Tensor, nn

from divo_train.actor_critic import new_regressor
from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Learner, Metrics
from divo_train.methods.divo import SELECTOR
from divo_train.methods.method import Method
from divo_train.methods.squared_error import regressor_policy
from divo_train.networks import Regressor
from divo_train.randomness import stream
from divo_train.stage import Stage, Upstream
from divo_train.value_learning import load_critic, one_step_advantage


def weighted_regression_loss(
    policy: Regressor, observation: Tensor, action: Tensor, weight: Tensor
) -> tuple[Tensor, Metrics]:
    """Return E[weight * (pi(s) - a)^2]; IQL, eq. 7, for a Gaussian of fixed width.

    Args:
        policy: Deterministic policy.
        observation: (B, obs_dim) normalised.
        action: (B, act_dim) in [-1, 1].
        weight: (B,) exp(temperature * A), cut.
    """
    error = (policy(observation) - action).square().mean(dim=-1)
    loss = (weight * error).mean()
    return loss, {"regression": loss, "imitation": error.mean(), "weight": weight.mean()}


class IqlPolicyLearner:
    """Trains the policy on weights that were computed once."""

    def __init__(self, data: TrainingSet, config: FitConfig, upstream: Upstream) -> None:
        policy = new_regressor(data, config)
        self.networks = nn.ModuleDict({"policy": policy}).to(data.device)
        self.period = 1
        self.averages: Averages = {}
        advantage = one_step_advantage(data, *load_critic(upstream["selector"], data, config), config.value.aggregate)
        # per standard deviation: our returns are scaled, so the paper's temperature would have no fixed meaning
        scaled = config.iql.temperature * advantage / advantage.std()
        self._weights = scaled.exp().clamp(max=config.iql.largest_weight)
        self._data, self._config = data, config

    def draw(self, step: int) -> Batch:
        """Return logged actions and their weights."""
        data = self._data
        picked = data.draw(self._config.optimizer.batch_size, stream(self._config.seed, "iql", step))
        return {
            "observation": data.observations[data.rows[picked]],
            "action": data.actions[picked],
            "weight": self._weights[picked],
        }

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the weighted squared error."""
        return weighted_regression_loss(self.networks["policy"], **batch)  # type: ignore[arg-type]


def _build(data: TrainingSet, config: FitConfig, upstream: Upstream) -> Learner:
    return IqlPolicyLearner(data, config, upstream)


IQL = Method(
    "IQL",
    (Stage("iql", "regression", lambda config: config.iql.updates, _build, (SELECTOR,)),),
    {"iql": lambda networks: regressor_policy(networks, "iql")},
)

"""Behaviour cloning with squared error: the baseline that averages what the demonstrations do."""

from __future__ import annotations

from torch import Tensor, nn

from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.networks import Regressor
from divo_train.randomness import stream

Metrics = dict[str, Tensor]


def cloning_loss(policy: Regressor, observation: Tensor, action: Tensor) -> tuple[Tensor, Metrics]:
    """Mean squared error to the logged action, whose minimiser is E[a|s] (Pomerleau 1991)."""
    loss = (policy(observation) - action).square().mean()
    return loss, {"cloning_loss": loss}


class CloningLearner:
    """Trains the deterministic policy on all logged actions alike."""

    def __init__(self, data: TrainingSet, config: FitConfig, name: str) -> None:
        contract, network = data.contract, config.network
        policy = Regressor(contract.observation_size, contract.action_size, network.width, network.depth)
        self.networks = nn.ModuleDict({"policy": policy}).to(data.device)
        self._data, self._config, self._name = data, config, name

    def update(self, step: int) -> tuple[Tensor, Metrics]:
        """Return the loss of one batch, and its metrics."""
        data = self._data
        picked = data.draw(self._config.optimizer.batch_size, stream(self._config.seed, self._name, step))
        return cloning_loss(self.networks["policy"], data.observations[data.rows[picked]], data.actions[picked])  # type: ignore[arg-type]

    def after_step(self) -> None:
        """Nothing follows the policy."""

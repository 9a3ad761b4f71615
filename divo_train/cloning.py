"""Behaviour cloning with squared error: averages what the demonstrations do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from divo_train.config import FitConfig
from divo_train.data.dataset import Dataset, IntArray
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Metrics
from divo_train.networks import Regressor
from divo_train.randomness import stream


def cloning_loss(policy: Regressor, observation: Tensor, action: Tensor) -> tuple[Tensor, Metrics]:
    """Mean squared error to the logged action, whose minimiser is E[a|s] (Pomerleau 1991)."""
    loss = (policy(observation) - action).square().mean()
    return loss, {"cloning_loss": loss}


class CloningLearner:
    """Trains the deterministic policy on logged actions: all alike, or those of `transitions` alone."""

    def __init__(self, data: TrainingSet, config: FitConfig, name: str, transitions: IntArray | None = None) -> None:
        contract, network = data.contract, config.network
        sizes = contract.observation_size, contract.action_size, network.width, network.depth
        self.networks = nn.ModuleDict({"policy": Regressor(*sizes, network.regressor)}).to(data.device)
        self.period = 1
        self.averages: Averages = {}
        self._data, self._config, self._name = data, config, name
        self._transitions = None if transitions is None else torch.from_numpy(transitions).to(data.device)

    def draw(self, step: int) -> Batch:
        """Return logged actions."""
        data, size = self._data, self._config.optimizer.batch_size
        generator = stream(self._config.seed, self._name, step)
        if self._transitions is None:
            picked = data.draw(size, generator)
        else:
            picked = self._transitions[torch.randint(len(self._transitions), (size,), generator=generator)]
        return {"observation": data.observations[data.rows[picked]], "action": data.actions[picked]}

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the squared error."""
        return cloning_loss(self.networks["policy"], **batch)  # type: ignore[arg-type]


def best_transitions(dataset: Dataset, share: float) -> IntArray:
    """Return the transitions of the episodes with the highest return: whole episodes, until `share` is reached.

    Source: 10%BC of Chen et al. 2021 (arXiv:2106.01345, section 5.1).
    """
    episodes, starts, lengths = np.unique(dataset.episodes, return_index=True, return_counts=True)
    returns = np.add.reduceat(dataset.rewards.astype(np.float64), starts)
    order = np.argsort(-returns, kind="stable")
    wanted = np.searchsorted(np.cumsum(lengths[order]), share * len(dataset)) + 1
    return np.flatnonzero(np.isin(dataset.episodes, episodes[order[:wanted]]))

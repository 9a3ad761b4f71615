"""A dataset as tensors on the training device: normalised observations, scaled actions, random batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from divo_runtime.contract import Contract
from divo_train.data.dataset import Dataset
from divo_train.networks import Normalizer

STD_FLOOR = 1e-3
"""Terms that never move in the data (a fixed goal height, say) must not be blown up by normalisation."""


@dataclass(frozen=True)
class TrainingSet:
    """What learners read."""

    dataset: Dataset
    normalizer: Normalizer
    observations: Tensor
    """(rows, obs_dim) normalised."""
    actions: Tensor
    """(transitions, act_dim) in [-1, 1]."""
    rows: Tensor
    """(transitions,) observation row of each transition."""

    @property
    def contract(self) -> Contract:
        """The contract that the data fits."""
        return self.dataset.contract

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.observations.device

    @cached_property
    def action_std(self) -> float:
        """Standard deviation of the scaled actions over all dimensions."""
        return float(self.actions.std(dim=0).square().mean().sqrt())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return (count,) random transition numbers."""
        return torch.randint(len(self.rows), (count,), generator=generator).to(self.device)


def training_set(dataset: Dataset, device: str) -> TrainingSet:
    """Normalise and move a dataset."""
    mean, std = dataset.observations.mean(0, dtype=np.float64), dataset.observations.std(0, dtype=np.float64)
    normalizer = Normalizer(
        torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(np.maximum(std, STD_FLOOR).astype(np.float32))
    ).to(device)
    return TrainingSet(
        dataset=dataset,
        normalizer=normalizer,
        observations=normalizer(torch.from_numpy(dataset.observations).to(device)),
        actions=torch.from_numpy(dataset.scaled_actions()).to(device),
        rows=torch.from_numpy(dataset.rows).to(device),
    )

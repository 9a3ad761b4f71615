"""Which logged actions are good: m-step advantages and their binary weights.

One-step advantages rank poorly, because one control step changes the value by less than a network's error; the m-step
advantage sees the consequence of an action and, unlike the whole episode's return, bootstraps and so can stitch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from divo_train.data.nstep import Backups
from divo_train.data.training_set import TrainingSet
from divo_train.networks import Value


@torch.no_grad()
def multi_step_advantage(data: TrainingSet, value: Value, backups: Backups, reward_scale: float) -> Tensor:
    """Return (transitions,) A_m = R_m + discount^m V(s_{t+m}) - V(s_t), in units of scaled reward.

    Source: generalised from IQL's A = Q - V; the m-step form of Schulman et al. 2015, arXiv:1506.02438, eq. 14.
    """
    v = torch.cat([value(rows) for rows in data.observations.split(65_536)])
    returns = torch.from_numpy(backups.returns).to(v) * reward_scale
    discounts = torch.from_numpy(backups.discounts).to(v)
    return returns + discounts * v[torch.from_numpy(backups.rows).to(v.device)] - v[data.rows]


def advantage_threshold(advantage: Tensor, positive_fraction: tuple[float, float]) -> float:
    """Return 0, or the nearest threshold that leaves a share of the data inside `positive_fraction` above it.

    Too few positives starve the diffusion model, too many make it plain imitation.
    """
    values = advantage.cpu().numpy()
    fewest, most = positive_fraction
    lowest, highest = np.quantile(values, [1 - most, 1 - fewest])
    return float(np.clip(0.0, lowest, highest))


def binary_weights(advantage: Tensor, threshold: float, low_weight: float) -> Tensor:
    """Return 1 where the advantage is above the threshold, `low_weight` elsewhere.

    Source: DIVO's value-conditional binary weight (arXiv 2511.08922, abstract); `low_weight` > 0 is our choice, it
    keeps every logged action in the support.
    """
    return torch.where(advantage > threshold, 1.0, low_weight)

"""Which logged actions are good: m-step advantages and their binary weights.

One-step advantages rank poorly, because one control step changes the value by less than a network's error; the m-step
advantage sees the consequence of an action and, unlike the whole episode's return, bootstraps and so can stitch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from divo_train.config import FitConfig
from divo_train.data.nstep import Backups, lambda_returns, multi_step_backups
from divo_train.data.training_set import TrainingSet
from divo_train.networks import Value
from divo_train.stage import Upstream
from divo_train.value_learning import load_critic, one_step_advantage, reward_scale

Weighting = Literal["binary", "one", "exponential", "soft"]

LARGEST_WEIGHT = 100.0
"""Exponential weights are cut here, as advantage-weighted regression does."""


def label_advantages(data: TrainingSet, config: FitConfig, critic: Mapping[str, Tensor]) -> Tensor:
    """Return (transitions,) advantages of the logged actions under the labelling critic."""
    q_networks, value = load_critic(critic, data, config)
    labels, discount = config.labels, config.value.discount
    if labels.advantage == "one_step":
        return one_step_advantage(data, q_networks, value, config.value.aggregate)
    scale = reward_scale(data, discount)
    if labels.advantage == "lambda_return":
        return lambda_advantage(data, value, discount, labels.decay, scale)
    steps = max(1, round(labels.horizon_s * data.contract.rate_hz))
    return multi_step_advantage(data, value, multi_step_backups(data.dataset, steps, discount), scale)


def label_weights(data: TrainingSet, config: FitConfig, upstream: Upstream, weighting: Weighting) -> Tensor:
    """Return (transitions,) weights of the logged actions, by the stage `value`; `one` needs none."""
    if weighting == "one":
        return torch.ones(len(data.rows), device=data.device)
    advantage, labels = label_advantages(data, config, upstream["value"]), config.labels
    threshold = advantage_threshold(advantage, labels.positive_fraction)
    if weighting == "binary":
        return binary_weights(advantage, threshold, labels.low_weight)
    scaled = labels.temperature * (advantage - threshold) / advantage.std()
    return scaled.exp().clamp(max=LARGEST_WEIGHT) if weighting == "exponential" else torch.sigmoid(scaled)


@torch.no_grad()
def multi_step_advantage(data: TrainingSet, value: Value, backups: Backups, reward_scale: float) -> Tensor:
    """Return (transitions,) A_m = R_m + discount^m V(s_{t+m}) - V(s_t), in units of scaled reward.

    Source: generalised from IQL's A = Q - V; the m-step form of Schulman et al. 2015, arXiv:1506.02438, eq. 14.
    """
    v = torch.cat([value(rows) for rows in data.observations.split(65_536)])
    returns = torch.from_numpy(backups.returns).to(v) * reward_scale
    discounts = torch.from_numpy(backups.discounts).to(v)
    return returns + discounts * v[torch.from_numpy(backups.rows).to(v.device)] - v[data.rows]


@torch.no_grad()
def lambda_advantage(data: TrainingSet, value: Value, discount: float, decay: float, reward_scale: float) -> Tensor:
    """Return (transitions,) TD(lambda) return - V(s_t), in units of scaled reward (arXiv:1506.02438, eq. 16)."""
    v = torch.cat([value(rows) for rows in data.observations.split(65_536)])
    raw = lambda_returns(data.dataset, (v / reward_scale).cpu().numpy(), discount, decay)
    return torch.from_numpy(raw).to(v) * reward_scale - v[data.rows]


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

"""Building blocks of the exported graphs: everything linear folded into constant weights, so that products remain.

A graph's cost on a CPU is that of its matrix products plus a price per operator, and at these sizes the second is as
large as the first. What is folded here changes no result but the rounding; it is computed in float64, once, at export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from divo_runtime.contract import Contract
from divo_train.networks import Normalizer


@dataclass(frozen=True, slots=True)
class Coding:
    """How a graph carries an action a in [-1, 1]: a = scale * coded + offset."""

    scale: float
    offset: float


PLAIN = Coding(1.0, 0.0)
"""As it is, from a tanh."""
UNIT = Coding(2.0, -1.0)
"""In [0, 1], from a hard sigmoid."""


@dataclass(frozen=True, slots=True)
class FirstLayer:
    """The observation's part of a first layer: normalised observation @ weight + bias."""

    weight: Tensor
    """(obs_dim, width)."""
    bias: Tensor
    """(width,)."""


def constant(value: Tensor) -> nn.Parameter:
    """Return a float32 constant of the graph."""
    return nn.Parameter(value.detach().float().contiguous().clone(), requires_grad=False)


class Shares(nn.Module):
    """The observation's share of every first layer of a graph: one product and a split, once per action."""

    def __init__(self, normalizer: Normalizer, layers: Sequence[FirstLayer]) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.weight = constant(torch.cat([layer.weight for layer in layers], dim=1))
        self.bias = constant(torch.cat([layer.bias for layer in layers]))
        self.widths = [len(layer.bias) for layer in layers]

    def forward(self, observation: Tensor) -> tuple[Tensor, ...]:
        """(1, obs_dim) in contract units -> (1, width) for each layer."""
        return torch.addmm(self.bias, self.normalizer(observation), self.weight).split(self.widths, dim=1)


class RobotUnits(nn.Module):
    """Coded action to the contract's action range, and back."""

    def __init__(self, contract: Contract, coding: Coding = PLAIN) -> None:
        super().__init__()
        lower, upper = (torch.from_numpy(side) for side in contract.action_range())
        self.scale = constant((upper - lower) / 2 * coding.scale)
        self.offset = constant((upper + lower) / 2 + (upper - lower) / 2 * coding.offset)

    def forward(self, action: Tensor) -> Tensor:
        """(..., act_dim) coded -> robot units."""
        return action * self.scale + self.offset

    def inverse(self, action: Tensor) -> Tensor:
        """(..., act_dim) in robot units -> coded."""
        return (action - self.offset) / self.scale

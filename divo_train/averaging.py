"""Running averages of weights: target networks and the EMA that is sampled from."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def averaged_copy(network: M) -> M:
    """Return a copy that takes no gradient."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, rate: float) -> None:
    """Move the average towards the network: average <- (1 - rate) * average + rate * network."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), rate)

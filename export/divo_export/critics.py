"""The critic's ensemble as it is deployed.

LayerNorm's subtraction of the mean is linear, so it is in the weights before it; what is left is a division by the root
mean square, written so that ONNX Runtime sees one operator (SimplifiedLayerNormalization). For one action the members
are one stacked product per layer; for several each member has products of its own, because ONNX Runtime packs a
constant matrix once, but a stack of matrices anew at every call.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from divo_export.layers import Coding, FirstLayer, constant
from divo_train.networks import LayerNormMlp

LAYER_NORM_EPSILON = 1e-5
"""Of torch's layer_norm, which training uses."""


class Member(nn.Module):
    """One network of the ensemble, after its first layer, for several actions."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor], head: Tensor, gain: Tensor) -> None:
        super().__init__()
        self.weights = nn.ParameterList(constant(weight) for weight in weights)
        self.biases = nn.ParameterList(constant(bias) for bias in biases)
        self.head, self.gain = constant(head), gain

    def forward(self, hidden: Tensor, total: Tensor) -> Tensor:
        """(N, width) activated, and a (1, N) or (1,) sum so far -> (1, N) sum with this member's answers."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = activate(torch.addmm(bias, hidden, weight), self.gain)
        # the head as a row times a matrix: a product with one column would be computed with sixteen
        return torch.addmm(total, self.head, hidden.T)


class Critic(nn.Module):
    """An ensemble of LayerNorm networks, after the observation's share of their first layer.

    Args:
        net: The networks; their inputs are the observation, then the action if there is one.
        observation: Length of the observation.
        coding: Of the actions that it will be given.
    """

    def __init__(self, net: LayerNormMlp, observation: int, coding: Coding) -> None:
        super().__init__()
        *inner, head = (weight.detach().double() for weight in net.weights)
        *offsets, head_bias = (bias.detach().double() for bias in net.biases)
        first, *inner = (weight - weight.mean(dim=2, keepdim=True) for weight in inner)
        first_bias, *offsets = (bias - bias.mean(dim=2, keepdim=True) for bias in offsets)
        action = first[:, observation:]
        self.width = first.shape[2]
        self.first = FirstLayer(
            _side_by_side(first[:, :observation]),
            _side_by_side(first_bias + coding.offset * action.sum(dim=1, keepdim=True))[0],
        )
        self.action_weight = constant(coding.scale * _side_by_side(action))
        self.gain = constant(torch.ones(self.width))  # ONNX Runtime fuses the normalisation only with a gain
        self.weights = nn.ParameterList(constant(weight) for weight in inner)
        self.biases = nn.ParameterList(constant(bias) for bias in offsets)
        self.head = constant(head)
        self.head_bias = constant(head_bias)
        self.members = nn.ModuleList(
            Member([w[m] for w in inner], [b[m, 0] for b in offsets], head[m].T / net.members, self.gain)
            for m in range(net.members)
        )
        self.mean_head = constant(head.reshape(-1, 1) / net.members)
        self.mean_bias = constant(head_bias.mean().reshape(1))

    def mean(self, share: Tensor, actions: Tensor) -> Tensor:
        """(1, members * width) share, (N, act_dim) coded -> (N,) mean over the members."""
        hidden = self._first(torch.addmm(share, actions, self.action_weight))
        if len(actions) == 1:
            return torch.addmm(self.mean_bias, self._stacked(hidden).reshape(1, -1), self.mean_head).flatten()
        total: Tensor = self.mean_bias
        rows = hidden.flatten(start_dim=1).split(self.width, dim=1)
        for member, row in zip(self.members, rows, strict=True):
            total = member(row, total)
        return total.flatten()

    def each(self, share: Tensor, action: Tensor | None = None) -> Tensor:
        """(1, members * width) share, (1, act_dim) coded -> (members,)."""
        hidden = self._first(share if action is None else torch.addmm(share, action, self.action_weight))
        return (torch.matmul(self._stacked(hidden), self.head) + self.head_bias).flatten()

    def _first(self, hidden: Tensor) -> Tensor:
        """(N, members * width) -> (N, members, width) activated."""
        return activate(hidden.reshape(len(hidden), -1, self.width), self.gain)

    def _stacked(self, hidden: Tensor) -> Tensor:
        """(1, members, width) of the first layer -> (members, 1, width) of the last."""
        hidden = hidden.reshape(-1, 1, self.width)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = activate(torch.matmul(hidden, weight) + bias, self.gain)
        return hidden


def activate(hidden: Tensor, gain: Tensor) -> Tensor:
    """(..., width) of mean zero -> the same, divided by the root mean square and cut at zero."""
    mean_square = hidden.pow(2).mean(dim=-1, keepdim=True)
    return functional.relu(hidden / torch.sqrt(mean_square + LAYER_NORM_EPSILON) * gain)


def _side_by_side(weights: Tensor) -> Tensor:
    """(members, inputs, width) -> (inputs, members * width)."""
    return weights.permute(1, 0, 2).flatten(start_dim=1)

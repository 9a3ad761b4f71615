"""The networks: small, SiLU and ReLU, and shaped for deployment.

Not the literature's Mish, which costs about five times more at run time. The first layer of the denoiser and
of the actor is split by input, so that the observation's share is computed once for all candidates and steps and the
noise level's share becomes a constant of the exported graph.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from divo_train.perceptron import Activation, Form, perceptron

M = TypeVar("M", bound=nn.Module)


class Normalizer(nn.Module):
    """Observations to zero mean and unit variance, measured on the dataset."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, observation: Tensor) -> Tensor:
        """(..., obs_dim) -> (..., obs_dim); values far off the data are cut at 10 standard deviations."""
        return ((observation - self.mean) / self.std).clamp(-10, 10)


class Trunk(nn.Module):
    """Hidden layers after a first layer that somebody else has computed."""

    def __init__(self, width: int, depth: int, outputs: int, activation: Activation = "silu") -> None:
        super().__init__()
        self.form = Form(activation, transposed=True, activates_input=True)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.head = nn.Linear(width, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) before its activation -> (..., outputs)."""
        if _trains_on_cpu(self, hidden):
            layers = [*self.layers, self.head]
            weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
            flat = perceptron(hidden.flatten(0, -2), weights, biases, self.form)
            return flat.unflatten(0, hidden.shape[:-1])
        activate = getattr(functional, self.form.activation)
        hidden = activate(hidden)
        for layer in self.layers:
            hidden = activate(layer(hidden))
        out: Tensor = self.head(hidden)
        return out


class Regressor(nn.Module):
    """Deterministic policy: observation to action in [-1, 1]."""

    def __init__(self, observation: int, action: int, width: int, depth: int, activation: Activation = "silu") -> None:
        super().__init__()
        self.observation_in = nn.Linear(observation, width)
        self.trunk = Trunk(width, depth, action, activation)

    def forward(self, observation: Tensor) -> Tensor:
        """(B, obs_dim) -> (B, act_dim)."""
        return torch.tanh(self.trunk(self.observation_in(observation)))


class OneStepActor(nn.Module):
    """Distilled policy: observation and noise to action in [-1, 1], in one evaluation."""

    def __init__(self, observation: int, action: int, width: int, depth: int) -> None:
        super().__init__()
        self.observation_in = nn.Linear(observation, width)
        self.noise_in = nn.Linear(action, width, bias=False)
        self.trunk = Trunk(width, depth, action)

    def forward(self, observation: Tensor, noise: Tensor) -> Tensor:
        """(..., obs_dim), (..., act_dim) standard normal -> (..., act_dim)."""
        return torch.tanh(self.trunk(self.observation_in(observation) + self.noise_in(noise)))


class Denoiser(nn.Module):
    """Expected clean action given a noisy one: D of Karras et al. 2022 (arXiv:2206.00364), eq. 7.

    Args:
        sigma_data: Standard deviation of the scaled actions; centres the preconditioning.

    Attributes:
        spread: `sigma_data` as a number, for what must be constant in a traced or batched pass.
    """

    sigma_data: Tensor
    frequencies: Tensor

    def __init__(self, observation: int, action: int, width: int, depth: int, sigma_data: float) -> None:
        super().__init__()
        self.register_buffer("sigma_data", torch.tensor(sigma_data))
        self.spread = sigma_data
        self.register_load_state_dict_post_hook(_remember_spread)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(8.0), 8)))
        self.level_embedding = nn.Sequential(nn.Linear(16, 32), nn.SiLU())
        self.level_in = nn.Linear(32, width, bias=False)
        self.observation_in = nn.Linear(observation, width)
        self.action_in = nn.Linear(action, width, bias=False)
        self.trunk = Trunk(width, depth, action)

    def level_share(self, sigma: Tensor) -> Tensor:
        """(...,) noise level -> (..., width), the level's share of the first layer."""
        phase = (sigma.log() / 4).unsqueeze(-1) * self.frequencies
        share: Tensor = self.level_in(self.level_embedding(torch.cat([phase.sin(), phase.cos()], dim=-1)))
        return share

    def forward(self, noisy: Tensor, sigma: Tensor, observation: Tensor) -> Tensor:
        """(..., act_dim), (...,), (..., obs_dim) -> (..., act_dim) denoised."""
        return self.denoise(noisy, sigma, self.level_share(sigma) + self.observation_in(observation))

    def denoise(self, noisy: Tensor, sigma: Tensor, shares: Tensor) -> Tensor:
        """Denoise with the first layer's level and observation shares already summed, (..., width)."""
        sigma = sigma.unsqueeze(-1)
        total = sigma.square() + self.sigma_data.square()
        raw = self.trunk(self.action_in(noisy * total.rsqrt()) + shares)
        return self.sigma_data.square() / total * noisy + sigma * self.sigma_data * total.rsqrt() * raw


class LayerNormMlp(nn.Module):
    """Several members of one network, evaluated together; LayerNorm keeps values off the data tame.

    The normalisation has no weights of its own, because the next layer can scale as well; ReLU costs least.
    """

    def __init__(self, inputs: int, width: int, depth: int, members: int, layer_norm: bool = True) -> None:
        super().__init__()
        self.layer_norm = layer_norm
        sizes = [inputs, *[width] * depth, 1]
        self.weights = nn.ParameterList(_uniform((members, a, b), a) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(_uniform((members, 1, b), a) for a, b in pairwise(sizes))
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (members, B)."""
        return self._evaluate(x, [*self.weights], [*self.biases])

    def judge(self, x: Tensor, members: int) -> Tensor:
        """(B, inputs) -> (members, B) of the first members, with a gradient by the input but none by the weights."""
        weights, biases = ([one[:members].detach() for one in all_] for all_ in (self.weights, self.biases))
        return self._evaluate(x, weights, biases)

    def _evaluate(self, x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
        if _trains_on_cpu(self, x):
            form = Form("relu", layer_norm=self.layer_norm)
            return perceptron(x, weights, biases, form).squeeze(-1)
        hidden = x.expand(len(weights[0]), *x.shape)
        *inner, (last_weight, last_bias) = zip(weights, biases, strict=True)
        for weight, bias in inner:
            hidden = torch.baddbmm(bias, hidden, weight)
            hidden = functional.layer_norm(hidden, hidden.shape[-1:]) if self.layer_norm else hidden
            hidden = functional.relu(hidden)
        return torch.baddbmm(last_bias, hidden, last_weight).squeeze(-1)


class QEnsemble(nn.Module):
    """Q(s, a) of every member."""

    def __init__(
        self, observation: int, action: int, width: int, depth: int, members: int, layer_norm: bool = True
    ) -> None:
        super().__init__()
        self.net = LayerNormMlp(observation + action, width, depth, members, layer_norm)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """(B, obs_dim), (B, act_dim) -> (members, B)."""
        out: Tensor = self.net(torch.cat([observation, action], dim=-1))
        return out

    def first(self, observation: Tensor, action: Tensor) -> Tensor:
        """(B, obs_dim), (B, act_dim) -> (B,) of the first member, whose gradient reaches the input but no weight."""
        return self.net.judge(torch.cat([observation, action], dim=-1), 1)[0]

    def lowest(self, observation: Tensor, action: Tensor) -> Tensor:
        """(B, obs_dim), (B, act_dim) -> (B,) of the lowest member, whose gradient reaches the input but no weight."""
        return self.net.judge(torch.cat([observation, action], dim=-1), self.net.members).amin(dim=0)


class Value(nn.Module):
    """V(s)."""

    def __init__(self, observation: int, width: int, depth: int, layer_norm: bool = True) -> None:
        super().__init__()
        self.net = LayerNormMlp(observation, width, depth, 1, layer_norm)

    def forward(self, observation: Tensor) -> Tensor:
        """(B, obs_dim) -> (B,)."""
        out: Tensor = self.net(observation)[0]
        return out


def _trains_on_cpu(network: nn.Module, x: Tensor) -> bool:
    """Whether the training's own arithmetic computes it; export and deployment see the layers as written."""
    return network.training and x.device.type == "cpu"


def _remember_spread(denoiser: Denoiser, _: object) -> None:
    denoiser.spread = float(denoiser.sigma_data)


def frozen_copy(network: M) -> M:
    """Return a copy that takes no gradient: a target network, a running average, a judge."""
    return copy.deepcopy(network).requires_grad_(False)


def _uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    """The initialisation that nn.Linear uses, for all members."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

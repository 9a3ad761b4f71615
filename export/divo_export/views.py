"""Networks as they are deployed: normaliser, sampler, critic's choice and units inside one graph, tensors named.

What does not depend on the candidate or on the step is computed once: the observation's share of every first layer, and
the noise level's share, which becomes a constant. `divo_train.policies` computes the same without these liberties and
is what parity is measured against.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from divo_runtime.contract import Contract
from divo_runtime.sampler import sample
from divo_train.config import SamplerConfig
from divo_train.diffusion import sampling_levels
from divo_train.networks import Denoiser, Normalizer, OneStepActor, QEnsemble, Value


class RobotUnits(nn.Module):
    """[-1, 1] to the contract's action range, and back."""

    centre: Tensor
    half_range: Tensor

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        lower, upper = (torch.from_numpy(side).float() for side in contract.action_range())
        self.register_buffer("centre", (upper + lower) / 2)
        self.register_buffer("half_range", (upper - lower) / 2)

    def forward(self, action: Tensor) -> Tensor:
        """(..., act_dim) in [-1, 1] -> robot units."""
        return action * self.half_range + self.centre

    def inverse(self, action: Tensor) -> Tensor:
        """(..., act_dim) in robot units -> [-1, 1]."""
        return (action - self.centre) / self.half_range


class CandidateCritic(nn.Module):
    """Q of several candidates for one observation, whose share of the first layer is computed once."""

    def __init__(self, q_networks: QEnsemble, observation: int) -> None:
        super().__init__()
        net = q_networks.net
        self.observation_weight = nn.Parameter(net.weights[0][:, :observation].detach().clone())
        self.action_weight = nn.Parameter(net.weights[0][:, observation:].detach().clone())
        self.net = net

    def forward(self, observation: Tensor, candidates: Tensor) -> Tensor:
        """(1, obs_dim) normalised, (N, act_dim) in [-1, 1] -> (members, N)."""
        net = self.net
        hidden = torch.matmul(candidates, self.action_weight) + (
            torch.matmul(observation, self.observation_weight) + net.biases[0]
        )
        for weight, bias in zip(list(net.weights)[1:], list(net.biases)[1:], strict=True):
            hidden = functional.relu(functional.layer_norm(hidden, hidden.shape[-1:]))
            hidden = torch.matmul(hidden, weight) + bias
        return hidden.squeeze(-1)


class BestOf(nn.Module):
    """The critic's choice among candidates."""

    def __init__(self, q_networks: QEnsemble, contract: Contract) -> None:
        super().__init__()
        self.critic = CandidateCritic(q_networks, contract.observation_size)
        self.robot_units = RobotUnits(contract)

    def forward(self, observation: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) normalised, (N, act_dim) in [-1, 1] -> (1, act_dim) in robot units, (N,) mean Q."""
        value = self.critic(observation, candidates).mean(dim=0)
        chosen = candidates if len(candidates) == 1 else candidates[value.argmax(dim=0, keepdim=True)]
        return self.robot_units(chosen), value


class SamplerView(nn.Module):
    """Few-step sampler with best-of-N."""

    def __init__(
        self,
        contract: Contract,
        normalizer: Normalizer,
        denoiser: Denoiser,
        q_networks: QEnsemble,
        config: SamplerConfig,
    ) -> None:
        super().__init__()
        self.normalizer, self.denoiser, self.best_of = normalizer, denoiser, BestOf(q_networks, contract)
        self.solver, self.sigma_data = config.solver, float(denoiser.sigma_data)
        self.sigmas = sampling_levels(self.sigma_data, config)
        with torch.no_grad():
            shares = denoiser.level_share(torch.tensor(self.sigmas[:-1]))
        self.level_shares = nn.ParameterList(nn.Parameter(share) for share in shares)

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) in contract units, (N, act_dim) standard normal -> action, value as `BestOf`."""
        normalized = self.normalizer(observation)
        shares = self.denoiser.observation_in(normalized)
        spread = self.sigma_data

        def denoise(x: Tensor, sigma: float) -> Tensor:
            """The preconditioning of `Denoiser.denoise` with every coefficient a constant."""
            total = sigma**2 + spread**2
            level = self.level_shares[self.sigmas.index(sigma)]
            raw = self.denoiser.trunk(self.denoiser.action_in(x * total**-0.5) + (shares + level))
            return (spread**2 / total * x + sigma * spread * total**-0.5 * raw).clamp(-1, 1)

        candidates = sample(denoise, noise, self.sigmas, self.solver)
        return self.best_of(normalized, candidates)


class ActorView(nn.Module):
    """One-step actor; with more than one row of noise the critic picks."""

    def __init__(self, contract: Contract, normalizer: Normalizer, actor: OneStepActor, q_networks: QEnsemble) -> None:
        super().__init__()
        self.normalizer, self.actor, self.best_of = normalizer, actor, BestOf(q_networks, contract)

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) in contract units, (N, act_dim) standard normal -> action, value as `BestOf`."""
        normalized = self.normalizer(observation)
        return self.best_of(normalized, self.actor(normalized, noise))


class CriticView(nn.Module):
    """Q and V in robot units, for the value gate."""

    def __init__(self, contract: Contract, normalizer: Normalizer, q_networks: QEnsemble, value: Value) -> None:
        super().__init__()
        self.normalizer, self.value, self.robot_units = normalizer, value, RobotUnits(contract)
        self.critic = CandidateCritic(q_networks, contract.observation_size)

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) in contract units, (1, act_dim) in robot units -> (members,) Q, (1,) V."""
        normalized = self.normalizer(observation)
        scaled = self.robot_units.inverse(action).clamp(-1, 1)
        return self.critic(normalized, scaled).squeeze(-1), self.value(normalized)

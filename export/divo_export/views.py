"""Networks as they are deployed: normaliser, sampler, critic's choice and units inside one graph, tensors named.

Every graph is a chain of matrix products with constant weights and as little between them as possible:

* the observation's share of all first layers is one product, computed once for all candidates and steps; the noise
  level's share is in its bias (`layers.Shares`);
* the solver's sums and the denoiser's preconditioning are weights (`unrolling`, `denoising`);
* the critic's LayerNorm is half in the weights, its mean over members in the last ones (`critics`).

`divo_train.policies` computes the same without these liberties and is what parity is measured against. What each of
them is worth is in docs/inference.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from divo_export.critics import Critic
from divo_export.denoising import DenoiserStep, noise_meaning
from divo_export.layers import PLAIN, UNIT, Coding, FirstLayer, RobotUnits, Shares, constant
from divo_export.unrolling import NOISE, unroll
from divo_runtime.contract import Contract
from divo_train.config import SamplerConfig
from divo_train.diffusion import sampling_levels
from divo_train.networks import Denoiser, Normalizer, OneStepActor, QEnsemble, Value


class BestOf(nn.Module):
    """The critic's choice among candidates."""

    def __init__(self, q_networks: QEnsemble, contract: Contract, coding: Coding) -> None:
        super().__init__()
        self.critic = Critic(q_networks.net, contract.observation_size, coding)
        self.robot_units = RobotUnits(contract, coding)

    def forward(self, share: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's share, (N, act_dim) coded -> (1, act_dim) in robot units, (N,) mean Q."""
        value = self.critic.mean(share, candidates)
        if len(candidates) > 1:
            candidates = torch.index_select(candidates, 0, value.argmax(dim=0, keepdim=True))
        return self.robot_units(candidates), value


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
        self.best_of = BestOf(q_networks, contract, UNIT)
        evaluations, self.answer = unroll(sampling_levels(float(denoiser.sigma_data), config), config.solver)
        meanings = noise_meaning(contract.action_size)
        steps = [DenoiserStep(denoiser, evaluation, meanings) for evaluation in evaluations]
        self.steps = nn.ModuleList(steps)
        self.shares = Shares(normalizer, [*(step.first for step in steps), self.best_of.critic.first])

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) in contract units, (N, act_dim) standard normal -> action, value as `BestOf`."""
        *shares, critic_share = self.shares(observation)
        tensors = {NOISE: noise}
        for step, share in zip(self.steps, shares, strict=True):
            step(share, tensors)
        return self.best_of(critic_share, tensors[self.answer])


class ActorView(nn.Module):
    """One-step actor; with more than one row of noise the critic picks."""

    def __init__(self, contract: Contract, normalizer: Normalizer, actor: OneStepActor, q_networks: QEnsemble) -> None:
        super().__init__()
        self.best_of = BestOf(q_networks, contract, PLAIN)
        self.trunk, self.noise_weight = actor.trunk, constant(actor.noise_in.weight.T)
        first = FirstLayer(actor.observation_in.weight.detach().T, actor.observation_in.bias.detach())
        self.shares = Shares(normalizer, [first, self.best_of.critic.first])

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) in contract units, (N, act_dim) standard normal -> action, value as `BestOf`."""
        share, critic_share = self.shares(observation)
        candidates = torch.tanh(self.trunk(torch.addmm(share, noise, self.noise_weight)))
        return self.best_of(critic_share, candidates)


class SingleActorView(nn.Module):
    """One-step actor with one answer, which no critic values: what one evaluation costs."""

    def __init__(self, contract: Contract, normalizer: Normalizer, actor: OneStepActor) -> None:
        super().__init__()
        first = FirstLayer(actor.observation_in.weight.detach().T, actor.observation_in.bias.detach())
        self.shares = Shares(normalizer, [first])
        self.trunk, self.noise_weight = actor.trunk, constant(actor.noise_in.weight.T)
        self.robot_units = RobotUnits(contract, PLAIN)

    def forward(self, observation: Tensor, noise: Tensor) -> Tensor:
        """(1, obs_dim) in contract units, (1, act_dim) standard normal -> (1, act_dim) in robot units."""
        (share,) = self.shares(observation)
        return self.robot_units(torch.tanh(self.trunk(torch.addmm(share, noise, self.noise_weight))))


class CriticView(nn.Module):
    """Q and V in robot units, for the value gate."""

    def __init__(self, contract: Contract, normalizer: Normalizer, q_networks: QEnsemble, value: Value) -> None:
        super().__init__()
        self.robot_units = RobotUnits(contract)
        self.critic = Critic(q_networks.net, contract.observation_size, PLAIN)
        self.value = Critic(value.net, contract.observation_size, PLAIN)
        self.shares = Shares(normalizer, [self.critic.first, self.value.first])

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(1, obs_dim) in contract units, (1, act_dim) in robot units -> (members,) Q, (1,) V."""
        q_share, v_share = self.shares(observation)
        return self.critic.each(q_share, self.robot_units.inverse(action).clamp(-1, 1)), self.value.each(v_share)

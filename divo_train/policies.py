"""Trained networks as policies: the same choices that the exported graphs make, in torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from divo_runtime.interfaces import PolicyAction
from divo_runtime.observation import FloatArray
from divo_train.methods import find_policy
from divo_train.methods.method import Proposer
from divo_train.trained import TrainedNetworks


@dataclass(frozen=True)
class TorchPolicy:
    """`Policy` of the runtime, computed by torch."""

    networks: TrainedNetworks
    proposer: Proposer

    @property
    def noise_shape(self) -> tuple[int, int]:
        """(N, act_dim)."""
        return self.proposer.candidates, self.networks.contract.action_size

    @torch.no_grad()
    def act(self, observation: FloatArray, noise: FloatArray) -> PolicyAction:
        """(obs_dim,) in contract units and noise -> action in robot units."""
        networks, proposer = self.networks, self.proposer
        normalized = networks.normalizer(torch.from_numpy(observation).unsqueeze(0))
        candidates = proposer.propose(normalized, torch.from_numpy(noise))
        if proposer.score is None:
            return PolicyAction(networks.robot_units(candidates[0]).numpy(), float("nan"))
        value = proposer.score(normalized, candidates)
        return PolicyAction(networks.robot_units(candidates[int(value.argmax())]).numpy(), float(value.max()))

    @torch.no_grad()
    def act_together(self, observations: FloatArray, noise: FloatArray) -> FloatArray:
        """(B, obs_dim) in contract units and (B, N, act_dim) noise -> (B, act_dim) actions in robot units."""
        count, candidates, _ = noise.shape
        normalized = self.networks.normalizer(torch.from_numpy(observations)).repeat_interleave(candidates, dim=0)
        proposed = self.proposer.propose(normalized, torch.from_numpy(noise).flatten(0, 1))
        chosen = torch.zeros(count, dtype=torch.long)
        if self.proposer.score is not None and candidates > 1:
            chosen = self.proposer.score(normalized, proposed).view(count, candidates).argmax(dim=1)
        best = proposed.view(count, candidates, -1)[torch.arange(count), chosen]
        actions: FloatArray = self.networks.robot_units(best).numpy()
        return actions


def torch_policy(networks: TrainedNetworks, policy: str, candidates: int | None = None) -> TorchPolicy:
    """Return a policy as deployed; `candidates` overrides its best-of-N, where it has a choice.

    Raises:
        DivoError: If there is no such policy.
        CheckpointError: If the run has not trained it.
    """
    proposer = find_policy(policy)(networks)
    if candidates is not None and proposer.score is not None:
        proposer = replace(proposer, candidates=candidates)
    return TorchPolicy(networks, proposer)


def draw_noise(policy: TorchPolicy, rng: np.random.Generator) -> FloatArray:
    """Return fresh noise of the policy's shape."""
    return rng.standard_normal(policy.noise_shape, dtype=np.float32)

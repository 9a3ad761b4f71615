"""What the trained networks answer, computed by the training code and not by the views that are exported.

Whatever the views rearrange, split or fold must come out of this comparison unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from divo_export.graphs import Trained, sampler_config
from divo_runtime.bundle.manifest import PolicySettings
from divo_runtime.observation import FloatArray
from divo_runtime.parity.check import critic_actions
from divo_runtime.parity.sample import ParitySample, Reference, draw_noise
from divo_train.data.dataset import Dataset
from divo_train.diffusion import draw_actions
from divo_train.trained import TrainedNetworks

BATCH = 500
"""Observations per pass through torch: a memory bound, 64 candidates of each are 32,000 rows."""


def sample_observations(dataset: Dataset, count: int, seed: int = 0) -> FloatArray:
    """Return (count, obs_dim) observations of the dataset, all different where it has enough."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(dataset.observations), size=count, replace=count > len(dataset.observations))
    return dataset.observations[rows]


def torch_sample(
    trained: Trained, policies: Mapping[str, PolicySettings], observations: FloatArray, seed: int = 0
) -> ParitySample:
    """Ask the trained networks.

    Args:
        trained: The networks.
        policies: Name -> settings of the policies to ask.
        observations: (count, obs_dim) in contract units.
        seed: Seed of noise and of the critic's actions.
    """
    bare = ParitySample(observations, seed)
    answers = {name: torch_reference(trained.networks, chosen, bare) for name, chosen in policies.items()}
    return ParitySample(observations, seed, answers, torch_critic(trained, bare))


@torch.no_grad()
def torch_reference(networks: TrainedNetworks, settings: PolicySettings, sample: ParitySample) -> Reference:
    """Return a policy's candidates, their values and the choice, as the training code computes them."""
    assert networks.q_networks is not None
    observations = networks.normalizer(torch.from_numpy(sample.observations))
    shape = settings.candidates, networks.contract.action_size
    noise = torch.from_numpy(draw_noise(sample.seed, len(observations), shape))
    candidates, values = [], []
    for observed, drawn in zip(observations.split(BATCH), noise.split(BATCH), strict=True):
        proposed = _propose(networks, settings, observed, drawn)
        repeated = observed.repeat_interleave(settings.candidates, dim=0)
        q = networks.q_networks(repeated, proposed.flatten(0, 1)).mean(dim=0) * settings.valued
        candidates.append(networks.robot_units(proposed).numpy())
        values.append(q.reshape(proposed.shape[:2]).numpy())
    every, value = np.concatenate(candidates), np.concatenate(values)
    return Reference(every[np.arange(len(every)), value.argmax(axis=1)], value, every)


def _propose(
    networks: TrainedNetworks, settings: PolicySettings, observed: torch.Tensor, drawn: torch.Tensor
) -> torch.Tensor:
    """(B, obs_dim) normalised, (B, N, act_dim) noise -> (B, N, act_dim) in [-1, 1]."""
    if settings.kind == "actor":
        assert networks.actor is not None
        proposed: torch.Tensor = networks.actor(observed.unsqueeze(1), drawn)
        return proposed
    assert networks.denoiser is not None
    return draw_actions(networks.denoiser, observed, drawn, sampler_config(networks, settings.steps))


@torch.no_grad()
def torch_critic(trained: Trained, sample: ParitySample) -> FloatArray:
    """Return (count, members + 1) every member's Q, then V, for the actions that belong to the sample."""
    networks = trained.networks
    lower, upper = (side.astype(np.float32) for side in networks.contract.action_range())
    scaled = (critic_actions(sample, networks.contract) - lower) / (upper - lower) * 2 - 1
    observed = networks.normalizer(torch.from_numpy(sample.observations))
    q = trained.q_networks(observed, torch.from_numpy(scaled))
    answers: FloatArray = torch.cat([q, trained.value(observed).unsqueeze(0)]).T.numpy()
    return answers

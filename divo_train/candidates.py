"""Candidate actions of the logged states: drawn for all at once and kept, drawn anew now and then, or for each batch.

The denoiser and the critics no longer change when the actor is trained, so a kept candidate is as good as a new one;
what the cache saves is the sampler, what it costs is that a state has so many noises and no more.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from divo_train.config import FitConfig
from divo_train.data.training_set import TrainingSet
from divo_train.diffusion import draw_actions
from divo_train.networks import Denoiser, QEnsemble, Value
from divo_train.randomness import stream

STREAM = "candidates"


class Drawn(NamedTuple):
    """N candidates of each of B states."""

    noise: Tensor
    """(B, N, act_dim) standard normal."""
    actions: Tensor
    """(B, N, act_dim) what the sampler makes of it, in [-1, 1]."""
    advantages: Tensor
    """(B, N) mean_j Q_j(s, a) - V(s)."""


class Candidates:
    """The candidates that an update may use; a function of the seed and the step alone, so that a run resumes.

    Args:
        data: The training set.
        config: `actor.cached_candidates` says how many, `actor.refresh_every` how long they are kept.
        denoiser: Frozen.
        q_networks: Frozen.
        value: Frozen.
    """

    def __init__(
        self, data: TrainingSet, config: FitConfig, denoiser: Denoiser, q_networks: QEnsemble, value: Value
    ) -> None:
        self._data, self._config, self._networks = data, config, (denoiser, q_networks, value)
        self._every = config.actor.refresh_every
        self._number = 0
        self._kept = self._draw(data.rows, 0) if self._every != 1 else None

    def of(self, picked: Tensor, step: int) -> Drawn:
        """Return the candidates of (B,) transitions for update number `step` (from 1)."""
        if self._kept is None:
            return self._draw(self._data.rows[picked], step)
        number = (step - 1) // self._every if self._every else 0
        if number != self._number:
            self._number, self._kept = number, self._draw(self._data.rows, number)
        return Drawn(*(one[picked] for one in self._kept))

    def _draw(self, rows: Tensor, number: int) -> Drawn:
        generator = stream(self._config.seed, STREAM, number)
        return draw_candidates(self._data.observations, rows, self._config, *self._networks, generator)


@torch.no_grad()
def draw_candidates(
    observations: Tensor,
    rows: Tensor,
    config: FitConfig,
    denoiser: Denoiser,
    q_networks: QEnsemble,
    value: Value,
    generator: torch.Generator,
    batch: int = 256,
) -> Drawn:
    """Draw and score candidates of some states.

    Args:
        observations: (rows of the dataset, obs_dim) normalised.
        rows: (B,) which of them.
        config: `actor.cached_candidates` per state, and the sampler.
        denoiser: D.
        q_networks: Critic.
        value: V.
        generator: Of the noise, on the CPU.
        batch: States at a time; few, so that what the networks compute stays in the processor's cache.
    """
    per_state = config.actor.cached_candidates
    size = denoiser.action_in.in_features
    noise = torch.randn(len(rows), per_state, size, generator=generator).to(observations.device)
    actions, advantages = torch.empty_like(noise), torch.empty(noise.shape[:2], device=noise.device)
    for some, z, out, score in zip(
        rows.split(batch), noise.split(batch), actions.split(batch), advantages.split(batch), strict=True
    ):
        observation = observations[some]
        out.copy_(draw_actions(denoiser, observation, z, config.sampler))
        repeated = observation.repeat_interleave(per_state, dim=0)
        q = q_networks(repeated, out.flatten(0, 1)).mean(dim=0).view(-1, per_state)
        score.copy_(q - value(observation).unsqueeze(1))
    return Drawn(noise, actions, advantages)

"""Candidate actions of the logged states, filtered: drawn for all and kept, anew now and then, or for each batch.

The denoiser and the critics no longer change when the actor is trained, so a kept candidate is as good as a new one;
what the cache saves is sampler and filter, what it costs is that a state has so many noises and no more.
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
    """N noises of each of B states, or one of each (without the axis N), and the target that the filter gives each."""

    noise: Tensor
    """(B, N, act_dim) standard normal."""
    targets: Tensor
    """(B, N, act_dim) the candidate that this noise should lead to, in [-1, 1]."""
    advantages: Tensor
    """(B, N) mean_j Q_j(s, target) - V(s)."""


def filter_candidates(candidates: Tensor, advantages: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Give every noise its target: among the `keep` best candidates, the one nearest to its own.

    Args:
        candidates: (B, N, act_dim) sampled actions, one from each noise.
        advantages: (B, N) of each.
        keep: How many of the best may become a target, 1..N.

    Returns:
        (B, N, act_dim) targets and (B, N) their advantages.

    Source: DIVO's dynamic filter of sampled actions by return potential (arXiv 2511.08922, abstract); pairing by noise
    is our choice.
    """
    best = advantages.topk(keep, dim=1).indices
    good = candidates.gather(1, best.unsqueeze(-1).expand(-1, -1, candidates.shape[-1]))
    distance = (good.unsqueeze(1) - candidates.unsqueeze(2)).square().sum(dim=-1)
    chosen = best.gather(1, distance.argmin(dim=2))
    return candidates.gather(1, chosen.unsqueeze(-1).expand_as(candidates)), advantages.gather(1, chosen)


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

    def of(self, picked: Tensor, own: Tensor, step: int) -> Drawn:
        """Return a noise of each of (B,) transitions, (B,) says which of its N, for update number `step` (from 1)."""
        if self._kept is None:
            drawn = self._draw(self._data.rows[picked], step)
            return Drawn(*(one[torch.arange(len(own), device=own.device), own] for one in drawn))
        number = (step - 1) // self._every if self._every else 0
        if number != self._number:
            self._number, self._kept = number, self._draw(self._data.rows, number)
        return Drawn(*(one[picked, own] for one in self._kept))

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
    """Draw, score and filter candidates of some states.

    Args:
        observations: (rows of the dataset, obs_dim) normalised.
        rows: (B,) which of them.
        config: `actor.cached_candidates` per state, of which the best `actor.keep` may be targets; the sampler.
        denoiser: D.
        q_networks: Critic.
        value: V.
        generator: Of the noise, on the CPU.
        batch: States at a time; few, so that what the networks compute stays in the processor's cache.
    """
    per_state = config.actor.cached_candidates
    size = denoiser.action_in.in_features
    noise = torch.randn(len(rows), per_state, size, generator=generator).to(observations.device)
    targets, advantages = torch.empty_like(noise), torch.empty(noise.shape[:2], device=noise.device)
    parts = zip(rows.split(batch), noise.split(batch), targets.split(batch), advantages.split(batch), strict=True)
    for some, z, target, advantage in parts:
        observation = observations[some]
        actions = draw_actions(denoiser, observation, z, config.sampler)
        repeated = observation.repeat_interleave(per_state, dim=0)
        q = q_networks(repeated, actions.flatten(0, 1)).mean(dim=0).view(-1, per_state)
        filtered = filter_candidates(actions, q - value(observation).unsqueeze(1), config.actor.keep)
        target.copy_(filtered[0])
        advantage.copy_(filtered[1])
    return Drawn(noise, targets, advantages)

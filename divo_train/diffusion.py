"""Positive-advantage diffusion (PAD): a denoiser of the logged actions that gives full weight to the good ones.

Parametrisation of Karras et al. 2022 (arXiv:2206.00364): x = action + sigma * noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from divo_runtime.sampler import noise_levels, sample
from divo_train.config import DiffusionConfig, FitConfig, SamplerConfig
from divo_train.data.training_set import TrainingSet
from divo_train.learner import Averages, Batch, Metrics
from divo_train.networks import Denoiser, frozen_copy
from divo_train.randomness import stream


def training_levels(count: int, sigma_data: float, config: DiffusionConfig, generator: torch.Generator) -> Tensor:
    """Return (count,) noise levels, log-logistic around `sigma_data`, cut to the configured range."""
    return log_logistic_levels(torch.rand(count, generator=generator), sigma_data, config)


def log_logistic_levels(uniform: Tensor, sigma_data: float, config: DiffusionConfig) -> Tensor:
    """Turn (B,) uniform numbers into noise levels."""
    spread = torch.exp(0.5 * torch.logit(uniform.clamp(1e-6, 1 - 1e-6)))
    return sigma_data * spread.clamp(config.sigma_min, config.sigma_max)


def positive_advantage_diffusion_loss(
    denoiser: Denoiser, observation: Tensor, action: Tensor, weight: Tensor, sigma: Tensor, noise: Tensor
) -> tuple[Tensor, Metrics]:
    """Weighted denoising score matching; its minimiser is the denoiser of p(a|s) ~ weight(s, a) * behaviour(a|s).

    Args:
        denoiser: D.
        observation: (B, obs_dim) normalised.
        action: (B, act_dim) in [-1, 1].
        weight: (B,) 1 for positive advantages, less for others; normalised by its sum, so that the share of good
            actions does not change the step size.
        sigma: (B,) noise levels.
        noise: (B, act_dim) standard normal.

    Source: DIVO's PAD (arXiv 2511.08922) with the loss of Karras et al. 2022, eq. 8: lambda = 1 / c_out^2.
    """
    denoised = denoiser(action + sigma.unsqueeze(-1) * noise, sigma, observation)
    spread = denoiser.sigma_data.square()
    scale = (sigma.square() + spread) / (sigma.square() * spread)
    error = scale * (denoised - action).square().mean(dim=-1)
    loss = (weight * error).sum() / weight.sum()
    return loss, {"diffusion_loss": loss, "unweighted_loss": error.mean()}


def sampling_levels(sigma_data: float, config: SamplerConfig) -> tuple[float, ...]:
    """Return the sampler's noise levels for actions of this standard deviation, falling to 0."""
    return noise_levels(config.steps, config.sigma_max * sigma_data, config.sigma_min * sigma_data)


def draw_actions(denoiser: Denoiser, observation: Tensor, noise: Tensor, config: SamplerConfig) -> Tensor:
    """Sample actions with the few-step sampler.

    Args:
        denoiser: D, usually its running average.
        observation: (B, obs_dim) normalised.
        noise: (B, act_dim) or (B, N, act_dim) standard normal.
        config: Steps, levels and solver.

    Returns:
        Actions in [-1, 1], of the shape of `noise`.
    """
    shares = denoiser.observation_in(observation)
    shares = shares if noise.ndim == shares.ndim else shares.unsqueeze(-2)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        level = torch.tensor(sigma, device=x.device)
        return denoiser.denoise(x, level, shares + denoiser.level_share(level)).clamp(-1, 1)

    return sample(denoise, noise, sampling_levels(denoiser.spread, config), config.solver)


class DiffusionLearner:
    """Trains the denoiser and its running average."""

    def __init__(self, data: TrainingSet, config: FitConfig, name: str, weights: Tensor) -> None:
        denoiser = new_denoiser(data, config)
        self.networks = nn.ModuleDict({"denoiser": denoiser, "average": frozen_copy(denoiser)}).to(data.device)
        self.period = 1
        self.averages: Averages = {"average": ("denoiser", config.diffusion.ema_rate)}
        self._data, self._config, self._name, self._weights = data, config, name, weights

    def draw(self, step: int) -> Batch:
        """Return logged actions, their weights, and noise of random levels."""
        data, batch = self._data, self._config.optimizer.batch_size
        generator = stream(self._config.seed, self._name, step)
        picked = data.draw(batch, generator)
        sigma = training_levels(batch, data.action_std, self._config.diffusion, generator).to(data.device)
        noise = torch.randn(batch, data.actions.shape[1], generator=generator).to(data.device)
        return {
            "observation": data.observations[data.rows[picked]],
            "action": data.actions[picked],
            "weight": self._weights[picked],
            "sigma": sigma,
            "noise": noise,
        }

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, Metrics]:
        """Return the weighted denoising loss."""
        return positive_advantage_diffusion_loss(self.networks["denoiser"], **batch)  # type: ignore[arg-type]


def new_denoiser(data: TrainingSet, config: FitConfig) -> Denoiser:
    """Return an untrained denoiser for this data."""
    contract, network = data.contract, config.network
    return Denoiser(contract.observation_size, contract.action_size, network.width, network.depth, data.action_std)


def load_denoiser(tensors: Mapping[str, Tensor], data: TrainingSet, config: FitConfig) -> Denoiser:
    """Rebuild the running average that a `DiffusionLearner` has trained."""
    denoiser = new_denoiser(data, config)
    prefix = "average."
    denoiser.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    return denoiser.to(data.device).requires_grad_(False)

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm, wasserstein_distance

from divo_runtime.sampler import noise_levels, sample

SOLVERS = ("euler", "dpmpp_2m", "heun")
WEIGHTS, MEANS, WIDTH = np.array([0.3, 0.7]), np.array([-0.7, 0.7]), 0.05
"""A mixture with two narrow modes, as a robot that may pass an obstacle on two sides has them."""


def gaussian_denoiser(mean, width):
    """E[a | x] for a ~ N(mean, width^2), x = a + sigma * noise."""
    return lambda x, sigma: (width**2 * x + sigma**2 * mean) / (width**2 + sigma**2)


def mixture_denoiser(width):
    """E[a | x] for the mixture: each mode's answer, weighted by its posterior."""

    def denoise(x, sigma):
        total = width**2 + sigma**2
        log_weight = np.log(WEIGHTS) - (x[:, None] - MEANS) ** 2 / (2 * total)
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        answers = (width**2 * x[:, None] + sigma**2 * MEANS) / total
        return (weight * answers).sum(axis=1) / weight.sum(axis=1)

    return denoise


def gaussian_answer(x, mean, width, high, low):
    """The probability flow of a Gaussian shrinks the distance to the mean with the total width."""
    return mean + (x - mean) * math.sqrt((width**2 + low**2) / (width**2 + high**2))


def mixture_answer(x, width, high, low):
    """In one dimension the probability flow keeps quantiles: F_low(answer) = F_high(x)."""

    def share_below(point, sigma):
        return float(WEIGHTS @ norm.cdf((point - MEANS) / math.hypot(width, sigma)))

    return np.array([brentq(lambda y: share_below(y, low) - share_below(v, high), -50, 50, xtol=1e-13) for v in x])  # noqa: B023


def order(solver, denoise, answer, high, low):
    """Slope of log error over log step between 32 and 128 steps, on levels that stop at `low` > 0."""
    noise = np.linspace(-2, 2, 9)
    errors = []
    for steps in (32, 128):
        levels = noise_levels(steps + 1, high, low)[:-1]
        errors.append(np.abs(sample(denoise, noise, levels, solver) - answer(high * noise)).max())
    return math.log(errors[0] / errors[1]) / math.log(4)


# The slope at finite steps still feels the next term, and the mixture has sharper turns: hence 0.15 and 0.35.
@pytest.mark.parametrize(("solver", "expected"), [("euler", 1), ("dpmpp_2m", 2), ("heun", 2)])
def test_the_error_on_a_gaussian_falls_with_the_order_of_the_solver(solver, expected):
    slope = order(solver, gaussian_denoiser(0.4, 0.3), lambda x: gaussian_answer(x, 0.4, 0.3, 5.0, 0.1), 5.0, 0.1)
    assert slope == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(("solver", "expected"), [("euler", 1), ("dpmpp_2m", 2), ("heun", 2)])
def test_the_error_on_a_mixture_falls_with_the_order_of_the_solver(solver, expected):
    slope = order(solver, mixture_denoiser(0.3), lambda x: mixture_answer(x, 0.3, 5.0, 0.2), 5.0, 0.2)
    assert slope == pytest.approx(expected, abs=0.35)


@pytest.mark.parametrize(("solver", "steps"), [("euler", 60), ("dpmpp_2m", 30), ("heun", 30)])
def test_samples_are_distributed_as_the_mixture(solver, steps):
    rng = np.random.default_rng(0)
    truth = rng.choice(MEANS, 20_000, p=WEIGHTS) + WIDTH * rng.standard_normal(20_000)
    noise = norm.ppf((np.arange(20_000) + 0.5) / 20_000)  # stratified: only the solver's error is left
    drawn = sample(mixture_denoiser(WIDTH), noise, noise_levels(steps, 20.0, 0.02), solver)
    # Two draws of 20,000 from the truth are 0.01 apart; putting 2 % of the mass on the wrong mode costs 0.028.
    assert wasserstein_distance(drawn, truth) < 0.02
    assert (drawn > 0).mean() == pytest.approx(0.7, abs=0.01)


def test_five_steps_keep_the_modes_apart():
    noise = norm.ppf((np.arange(2000) + 0.5) / 2000)
    drawn = sample(mixture_denoiser(WIDTH), noise, noise_levels(5, 10 * 0.64, 0.2 * 0.64))
    assert (np.abs(np.abs(drawn) - 0.7) < 0.2).mean() > 0.97


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_step_from_noise_gives_the_conditional_mean(solver):
    noise = np.linspace(-2, 2, 9)
    denoise = mixture_denoiser(WIDTH)
    once = sample(denoise, noise, (1000.0, 0.0), solver)
    np.testing.assert_allclose(once, denoise(1000.0 * noise, 1000.0), atol=1e-9)
    np.testing.assert_allclose(once, 0.3 * -0.7 + 0.7 * 0.7, atol=2e-3)  # what is left is variance / sigma * noise


def test_an_euler_step_goes_the_fraction_of_the_way_that_the_level_falls():
    # x = 4 * 0.5 = 2, D = 1: 1 + (1 / 4) * (2 - 1) = 1.25; the last step returns D.
    seen = []

    def denoise(x, sigma):
        seen.append((float(x[0]), sigma))
        return np.ones(1)

    assert sample(denoise, np.array([0.5]), (4.0, 1.0, 0.0), "euler") == 1.0
    assert seen == [(2.0, 4.0), (1.25, 1.0)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_torch_and_numpy_draw_the_same_from_the_same_noise(solver):
    noise = np.random.default_rng(1).standard_normal((64, 3))
    denoise = gaussian_denoiser(0.2, 0.4)
    levels = noise_levels(5)
    expected = sample(denoise, noise, levels, solver)
    np.testing.assert_allclose(sample(denoise, torch.from_numpy(noise), levels, solver).numpy(), expected, atol=1e-12)
    single = sample(denoise, torch.from_numpy(noise.astype(np.float32)), levels, solver)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("solver", "calls"), [("euler", 5), ("dpmpp_2m", 5), ("heun", 9)])
def test_a_step_costs_one_evaluation_and_heun_two_except_the_last(solver, calls):
    seen = []

    def denoise(x, sigma):
        seen.append(sigma)
        return 0 * x

    sample(denoise, np.ones(2), noise_levels(5), solver)
    assert len(seen) == calls
    assert min(seen) == pytest.approx(0.1)  # never at level 0, where the denoiser is not trained


def test_levels_fall_from_the_largest_to_the_smallest_and_then_to_zero():
    # rho = 1 is an even spacing; rho = 2 is even in the square root: 4, (2 + 1) / 2 squared, 1.
    assert noise_levels(3, 3.0, 1.0, rho=1) == pytest.approx((3.0, 2.0, 1.0, 0.0))
    assert noise_levels(3, 4.0, 1.0, rho=2) == pytest.approx((4.0, 2.25, 1.0, 0.0))
    assert noise_levels(1, 5.0, 0.1) == pytest.approx((5.0, 0.0))
    assert noise_levels(2, 1.0, 1.0) == pytest.approx((1.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("steps", "sigma_max", "sigma_min"), [(0, 5.0, 0.1), (-1, 5.0, 0.1), (5, 0.1, 5.0), (5, 5.0, 0.0), (5, 5.0, -1.0)]
)
def test_levels_out_of_range_are_refused(steps, sigma_max, sigma_min):
    with pytest.raises(ValueError, match="0 < sigma_min <= sigma_max"):
        noise_levels(steps, sigma_max, sigma_min)

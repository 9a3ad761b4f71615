"""Few-step samplers for a trained denoiser.

Only + - * / on arrays, with noise levels as Python floats: one implementation serves numpy, torch in training, and
tracing into ONNX, where every coefficient becomes a constant.
Convention: `denoise(x, sigma)` returns the expected clean action given x = action + sigma * noise (the denoiser D of
Karras et al. 2022, arXiv:2206.00364, eq. 2); levels fall to 0, and the last step returns D itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol, TypeVar

Solver = Literal["dpmpp_2m", "euler", "heun"]


class Arithmetic(Protocol):
    """Anything with array arithmetic: numpy, torch, a traced tensor."""

    def __add__(self, other: Any) -> Any: ...
    def __sub__(self, other: Any) -> Any: ...
    def __rmul__(self, other: Any) -> Any: ...


A = TypeVar("A", bound=Arithmetic)
Denoise = Callable[[A, float], A]


def noise_levels(steps: int, sigma_max: float = 5.0, sigma_min: float = 0.1, rho: float = 7.0) -> tuple[float, ...]:
    """Return `steps` falling noise levels and a final 0.

    The default range suits few steps and actions scaled to [-1, 1]: far tighter than the image domain's 80..0.002.

    Args:
        steps: Number of denoiser evaluations, >= 1.
        sigma_max: First level, > 0.
        sigma_min: Last level before 0, in (0, sigma_max].
        rho: Larger puts more levels near `sigma_min`.

    Raises:
        ValueError: If the arguments are out of range.

    Source: Karras et al. 2022, eq. 5.
    """
    if steps < 1 or not 0 < sigma_min <= sigma_max:
        raise ValueError(f"Expected steps >= 1 and 0 < sigma_min <= sigma_max, got {steps}, {sigma_min}, {sigma_max}.")
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    last = max(steps - 1, 1)
    return (*((high + i / last * (low - high)) ** rho for i in range(steps)), 0.0)


def sample(denoise: Denoise[A], noise: A, sigmas: Sequence[float], solver: Solver = "dpmpp_2m") -> A:
    """Turn standard normal noise into samples of the denoiser's distribution.

    Args:
        denoise: (x, sigma) -> denoised x, of the shape of `noise`.
        noise: Standard normal, any shape.
        sigmas: Falling levels that end in 0, as `noise_levels` gives.
        solver: `dpmpp_2m` (order 2, one evaluation per step), `euler` (order 1), `heun` (order 2, two evaluations).
    """
    drawn: A = _SOLVERS[solver](denoise, sigmas[0] * noise, sigmas)
    return drawn


def _euler(denoise: Denoise[A], x: A, sigmas: Sequence[float]) -> A:
    """DDIM with eta = 0 (Song et al. 2021, arXiv:2010.02502, eq. 12) in the variance-exploding convention."""
    for sigma, following in pairwise(sigmas):
        denoised = denoise(x, sigma)
        x = denoised + (following / sigma) * (x - denoised)
    return x


def _dpmpp_2m(denoise: Denoise[A], x: A, sigmas: Sequence[float]) -> A:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, Algorithm 2); the first and last step are of order 1."""
    previous: A | None = None
    previous_step = 0.0
    for sigma, following in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if following == 0:
            return denoised
        step = math.log(sigma / following)
        target = denoised
        if previous is not None:
            ratio = previous_step / step
            target = (1 + 1 / (2 * ratio)) * denoised - (1 / (2 * ratio)) * previous
        x = (following / sigma) * x + (1 - math.exp(-step)) * target
        previous, previous_step = denoised, step
    return x


def _heun(denoise: Denoise[A], x: A, sigmas: Sequence[float]) -> A:
    """Heun's method without churn (Karras et al. 2022, Algorithm 1)."""
    for sigma, following in pairwise(sigmas):
        slope = (1 / sigma) * (x - denoise(x, sigma))
        predicted: A = x + (following - sigma) * slope
        if following == 0:
            return predicted
        next_slope = (1 / following) * (predicted - denoise(predicted, following))
        x = x + (0.5 * (following - sigma)) * (slope + next_slope)
    return x


_SOLVERS: dict[Solver, Callable[[Any, Any, Sequence[float]], Any]] = {
    "dpmpp_2m": _dpmpp_2m,
    "euler": _euler,
    "heun": _heun,
}

"""The few-step sampler written out: which sums go into each evaluation of the denoiser.

`divo_runtime.sampler.sample` is run once, at export, on symbols instead of arrays. Every input of the denoiser is then
known as a weighted sum of a few tensors, and a graph computes that sum as one matrix product, whatever the solver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from divo_runtime.sampler import Solver, sample

NOISE = "noise"
"""Name of the sampler's noise; evaluation i reads `x{i}` and answers `denoised{i}`."""
NOTHING = 1e-9
"""A weight that is zero but for rounding."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One call of the denoiser."""

    name: str
    """Of its input, which is a tensor of its own and may be a term of later sums."""
    answer: str
    """Name of what it returns."""
    sigma: float
    """Noise level of the input."""
    terms: Mapping[str, float]
    """Name of a tensor -> its weight in the input."""


@dataclass(slots=True)
class Sum:
    """A weighted sum of named tensors, with the arithmetic that a solver needs."""

    terms: dict[str, float]
    """Name of a tensor -> its weight."""

    def __add__(self, other: Sum) -> Sum:
        """Return the sum of both."""
        names = dict.fromkeys((*self.terms, *other.terms))
        return Sum({name: self.terms.get(name, 0.0) + other.terms.get(name, 0.0) for name in names})

    def __sub__(self, other: Sum) -> Sum:
        """Return the difference."""
        return self + (-1.0) * other

    def __rmul__(self, factor: float) -> Sum:
        """Return the multiple."""
        return Sum({name: factor * weight for name, weight in self.terms.items()})


def unroll(sigmas: Sequence[float], solver: Solver) -> tuple[tuple[Evaluation, ...], str]:
    """Return the denoiser's evaluations in their order, and the name of the sample.

    At the last level, 0, every solver returns what the denoiser answered before it.

    Args:
        sigmas: Falling noise levels that end in 0.
        solver: Integrator.
    """
    evaluations: list[Evaluation] = []

    def denoise(x: Sum, sigma: float) -> Sum:
        number = len(evaluations)
        evaluation = Evaluation(f"x{number}", f"denoised{number}", sigma, dict(x.terms))
        evaluations.append(evaluation)
        x.terms = {evaluation.name: 1.0}  # the input is a tensor from here on, so the solver's later sums stay short
        return Sum({evaluation.answer: 1.0})

    drawn = sample(denoise, Sum({NOISE: 1.0}), sigmas, solver)
    (answer,) = (name for name, weight in drawn.terms.items() if abs(weight) > NOTHING)
    return tuple(evaluations), answer

"""What a person may choose about a bundle; light, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from divo_runtime.errors import DivoError


@dataclass(frozen=True)
class ExportOptions:
    """What goes into a bundle, and how thoroughly it is checked."""

    candidates: int | None = None
    """N of best-of-N, of every policy; the run's own where nothing is said. A large N exploits the critic's errors."""
    steps: int | None = None
    """Denoiser evaluations of `sampler`; the run's own where nothing is said."""
    more_steps: tuple[int, ...] = (1, 2, 3)
    """Step counts k for which there is a `sampler_k<k>` in the bundle too."""
    precisions: tuple[Literal["float16", "bfloat16", "int8"], ...] = ()
    """Precisions p for which there is an `actor_<p>` and a `sampler_<p>` too; measure first whether they are faster."""
    parity_observations: int = 10_000
    """Dataset observations on which torch and every engine are compared, and that the bundle carries along."""
    episodes: int = 30
    """Seeded episodes per policy, played with torch and with the exported network; 0 to leave this out."""


def require_sensible(options: ExportOptions) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        DivoError: Naming the option.
    """
    counts = {"candidates": options.candidates, "steps": options.steps}
    counts |= {"parity-observations": options.parity_observations, "episodes": options.episodes + 1}
    for name, count in (*counts.items(), *(("more-steps", steps) for steps in options.more_steps)):
        if count is not None and count < 1:
            got, least = (count - 1, 0) if name == "episodes" else (count, 1)
            raise DivoError("An option is too small.", where=f"--{name}", got=str(got), expected=f"at least {least}")

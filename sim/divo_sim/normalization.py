"""What random and expert episodes reach in each environment, measured once: the ends of the normalised score.

The numbers are in `normalization.json`, written by `python -m benchmarks.normalization` and by nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "normalization.json"


@dataclass(frozen=True, slots=True)
class Level:
    """What a behaviour reaches, on average over episodes."""

    behaviours: tuple[str, ...]
    """Scripted behaviours, in turn."""
    return_: float
    """Undiscounted sum of rewards."""
    success: float
    collision_free: float
    steps: float | None
    """Control periods of the episodes that reached the goal; None if none did."""


@dataclass(frozen=True, slots=True)
class ReferenceScores:
    """The ends of the normalised score of one environment: 0 is random, 100 is expert."""

    environment: str
    episodes: int
    """Episodes of each."""
    first_seed: int
    random: Level
    expert: Level


def normalized_score(return_: float, scores: ReferenceScores) -> float:
    """Return 100 (return - random) / (expert - random).

    Source: Fu et al. 2020, arXiv:2004.07219, section 5.
    """
    return 100.0 * (return_ - scores.random.return_) / (scores.expert.return_ - scores.random.return_)


def reference_scores(environment: str) -> ReferenceScores | None:
    """Return what was measured in an environment, by its gymnasium id; None if nothing was."""
    found = _measured().get(environment)
    if found is None:
        return None
    levels = {name: Level(**{**found[name], "behaviours": tuple(found[name]["behaviours"])}) for name in LEVELS}
    return ReferenceScores(environment=environment, **{**found, **levels})


LEVELS = ("random", "expert")


@cache
def _measured() -> dict[str, Any]:
    return dict(json.loads((files("divo_sim") / FILE).read_text(encoding="utf-8"))["environments"])

"""Which behaviours a dataset is made of, by share of its transitions.

`mixed-p` holds p percent good transitions; on the arm, half of them go each way round the post. The rest must be really
poor: a slow but clean run teaches the task as well as the expert does, so `sloppy` passes too near to the post to stay
clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Mixture = Literal["random", "medium", "expert", "mixed-25", "mixed-20", "mixed-5", "biased"]
Mixtures = Mapping[Mixture, Mapping[str, float]]

MIXTURES: dict[Mixture, dict[str, float]] = {
    "random": {"random": 1.0},
    "medium": {"sloppy": 1.0},
    "expert": {"inner": 0.5, "outer": 0.5},
    "mixed-25": {"inner": 0.125, "outer": 0.125, "sloppy": 0.20, "straight": 0.20, "random": 0.15, "wrong": 0.20},
    "mixed-5": {"inner": 0.025, "outer": 0.025, "sloppy": 0.25, "straight": 0.25, "random": 0.20, "wrong": 0.25},
}
"""The arm's: mixture -> behaviour -> share of transitions; every row sums to one."""

BIASED_MIXTURES: dict[Mixture, dict[str, float]] = {"biased": {"outer": 0.8, "inner": 0.2}}
"""The arm's with the post off-centre: clean drivers only, and the rarer way round is the better one."""

MAZE_MIXTURES: dict[Mixture, dict[str, float]] = {
    "random": {"random": 1.0},
    "expert": {"expert": 1.0},
    "mixed-25": {"purposeful": 0.25, "wrong": 0.45, "random": 0.30},
    "mixed-20": {"purposeful": 0.20, "wrong": 0.50, "random": 0.30},
    "mixed-5": {"purposeful": 0.05, "wrong": 0.60, "random": 0.35},
}
"""The maze's; only `expert` has whole ways to far goals."""

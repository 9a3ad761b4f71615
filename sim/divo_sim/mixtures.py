"""Which behaviours a dataset is made of, by share of its transitions.

`mixed-p` holds p percent clean transitions, half of them each way round the post. The rest must be really poor: a slow
but clean run teaches the task as well as the expert does, so `sloppy` passes too near to the post to stay clean.
"""

from __future__ import annotations

from typing import Literal

Mixture = Literal["random", "medium", "expert", "mixed-25", "mixed-5"]

MIXTURES: dict[Mixture, dict[str, float]] = {
    "random": {"random": 1.0},
    "medium": {"sloppy": 1.0},
    "expert": {"inner": 0.5, "outer": 0.5},
    "mixed-25": {"inner": 0.125, "outer": 0.125, "sloppy": 0.20, "straight": 0.20, "random": 0.15, "wrong": 0.20},
    "mixed-5": {"inner": 0.025, "outer": 0.025, "sloppy": 0.25, "straight": 0.25, "random": 0.20, "wrong": 0.25},
}
"""Mixture -> behaviour -> share of transitions; every row sums to one."""
